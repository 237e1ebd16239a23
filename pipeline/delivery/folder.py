"""Deliver a release as files: its folder is copied, its manifest last, and then a pointer names it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from pipeline.artifact import MANIFEST, Sealed, make_folder, move, sync, sync_tree, write_json
from pipeline.config import Config
from pipeline.errors import DeliveryError
from pipeline.manifest import Manifest, checked_name, verify_release
from pipeline.publish import REPORT_FILES
from pipeline.remote import filesystem, is_url, storage_errors

POINTER = "current.json"


class Pointer(Config):
    """What `current.json` says: the release that readers should use, and the sha256 of its manifest."""

    name: str
    run_id: str
    date: date
    manifest: str
    manifest_sha256: str


def deliver_to_folder(
    folder: Path, manifest: Manifest, *, url: str, options: Mapping[str, str], leads: bool = False
) -> str:
    """Copy a release to `<url>/<name>/<run id>/`, make `<url>/<name>/current.json` name it, and return its URL.

    The manifest is copied last, so a folder that has one is whole; sizes are compared before the pointer moves. A
    release that is there already is left alone. The pointer does not move back to an earlier date unless it must.

    Args:
        folder: the release's sealed folder.
        manifest: what says where it goes.
        url: an fsspec URL or a local folder, with its placeholders resolved.
        options: what the file system is opened with.
        leads: whether the pointer must name this release, as after a rollback.

    Raises:
        DeliveryError: the file system refuses, or holds another release under this run id; `current.json` stays.
        ArtifactError: the release is damaged.
    """
    verify_release(folder)
    system, root = filesystem(url, options, DeliveryError) if is_url(url) else _local(url)
    home = f"{root.rstrip('/')}/{checked_name('output name', manifest.name)}"
    target = f"{home}/{checked_name('run id', manifest.run_id)}"
    with storage_errors(DeliveryError, f'"{url}" cannot be written', options):
        if not _is_there(system, folder, target):
            _copy(system, folder, target)
        if leads or _leads(system, home, manifest):
            _point(system, home, manifest)
    return f"{url.rstrip('/')}/{manifest.name}/{manifest.run_id}"


def _local(path: str) -> tuple[AbstractFileSystem, str]:
    return fsspec.filesystem("file"), str(Path(path).resolve())


def _is_there(system: AbstractFileSystem, folder: Path, target: str) -> bool:
    """Return whether the release lies at `target`, whole; refuse another one under the same run id."""
    if not system.isfile(f"{target}/{MANIFEST}"):
        return False
    new = _content((folder / MANIFEST).read_bytes())
    try:
        there = _content(system.cat_file(f"{target}/{MANIFEST}"))
    except ValidationError:  # a delivery was killed while it wrote the manifest
        return False
    if there != new:
        differing = ", ".join(sorted({name for name, _ in there.items() ^ new.items()}))
        rule = "a delivered release is never changed"
        raise DeliveryError(rule, actual=f"other content of {differing} at {target}", remedy="remove that folder")
    return not _misfits(system, folder, target, sorted(new))


def _content(manifest: bytes) -> dict[str, str]:
    """Return the hashes of a release's files but its reports: those hold timings."""
    files = Sealed.model_validate_json(manifest, extra="ignore").files
    return {name: digest for name, digest in files.items() if name not in REPORT_FILES}


def _copy(system: AbstractFileSystem, folder: Path, target: str) -> None:
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    names = [*(name for name in names if name != MANIFEST), MANIFEST]
    for name in names:
        place = f"{target}/{name}"
        if isinstance(system, LocalFileSystem):  # where there are only keys, this could create a bucket
            make_folder(Path(place).parent)
        system.put_file(str(folder / name), place)
    if isinstance(system, LocalFileSystem):
        sync_tree(Path(target))
    if misfits := _misfits(system, folder, target, names):
        remedy = "deliver again; check the space left there"
        raise DeliveryError(
            "every file must arrive whole", actual=f"other sizes of {', '.join(misfits)}", remedy=remedy
        )


def _misfits(system: AbstractFileSystem, folder: Path, target: str, names: list[str]) -> list[str]:
    """Return the files that are absent at `target` or have another size there."""
    system.invalidate_cache()
    return [name for name in names if _size(system, f"{target}/{name}") != (folder / name).stat().st_size]


def _size(system: AbstractFileSystem, place: str) -> int | None:
    return int(system.size(place)) if system.isfile(place) else None


def _leads(system: AbstractFileSystem, home: str, manifest: Manifest) -> bool:
    """Return whether the pointer is absent, or names a release of no later date."""
    place = f"{home}/{POINTER}"
    if not system.isfile(place):
        return True
    try:
        return Pointer.model_validate_json(system.cat_file(place)).date <= manifest.record.date
    except ValidationError:
        remedy = "move that file away, or deliver to another folder"
        raise DeliveryError("only a pointer that tabmint wrote is replaced", actual=place, remedy=remedy) from None


def _point(system: AbstractFileSystem, home: str, manifest: Manifest) -> None:
    """Write the pointer; a reader sees the old one or the new one."""
    there = system.cat_file(f"{home}/{manifest.run_id}/{MANIFEST}")
    pointer = Pointer(
        name=manifest.name,
        run_id=manifest.run_id,
        date=manifest.record.date,
        manifest=f"{manifest.run_id}/{MANIFEST}",
        manifest_sha256=hashlib.sha256(there).hexdigest(),
    )
    if isinstance(system, LocalFileSystem):
        staged = Path(home, f".{POINTER}")
        write_json(staged, pointer.model_dump(mode="json"))
        sync(staged)
        move(staged, Path(home, POINTER))
    else:  # an object store replaces an object at once
        system.pipe_file(f"{home}/{POINTER}", pointer.model_dump_json(indent=2).encode())
