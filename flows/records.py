"""What a job records about itself: its inputs, its model's key, the identity in its report, its release's manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.history import figures
from evaluation.report import MOST_EARLIER, EarlierRelease, Report, RunIdentity, SinceLast, TrainingPoint
from evaluation.tables import Tables
from pipeline.columns import Identifier, Text
from pipeline.fingerprint import content_fingerprint
from pipeline.ledger import Entry, Inputs, Record, accepted, releases
from pipeline.manifest import Manifest, code_fingerprint, versions
from pipeline.schema import Schema

from .constraints import kept_constraints
from .decision import digest
from .job import Job
from .results import Fitted, Ingested, Parts, Plan, Sampled
from .settings import RunConfig

if TYPE_CHECKING:
    import pyarrow as pa

    from generators import TabularGenerator

LEARNING = {"seed", "split", "transform", "generator"}
JUDGING = {"sample", "evaluation", "gates"}


def inputs_of(config: RunConfig, table: pa.Table, schema: Schema) -> Inputs:
    """Return the hashes of everything that a release depends on; the order of the source's rows is not among it."""
    reasons = {"__all__": {"reason"}}
    return Inputs(
        data=content_fingerprint(table),
        table_schema=digest(schema.model_dump(mode="json", exclude={"columns": reasons, "constraints": reasons})),
        learning=digest(config.model_dump(mode="json", include=LEARNING)),
        judging=digest(config.model_dump(mode="json", include=JUDGING)),
        code=digest({"code": code_fingerprint(), "versions": versions()}),
    )


def model_key(job: Job, plan: Plan, train_sha256: str) -> str:
    """Return the sha256, in hex, of everything that a fitted model depends on, code and library versions included."""
    inputs = plan.inputs
    depends = {"learning": inputs.learning, "schema": inputs.table_schema, "code": inputs.code}
    return digest({**depends, "train": train_sha256, "seed": job.seed, "base": plan.base})


def recorded_config(config: RunConfig) -> dict[str, Any]:
    """Return the config as it may be recorded in what is published: JSON values that tell nothing of the machine.

    What may hold a password is left out (connection strings, addresses, options); of paths the last part stays.

    Example:
        >>> source = {"uri": "postgresql://me:${PGPASSWORD}@host/db", "query": "select 1"}
        >>> recorded_config(RunConfig(name="a", source=source))["source"]["uri"]
        'postgresql:(not recorded)'
    """
    settings = config.model_dump(mode="json", exclude={"alert", "sinks"})
    settings["source"] = config.source.recorded()
    for section, key in ((settings["output"], "root"), (settings, "schema_path")):
        section[key] = Path(section[key]).name if section[key] else section[key]
    return settings


def identity(job: Job, plan: Plan, tables: Tables, fitted: Fitted, sampled: Sampled, data_sha256: str) -> RunIdentity:
    """Return what the report says about the run."""
    return RunIdentity(
        run_id=plan.run_id,
        name=job.config.name,
        created=job.created,
        seed=job.seed,
        generator=job.config.generator.kind,
        config_sha256=digest(recorded_config(job.config)),
        data_sha256=data_sha256,
        code_sha256=code_fingerprint(),
        n_train=tables.train.num_rows,
        n_holdout=tables.holdout.num_rows,
        n_synthetic=tables.synthetic.num_rows,
        fit_s=fitted.fit_s,
        sample_s=sampled.sample_s,
        versions=versions(),
    )


def manifest(job: Job, plan: Plan, parts: Parts, fitted: Fitted, report: Report, schema: Schema) -> Manifest:
    """Return what the release says about itself."""
    return Manifest(
        name=job.config.name,
        run_id=plan.run_id,
        created=job.created,
        verdict=report.verdict,
        n_rows=report.run.n_synthetic,
        table_schema=schema,
        seed=job.seed,
        config=recorded_config(job.config),
        versions=report.run.versions,
        data_sha256=report.run.data_sha256,
        code_sha256=report.run.code_sha256,
        record=_record(job, plan, parts, fitted, report),
    )


def _record(job: Job, plan: Plan, parts: Parts, fitted: Fitted, report: Report) -> Record:
    cost = {"fit": report.run.fit_s, "sample": report.run.sample_s, "evaluate": report.run.evaluate_s}
    return Record(
        date=job.date,
        action=plan.action,
        reason=plan.reason,
        inputs=plan.inputs,
        model=fitted.key,
        warm_starts=plan.warm_starts,
        scale=parts.boundary.scale,
        n_train=report.run.n_train,
        figures=figures(report),
        gates={gate.name: gate.verdict for gate in report.gates},
        cost={step: seconds for step, seconds in cost.items() if seconds is not None},
    )


def since_last(job: Job, ingested: Ingested, plan: Plan, n_train: int) -> SinceLast:
    """Return what the report says about the releases before this one, and about the source since the last of them."""
    entries = job.output.ledger.entries()
    last = accepted(entries, until=job.date)
    history = [_earlier(entry, entry.record) for entry in releases(entries) if entry.record is not None]
    return SinceLast(
        decision=plan.action,
        reason=plan.reason,
        last=None if last is None or last.record is None else _earlier(last, last.record),
        history=tuple(history[-MOST_EARLIER:]),
        drift=ingested.drift,
        changes=ingested.changes,
        n_train_then=None if last is None or last.record is None else last.record.n_train,
        n_train_now=n_train,
    )


def _earlier(entry: Entry, record: Record) -> EarlierRelease:
    return EarlierRelease(
        run_id=entry.run_id, date=record.date, verdict=entry.verdict or "PASS", n_rows=entry.n_rows or 0,
        action=record.action, figures=record.figures,
    )  # fmt: skip


def training_curve(generator: TabularGenerator) -> tuple[TrainingPoint, ...]:
    """Return the report's training curve; empty for a generator that was not trained step by step."""
    return tuple(
        TrainingPoint(
            step=point.step,
            elapsed_s=point.elapsed_s,
            train_loss=point.train_loss,
            validation_loss=point.validation_loss,
        )
        for point in generator.history
    )


def notes(schema: Schema, generator: TabularGenerator, *, reused_model: bool) -> tuple[str, ...]:
    """Return the sentences that the report prints beside its numbers: columns left out, constraints, a training cut."""
    texts = {
        "drop": "The free text of column {} is left out.",
        "replace": "The free text of column {} is replaced by a placeholder in every row.",
    }
    said = [texts[column.policy].format(f'"{column.name}"') for column in schema.columns if isinstance(column, Text)]
    keys = [f'The keys in column "{c.name}" are newly issued.' for c in schema.columns if isinstance(c, Identifier)]
    reused = ["The model is that of an earlier run."] if reused_model else []
    training = [f"Training: {point.message}." for point in generator.history if point.message]
    kept = [f"Kept in every row: {line}." for line in kept_constraints(generator.describe()["diagnostics"])]
    return (*said, *keys, *kept, *reused, *training)
