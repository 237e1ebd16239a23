"""The families side by side: the same rows, the same budget, the same gates, one table, one winner or none.

A comparison works apart from the releases of its output, under `<root>/.comparing`: it holds no lock that a run needs,
looks at no earlier release, and publishes nothing. What it leaves is `<root>/comparisons/<name>/<id>`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq

from evaluation.history import FOLLOWED
from evaluation.report import Report
from pipeline.artifact import stage, write_json
from pipeline.config import Config
from pipeline.errors import ConfigError, RefusedError, TrainingError, UnsupportedError
from pipeline.publish import REPORT_FILES
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng

from . import steps
from .advice import advise
from .comparison_page import page
from .decision import run_id
from .job import Job, open_job
from .journal import once
from .learning import new_generator
from .progress import Display, Move, Silent
from .records import inputs_of
from .references import Reference
from .results import Fitted, Ingested, Parts, Plan, Sampled
from .settings import AlertSection, GeneratorSection, RunConfig
from .table_of_families import RULE, Comparison, Judged, Row, choose

FAMILIES = ("flow_matching", "ddpm", "vae", "wgan_gp")
GAIN = "augmentation_gain"
MOST_DENSITY_ROWS = 2_000


def compare_families(
    config: RunConfig,
    display: Display | None = None,
    *,
    kinds: Sequence[str] = FAMILIES,
    budget_s: float | None = None,
    on: date | None = None,
) -> Comparison:
    """Fit every kind to the same rows within the same budget, judge each by the gates, and choose; without prefect.

    Args:
        config: the job's settings; settings of its generator beside the budget hold for its own kind alone.
        display: shows the progress.
        kinds: of generators, one after the other on one device.
        budget_s: seconds of training for each; the job's own budget where None.
        on: the date that the source is read for; today's where None.

    Raises:
        InputError: something given is wrong; found before training where that is possible.
        PublishError: another comparison of the same output is going on.
    """
    with open_comparison(config, display or Silent(), kinds=kinds, budget_s=budget_s, on=on) as jobs:
        ingested = steps.ingest(jobs[0])
        plans = [plan_of(job, ingested) for job in jobs]
        parts = steps.split(jobs[0], ingested, plans[0])
        judged = [fit_and_judge(job, ingested, plan, parts) for job, plan in zip(jobs, plans, strict=True)]
        return conclude(config, jobs, plans, parts, judged)


@contextmanager
def open_comparison(
    config: RunConfig, display: Display, *, kinds: Sequence[str], budget_s: float | None = None, on: date | None = None
) -> Iterator[tuple[Job, ...]]:
    """Yield a job for each kind, all in one working folder that goes when the comparison is done.

    Raises:
        ConfigError: a kind is unknown or named twice.
        PublishError: another comparison of the same output is going on.
    """
    sections = [section_of(config.generator, kind, budget_s) for kind in kinds]
    for section in sections:
        new_generator(section, config.transform)  # its settings are checked before anything is read
    if not kinds or len({*kinds}) < len(kinds):
        raise ConfigError("a comparison needs kinds, each once", actual=", ".join(kinds) or "none")
    apart = config.output.model_copy(update={"root": config.output.root / ".comparing"})
    alone = config.model_copy(update={"output": apart, "alert": AlertSection(), "sinks": ()})
    with open_job(alone, display, on=on) as job:
        yield tuple(_job_of(job, section) for section in sections)
        shutil.rmtree(job.models)


def section_of(section: GeneratorSection, kind: str, budget_s: float | None) -> GeneratorSection:
    """Return the section of a kind: the settings of the configured kind are no other's.

    Example:
        >>> configured = GeneratorSection(kind="vae", budget=60, members=2)
        >>> section_of(configured, "ddpm", 30.0), section_of(configured, "vae", None).settings
        (GeneratorSection(kind='ddpm', budget=30.0), {'members': 2})
    """
    settings = section.settings if kind == section.kind else {}
    return GeneratorSection.model_validate({**settings, "kind": kind, "budget": budget_s or section.budget})


def plan_of(job: Job, ingested: Ingested) -> Plan:
    """Return the plan of a job that is compared: a fit from the beginning, whatever was published."""
    schema = Schema.read_file(ingested.schema_file.verified())
    inputs = inputs_of(job.config, pq.read_table(ingested.table.verified()), schema)
    name = run_id(job.date.isoformat(), inputs, "compare", job.seed)
    return Plan(run_id=name, action="refit", reason="It is compared with other families.", inputs=inputs)


def fit_and_judge(job: Job, ingested: Ingested, plan: Plan, parts: Parts) -> Judged:
    """Fit one kind, draw from it and judge the table; a kind that cannot be fitted, or leaks, fails.

    Raises:
        DataError: a drawn table breaks the schema.
    """
    try:
        fitted = steps.fit(job, ingested, plan, parts)
        sampled = steps.sample(job, ingested, plan, parts, fitted)
        report = steps.evaluate(job, ingested, plan, parts, fitted, sampled)
        schema = Schema.read_file(ingested.schema_file.verified())
        steps.check_files(pq.read_table(parts.train.verified()), schema, fitted.model, report)
    except (TrainingError, RefusedError) as error:
        return Judged(row=Row(kind=job.config.generator.kind, verdict="FAIL", reasons=(str(error),)))
    kind, surprise = job.config.generator.kind, held_out(job, plan, parts, fitted)
    row = _row(kind, steps.read_report(report), fitted, sampled, surprise)
    return Judged(row=row, report=report, held_out=surprise.nats)


class HeldOut(Config):
    """The surprise of holdout rows, the same for all families; none where the family has no density."""

    nats: tuple[float, ...] = ()
    density: Literal["exact", "lower_bound", "encoded_space"] | None = None


def held_out(job: Job, plan: Plan, parts: Parts, fitted: Fitted) -> HeldOut:
    """Return how surprising holdout rows are to a model, in nats."""
    with job.display.step("density") as move:
        return once(job.folder / plan.run_id, "density", HeldOut, lambda: _held_out(job, parts, fitted, move))


def _held_out(job: Job, parts: Parts, fitted: Fitted, move: Move) -> HeldOut:
    from generators import TabularGenerator
    from generators.anomaly import AnomalyScorer

    holdout = pq.read_table(parts.holdout.verified())
    chosen = numpy_rng(job.seed, "density rows").permutation(holdout.num_rows)[:MOST_DENSITY_ROWS]
    try:
        scorer = AnomalyScorer(TabularGenerator.load(fitted.model.verified()))
    except UnsupportedError:
        move(1.0, "this family has none")
        return HeldOut()
    scores = scorer.score(holdout.take(chosen), seed=job.seed)
    move(1.0, f"{scores.nats.mean():.2f} nats per row of {len(chosen):,}")
    return HeldOut(nats=tuple(scores.nats.tolist()), density=scores.kind)


def conclude(
    config: RunConfig, jobs: Sequence[Job], plans: Sequence[Plan], parts: Parts, judged: Sequence[Judged]
) -> Comparison:
    """Choose, and write the table with the reports that it is made of into a sealed folder."""
    rows = tuple(one.row for one in judged)
    winner, reason = choose(rows)
    job, section = jobs[0], jobs[0].config.generator
    name = run_id(job.date.isoformat(), plans[0].inputs, *(row.kind for row in rows), job.seed)
    comparison = Comparison(
        name=config.name,
        id=name,
        date=job.date,
        seed=job.seed,
        budget_s=section.budget,
        n_train=pq.read_metadata(parts.train.verified()).num_rows,
        n_holdout=pq.read_metadata(parts.holdout.verified()).num_rows,
        rows=rows,
        winner=winner,
        reason=reason,
        rule=RULE,
        advice=advise(rows, {one.row.kind: one.held_out for one in judged if one.held_out}),
        folder=config.output.root / "comparisons" / config.name / name,
    )
    _write(comparison, judged)
    return comparison


def _write(comparison: Comparison, judged: Sequence[Judged]) -> None:
    with stage(comparison.folder) as folder:
        for one in judged:
            if one.report is not None:
                _copy(one.report, folder / one.row.kind)
        write_json(folder / "comparison.json", comparison.model_dump(mode="json", exclude={"folder"}))
        (folder / "comparison.html").write_text(page(comparison), encoding="utf-8")


def _copy(report: Reference, folder: Path) -> None:
    folder.mkdir()
    for name in REPORT_FILES:
        shutil.copy(report.verified() / name, folder / name)


def _row(kind: str, report: Report, fitted: Fitted, sampled: Sampled, surprise: HeldOut) -> Row:
    from generators import TabularGenerator

    facts = TabularGenerator.load(fitted.model.verified()).describe()
    measured = {metric: found for metric in (*FOLLOWED, GAIN) if (found := report.measured(metric)) is not None}
    encoders = _encoders(facts["diagnostics"])
    return Row(
        kind=kind,
        verdict=report.verdict,
        failed=tuple(gate.name for gate in report.gates if gate.verdict in ("FAIL", "NOT TESTABLE")),
        reasons=(*report.failures(), *report.reviews()),
        figures={metric: found.value for metric, found in measured.items()},
        intervals={metric: found.interval for metric, found in measured.items() if found.interval is not None},
        fit_s=facts["fit_s"],  # also where a killed comparison had fitted it
        sample_s=sampled.sample_s,
        n_drawn=pq.read_metadata(sampled.synthetic.verified()).num_rows,
        nats=sum(surprise.nats) / len(surprise.nats) if surprise.nats else None,
        density=surprise.density,
        latent_size=max((encoder["latent_size"] for encoder in encoders), default=0),
        active_units=min((encoder["active_units"] for encoder in encoders), default=0),
        latent_nats=min((sum(encoder["kl_per_dimension"]) for encoder in encoders), default=0.0),
        size_bytes=sum(path.stat().st_size for path in fitted.model.path.rglob("*") if path.is_file()),
        n_parameters=facts["n_parameters"],
        report=f"{kind}/report.html",
    )


def _encoders(diagnostics: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the diagnostics of the members that encode rows into a latent vector."""
    return [found for found in diagnostics.get("members", [diagnostics]) if "latent_size" in found]


def _job_of(job: Job, section: GeneratorSection) -> Job:
    config = job.config.model_copy(update={"generator": section})
    return replace(job, config=config, display=_Titled(job.display, section.kind))


@dataclass(frozen=True)
class _Titled:
    """Shows steps on another display with the kind that they belong to."""

    display: Display
    kind: str

    def step(self, name: str) -> AbstractContextManager[Move]:
        """Show the step."""
        return self.display.step(name if name in ("ingest", "split") else f"{self.kind}: {name}")
