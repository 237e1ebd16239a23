"""Deployments of the main job: one for each config, one run at a time, and no run that stays "Running" when it is dead.

What holds on a host with several GPUs, tried with process workers:

- A deployment runs once at a time; a run that would overlap waits. Every run has its own partition, so none is dropped:
  a late one publishes its own date, or finds that nothing changed and is skipped.
- A pool's own limit (`prefect work-pool create gpu-0 --type process --concurrency-limit 1`), one pool and one worker
  for each GPU with its own CUDA_VISIBLE_DEVICES, keeps all of its runs apart. This is the simple way.
- A device limit (`tabmint deploy --device-limit tabmint-cuda-0`) keeps only the fits apart, across pools and
  deployments, so that one run can evaluate on the CPU while the next one fits. It is taken strictly: a run whose limit
  has been deleted fails instead of fitting beside another.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefect.automations import Automation
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy, StateType
from prefect.deployments.runner import RunnerDeployment
from prefect.events import EventTrigger, Posture, ResourceSpecification
from prefect.events.actions import ChangeFlowRunState
from prefect.exceptions import ObjectNotFound
from prefect.schedules import Cron
from prefect.server.schemas.schedules import CronSchedule
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from pipeline.errors import ConfigError

from .environment import HEARTBEAT_S
from .settings import load_config
from .synthesize import synthesize

TAG = "tabmint"
ONE_AT_A_TIME = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE)
ZOMBIES = "tabmint: a run whose heart stopped has crashed"
SILENT_FOR = timedelta(seconds=3 * HEARTBEAT_S)


def timetable(cron: str, timezone: str) -> CronSchedule:
    """Return the schedule as Prefect's scheduler will read it.

    Raises:
        ConfigError: the cron expression or the time zone is none.

    Example:
        >>> timetable("0 2 * *", "Europe/Oslo")
        Traceback (most recent call last):
        pipeline.errors.ConfigError: a cron expression has five fields, such as "0 2 * * *"; found "0 2 * *"
    """
    try:
        return CronSchedule(cron=cron, timezone=timezone or "none")
    except ValidationError as error:
        if error.errors()[0]["loc"] == ("cron",):
            raise ConfigError('a cron expression has five fields, such as "0 2 * * *"', actual=f'"{cron}"') from None
        remedy = "name one as Europe/Oslo"
        raise ConfigError("a time zone must be known", actual=f'"{timezone}"', remedy=remedy) from None


async def next_start(schedule: CronSchedule) -> datetime:
    """Return when the schedule starts its next run, in its time zone."""
    return (await schedule.get_dates(1, start=datetime.now(UTC)))[0]


def deployment_of(
    config_path: Path,
    overrides: tuple[str, ...],
    schedule: CronSchedule | None,
    timezone: str,
    device_limit: str | None = None,
    **pool: Any,
) -> RunnerDeployment:
    """Return the deployment of a config, named after the output; nothing is created yet.

    Args:
        config_path: where the config lies, on the machine that will run it too.
        overrides: settings laid over it.
        schedule: when it runs; None for runs that people start.
        timezone: where the scheduled start is the date that a run belongs to.
        device_limit: the global concurrency limit that its fits take.
        pool: what `Flow.to_deployment` wants to know about a work pool.

    Raises:
        ConfigError: the config is wrong.
    """
    config = load_config(config_path, overrides)
    given = {"config_path": str(config_path.resolve()), "overrides": list(overrides), "timezone": timezone}
    deployment: RunnerDeployment = synthesize.to_deployment(  # type: ignore[assignment]  # a coroutine only inside a loop
        name=config.name,
        schedule=None if schedule is None else Cron(schedule.cron, timezone=schedule.timezone),
        parameters=given if device_limit is None else {**given, "device_limit": device_limit},
        description=f"Synthetic releases of {config.name}, as {config_path.name} says.",
        tags=[TAG],
        version=version("tabmint"),
        concurrency_limit=ONE_AT_A_TIME,
        entrypoint_type=EntrypointType.MODULE_PATH,
        **pool,
    )
    return deployment


def deploy_config(
    config_path: Path,
    overrides: tuple[str, ...],
    *,
    pool: str,
    cron: str | None,
    timezone: str,
    device_limit: str | None,
) -> str:
    """Create or update the deployment of a config for a process pool of the user's server; return its full name.

    Raises:
        ConfigError: the config or the schedule is wrong, there is no such pool, or it starts no processes.
    """
    schedule = timetable(cron or "@daily", timezone)  # the time zone is used without a schedule too
    environment = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S)}
    deployment = deployment_of(
        config_path,
        overrides,
        schedule if cron else None,
        timezone,
        device_limit,
        work_pool_name=pool,
        job_variables={"env": environment},
    )
    with get_client(sync_client=True) as client:
        _check_pool(client, pool)
        if device_limit is not None:
            _declare(client, device_limit)
    mark_zombies()
    deployment.apply(work_pool_name=pool)
    return deployment.full_name


def mark_zombies() -> None:
    """Let the server mark a run as crashed when its heartbeats stop: its process, or the whole machine, was killed.

    A runner or worker that outlives the process tells at once; this is for the case that it does not.
    """
    with get_client(sync_client=True) as client:
        known = client.read_automations_by_name(ZOMBIES)
    if not known:
        _zombies().create()


def _zombies() -> Automation:
    heartbeat = "prefect.flow-run.heartbeat"
    return Automation(
        name=ZOMBIES,
        description="Made by tabmint. Its runs send heartbeats; one that sends none, and has not ended, is dead.",
        trigger=EventTrigger(
            after={heartbeat},
            expect={"prefect.flow-run.*"},  # the next heartbeat, or any end, whatever its state is called
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            match_related=ResourceSpecification({"prefect.resource.id": [f"prefect.tag.{TAG}"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENT_FOR,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No heartbeat: the run's process is gone.")],
    )


def _check_pool(client: SyncPrefectClient, name: str) -> None:
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        remedy = f"create it with: prefect work-pool create {name} --type process"
        raise ConfigError(f'the work pool "{name}" must exist', actual="none", remedy=remedy) from None
    if pool.type != "process":
        remedy = "its workers run tabmint as it is installed beside them"
        raise ConfigError("the work pool must be one of type process", actual=f'"{pool.type}"', remedy=remedy)


def _declare(client: SyncPrefectClient, limit: str) -> None:
    """Create a limit of one slot, unless it is there."""
    try:
        client.read_global_concurrency_limit_by_name(limit)
    except ObjectNotFound:
        client.upsert_global_concurrency_limit_by_name(limit, limit=1)
