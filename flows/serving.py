"""Serving a deployment: one process that keeps a schedule, starts its runs, and watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterDeploymentId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.runner import Runner
from prefect.states import Crashed

from .deployment import deployment_of, mark_zombies, next_start, timetable
from .environment import has_server, reach_server, use_server
from .server import local_server
from .settings import load_config

UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
Announce = Callable[[str, datetime, str], None]
"""Told the name of the deployment, when its next run starts, and where the UI is."""


def serve_config(
    config_path: Path, overrides: tuple[str, ...], *, cron: str, timezone: str, ui_port: int, announce: Announce
) -> None:
    """Serve the deployment of a config until Ctrl-C or SIGTERM ends it; its schedule goes on with the next serving.

    One run at a time: a late one waits. A run that is under way when serving ends is ended and marked as crashed; the
    next one of its date goes on from its checkpoint.

    Raises:
        ConfigError: the config, the schedule, the port or the server is wrong; nothing has started then.
    """
    schedule, theirs = timetable(cron, timezone), has_server()
    deployment = deployment_of(config_path, overrides, schedule, timezone)
    with _server(load_config(config_path, overrides).output.root.resolve() / "prefect", ui_port) as ui:
        mark_zombies()
        runner = Runner(pause_on_shutdown=False, limit=1)
        deployment_id: UUID = runner.add_deployment(deployment)  # type: ignore[assignment]  # no loop runs, no coroutine
        announce(deployment.name, asyncio.run(next_start(schedule)), ui)
        try:
            asyncio.run(runner.start())
        except KeyboardInterrupt:
            pass  # Ctrl-C is how a serving ends
        finally:
            if not theirs:  # nobody else runs this deployment; elsewhere the missing heartbeats tell
                _end_runs(deployment_id)


@contextmanager
def _server(home: Path, ui_port: int) -> Iterator[str]:
    """Yield where the UI is: that of the user's server, or of one that runs as long as the context."""
    if has_server():
        from prefect.settings import PREFECT_UI_URL

        reach_server("choose another one")
        yield str(PREFECT_UI_URL.value())
        return
    with local_server(home, ui_port) as address:
        use_server(address)
        yield address


def _end_runs(deployment_id: UUID) -> None:
    """Mark as crashed what the runner killed on its way out, which has no time left to tell."""
    unfinished = FlowRunFilter(
        deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)),
    )
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=unfinished):
            client.set_flow_run_state(run.id, Crashed(message="The serving that ran it was ended."))
