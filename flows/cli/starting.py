"""Starting Prefect for a command that runs flows."""

from __future__ import annotations

import sys
from pathlib import Path


def start_prefect(root: Path) -> None:
    """Prepare Prefect's environment, with its home under the output folder, and reach its server.

    Raises:
        ConfigError: the home cannot be written, or the user's server does not answer.
    """
    from flows.environment import prepare_prefect, reach_server

    prepare_prefect(root.resolve() / "prefect")
    sys.stderr.write("Prefect starts, which takes some seconds\n")
    reach_server()
