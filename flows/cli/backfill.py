"""`tabmint backfill`: the whole job for several dates."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from .options import Flag, Settings
from .outcome import Outcome, Status, outcome_of
from .starting import start_prefect

if TYPE_CHECKING:
    from flows.backfill import Dated, RunDate
    from flows.results import Release, Skipped

WORST_LAST = (0, 3, 2, 1)
"""Exit codes: a refused table is a run that worked; an unforeseen error tells least."""


def backfill(
    config: Path,
    /,
    *,
    first: Annotated[datetime.date, Parameter(name="--from")],
    last: Annotated[datetime.date, Parameter(name="--to")],
    settings: Settings = (),
    keep_going: Flag = False,
    no_prefect: Flag = False,
) -> Outcome:
    """Run the job for each of several dates, the oldest first, as `tabmint run --date` does for one.

    It stops after the first date that is refused or fails, and exits with the worst code of all dates. Dates that were
    published with the same inputs are skipped, so the same command goes on where it stopped. An older date than the
    current release's is published, and does not become current.

    As in:

    ```console
    $ tabmint backfill tabmint.toml --from 2026-11-01 --to 2026-11-07 --set 'source.path="visits-{date}.parquet"'
    ```

    Args:
        config: The config file, as `tabmint init` writes it; {date} in the source's path and query stands for the date.
        first: The first date, as 2026-11-01.
        last: The last date; at most 1,000 dates.
        settings: One setting laid over the file, as `section.key=value`; may be repeated.
        keep_going: Go on with the next date after one that is refused or fails.
        no_prefect: Run the same steps without Prefect.
    """
    from flows.backfill import backfill_dates, dates_from

    dates = dates_from(first, last)
    run = (_plainly if no_prefect else _as_flow)(config, settings)
    found = [_line(dated) for dated in backfill_dates(dates, run, keep_going=keep_going)]
    return _outcome(found, dates[len(found) :])


def _plainly(config: Path, settings: tuple[str, ...]) -> RunDate:
    from flows.progress import show_progress
    from flows.settings import load_config
    from flows.steps import run_steps

    loaded = load_config(config, settings)

    def run(date: datetime.date) -> Release | Skipped:
        _announce(date)
        with show_progress() as display:
            return run_steps(loaded, display, on=date)

    return run


def _as_flow(config: Path, settings: tuple[str, ...]) -> RunDate:
    from flows.settings import load_config

    start_prefect(load_config(config, settings).output.root)
    from flows.synthesize import synthesize

    def run(date: datetime.date) -> Release | Skipped:
        _announce(date)
        return synthesize(config, settings, date)

    return run


def _announce(date: datetime.date) -> None:
    sys.stderr.write(f"{date}\n")


def _line(dated: Dated) -> dict[str, Any]:
    """Return what is told of a date."""
    from flows.results import Release

    if isinstance(dated.end, Exception):
        outcome = outcome_of(dated.end)
        run_id, reason = getattr(dated.end, "run_id", ""), outcome.facts["message"]
        return _facts(dated, outcome.status, run_id, reason, outcome.exit_code)
    if isinstance(dated.end, Release):
        release = dated.end
        return _facts(dated, "published", release.run_id, f"{release.action.replace('_', ' ')}: {release.reason}", 0)
    return _facts(dated, "skipped", dated.end.run_id, dated.end.reason, 0)


def _facts(dated: Dated, status: Status, run_id: str, reason: str, exit_code: int) -> dict[str, Any]:
    return {"date": str(dated.date), "status": status, "run_id": run_id, "reason": reason, "exit_code": exit_code}


def _outcome(found: list[dict[str, Any]], left: Sequence[datetime.date]) -> Outcome:
    worst = max((line["exit_code"] for line in found), key=WORST_LAST.index)
    status: Status = {0: "done", 3: "refused"}.get(worst, "error")  # type: ignore[assignment]
    width = max(len(line["run_id"]) for line in found)
    lines = [f"{x['date']}  {x['status']:<9}  {x['run_id']:<{width}}  {x['reason']}" for x in found]
    lines += [f"{left[0]}  not run    nor any date after it"] if left else []
    return Outcome(status, tuple(lines), {"dates": found, "not_run": [str(date) for date in left]}, worst)
