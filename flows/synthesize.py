"""The main job as a Prefect flow: the same steps, with states, retries and artifacts in Prefect's database.

Tasks are coarse and hand over references, never tables. Whatever keeps a release safe lies in the steps, so that it
holds without Prefect too. Models are kept by the hash of data, config and code, and verified before they are used
again, which is why Prefect's own cache is off.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from prefect import flow, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import FlowRun, State
from prefect.concurrency.sync import concurrency
from prefect.flows import Flow
from prefect.logging.loggers import flow_run_logger
from prefect.states import Completed
from prefect.tasks import exponential_backoff
from pydantic import WithJsonSchema

from pipeline.errors import SourceError, TabmintError
from pipeline.ledger import Action

from . import steps
from .artifacts import Shown, show_failure, show_refusal, show_release, show_scorecard, show_skip
from .job import Job, open_job
from .progress import show_progress
from .references import Reference
from .results import Fitted, Ingested, Parts, Plan, Release, RunRefusedError, Sampled, Skipped
from .settings import load_config

DATABASE_RETRIES = 2
UTC = ZoneInfo("UTC")
Partition = Annotated[
    datetime.date, WithJsonSchema({"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"})
]
"""A date that Prefect's API refuses too where it is none: it checks patterns, but no formats."""


def _log_failure(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    flow_run_logger(flow_run, flow).error("the last accepted release stays current: %s", state.message)


def _is_source_error(task: Any, task_run: Any, state: State[Any]) -> bool:  # noqa: ARG001 - prefect's signature
    return isinstance(state.data, SourceError) or "SourceError" in (state.message or "")


ingest = task(name="ingest", cache_policy=NO_CACHE)(steps.ingest)
ingest_database = ingest.with_options(
    retries=DATABASE_RETRIES, retry_delay_seconds=exponential_backoff(5), retry_condition_fn=_is_source_error
)
decide = task(name="decide", cache_policy=NO_CACHE)(steps.decide)
split = task(name="split", cache_policy=NO_CACHE)(steps.split)
fit = task(name="fit", cache_policy=NO_CACHE)(steps.fit)
sample = task(name="sample", cache_policy=NO_CACHE)(steps.sample)
deliver = task(name="deliver", cache_policy=NO_CACHE)(steps.deliver)


@task(cache_policy=NO_CACHE)
def evaluate(job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, sampled: Sampled) -> Reference:
    """Measure, and show the gates as a table."""
    reference = steps.evaluate(job, ingested, plan, parts, fitted, sampled)
    show_scorecard(job.config.name, steps.read_report(reference))
    return reference


@task(cache_policy=NO_CACHE)
def gate(job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, report: Reference) -> None:
    """Judge; a refusal is shown with a link to the quarantined report."""
    try:
        steps.gate(job, ingested, plan, parts, fitted, report)
    except RunRefusedError as refusal:
        show_refusal(job.config.name, refusal)
        raise


@task(cache_policy=NO_CACHE)
def publish(
    job: Job, ingested: Ingested, plan: Plan, parts: Parts, fitted: Fitted, sampled: Sampled, report: Reference
) -> Release:
    """Publish, and show what and where."""
    release = steps.publish(job, ingested, plan, parts, fitted, sampled, report)
    show_release(job.config.name, release, steps.read_report(report))
    return release


def run_name() -> str:
    """Return how the run is called in the UI: the output, or else the config file, and the partition."""
    given = runtime.flow_run.parameters
    day = partition(given.get("date"), ZoneInfo(str(given.get("timezone", UTC))))
    return " ".join(map(str, filter(None, (runtime.deployment.name or given["config_path"], day))))


@flow(name="synthesize", flow_run_name=run_name, on_failure=[_log_failure], on_crashed=[_log_failure])
def synthesize(
    config_path: Path,
    overrides: tuple[str, ...] = (),
    date: Partition | None = None,
    force: Action | None = None,
    timezone: ZoneInfo = UTC,
    device_limit: str | None = None,
) -> Release | Skipped:
    """Learn a table, draw a synthetic one, measure it, and publish it if every gate passes.

    Args:
        config_path: a `tabmint.toml`.
        overrides: settings laid over it, each "section.key=value".
        date: the date that the run belongs to. Unless given, a deployment's run belongs to the date on which it was
            scheduled to start, however late it starts; any other run to today.
        force: what to do about the model, whatever has changed: "refit", "warm_start" or "sample".
        timezone: where the scheduled start is a date.
        device_limit: a global concurrency limit of which the fit takes one slot, so that fits on a device take turns.

    Raises:
        InputError, RunRefusedError, TrainingError, PublishError: as `steps.run_steps`.
    """
    config, day = load_config(config_path, overrides), partition(date, timezone)
    with (
        show_progress() as display,
        _shown_failure(config.name),
        open_job(config, Shown(display, config.name), on=day, forced=force) as job,
    ):
        ingested = (ingest_database if config.source.uri else ingest)(job)
        plan = decide(job, ingested)
        if isinstance(plan, Skipped):
            deliver(job, plan)
            skipped: Skipped = _skipped(job, plan)
            return skipped
        parts = split(job, ingested, plan)
        with device(device_limit):
            fitted = fit(job, ingested, plan, parts)
        sampled = sample(job, ingested, plan, parts, fitted)
        report = evaluate(job, ingested, plan, parts, fitted, sampled)
        gate(job, ingested, plan, parts, fitted, report)
        release: Release = publish(job, ingested, plan, parts, fitted, sampled, report)
        deliver(job, release)
        return release


def partition(date: datetime.date | None, timezone: ZoneInfo) -> datetime.date | None:
    """Return the date that this run belongs to, None where it is nobody's but today's.

    Args:
        date: given by whoever started the run.
        timezone: in which the scheduled start of a deployment's run is a date; a retry keeps it.
    """
    if date is not None or runtime.deployment.id is None:
        return date
    scheduled: datetime.datetime = runtime.flow_run.scheduled_start_time
    return scheduled.astimezone(timezone).date()


def device(limit: str | None) -> Any:
    """Hold a slot of a global concurrency limit, which must exist; without a limit, nothing.

    A lease that cannot be renewed, because the server is away for some minutes, does not end a fit of hours.
    """
    return concurrency(limit, strict=True, raise_on_lease_renewal_failure=False) if limit else nullcontext()


@contextmanager
def _shown_failure(name: str) -> Iterator[None]:
    try:
        yield
    except RunRefusedError:
        raise  # the gate has shown it
    except TabmintError as error:
        show_failure(name, error)
        raise


def _skipped(job: Job, skipped: Skipped) -> Any:
    """Show a skip, and return the state that says so; whoever calls the flow is given what the state holds."""
    show_skip(job.config.name, skipped)
    return Completed(name="Skipped", message=skipped.reason, data=skipped)
