"""The steps of the main job as plain functions: each reads references, does one thing, and returns references.

```
ingest -> split -> fit -> sample -> evaluate -> gate -> publish
```
Nothing here knows prefect; `synthesize` decorates the same functions.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from evaluation.privacy.artifact_scan import scan
from evaluation.rendering.render import write_report
from evaluation.report import Report, Verdict
from evaluation.suite import evaluate as evaluate_tables
from evaluation.tables import Tables
from pipeline.artifact import Sealed, make_folder, stage, verify
from pipeline.checks import check_table
from pipeline.config import Config
from pipeline.errors import ArtifactError, RefusedError
from pipeline.publish import REPORT_FILES
from pipeline.schema import Schema
from pipeline.sink import write_csv, write_parquet
from pipeline.split import split_table

from .inputs import check_target, read_with_schema
from .job import Job, open_job
from .learning import new_generator, shown
from .progress import Display, Silent, by_stage
from .records import identity, manifest, model_key, notes, training_curve
from .references import Reference
from .settings import RunConfig

if TYPE_CHECKING:
    from generators import TabularGenerator


class Ingested(Config):
    """The whole table, its schema, and the fingerprint of its content."""

    table: Reference
    schema_file: Reference
    data_sha256: str


class Parts(Config):
    """The rows to learn from, and the rows that nothing learned may touch."""

    train: Reference
    holdout: Reference


class Fitted(Config):
    """A fitted generator; `reused` when an earlier run fitted the same config to the same data with the same code."""

    model: Reference
    reused: bool


class Sampled(Config):
    """The synthetic table, and how long it took to draw."""

    synthetic: Reference
    sample_s: float


class Release(Config):
    """An accepted run.

    Attributes:
        run_id: of the run.
        folder: where the release lies.
        n_passed: how many gates it passed.
        reviews: a sentence for each gate that a person must look at; none where the verdict is PASS.
        reused_model: whether its model was an earlier run's.
    """

    run_id: str
    folder: Path
    n_passed: int
    reviews: tuple[str, ...] = ()
    reused_model: bool

    @property
    def verdict(self) -> Verdict:
        """PASS or REVIEW."""
        return "REVIEW" if self.reviews else "PASS"


class RunRefusedError(RefusedError):
    """A gate refused the run: nothing was published, and the report is in quarantine.

    Attributes:
        verdict: FAIL, or REVIEW where the configuration refuses that too.
        failures: a sentence for each gate that failed or, with REVIEW, that a person must look at.
        folder: where the report lies.
    """

    def __init__(self, report: Report, folder: Path) -> None:
        self.verdict, self.folder = report.verdict, folder
        self.failures = report.failures() or report.reviews()
        what = "failed" if report.verdict == "FAIL" else "ask for a review, which this configuration refuses"
        actual = f"{len(self.failures)} of {len(report.gates)} gates {what}"
        super().__init__("every gate must pass", actual=actual, remedy=f"read {folder / 'report.html'}")


def run_steps(config: RunConfig, display: Display | None = None) -> Release:
    """Carry out the whole job without prefect.

    Raises:
        InputError: something given is wrong; found before training where that is possible.
        RunRefusedError: a gate failed; the last release stays current.
        TrainingError, PublishError: training or writing failed; the last release stays current.
    """
    with open_job(config, display or Silent()) as job:
        ingested = ingest(job)
        parts = split(job, ingested)
        fitted = fit(job, ingested, parts)
        sampled = sample(job, ingested, parts, fitted)
        report = evaluate(job, ingested, parts, fitted, sampled)
        gate(job, ingested, parts, fitted, report)
        return publish(job, ingested, fitted, sampled, report)


def ingest(job: Job) -> Ingested:
    """Read the source, pin its schema (declared or inferred), and refuse what cannot be learned before training starts.

    Raises:
        ConfigError: a setting of the generator is wrong, or the target is no column that can be predicted.
        SourceError, SchemaError: the source cannot be read, or does not fit the declared schema.
    """
    with job.display.step("ingest") as move:
        new_generator(job.config.generator, job.config.transform)  # its settings are checked before anything is read
        schema, source = read_with_schema(job.config.source, job.config.schema_path)
        check_target(schema, job.config.evaluation.target)
        move(1.0, f"{source.table.num_rows:,} rows, {source.table.num_columns} columns")
        schema.write(job.folder / "schema.json")
        return Ingested(
            table=_write(source.table, job.folder / "table.parquet"),
            schema_file=Reference.to(job.folder / "schema.json"),
            data_sha256=source.fingerprint,
        )


def split(job: Job, ingested: Ingested) -> Parts:
    """Set the holdout aside."""
    with job.display.step("split") as move:
        parts = split_table(_read(ingested.table), job.config.split, seed=job.config.seed)
        move(1.0, f"{parts.train.num_rows:,} train rows, {parts.holdout.num_rows:,} holdout rows")
        return Parts(
            train=_write(parts.train, job.folder / "train.parquet"),
            holdout=_write(parts.holdout, job.folder / "holdout.parquet"),
        )


def fit(job: Job, ingested: Ingested, parts: Parts) -> Fitted:
    """Fit the generator to train, or use again the model of an earlier run with the same config, data and code.

    Models lie at `<root>/models/<name>/<key>`; a damaged one is fitted again. A killed run goes on from its checkpoint.

    Raises:
        TrainingError: training failed and nothing usable is left.
    """
    with job.display.step("fit") as move:
        config, schema = job.config, _read_schema(ingested)
        folder = config.output.root / "models" / config.name / model_key(config, parts.train.sha256, schema)
        if found := _intact(folder):
            move(1.0, "used again: the model that an earlier run fitted to the same data with the same config and code")
            return Fitted(model=found, reused=True)
        make_folder(folder.parent)
        generator = new_generator(config.generator, config.transform)
        generator.fit(
            _read(parts.train),
            schema,
            seed=config.seed,
            budget_s=config.generator.budget,
            on_progress=shown(move),
            checkpoint=folder.with_name(f"{folder.name}.checkpoint"),
        )
        generator.save(folder)
        for checkpoint in folder.parent.glob("*.checkpoint"):  # this one's, and those of killed runs
            checkpoint.unlink()
        return Fitted(model=Reference.to(folder), reused=False)


def sample(job: Job, ingested: Ingested, parts: Parts, fitted: Fitted) -> Sampled:
    """Draw the synthetic table and check that it keeps the schema exactly.

    Raises:
        DataError: a drawn table breaks the schema.
    """
    with job.display.step("sample") as move:
        n_rows = job.config.sample.rows or pq.read_metadata(parts.train.verified()).num_rows
        generator = _load(fitted)
        began = time.monotonic()
        table = generator.sample(n_rows, seed=job.config.seed)
        sample_s = time.monotonic() - began
        check_table(table, _read_schema(ingested))
        move(1.0, f"{n_rows:,} rows")
        return Sampled(synthetic=_write(table, job.folder / "synthetic.parquet"), sample_s=sample_s)


def evaluate(job: Job, ingested: Ingested, parts: Parts, fitted: Fitted, sampled: Sampled) -> Reference:
    """Measure the synthetic table against train and holdout, and write the report."""
    with job.display.step("evaluate") as move:
        generator, config = _load(fitted), job.config
        tables = Tables(
            schema=_read_schema(ingested),
            train=_read(parts.train),
            holdout=_read(parts.holdout),
            synthetic=_read(sampled.synthetic),
            target=config.evaluation.target,
        )
        run = identity(job, tables, generator, data_sha256=ingested.data_sha256, sample_s=sampled.sample_s)
        began = time.monotonic()
        report = evaluate_tables(
            tables,
            config.evaluation,
            config.gates,
            seed=config.seed,
            run=run,
            training=training_curve(generator),
            notes=notes(tables.schema, reused_model=fitted.reused),
            on_progress=by_stage(move, len(config.evaluation.families) + 2),
        )
        run = run.model_copy(update={"evaluate_s": time.monotonic() - began})
        with stage(job.folder / "report") as folder:
            write_report(report.model_copy(update={"run": run}), folder)
        move(1.0, f"{len(report.measurements)} measurements")
        return Reference.to(job.folder / "report")


def gate(job: Job, ingested: Ingested, parts: Parts, fitted: Fitted, report: Reference) -> None:
    """Let an accepted run pass; put the report of a refused one into quarantine.

    Raises:
        RefusedError: the model's files or the report hold train rows; neither is kept anywhere.
        RunRefusedError: a gate failed, or asks for a review where `gates.review` is "refuse".
    """
    with job.display.step("gate") as move:
        _check_files(_read(parts.train), _read_schema(ingested), fitted.model, report)
        judged = read_report(report)
        move(1.0, f"{judged.verdict}, {len(judged.failures())} of {len(judged.gates)} gates failed")
    if judged.verdict == "FAIL" or (judged.verdict == "REVIEW" and job.config.gates.review == "refuse"):
        staged = job.output.stage(job.run_id)
        _copy_report(report, staged)
        raise RunRefusedError(judged, job.output.quarantine(staged, manifest(job, judged, _read_schema(ingested))))


def publish(job: Job, ingested: Ingested, fitted: Fitted, sampled: Sampled, report: Reference) -> Release:
    """Publish the table with its report, schema and manifest, and make the release current.

    Raises:
        PublishError: the release could not be written; the last one stays current.
    """
    with job.display.step("publish") as move:
        judged = read_report(report)
        staged = job.output.stage(job.run_id)
        shutil.copy(sampled.synthetic.verified(), staged / "synthetic.parquet")
        if job.config.output.csv:
            write_csv(_read(sampled.synthetic), staged / "synthetic.csv", spreadsheet_safe=True)
        shutil.copy(ingested.schema_file.verified(), staged / "schema.json")
        _copy_report(report, staged)
        folder = job.output.publish(staged, manifest(job, judged, _read_schema(ingested)))
        move(1.0, str(folder))
        return Release(
            run_id=job.run_id,
            folder=folder,
            n_passed=sum(gate.verdict == "PASS" for gate in judged.gates),
            reviews=tuple(judged.reviews()),
            reused_model=fitted.reused,
        )


def _check_files(train: pa.Table, schema: Schema, *folders: Reference) -> None:
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


def _load(fitted: Fitted) -> TabularGenerator:
    from generators import TabularGenerator

    return TabularGenerator.load(fitted.model.verified())


def _intact(folder: Path) -> Reference | None:
    """Refer to the model folder if it is there and whole; what is damaged counts as absent."""
    if not folder.is_dir():
        return None
    try:
        verify(folder, Sealed)
    except ArtifactError:
        return None
    return Reference.to(folder)
