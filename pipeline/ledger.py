"""The ledger of an output: what became of every run, in order, one JSON line each. It holds no row and no credential.

Folders can be pruned; the ledger stays. What is published can be read off the manifests too, so that a process killed
between the last rename and the ledger's line loses nothing: the next start writes the line that is owed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from .artifact import beside, make_folder, replace_text
from .config import Config
from .errors import ArtifactError

Action = Literal["refit", "warm_start", "sample"]
Event = Literal["published", "refused", "skipped", "failed", "delivered", "rolled_back", "pruned"]


class Inputs(Config):
    """Hashes (sha256, hex) of everything that a release depends on.

    Attributes:
        data: schema and values of the source.
        table_schema: the pinned schema.
        learning: the settings that decide how a model is fitted.
        judging: the other settings: how many rows are drawn, what is measured, what is allowed.
        code: the source of the packages, and the versions of the libraries.
    """

    data: str
    table_schema: str
    learning: str
    judging: str
    code: str


class Record(Config):
    """What a run was: the same in its manifest and in the ledger. Readers see it, so it tells of no row.

    Attributes:
        date: the partition that it belongs to.
        action: how its model came about: fitted anew, from an earlier model on, or an earlier model itself.
        reason: why that was decided.
        inputs: what it depends on.
        model: the key of its model under `models/<name>`.
        warm_starts: how many times in a row a model went on from an earlier one.
        scale: the hash of what its split hashes and how; equal hashes of rows mean equal rows where it is the same.
        n_train: rows that were learned from.
        figures: measured values by metric.
        gates: the verdict of each gate by name.
        cost: wall-clock seconds by step.
    """

    date: date
    action: Action
    reason: str
    inputs: Inputs
    model: str
    warm_starts: int = 0
    scale: str
    n_train: int
    figures: dict[str, float] = Field(default_factory=dict)
    gates: dict[str, str] = Field(default_factory=dict)
    cost: dict[str, float] = Field(default_factory=dict)


class Entry(Config):
    """One event. A release and a refusal carry their record; `note` says what else a person wants to know.

    Attributes:
        at: when it was written, ISO 8601 in UTC.
        began: when the run began.
        run_id: of the run that it is about; empty for a run that failed before it had one.
        manifest_sha256: of the release or the quarantined report.
    """

    event: Event
    run_id: str
    at: str
    began: str = ""
    note: str = ""
    verdict: Literal["PASS", "REVIEW", "FAIL"] | None = None
    seed: int | None = None
    n_rows: int | None = None
    record: Record | None = None
    manifest_sha256: str = ""


class Ledger:
    """The ledger of one output, read and appended to by the process that holds the output."""

    def __init__(self, root: Path, name: str) -> None:
        self._path = root / "ledger" / f"{name}.jsonl"

    def entries(self) -> tuple[Entry, ...]:
        """Return all entries, oldest first.

        Raises:
            ArtifactError: a line is no entry.
        """
        if not self._path.exists():
            return ()
        lines = self._path.read_text(encoding="utf-8").splitlines()
        return tuple(self._parsed(number, line) for number, line in enumerate(lines, 1))

    def append(self, entry: Entry) -> None:
        """Add an entry: the whole file is written beside the old one, synced and renamed, so that no line is torn."""
        make_folder(self._path.parent)
        earlier = self._path.read_text(encoding="utf-8") if self._path.exists() else ""
        replace_text(self._path, earlier + entry.model_dump_json(exclude_defaults=True) + "\n")

    def sweep(self) -> None:
        """Remove what a process that was killed in `append` left."""
        beside(self._path).unlink(missing_ok=True)

    def _parsed(self, number: int, line: str) -> Entry:
        try:
            return Entry.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            actual = f"line {number}: {' '.join((*map(str, fault['loc']), fault['msg']))}"
            remedy = (
                "restore the file; without it, a new one is made of the releases that are there; where another version "
                "wrote it, publish under a new name"
            )
            raise ArtifactError(f'the ledger "{self._path}" must be readable', actual=actual, remedy=remedy) from error


def now() -> str:
    """Return the time in UTC as ISO 8601 text.

    Example:
        >>> now().endswith("+00:00")
        True
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


def releases(entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """Return every release that was ever published, oldest first, pruned and withdrawn ones included."""
    return tuple(entry for entry in entries if entry.event == "published")


def accepted(entries: Sequence[Entry], until: date | None = None) -> Entry | None:
    """Return the release that a run of the date `until` follows, None before the first.

    It is the newest by date, of one date the last; a rollback withdraws the releases that are newer than its target
    and were there at that time.

    Example:
        >>> accepted([]) is None
        True
    """
    standing: list[Entry] = []
    for place, entry in enumerate(entries):
        if entry.event == "published":
            standing.append(entry)
        elif entry.event == "rolled_back":
            standing = _rolled_back(standing, releases(entries[:place]), entry.run_id)
    candidates = [entry for entry in standing if until is None or date_of(entry) <= until]
    newest = max(map(date_of, candidates), default=date.min)
    return next((entry for entry in reversed(candidates) if date_of(entry) == newest), None)


def date_of(release: Entry) -> date:
    """Return the partition of a release."""
    return date.min if release.record is None else release.record.date


def _rolled_back(standing: list[Entry], published: Sequence[Entry], run_id: str) -> list[Entry]:
    """Return the releases that stand after a rollback: its target, withdrawn earlier or not, and those of before it."""
    target = next((entry for entry in reversed(published) if entry.run_id == run_id), None)
    if target is None:
        return standing
    place = standing.index(target) if target in standing else len(standing)
    older = [e for i, e in enumerate(standing) if (date_of(e), i) < (date_of(target), place)]
    return [*older, target]
