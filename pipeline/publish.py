"""Publishing: a release becomes visible whole, verified and accepted, or not at all.

```
<root>/runs/<name>/<id>/        an accepted release: its files and manifest.json, never changed again
<root>/current/<name>           a link to the release that readers should use
<root>/quarantine/<name>/<id>/  the report of a refused run, without a synthetic row
<root>/.staging/<name>/         where the run in progress writes; empty between runs
<root>/ledger/<name>.jsonl      what became of every run
<root>/published/<name>/        the tables of releases that were pruned: privacy tests still see them
<root>/.locks/<name>            held by the run in progress
```

The protocol, each step on the disk before the next: the files and the manifest; the rename of the stage to `runs`; the
line in the ledger; the link, still in the stage; its rename to `current`. A process killed in between leaves the last
release current; the next start writes the line that is owed, leads `current` to the release that the ledger accepts,
and removes everything else. A release of an earlier date than the current one does not become current. Needs POSIX.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from .artifact import MANIFEST, make_folder, move, read_manifest, seal, sha256_file, sync
from .errors import ArtifactError, ConfigError, PublishError, RefusedError
from .ledger import Entry, Event, Ledger, accepted, now, releases
from .manifest import Manifest, checked_name, verify_release
from .shareable import refuse_original_rows

TABLE = "synthetic.parquet"
REPORT_FILES = frozenset({"report.json", "report.html"})


class Output:
    """One named output under a root folder, held by this process; made by `open_output`."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.ledger = Ledger(root, name)
        self._runs = root / "runs" / name
        self._quarantine = root / "quarantine" / name
        self._current = root / "current" / name
        self._staging = root / ".staging" / name
        self._archive = root / "published" / name
        self._link = self._staging / ".current"  # no run id begins with a dot

    def stage(self, run_id: str) -> Path:
        """Return a new empty folder, on the same file system as the releases, to write the files of a release into.

        Raises:
            ConfigError: `run_id` is not usable as a folder's name.
            PublishError: the folder cannot be made, or exists.
        """
        folder = self._staging / checked_name("run id", run_id)
        with _reported():
            folder.mkdir()
        return folder

    def find(self, run_id: str) -> Path | None:
        """Return the folder of a release, or None where there is none (any more).

        Raises:
            ConfigError: `run_id` is not usable as a folder's name.
        """
        folder = self._runs / checked_name("run id", run_id)
        return folder if folder.is_dir() else None

    def publish(self, folder: Path, manifest: Manifest) -> Path:
        """Seal a staged folder, move it to `runs/<name>/<id>`, make it current, and return where it lies.

        It does not become current where a release of a later date is. Publishing the same files under the same id again
        changes nothing; reports are not compared: they hold timings.

        Raises:
            RefusedError: the verdict is FAIL, or a table holds original rows. Whether a REVIEW is published is for the
                caller to decide.
            PublishError: the id is taken by other files, or the disk refused a step; the last release stays current.
        """
        if manifest.verdict == "FAIL":
            raise RefusedError("only an accepted run is published", actual=f"the verdict {manifest.verdict}")
        refuse_original_rows(folder)
        target = self._target(self._runs, manifest)
        with _reported():
            self._settle()  # an attempt of this same run may have failed half-way
            sealed = seal(folder, manifest)
            if target.exists():
                _check_same(target, sealed)
                return target
            move(folder, target)
            self._settle()
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
            self.ledger.append(_entry("refused", target))
        return target

    def roll_back(self, run_id: str) -> Path:
        """Make an earlier release current again, after verifying it, and return its folder.

        The releases that are newer stay where they are, and are withdrawn: the next run follows this one.

        Raises:
            ConfigError: there is no such release.
            ArtifactError: the release is damaged.
            PublishError: the disk refused a step.
        """
        folder = self.find(run_id)
        if folder is None:
            there = ", ".join(sorted(path.name for path in self._runs.iterdir())) or "none"
            remedy = f"use one of {there}"
            raise ConfigError(f'a release of "{self.name}" must be there', actual=f'no "{run_id}"', remedy=remedy)
        with _reported():
            verify_release(folder)
            self.ledger.append(_entry("rolled_back", folder))
            self._settle()
        return folder

    def prune(self, keep: int, *, forget_tables: bool = False) -> tuple[str, ...]:
        """Remove the folders of all but the newest `keep` releases and quarantined reports; return their run ids.

        What is current always stays. The tables of removed releases are kept in `published/<name>`, so that the privacy
        tests of later runs still see them, unless they are to be forgotten.

        Raises:
            ConfigError: `keep` is below 1.
            PublishError: the disk refused a step; what is left is removed by the next call.
        """
        with _reported():
            surplus = self.surplus(keep)
            for folder in surplus:
                table = folder / TABLE
                if table.is_file() and not forget_tables:
                    make_folder(self._archive)
                    shutil.copy(table, self._staging / folder.name)
                    sync(self._staging / folder.name)
                    move(self._staging / folder.name, self._archive / f"{folder.name}.parquet")
                move(folder, self._staging / folder.name)
                self.ledger.append(Entry(event="pruned", run_id=folder.name, at=now()))
                _remove(self._staging / folder.name)
        return tuple(folder.name for folder in surplus)

    def surplus(self, keep: int) -> tuple[Path, ...]:
        """Return the folders that `prune` would remove, oldest first.

        Raises:
            ConfigError: `keep` is below 1.
        """
        if keep < 1:
            raise ConfigError("at least one release is kept", actual=str(keep), remedy="give 1 or more")
        entries, found = self.ledger.entries(), []
        for event, parent in self._homes():
            written = dict.fromkeys(parent / entry.run_id for entry in entries if entry.event == event)
            folders = [folder for folder in written if folder.is_dir()]
            found += [folder for folder in folders[:-keep] if parent != self._runs or not self._is_current(folder.name)]
        return tuple(found)

    def published_tables(self) -> tuple[tuple[Entry, Path | None], ...]:
        """Return every release that was ever published with the file of its table, None where it was forgotten."""
        found = []
        for entry in releases(self.ledger.entries()):
            places = (self._runs / entry.run_id / TABLE, self._archive / f"{entry.run_id}.parquet")
            found.append((entry, next((path for path in places if path.is_file()), None)))
        return tuple(found)

    def _from_current(self, run_id: str) -> Path:
        """Return what the link to a release holds: its folder as seen from the link's."""
        return Path("..", "runs", self.name, run_id)

    def _target(self, parent: Path, manifest: Manifest) -> Path:
        if manifest.name != self.name:
            raise ConfigError(
                f'a manifest for the output "{self.name}" must carry its name', actual=f'"{manifest.name}"'
            )
        return parent / checked_name("run id", manifest.run_id)

    def _recover(self) -> None:
        """Finish what a killed run owes, and remove everything else that it left."""
        for folder in (self._runs, self._current.parent, self._staging):
            make_folder(folder)
        self._settle()
        for path in self._staging.iterdir():
            _remove(path)
        self.ledger.sweep()

    def _settle(self) -> None:
        """Write the lines that the folders show to be owed, then lead `current` to the release that they accept."""
        self._link.unlink(missing_ok=True)
        for entry in self._owed():
            self.ledger.append(entry)
        leads = accepted(self.ledger.entries())
        if leads is not None and self.find(leads.run_id) and not self._is_current(leads.run_id):
            self._swap(leads.run_id)

    def _owed(self) -> list[Entry]:
        entries = self.ledger.entries()
        known = {(entry.event, entry.run_id) for entry in entries}
        owed: list[Entry] = []
        for event, parent in self._homes():
            unknown = [folder for folder in _folders(parent) if (event, folder.name) not in known]
            owed += sorted((_entry(event, folder) for folder in unknown), key=lambda entry: entry.began)
        gone = [e.run_id for e in releases(entries) if not self.find(e.run_id) and ("pruned", e.run_id) not in known]
        return [*owed, *(Entry(event="pruned", run_id=run_id, at=now()) for run_id in gone)]

    def _homes(self) -> tuple[tuple[Event, Path], ...]:
        return ("published", self._runs), ("refused", self._quarantine)

    def _is_current(self, run_id: str) -> bool:
        return self._current.is_symlink() and self._current.readlink() == self._from_current(run_id)

    def _swap(self, run_id: str) -> None:
        """Lead `current` to a release, in one step."""
        self._link.symlink_to(self._from_current(run_id))
        sync(self._staging)
        move(self._link, self._current)


@contextmanager
def open_output(root: str | Path, name: str) -> Iterator[Output]:
    """Hold the output `name` under `root` for this process, after clearing what a killed run left of it.

    The lock is the kernel's: it ends with the process that holds it, however that ends.

    Raises:
        ConfigError: `name` is not usable as a folder's name.
        PublishError: another run holds the output, or the disk refused a step.

    Example:
        >>> with open_output("out", "flights") as output:
        ...     output.find("2026-01-01-0123456789ab") is None
        True
    """
    output = Output(Path(root), checked_name("output name", name))
    with _locked(Path(root) / ".locks" / name):
        with _reported():
            output._recover()
        try:
            yield output
        finally:
            with suppress(OSError):  # what cannot be removed now is swept by the next start
                for folder in output._staging.glob("[!.]*"):
                    shutil.rmtree(folder)


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
    link = Path(root) / "current" / checked_name("output name", name)
    if not link.is_symlink():
        return None
    folder = link.resolve()
    if not folder.is_dir():
        raise ArtifactError(f"{link} must lead to a release", actual=f"{folder}, which is gone", remedy="publish again")
    return folder


def _check_same(target: Path, sealed: Manifest) -> None:
    published, new = (
        {name: digest for name, digest in manifest.files.items() if name not in REPORT_FILES}
        for manifest in (verify_release(target), sealed)
    )
    if published != new:
        differing = ", ".join(sorted({name for name, _ in published.items() ^ new.items()}))
        rule = f"the release {target} is never changed"
        raise PublishError(rule, actual=f"other content of {differing}", remedy="publish under a new run id")


def _entry(event: Event, folder: Path) -> Entry:
    """Return the ledger's line about a sealed folder."""
    manifest = read_manifest(folder, Manifest)
    return Entry(
        event=event, run_id=folder.name, at=now(), began=manifest.created, verdict=manifest.verdict, seed=manifest.seed,
        n_rows=manifest.n_rows, record=manifest.record, manifest_sha256=sha256_file(folder / MANIFEST),
    )  # fmt: skip


def _folders(parent: Path) -> list[Path]:
    return sorted(parent.iterdir()) if parent.is_dir() else []


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
        with _reported():
            _lock(path, file)
        yield


def _lock(path: Path, file: TextIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        rule, actual = "one run at a time writes an output", f"the lock {path} held by another run"
        raise PublishError(rule, actual=actual, remedy="wait for it to end") from error


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        rule = "a release is written whole or not at all"
        remedy = "`current` leads to a whole release; mend the disk or folder and run again"
        raise PublishError(rule, actual=str(error), remedy=remedy) from error
