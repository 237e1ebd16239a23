"""Folders that are whole or absent: staged beside their target, hashed, synced to the disk, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from .config import Config
from .errors import ArtifactError

MANIFEST = "manifest.json"


class Sealed(Config):
    """What every sealed folder says about itself in `manifest.json`: the sha256, in hex, of each of its other files."""

    files: dict[str, str] = Field(default_factory=dict)


SealedT = TypeVar("SealedT", bound=Sealed)


def sha256_file(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hex.

    Example:
        >>> path = Path("example.txt")
        >>> _ = path.write_bytes(b"abc")
        >>> sha256_file(path)[:16]
        'ba7816bf8f01cfea'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    r"""Write `value` as canonical JSON (UTF-8, sorted keys, a final newline): equal values give equal bytes.

    Raises:
        ValueError: a number is not finite; JSON has no text for it.

    Example:
        >>> write_json(Path("example.json"), {"b": 1, "a": None})
        >>> Path("example.json").read_text()
        '{\n  "a": null,\n  "b": 1\n}\n'
    """
    text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def sync(path: Path) -> None:
    """Force a file, or a folder's list of names, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Force every file under `folder` onto the disk, then every folder, the innermost first."""
    paths = sorted(folder.rglob("*"), reverse=True)
    for path in (*(p for p in paths if p.is_file()), *(p for p in paths if p.is_dir()), folder):
        sync(path)


def make_folder(path: Path) -> None:
    """Create `path` and its missing parents so that a power cut cannot take back a folder that already has content."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def move(source: Path, target: Path) -> None:
    """Rename `source` to `target` on the same file system, atomically and durably.

    A file or link at `target` is replaced. A folder that holds something is not: that is an OSError.
    """
    os.replace(source, target)  # noqa: PTH105  the call that the fault tests count
    sync(target.parent)
    sync(source.parent)


def beside(path: Path) -> Path:
    """Return where a file is written before it takes the place of the one at `path`."""
    return path.with_name(f".{path.name}.new")


def replace_text(path: Path, text: str) -> None:
    """Write `text` to `path`, atomically and durably: the old file stays until the new one is whole on the disk.

    Example:
        >>> replace_text(Path("note.txt"), "kept")
        >>> Path("note.txt").read_text()
        'kept'
    """
    fresh = beside(path)
    fresh.write_text(text, encoding="utf-8")
    sync(fresh)
    move(fresh, path)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file under `folder` but its manifest, by relative path with forward slashes.

    Raises:
        ArtifactError: there is something that is neither a file nor a folder; a link's content lies elsewhere.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    foreign = [path.name for path in paths if path.is_symlink() or not path.is_file()]
    if foreign:
        raise ArtifactError("a sealed folder holds plain files only", actual=", ".join(foreign), remedy="copy the file")
    names = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: sha256_file(path) for name, path in names.items() if name != MANIFEST}


def seal(folder: Path, manifest: SealedT) -> SealedT:
    """Write `manifest` with the folder's hashes into it, force everything onto the disk, and return what was written.

    Example:
        >>> folder = Path("sealed"); folder.mkdir()
        >>> write_json(folder / "a.json", 1)
        >>> list(seal(folder, Sealed()).files)
        ['a.json']
    """
    sealed = manifest.model_copy(update={"files": file_hashes(folder)})
    write_json(folder / MANIFEST, sealed.model_dump(mode="json"))
    sync_tree(folder)
    return sealed


def verify(folder: Path, kind: type[SealedT]) -> SealedT:
    """Return the manifest of a sealed folder after comparing every file with it.

    Args:
        folder: the sealed folder.
        kind: the type of its manifest: `Sealed`, or a type of its own.

    Raises:
        ArtifactError: the manifest is missing or malformed, or a file is missing, unexpected or changed; all are named.

    Example:
        >>> with stage(Path("model")) as folder:
        ...     write_json(folder / "generator.json", {"kind": "flow_matching"})
        >>> write_json(Path("model/generator.json"), {"kind": "vae"})
        >>> verify(Path("model"), Sealed)
        Traceback (most recent call last):
        pipeline.errors.ArtifactError: the files of model must match its manifest.json; found changed "generator.json"\
; restore the folder
    """
    manifest = read_manifest(folder, kind)
    found = file_hashes(folder)
    wrong = [
        *(f'missing "{name}"' for name in sorted(manifest.files.keys() - found)),
        *(f'unexpected "{name}"' for name in sorted(found.keys() - manifest.files)),
        *(f'changed "{name}"' for name in sorted(found) if manifest.files.get(name, found[name]) != found[name]),
    ]
    if wrong:
        rule = f"the files of {folder} must match its {MANIFEST}"
        raise ArtifactError(rule, actual=", ".join(wrong), remedy="restore the folder")
    return manifest


def read_manifest(folder: Path, kind: type[SealedT]) -> SealedT:
    """Return the manifest of a sealed folder without looking at its other files.

    Raises:
        ArtifactError: it is missing or malformed.

    Example:
        >>> with stage(Path("empty")):
        ...     pass
        >>> read_manifest(Path("empty"), Sealed).files
        {}
    """
    remedy = "name a folder that tabmint wrote, with the version that wrote it"
    try:
        return kind.model_validate_json((folder / MANIFEST).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ArtifactError(f"{folder} must hold a {MANIFEST}", actual="none", remedy=remedy) from error
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        actual = " ".join((*map(str, fault["loc"]), fault["msg"]))
        raise ArtifactError(f"{folder / MANIFEST} must be readable", actual=actual, remedy=remedy) from error


@contextmanager
def stage(target: Path, manifest: Sealed | None = None) -> Iterator[Path]:
    """Yield an empty folder that becomes `target`, sealed, when the block ends; on an error `target` stays as it was.

    A sealed folder at `target` is replaced. One process at a time may stage the same target; outputs that several runs
    may write go through `pipeline.publish`, which has a lock.

    Args:
        target: where the folder is to be.
        manifest: what the manifest says beside the hashes; None for the hashes alone.

    Raises:
        ArtifactError: something that tabmint did not write lies at `target`.

    Example:
        >>> with stage(Path("example")) as folder:
        ...     write_json(folder / "numbers.json", [1, 2])
        >>> sorted(path.name for path in Path("example").iterdir())
        ['manifest.json', 'numbers.json']
    """
    target = target.resolve()
    _refuse_foreign(target)
    folder, old = target.with_name(f".{target.name}.stage"), target.with_name(f".{target.name}.old")
    make_folder(target.parent)
    _sweep(target, folder, old)
    folder.mkdir()
    try:
        yield folder
        seal(folder, manifest or Sealed())
        _replace(target, folder, old)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # what cannot be removed now is swept by the next stage
        _restore(target, old)
        raise


def _refuse_foreign(target: Path) -> None:
    if target.exists() and not (target / MANIFEST).is_file() and not (target.is_dir() and not any(target.iterdir())):
        rule = "only a folder that tabmint wrote is replaced"
        raise ArtifactError(rule, actual=f"{target}, which has no {MANIFEST}", remedy="choose a new or empty folder")


def _sweep(target: Path, folder: Path, old: Path) -> None:
    """Remove what a killed process left; a folder that it had only put aside comes back."""
    _restore(target, old)
    for leftover in (folder, old):
        if leftover.exists():
            shutil.rmtree(leftover)


def _replace(target: Path, folder: Path, old: Path) -> None:
    if target.exists():  # a folder with content cannot be renamed over, so it steps aside first
        os.replace(target, old)  # noqa: PTH105
    move(folder, target)
    if old.exists():
        shutil.rmtree(old)


def _restore(target: Path, old: Path) -> None:
    if old.exists() and not target.exists():
        move(old, target)
