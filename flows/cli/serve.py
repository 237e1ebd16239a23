"""`tabmint serve`: the job on a schedule, in one process."""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from .options import Settings
from .outcome import Outcome

Port = Annotated[int, Parameter(validator=Number(gte=1, lte=65535))]


def serve(
    config: Path, /, *, cron: str, timezone: str = "UTC", settings: Settings = (), ui_port: Port = 4200
) -> Outcome:
    """Run the job on a schedule until Ctrl-C, with Prefect's UI beside it.

    Needs no account, no network and no other server: Prefect's own runs beside it, for this machine only, and keeps
    its database in the output folder. Where PREFECT_API_URL or a Prefect profile names a server, that one is used.

    As in:

    ```console
    $ tabmint serve tabmint.toml --cron "0 2 * * *" --timezone Europe/Oslo
    ```

    Args:
        config: The config file, as `tabmint init` writes it.
        cron: When to run: minute, hour, day, month, day of the week.
        timezone: Of the cron expression, and of the date that a run belongs to: the one on which it was to start.
        settings: One setting laid over the file, as `section.key=value`; may be repeated.
        ui_port: Where the UI is, on this machine only; not used with a server of your own.
    """
    from flows.environment import HEARTBEAT_S, prepare_prefect
    from flows.settings import load_config

    home = load_config(config, settings).output.root.resolve() / "prefect"
    os.environ.setdefault("PREFECT_FLOWS_HEARTBEAT_FREQUENCY", str(HEARTBEAT_S))
    prepare_prefect(home)
    sys.stderr.write("Prefect starts, which takes some seconds\n")
    from flows.serving import serve_config

    serve_config(config, settings, cron=cron, timezone=timezone, ui_port=ui_port, announce=_announce)
    return Outcome("done", ("Stopped    the schedule goes on when it is served again",))


def _announce(name: str, start: datetime, ui: str) -> None:
    sys.stdout.write(f"Serving    {name}, next run {start:%Y-%m-%d %H:%M %Z}; Ctrl-C ends it\nUI         {ui}\n")
    sys.stdout.flush()
