"""Taking in the source: read once, held against the last accepted release, brought to the schema, looked over."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from evaluation.report import SourceDrift
from pipeline.drift import compare, distances
from pipeline.drift_rules import Change, refuse_drift
from pipeline.evolution import evolve, with_free_keys
from pipeline.fingerprint import fingerprint
from pipeline.inference import infer
from pipeline.preflight import Preflight, preflight, refuse_problems
from pipeline.schema import Schema
from pipeline.source import Loaded, for_date, load, resolved

from .baseline import Baseline, baseline_of
from .inputs import check_target
from .job import Job
from .secrets import prefect_secret


@dataclass(frozen=True)
class Taken:
    """The table under its schema, what changed since the last accepted release, and what preflight found."""

    table: pa.Table
    schema: Schema
    data_sha256: str
    changes: tuple[Change, ...]
    drift: tuple[SourceDrift, ...]
    preflight: Preflight


def take_in(job: Job) -> Taken:
    """Read the source and refuse what must not or cannot be learned.

    Raises:
        InputError: the source cannot be read, does not fit its schema, drifted where the rules refuse that, or the job
            could not end well.
    """
    config = job.config
    loaded = load(resolved(for_date(config.source, job.date), prefect_secret))
    last = baseline_of(job)
    declared = None if config.schema_path is None else Schema.read_file(config.schema_path)
    changes = () if last is None else _changes(job, loaded, last, declared)
    schema = declared or (infer(loaded.typed()) if last is None else _evolved(last, loaded, changes))
    check_target(schema, config.evaluation.target)
    table = loaded.under(schema)
    budget_s = config.generator.budget
    found = preflight(table, schema, target=config.evaluation.target, folder=config.output.root, budget_s=budget_s)
    refuse_problems(found)
    return Taken(table, schema, fingerprint(table), changes, () if last is None else _drift(job, table, last), found)


def _changes(job: Job, loaded: Loaded, last: Baseline, declared: Schema | None) -> tuple[Change, ...]:
    schema = last.source.table_schema
    changes = compare(loaded.towards(schema.names), schema, last.source.profile, job.config.drift)
    if declared is not None:
        changes = tuple(_accepted_where_declared(change, schema, declared) for change in changes)
    refuse_drift(changes)
    return changes


def _accepted_where_declared(change: Change, before: Schema, declared: Schema) -> Change:
    """Return the change with the rule "accept" where somebody has edited the pinned schema to say the same."""
    was = change.column if change.was is None else change.was
    declarations = [
        schema.column(name).model_dump(exclude={"reason"}) if name in schema.names else None
        for schema, name in ((before, was), (declared, change.column))
    ]
    edited = declarations[0] != declarations[1] and change.kind != "distribution"
    return change.model_copy(update={"rule": "accept"}) if edited else change


def _evolved(last: Baseline, loaded: Loaded, changes: tuple[Change, ...]) -> Schema:
    schema = last.source.table_schema
    evolved = evolve(schema, loaded.typed(), changes) if changes else schema
    return with_free_keys(evolved, loaded.under(evolved))


def _drift(job: Job, table: pa.Table, last: Baseline) -> tuple[SourceDrift, ...]:
    found = distances(table, last.source.table_schema, last.source.profile, job.config.drift)
    return tuple(SourceDrift.model_validate(column.model_dump()) for column in found)
