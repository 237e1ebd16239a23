"""Files that lie elsewhere, by fsspec URL: `s3://`, `gs://`, `file://`, `memory://`."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import fsspec
from fsspec import AbstractFileSystem

from pipeline.credentials import mask
from pipeline.errors import ConfigError, DeliveryError, InputError, SourceError, TabmintError

_PACKAGES = {"s3": "tabmint[s3]", "gs": "gcsfs", "file": "fsspec", "memory": "fsspec"}
"""What to install for each scheme."""

Failure = type[SourceError] | type[DeliveryError]


def is_url(path: str) -> bool:
    """Return whether `path` is a URL and not the path of a local file.

    Example:
        >>> is_url("s3://bucket/people.parquet"), is_url("people.parquet")
        (True, False)
    """
    return "://" in path


def refuse_unusable_url(url: str) -> str:
    """Return `url` unchanged if it can be read and written: a known scheme, one of them, and no credential in it.

    Raises:
        ConfigError: says what to use instead.

    Example:
        >>> refuse_unusable_url("https://example.org/people.csv")
        Traceback (most recent call last):
        pipeline.errors.ConfigError: a URL of files must begin with one of s3://, gs://, file://, memory://; \
found https://; download the file first, and name the local copy
    """
    scheme, _, rest = url.partition("://")
    if scheme not in _PACKAGES:
        known = ", ".join(f"{name}://" for name in _PACKAGES)
        web = scheme in ("http", "https")
        remedy = "download the file first, and name the local copy" if web else "copy the files to one of these"
        raise ConfigError(f"a URL of files must begin with one of {known}", actual=f"{scheme}://", remedy=remedy)
    if "@" in rest.partition("/")[0]:
        remedy = "declare credentials as options, with placeholders"
        raise ConfigError("a URL of files holds no credential", actual="something before an @", remedy=remedy)
    return url


def filesystem(url: str, options: Mapping[str, str], failure: Failure) -> tuple[AbstractFileSystem, str]:
    """Return the file system that `url` names, opened with `options`, and the path in it.

    Options are given to the file system as they are, but for "true" and "false". It is not kept for later calls, so
    nothing of the process remembers the credentials.

    Raises:
        ConfigError: the URL is of a scheme that is not supported.
        SourceError, DeliveryError: as `failure` says; the file system's package is missing, or refuses the options.

    Example:
        >>> filesystem("memory://people/day.csv", {}, SourceError)[1]
        '/people/day.csv'
    """
    scheme = refuse_unusable_url(url).partition("://")[0]
    given = {name: {"true": True, "false": False}.get(value, value) for name, value in options.items()}
    with storage_errors(failure, f"{scheme}:// cannot be opened", options):
        try:
            system, path = fsspec.url_to_fs(url, skip_instance_cache=True, **given)
        except ImportError:
            remedy = f'install it: pip install "{_PACKAGES[scheme]}"'
            raise failure(f"{scheme}:// needs a package that is not installed", remedy=remedy) from None
        return system, str(path)


@contextmanager
def storage_errors(failure: Failure, rule: str, options: Mapping[str, str]) -> Iterator[None]:
    """Raise whatever a file system raises as `failure`, with every option's value masked.

    Example:
        >>> with storage_errors(SourceError, "it cannot be read", {"token": "s3cret"}):
        ...     raise PermissionError("s3cret was refused")
        Traceback (most recent call last):
        pipeline.errors.SourceError: it cannot be read; found PermissionError: *** was refused; check the URL, the \
options and what they allow
    """
    try:
        yield
    except TabmintError:
        raise
    except Exception as error:  # noqa: BLE001 - each file system raises what it likes, and its text may hold a secret
        text = mask(str(error).strip().partition("\n")[0], options.values())
        remedy = "check the URL, the options and what they allow"
        raise failure(rule, actual=f"{type(error).__name__}: {text}", remedy=remedy) from None


@contextmanager
def fetched(url: str, options: Mapping[str, str]) -> Iterator[str]:
    """Yield the local path of what `url` names: a file, a folder of Parquet files or a pattern.

    All but `file://` is copied into a temporary folder that only this user can open, and that goes when the block ends.
    Errors about the copy name the URL.

    Raises:
        SourceError: there is no such file, or it cannot be had.
        ConfigError: the URL is of a scheme that is not supported.

    Example:
        >>> fsspec.filesystem("memory").pipe("/days/monday.csv", b"n")
        >>> with fetched("memory://days/*.csv", {}) as pattern:
        ...     [Path(name).read_text() for name in glob.glob(pattern)]
        ['n']
    """
    system, path = filesystem(url, options, SourceError)
    if url.startswith("file://"):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="tabmint-") as folder:
        with storage_errors(SourceError, f'"{url}" cannot be read', options):
            base = _copy(system, path, Path(folder), url)
        try:
            yield str(Path(folder, PurePosixPath(path).relative_to(base)))
        except InputError as error:
            parent = f"{base}/".lstrip("./")
            raise _renamed(error, f"{folder}/", f"{url.partition('://')[0]}://{parent}") from None


def _copy(system: AbstractFileSystem, path: str, folder: Path, url: str) -> PurePosixPath:
    """Copy what `path` names into `folder`, and return the remote folder that `folder` now mirrors."""
    base = PurePosixPath(path).parent
    if system.isfile(path):
        names = [path]
    elif system.isdir(path):
        names = [name for name in system.find(path) if name.endswith(".parquet")]
    else:
        base = _parent_of_pattern(path)
        names = [name for name in system.glob(path) if system.isfile(name)] if glob.has_magic(path) else []
    if not names:
        raise SourceError(f'"{url}" names no file', actual="none", remedy="check the URL, or the pattern")
    for name in names:
        local = folder / _inside(PurePosixPath(name).relative_to(base))
        local.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(name, str(local))
    return base


def _parent_of_pattern(path: str) -> PurePosixPath:
    """Return the innermost folder whose name is no pattern."""
    parents = PurePosixPath(path).parents
    return next((parent for parent in parents if not glob.has_magic(str(parent))), parents[-1])


def _inside(name: PurePosixPath) -> PurePosixPath:
    """Refuse the name of a remote file that would lie outside the folder it is copied to."""
    if name.is_absolute() or ".." in name.parts:
        raise SourceError("the name of a remote file must stay in its folder", actual=ascii(str(name)))
    return name


def _renamed(error: InputError, copy: str, original: str) -> InputError:
    """Return the error with the place of the original in its message, and not that of the copy."""
    rule, actual, remedy = (text.replace(copy, original) for text in (error.rule, error.actual, error.remedy))
    return type(error)(rule, actual=actual, remedy=remedy)
