"""The steps of the main job as plain functions: each reads references, does one thing, and returns references.

```
ingest -> decide -> split -> fit -> sample -> evaluate -> gate -> publish -> deliver
```
Nothing here knows prefect; `synthesize` decorates the same functions. What a killed run had finished is not done again:
`once` returns what it returned.
"""

from __future__ import annotations

import shutil
import time
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.privacy.artifact_scan import scan
from evaluation.rendering.render import write_report
from evaluation.report import Report
from evaluation.suite import evaluate as evaluate_tables
from evaluation.tables import Tables
from evaluation.wording import duration
from pipeline.artifact import Sealed, make_folder, stage, verify
from pipeline.checks import check_table
from pipeline.errors import ArtifactError, RefusedError
from pipeline.ledger import Action, Entry, now
from pipeline.preflight import Preflight
from pipeline.profile import profile_of
from pipeline.publish import REPORT_FILES, TABLE
from pipeline.schema import Schema
from pipeline.sink import write_csv, write_parquet
from pipeline.split import split_table

from .baseline import Baseline, Remembered, baseline_of, boundary_of, remember
from .decision import Situation, run_id
from .decision import decide as decide_on
from .delivery import deliver_release
from .intake import take_in
from .job import Job, open_job
from .journal import once
from .learning import new_generator, shown
from .likelihood import likelihood_of
from .progress import Display, Move, Silent, by_stage
from .records import identity, inputs_of, manifest, model_key, notes, since_last, training_curve
from .references import Reference
from .results import Fitted, Ingested, Parts, Plan, Release, RunRefusedError, Sampled, Skipped
from .settings import RunConfig

if TYPE_CHECKING:
    from generators import TabularGenerator

MOST_UNION_ROWS = 5_000_000
"""Of all published tables that the privacy tests see at once; it bounds their memory."""


def run_steps(
    config: RunConfig, display: Display | None = None, *, on: date | None = None, forced: Action | None = None
) -> Release | Skipped:
    """Carry out the whole job without prefect.

    Args:
        config: the job's settings.
        display: shows the progress.
        on: the date that the run belongs to; today's where None.
        forced: what to do about the model, whatever has changed.

    Raises:
        InputError: something given is wrong, or changed in a way that the rules refuse; found before training where
            that is possible.
        RunRefusedError: a gate failed; the last release stays current.
        TrainingError, PublishError: training or writing failed; the last release stays current.
    """
    with open_job(config, display or Silent(), on=on, forced=forced) as job:
        ingested = ingest(job)
        plan = decide(job, ingested)
        if isinstance(plan, Skipped):
            return deliver(job, plan)
        parts = split(job, ingested, plan)
        fitted = fit(job, ingested, plan, parts)
        sampled = sample(job, ingested, plan, parts, fitted)
        report = evaluate(job, ingested, plan, parts, fitted, sampled)
        gate(job, ingested, plan, parts, fitted, report)
        return deliver(job, publish(job, ingested, plan, parts, fitted, sampled, report))


def ingest(job: Job) -> Ingested:
    """Read the source, hold it against the last accepted release, and refuse what must not or cannot be learned.

    Raises:
        ConfigError: a setting of the generator is wrong, or the target is no column that can be predicted.
        SourceError, SchemaError: the source cannot be read, or does not fit the declared schema.
        DriftError: the source changed in a way that the rules refuse.
        PreflightError: the job could not end well.
    """
    with job.display.step("ingest") as move:
        new_generator(job.config.generator, job.config.transform)  # its settings are checked before anything is read
        taken = take_in(job)
        move(1.0, f"{taken.table.num_rows:,} rows, {taken.table.num_columns} columns; {_foretold(taken.preflight)}")
        taken.schema.write(job.folder / "schema.json")
        return Ingested(
            table=_write(taken.table, job.folder / "table.parquet"),
            schema_file=Reference.to(job.folder / "schema.json"),
            data_sha256=taken.data_sha256,
            n_rows=taken.table.num_rows,
            changes=tuple(change.detail for change in taken.changes),
            drift=taken.drift,
            drifted=any(column.value > column.threshold for column in taken.drift),
            warnings=taken.preflight.warnings,
        )


def _foretold(found: Preflight) -> str:
    """Return what preflight estimates, and what it warns of, in a line."""
    needs = f"the job needs about {duration(found.seconds)} and {found.memory_bytes / 1e9:.1f} GB of memory"
    return f"{needs}; {' '.join(found.warnings)}" if found.warnings else needs


def decide(job: Job, ingested: Ingested) -> Plan | Skipped:
    """Decide what the run does about the model, or that there is nothing to do, and say why.

    Raises:
        RefusedError: gates have refused the same inputs as often as the configuration allows.
    """
    with job.display.step("decide") as move:
        last = baseline_of(job)
        situation = _situation(job, ingested, last)
        decision = decide_on(situation, job.config.schedule)
        move(1.0, f"{decision.choice}: {decision.reason}")
        if decision.choice == "skip":
            return _skipped(job, "" if last is None else last.entry.run_id, decision.reason)
        warm, follows = decision.choice == "warm_start", situation.last
        base = follows.model if follows is not None and decision.choice != "refit" else None
        name = run_id(job.date.isoformat(), situation.inputs, decision.choice, job.seed, base or "")
        if job.output.find(name) is not None:
            return _skipped(job, name, "The same inputs were published for this date already.")
        _refuse_more_attempts(job, situation)
        _forget_other_plans(job, name)
        return Plan(
            run_id=name, action=decision.choice, reason=decision.reason, inputs=situation.inputs, base=base,
            warm_starts=follows.warm_starts + 1 if warm and follows is not None else 0,
        )  # fmt: skip


def _situation(job: Job, ingested: Ingested, last: Baseline | None) -> Situation:
    inputs = inputs_of(job.config, _read(ingested.table), _read_schema(ingested))
    if last is None:
        return Situation(inputs=inputs)
    return Situation(
        inputs=inputs,
        last=last.record,
        share_of_rows=ingested.n_rows / last.source.profile.n_rows,
        drifted=ingested.drifted,
        has_model=_intact(job.models / last.record.model) is not None,
        kind=job.config.generator.kind,
        forced=job.forced,
    )


def _skipped(job: Job, name: str, reason: str) -> Skipped:
    job.output.ledger.append(Entry(event="skipped", run_id=name, at=now(), began=job.created, note=reason))
    return Skipped(run_id=name, date=job.date, folder=job.output.find(name), reason=reason)


def _refuse_more_attempts(job: Job, situation: Situation) -> None:
    """Refuse inputs that gates have refused often enough, unless a person insists."""
    entries = job.output.ledger.entries()
    refused = [e for e in entries if e.event == "refused" and e.record and e.record.inputs == situation.inputs]
    most = job.config.schedule.attempts
    if len(refused) >= most and job.forced is None:
        rule = f"gates may refuse the same inputs {most} times (schedule.attempts)"
        remedy = "look at the reports in quarantine; change the data or a setting, or use --force refit"
        raise RefusedError(rule, actual=f"{len(refused)} refusals, the last of run {refused[-1].run_id}", remedy=remedy)


def _forget_other_plans(job: Job, name: str) -> None:
    """Remove what a killed run of the same date made of other inputs."""
    for folder in job.folder.iterdir():
        if folder.is_dir() and folder.name != name:
            shutil.rmtree(folder)


def split(job: Job, ingested: Ingested, plan: Plan) -> Parts:
    """Set the holdout aside: rows that nothing published was ever learned from."""
    with job.display.step("split") as move:
        return once(_folder(job, plan), "split", Parts, lambda: _split(job, ingested, plan, move))


def _split(job: Job, ingested: Ingested, plan: Plan, move: Move) -> Parts:
    parts = split_table(_read(ingested.table), job.config.split, seed=job.config.seed, boundary=boundary_of(job))
    move(1.0, f"{parts.train.num_rows:,} train rows, {parts.holdout.num_rows:,} holdout rows")
    return Parts(
        train=_write(parts.train, _folder(job, plan) / "train.parquet"),
        holdout=_write(parts.holdout, _folder(job, plan) / "holdout.parquet"),
        boundary=parts.boundary,
    )


def fit(job: Job, ingested: Ingested, plan: Plan, parts: Parts) -> Fitted:
    """Fit the generator to train, from the accepted model on where that was decided, or use a model that is there.

    Models lie at `<root>/models/<name>/<key>`; a damaged one is fitted again. A killed fit goes on from its checkpoint.

    Raises:
        TrainingError: training failed and nothing usable is left.
    """
    with job.display.step("fit") as move:
        return once(_folder(job, plan), "fit", Fitted, lambda: _fitted(job, ingested, plan, parts, move))


def _fitted(job: Job, ingested: Ingested, plan: Plan, parts: Parts, move: Move) -> Fitted:
    if plan.action == "sample" and plan.base is not None:
        move(1.0, "the accepted model is used again")
        return Fitted(model=Reference.to(job.models / plan.base), reused=True, fit_s=0.0)
    folder = job.models / model_key(job, plan, parts.train.sha256)
    if found := _intact(folder):
        _forget_checkpoints(folder.parent)
        move(1.0, "used again: the model that an earlier run fitted to the same data with the same config and code")
        return Fitted(model=found, reused=True, fit_s=0.0)
    return _fit(job, ingested, plan, parts, folder, move)


def _fit(job: Job, ingested: Ingested, plan: Plan, parts: Parts, folder: Path, move: Move) -> Fitted:
    make_folder(folder.parent)
    generator, began = new_generator(job.config.generator, job.config.transform), time.monotonic()
    generator.fit(
        _read(parts.train),
        _read_schema(ingested),
        seed=job.seed,
        budget_s=job.config.generator.budget,
        on_progress=shown(move),
        checkpoint=folder.with_name(f"{folder.name}.checkpoint"),
        warm_start=None if plan.base is None else _load(Reference.to(job.models / plan.base)),
    )
    generator.save(folder)
    _forget_checkpoints(folder.parent)
    return Fitted(model=Reference.to(folder), reused=False, fit_s=time.monotonic() - began)


def _forget_checkpoints(models: Path) -> None:
    """Remove the checkpoint of the fit that is done, and what killed ones left, half-written files too."""
    for checkpoint in models.glob("*.checkpoint*"):
        checkpoint.unlink()


def sample(job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted) -> Sampled:
    """Draw the synthetic table and check that it keeps the schema exactly.

    Raises:
        DataError: a drawn table breaks the schema.
    """
    with job.display.step("sample") as move:
        return once(_folder(job, plan), "sample", Sampled, lambda: _sample(job, ingested, plan, parts, fitted, move))


def _sample(job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, move: Move) -> Sampled:
    n_rows = job.config.sample.rows or pq.read_metadata(parts.train.verified()).num_rows
    generator = _load(fitted.model)
    began = time.monotonic()
    table = generator.sample(n_rows, seed=job.seed)
    sample_s = time.monotonic() - began
    learned_here = plan.base is None  # an earlier model's combinations are those of its own train rows
    check_table(table, _read_schema(ingested), train=_read(parts.train) if learned_here else None)
    fitting = "" if generator.acceptance == 1 else f"; {generator.acceptance:.1%} of those drawn held the constraints"
    move(1.0, f"{n_rows:,} rows{fitting}")
    return Sampled(synthetic=_write(table, _folder(job, plan) / TABLE), sample_s=sample_s)


def evaluate(job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, sampled: Sampled) -> Reference:
    """Measure the synthetic table, alone and beside all that was published before, and write the report."""
    with job.display.step("evaluate") as move:
        folder = _folder(job, plan)
        return once(folder, "evaluate", Reference, lambda: _evaluate(job, ingested, plan, parts, fitted, sampled, move))


def _evaluate(
    job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, sampled: Sampled, move: Move
) -> Reference:
    generator, config, schema = _load(fitted.model), job.config, _read_schema(ingested)
    published, remarks = published_with(job, schema, parts.boundary.scale)
    tables = Tables(
        schema=schema,
        train=_read(parts.train),
        holdout=_read(parts.holdout),
        synthetic=_read(sampled.synthetic),
        target=config.evaluation.target,
        published=published,
    )
    run, began = identity(job, plan, tables, fitted, sampled, ingested.data_sha256), time.monotonic()
    move(0.0, "likelihood")
    likelihood = likelihood_of(generator, tables, seed=job.seed)
    report = evaluate_tables(
        tables,
        config.evaluation,
        config.gates,
        seed=job.seed,
        run=run,
        training=training_curve(generator),
        likelihood=likelihood,
        notes=(*notes(schema, generator, reused_model=fitted.reused), *ingested.warnings, *remarks),
        since_last=since_last(job, ingested, plan, tables.train.num_rows),
        on_progress=by_stage(move, len(config.evaluation.families) + 2),
    )
    run = run.model_copy(update={"evaluate_s": time.monotonic() - began})
    with stage(_folder(job, plan) / "report") as folder:
        write_report(report.model_copy(update={"run": run}), folder)
    move(1.0, f"{len(report.measurements)} measurements")
    return Reference.to(_folder(job, plan) / "report")


def gate(job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, report: Reference) -> None:
    """Let an accepted run pass; put the report of a refused one into quarantine.

    Raises:
        RefusedError: the model's files or the report hold train rows; neither is kept anywhere.
        RunRefusedError: a gate failed, or asks for a review where `gates.review` is "refuse".
    """
    with job.display.step("gate") as move:
        schema = _read_schema(ingested)
        check_files(_read(parts.train), schema, fitted.model, report)
        judged = read_report(report)
        move(1.0, f"{judged.verdict}, {len(judged.failures())} of {len(judged.judged())} gates failed")
    if judged.verdict == "FAIL" or (judged.verdict == "REVIEW" and job.config.gates.review == "refuse"):
        staged = job.output.stage(plan.run_id)
        _copy_report(report, staged)
        refused = job.output.quarantine(staged, manifest(job, plan, parts, fitted, judged, schema))
        raise RunRefusedError(judged, refused)


def publish(
    job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, sampled: Sampled, report: Reference
) -> Release:
    """Publish the table with its report, schema and manifest, and make the release current.

    Raises:
        PublishError: the release could not be written; the last one stays current.
    """
    with job.display.step("publish") as move:
        judged, schema = read_report(report), _read_schema(ingested)
        staged = job.output.stage(plan.run_id)
        shutil.copy(sampled.synthetic.verified(), staged / TABLE)
        if job.config.output.csv:
            write_csv(_read(sampled.synthetic), staged / "synthetic.csv", spreadsheet_safe=True)
        shutil.copy(ingested.schema_file.verified(), staged / "schema.json")
        _copy_report(report, staged)
        profile = profile_of(_read(ingested.table), schema)
        remember(job, plan.run_id, Remembered(table_schema=schema, profile=profile, boundary=parts.boundary))
        folder = job.output.publish(staged, manifest(job, plan, parts, fitted, judged, schema))
        move(1.0, str(folder))
        return Release(
            run_id=plan.run_id,
            date=job.date,
            action=plan.action,
            reason=plan.reason,
            folder=folder,
            n_passed=sum(gate.verdict == "PASS" for gate in judged.gates),
            reviews=tuple(judged.reviews()),
            reused_model=fitted.reused,
        )


def deliver(job: Job, result: Release | Skipped) -> Release | Skipped:
    """Hand the release that stands to every declared sink that has not got it yet, and return what was given.

    Raises:
        DeliveryError: a sink did not take it; the release stays published, and the next run tries again.
    """
    if job.config.sinks and result.folder is not None:
        with job.display.step("deliver") as move:
            move(1.0, deliver_release(job, result.run_id, result.folder))
    return result


def published_with(job: Job, schema: Schema, scale: str) -> tuple[tuple[pa.Table, ...], tuple[str, ...]]:
    """Return the tables published before that privacy tests can see beside this one, and a remark on those they cannot.

    They can where their rows were split like this run's, so that no holdout row was learned from then, and where every
    column that is compared is there in the same type; the newest ones, as many as `MOST_UNION_ROWS` allows.
    """
    seen: list[pa.Table] = []
    published = job.output.published_tables()
    for entry, path in reversed(published):
        split_alike = entry.record is not None and entry.record.scale == scale
        if path is not None and split_alike and _covers(pq.read_schema(path), schema.arrow()):
            n_rows = sum(table.num_rows for table in seen) + pq.read_metadata(path).num_rows
            seen += [pq.read_table(path)] if n_rows <= MOST_UNION_ROWS else []
    unseen = len(published) - len(seen)
    why = f"forgotten, of another split or schema, or beyond {MOST_UNION_ROWS:,} rows together"
    remark = f"Earlier releases that the privacy tests did not see: {unseen} of {len(published)} ({why})."
    return tuple(reversed(seen)), (remark,) if unseen else ()


def _covers(found: pa.Schema, wanted: pa.Schema) -> bool:
    return all(field.name in found.names and found.field(field.name).type == field.type for field in wanted)


def _folder(job: Job, plan: Plan) -> Path:
    """Return where what this plan makes is kept until the job ends."""
    return job.folder / plan.run_id


def check_files(train: pa.Table, schema: Schema, *folders: Reference) -> None:
    """Refuse files that hold rows of train, which are not to leave the job."""
    planted = [found for folder in folders for found in scan(folder.verified(), train, schema)]
    if planted:
        rule = "a model and a report must hold no row of train"
        remedy = "delete the model's folder, and report this as a defect of the generator or the report"
        raise RefusedError(rule, actual="; ".join(str(found) for found in planted[:3]), remedy=remedy)


def read_report(report: Reference) -> Report:
    """Return the report that a reference leads to."""
    return Report.model_validate_json((report.verified() / "report.json").read_bytes())


def _write(table: pa.Table, path: Path) -> Reference:
    write_parquet(table, path)
    return Reference.to(path)


def _read(reference: Reference) -> pa.Table:
    return pq.read_table(reference.verified())


def _read_schema(ingested: Ingested) -> Schema:
    return Schema.read_file(ingested.schema_file.verified())


def _copy_report(report: Reference, folder: Path) -> None:
    for name in REPORT_FILES:
        shutil.copy(report.verified() / name, folder / name)


def _load(model: Reference) -> TabularGenerator:
    from generators import TabularGenerator

    return TabularGenerator.load(model.verified())


def _intact(folder: Path) -> Reference | None:
    """Refer to the model folder if it is there and whole; what is damaged counts as absent."""
    if not folder.is_dir():
        return None
    try:
        verify(folder, Sealed)
    except ArtifactError:
        return None
    return Reference.to(folder)
