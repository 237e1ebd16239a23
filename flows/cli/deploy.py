"""`tabmint deploy`: the job on a Prefect server, for a work pool."""

from __future__ import annotations

from pathlib import Path

from .options import Settings
from .outcome import Outcome


def deploy(
    config: Path,
    /,
    *,
    pool: str,
    cron: str | None = None,
    timezone: str = "UTC",
    settings: Settings = (),
    device_limit: str | None = None,
) -> Outcome:
    """Create or update the job's deployment on your Prefect server, for the workers of a process pool.

    The server is the one that PREFECT_API_URL or a Prefect profile names. Workers run tabmint as it is installed beside
    them, and read the config where it lies now.

    As in:

    ```console
    $ tabmint deploy tabmint.toml --pool gpu-0 --cron "0 2 * * *" --timezone Europe/Oslo
    ```

    Args:
        config: The config file, as `tabmint init` writes it.
        pool: The work pool, of type process.
        cron: When to run: minute, hour, day, month, day of the week. Only by hand unless given.
        timezone: Of the cron expression, and of the date that a run belongs to: the one on which it was to start.
        settings: One setting laid over the file, as `section.key=value`; may be repeated.
        device_limit: A global concurrency limit that each fit takes a slot of, so that the fits of several deployments
            on a device take turns. Created with one slot where it is missing.
    """
    from flows.environment import prepare_prefect, reach_their_server
    from flows.settings import load_config

    prepare_prefect(load_config(config, settings).output.root.resolve() / "prefect")
    reach_their_server()
    from flows.deployment import deploy_config

    name = deploy_config(config, settings, pool=pool, cron=cron, timezone=timezone, device_limit=device_limit)
    when = "when somebody starts it" if cron is None else f"{cron} {timezone}"
    lines = (
        f"Deployed   {name}: {when}",
        f"Start      prefect deployment run {name}",
        f"Worker     prefect worker start --pool {pool}",
    )
    return Outcome("done", lines, {"deployment": name, "pool": pool})
