"""Prefect's environment on the command line: offline, quiet, and at home in the output folder."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from pipeline.errors import ConfigError

from .files import check_writable

QUIET_AND_OFFLINE = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",  # else the embedded server prints some 200 lines
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # Prefect still stores its logs
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",  # Ctrl-C ends the embedded server first, and its clients complain
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",  # a first start writes a database
}

HEARTBEAT_S = 30
"""How often a run says that it lives: the least that Prefect allows."""


def prepare_prefect(home: Path) -> None:
    """Set what the user has left unset; to be called before prefect is imported, which reads it once.

    Prefect keeps its database under `home`, unless the user has a home, a server or a profile of their own.

    Raises:
        ConfigError: `home` cannot be written.
    """
    for name, value in QUIET_AND_OFFLINE.items():
        os.environ.setdefault(name, value)
    has_profile = (Path.home() / ".prefect" / "profiles.toml").exists()
    if not has_profile and "PREFECT_API_URL" not in os.environ and "PREFECT_HOME" not in os.environ:
        check_writable(home)  # prefect makes no parents, and would wait in vain for a server without a home
        os.environ["PREFECT_HOME"] = str(home)


def has_server() -> bool:
    """Return whether the user's environment or Prefect profile names a server."""
    from prefect.settings import PREFECT_API_URL

    return PREFECT_API_URL.value() is not None


def use_server(address: str) -> None:
    """Let this process, and those it starts, use the server at an address, whatever was set when prefect was imported.

    A setting in a context would not do: Prefect's background threads do not see it, and start a server of their own.
    """
    from prefect.context import refresh_global_settings_context

    os.environ["PREFECT_API_URL"] = f"{address}/api"
    refresh_global_settings_context()


def reach_server(otherwise: str = "use --no-prefect") -> None:
    """Start the embedded server, or check that the user's server answers.

    Ctrl-C on a terminal reaches a whole group of processes. The embedded server is started with it blocked, so that it
    outlives the flow, which then can record how it ended.

    Args:
        otherwise: what else the user can do, for the message.

    Raises:
        ConfigError: the user's server does not answer.
    """
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with get_client(sync_client=True) as client:
            failure = client.api_healthcheck()
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    if failure is not None:
        remedy = f"start it, unset PREFECT_API_URL, or {otherwise}"
        actual = f"{failure} at {PREFECT_API_URL.value()}"
        raise ConfigError("the Prefect server must answer", actual=actual, remedy=remedy)


def reach_their_server() -> None:
    """Check that the user has a server, and that it answers.

    Raises:
        ConfigError: there is none, or it does not.
    """
    if not has_server():
        remedy = "set PREFECT_API_URL, or use tabmint serve, which needs none"
        raise ConfigError("a deployment needs a Prefect server that stays", actual="none", remedy=remedy)
    reach_server("use tabmint serve")
