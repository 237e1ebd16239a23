"""Publishing: a release becomes visible whole, verified and accepted, or not at all.

```
<root>/runs/<name>/<id>/        an accepted release: its files and manifest.json, never changed again
<root>/current/<name>           a link to the release that readers should use
<root>/quarantine/<name>/<id>/  the report of a refused run, without a synthetic row
<root>/.staging/<name>/         where the run in progress writes; empty between runs
<root>/.locks/<name>            held by the run in progress
```

The protocol, each step on the disk before the next: the files and the manifest; the link, still in the stage; the
rename of the stage to `runs`; the rename of the link to `current`. A process killed in between leaves the last release
current; the next start finishes a swap whose release is in place and removes everything else. Needs POSIX.
"""

from __future__ import annotations

import fcntl
import hashlib
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from .artifact import Sealed, make_folder, move, seal, sha256_file, sync, verify
from .errors import ArtifactError, ConfigError, PublishError, RefusedError
from .schema import Schema

REPORT_FILES = frozenset({"report.json", "report.html"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PACKAGES = ("pipeline", "generators", "evaluation", "flows")
_DISTRIBUTIONS = ("tabmint", "torch", "numpy", "pandas", "pyarrow", "scikit-learn", "prefect")


class Manifest(Sealed):
    """What a release says about itself. It holds no row; `config` must hold no credential. Hashes are sha256 in hex.

    `files` is filled in when the release is sealed.
    """

    version: Literal[1] = 1
    name: str
    run_id: str
    created: str
    verdict: Literal["PASS", "REVIEW", "FAIL"]
    n_rows: int
    table_schema: Schema
    seed: int
    config: dict[str, JsonValue]
    versions: dict[str, str]
    data_sha256: str
    code_sha256: str


class Output:
    """One named output under a root folder, held by this process; made by `open_output`."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self._runs = root / "runs" / name
        self._quarantine = root / "quarantine" / name
        self._current = root / "current" / name
        self._staging = root / ".staging" / name
        self._link = self._staging / ".current"  # no run id begins with a dot

    def stage(self, run_id: str) -> Path:
        """Return a new empty folder, on the same file system as the releases, to write the files of a release into.

        Raises:
            ConfigError: `run_id` is not usable as a folder's name.
            PublishError: the folder cannot be made, or exists.
        """
        folder = self._staging / _checked("run id", run_id)
        with _reported():
            folder.mkdir()
        return folder

    def publish(self, folder: Path, manifest: Manifest) -> Path:
        """Seal a staged folder, move it to `runs/<name>/<id>`, make it current, and return where it lies.

        Publishing the same files under the same id again changes nothing; reports are not compared: they hold timings.

        Raises:
            RefusedError: the verdict is FAIL. Whether a REVIEW is published is for the caller to decide.
            PublishError: the id is taken by other files, or the disk refused a step; the last release stays current.
        """
        if manifest.verdict == "FAIL":
            raise RefusedError("only an accepted run is published", actual=f"the verdict {manifest.verdict}")
        target = self._target(self._runs, manifest)
        with _reported():
            self._settle()  # an attempt of this same run may have failed half-way
            sealed = seal(folder, manifest)
            if target.exists():
                _check_same(target, sealed)
                return target
            self._link.symlink_to(Path("..", "runs", self.name, manifest.run_id))
            sync(self._staging)
            move(folder, target)
            move(self._link, self._current)
        return target

    def quarantine(self, folder: Path, manifest: Manifest) -> Path:
        """Keep the report of a refused run, remove every other file, and return where the report lies.

        `current` is not touched. A later refusal with the same id replaces an earlier one.

        Raises:
            PublishError: the disk refused a step.
        """
        target = self._target(self._quarantine, manifest)
        with _reported():
            for path in folder.iterdir():
                if path.name not in REPORT_FILES:
                    _remove(path)
            seal(folder, manifest)
            make_folder(target.parent)
            if target.exists():
                shutil.rmtree(target)
            move(folder, target)
        return target

    def _target(self, parent: Path, manifest: Manifest) -> Path:
        if manifest.name != self.name:
            raise ConfigError(
                f'a manifest for the output "{self.name}" must carry its name', actual=f'"{manifest.name}"'
            )
        return parent / _checked("run id", manifest.run_id)

    def _recover(self) -> None:
        """Finish a swap that is owed, and remove everything else that a killed run left."""
        for folder in (self._runs, self._current.parent, self._staging):
            make_folder(folder)
        self._settle()
        for path in self._staging.iterdir():
            _remove(path)

    def _settle(self) -> None:
        """Make the release current whose link was staged, if it is in place; its link is the record of that intent."""
        if self._link.is_symlink():
            if (self._current.parent / self._link.readlink()).is_dir():
                move(self._link, self._current)
            else:
                self._link.unlink()


@contextmanager
def open_output(root: str | Path, name: str) -> Iterator[Output]:
    r"""Hold the output `name` under `root` for this process, after clearing what a killed run left of it.

    The lock is the kernel's: it ends with the process that holds it, however that ends.

    Raises:
        ConfigError: `name` is not usable as a folder's name.
        PublishError: another run holds the output, or the disk refused a step.

    Example:
        >>> from pipeline.schema import Integer
        >>> schema = Schema(columns=(Integer(name="a", arrow="int64"),))
        >>> manifest = Manifest(
        ...     name="flights", run_id="r1", created="2026-01-01T00:00:00Z", verdict="PASS", n_rows=1, seed=0,
        ...     table_schema=schema, config={}, versions=versions(), data_sha256="", code_sha256=code_fingerprint(),
        ... )
        >>> with open_output("out", "flights") as output:
        ...     folder = output.stage("r1")
        ...     _ = (folder / "synthetic.csv").write_text("a\n1\n")
        ...     release = output.publish(folder, manifest)
        >>> str(release), current("out", "flights") == release.resolve()
        ('out/runs/flights/r1', True)
    """
    output = Output(Path(root), _checked("output name", name))
    with _locked(Path(root) / ".locks" / name):
        with _reported():
            output._recover()
        try:
            yield output
        finally:
            for folder in output._staging.glob("[!.]*"):
                shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now is swept by the next start


def current(root: str | Path, name: str) -> Path | None:
    """Return the folder of the current release of the output `name`, or None before the first.

    The folder never changes, so a reader that keeps the path reads one release even while the next is published.

    Raises:
        ConfigError: `name` is not usable as a folder's name.
        ArtifactError: the current release is gone.

    Example:
        >>> current("nothing-here", "flights") is None
        True
    """
    link = Path(root) / "current" / _checked("output name", name)
    if not link.is_symlink():
        return None
    folder = link.resolve()
    if not folder.is_dir():
        raise ArtifactError(f"{link} must lead to a release", actual=f"{folder}, which is gone", remedy="publish again")
    return folder


def verify_release(folder: Path) -> Manifest:
    """Return the manifest of a release after comparing every file with it.

    Raises:
        ArtifactError: the manifest is missing or malformed, or a file is missing, unexpected or changed.
    """
    return verify(folder, Manifest)


def versions() -> dict[str, str]:
    """Return the versions of Python, tabmint and the libraries that shape a table, without importing them.

    Example:
        >>> sorted(versions())
        ['numpy', 'pandas', 'prefect', 'pyarrow', 'python', 'scikit-learn', 'tabmint', 'torch']
    """
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _DISTRIBUTIONS}}


def code_fingerprint() -> str:
    """Return the sha256, in hex, of the source of the four packages, wherever they are installed.

    Example:
        >>> len(code_fingerprint())
        64
    """
    root = Path(__file__).parents[1]
    sources = sorted(path for package in _PACKAGES for path in (root / package).rglob("*.py"))
    lines = (f"{sha256_file(path)}  {path.relative_to(root).as_posix()}\n" for path in sources)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _checked(what: str, name: str) -> str:
    """Return `name` if it is safe as a folder's name everywhere: no separator, no leading dot, nothing invisible."""
    if not _NAME.fullmatch(name):
        rule = f"the {what} must be 1 to 100 letters, digits or . _ - and begin with a letter or digit"
        raise ConfigError(rule, actual=ascii(name[:120]))
    return name


def _check_same(target: Path, sealed: Manifest) -> None:
    published, new = (
        {name: digest for name, digest in manifest.files.items() if name not in REPORT_FILES}
        for manifest in (verify_release(target), sealed)
    )
    if published != new:
        differing = ", ".join(sorted({name for name, _ in published.items() ^ new.items()}))
        rule = f"the release {target} is never changed"
        raise PublishError(rule, actual=f"other content of {differing}", remedy="publish under a new run id")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with _reported():
        make_folder(path.parent)
        file = path.open("a")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            rule = "one run at a time writes an output"
            raise PublishError(
                rule, actual=f"the lock {path} held by another run", remedy="wait for it to end"
            ) from error
        yield


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        rule = "a release is written whole or not at all"
        remedy = "`current` leads to a whole release; mend the disk or folder and run again"
        raise PublishError(rule, actual=str(error), remedy=remedy) from error
