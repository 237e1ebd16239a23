"""The main job as a Prefect flow: the same steps, with states, retries and artifacts in Prefect's database.

Tasks are coarse and hand over references, never tables. Whatever keeps a release safe lies in the steps, so that it
holds without Prefect too. Models are kept by the hash of data, config and code, and verified before they are used
again, which is why Prefect's own cache is off.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger
from prefect.tasks import exponential_backoff

from evaluation.report import Report
from pipeline.errors import SourceError

from . import steps
from .job import Job, open_job
from .progress import show_progress
from .references import Reference
from .settings import load_config
from .steps import Fitted, Ingested, Release, RunRefusedError, Sampled

DATABASE_RETRIES = 2


def _log_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    flow_run_logger(flow_run, flow).error("nothing was published, the last release stays current: %s", state.message)


def _is_source_error(task: Any, task_run: Any, state: State[Any]) -> bool:  # noqa: ARG001 - prefect's signature
    return isinstance(state.data, SourceError) or "SourceError" in (state.message or "")


ingest = task(name="ingest", cache_policy=NO_CACHE)(steps.ingest)
ingest_database = ingest.with_options(
    retries=DATABASE_RETRIES, retry_delay_seconds=exponential_backoff(5), retry_condition_fn=_is_source_error
)
split = task(name="split", cache_policy=NO_CACHE)(steps.split)
fit = task(name="fit", cache_policy=NO_CACHE)(steps.fit)
sample = task(name="sample", cache_policy=NO_CACHE)(steps.sample)


@task(cache_policy=NO_CACHE)
def evaluate(job: Job, ingested: Ingested, parts: steps.Parts, fitted: Fitted, sampled: Sampled) -> Reference:
    """Measure, and show the gates as a table."""
    reference = steps.evaluate(job, ingested, parts, fitted, sampled)
    report = steps.read_report(reference)
    create_table_artifact(scorecard(report), key=f"{artifact_key(job)}-scorecard", description="The gates of the run.")
    return reference


@task(cache_policy=NO_CACHE)
def gate(job: Job, ingested: Ingested, parts: steps.Parts, fitted: Fitted, report: Reference) -> None:
    """Judge; a refusal is shown with a link to the quarantined report."""
    try:
        steps.gate(job, ingested, parts, fitted, report)
    except RunRefusedError as refusal:
        _show_report(job, refusal.folder, "## Refused\n\n" + "\n".join(f"- {reason}" for reason in refusal.failures))
        raise


@task(cache_policy=NO_CACHE)
def publish(job: Job, ingested: Ingested, fitted: Fitted, sampled: Sampled, report: Reference) -> Release:
    """Publish, and show where."""
    release = steps.publish(job, ingested, fitted, sampled, report)
    _show_report(job, release.folder, f"## Published\n\n`{release.folder}`: {release.n_passed} gates passed.")
    return release


@flow(name="synthesize", flow_run_name="{config_path}", on_failure=[_log_failure], on_crashed=[_log_failure])
def synthesize(config_path: Path, overrides: tuple[str, ...] = ()) -> Release:
    """Learn a table, draw a synthetic one, measure it, and publish it if every gate passes.

    Args:
        config_path: a `tabmint.toml`.
        overrides: settings laid over it, each "section.key=value".

    Raises:
        InputError, RunRefusedError, TrainingError, PublishError: as `steps.run_steps`.
    """
    config = load_config(config_path, overrides)
    with show_progress() as display, open_job(config, display) as job:
        ingested = (ingest_database if config.source.uri else ingest)(job)
        parts = split(job, ingested)
        fitted = fit(job, ingested, parts)
        sampled = sample(job, ingested, parts, fitted)
        report = evaluate(job, ingested, parts, fitted, sampled)
        gate(job, ingested, parts, fitted, report)
        return publish(job, ingested, fitted, sampled, report)


def scorecard(report: Report) -> list[dict[str, str]]:
    """Return the gates as rows for people."""
    return [
        {"gate": gate.name, "rule": gate.rule, "value": _number(gate.value), "verdict": gate.verdict}
        for gate in report.gates
    ]


def artifact_key(job: Job) -> str:
    """Return the job's name as Prefect wants it in a key: lower case, digits and hyphens."""
    return "".join(letter if letter.isalnum() else "-" for letter in job.config.name.lower()).strip("-")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _show_report(job: Job, folder: Path, summary: str) -> None:
    create_markdown_artifact(summary, key=f"{artifact_key(job)}-summary")
    create_link_artifact((folder / "report.html").resolve().as_uri(), key=f"{artifact_key(job)}-report")
