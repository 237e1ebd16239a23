"""The accepted release that a run follows, and what is remembered of its source: private, and never published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pipeline.artifact import replace_text
from pipeline.config import Config
from pipeline.errors import ArtifactError
from pipeline.ledger import Entry, Record, accepted, releases
from pipeline.profile import Profile
from pipeline.schema import Schema
from pipeline.split import Boundary

from .job import Job


class Remembered(Config):
    """What the source of a release looked like, and which of its rows later runs may still hold out."""

    table_schema: Schema
    profile: Profile
    boundary: Boundary


@dataclass(frozen=True)
class Baseline:
    """A release, its record, and what its source looked like."""

    entry: Entry
    record: Record
    source: Remembered


def baseline_of(job: Job) -> Baseline | None:
    """Return the accepted release that the job follows by its date, None before the first.

    Raises:
        ArtifactError: what was remembered of its source is gone or damaged.
    """
    entry = accepted(job.output.ledger.entries(), until=job.date)
    if entry is None or entry.record is None:
        return None
    return Baseline(entry, entry.record, _recall(_file(job, entry.run_id)))


def boundary_of(job: Job) -> Boundary | None:
    """Return which rows may still be held out after everything that was ever published, whatever its date.

    Every release went on from the boundary of the one published before it, so the last says it for all.

    Raises:
        ArtifactError: what was remembered of the last release is gone or damaged.
    """
    published = releases(job.output.ledger.entries())
    return _recall(_file(job, published[-1].run_id)).boundary if published else None


def remember(job: Job, run_id: str, source: Remembered) -> None:
    """Keep what the source of a run looks like; to be called before the run is published, so that it is never owed."""
    replace_text(_file(job, run_id), source.model_dump_json())


def _file(job: Job, run_id: str) -> Path:
    return job.state / f"{run_id}.json"


def _recall(path: Path) -> Remembered:
    rule = "what the source of an earlier release looked like, and which rows were learned from, must be known"
    remedy = "restore the folder `state`, or publish under a new name"
    try:
        return Remembered.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise ArtifactError(rule, actual=f'nothing at "{path}"', remedy=remedy) from None
    except ValidationError as error:
        raise ArtifactError(rule, actual=f'no such content in "{path}"', remedy=remedy) from error
