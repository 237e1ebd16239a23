"""`tabmint run`: the whole job."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .options import Flag, Settings
from .outcome import Outcome, shown
from .starting import start_prefect

if TYPE_CHECKING:
    from flows.results import Release, RunRefusedError, Skipped

Force = Literal["refit", "warm_start", "sample"]


def run(
    config: Path,
    /,
    *,
    settings: Settings = (),
    date: datetime.date | None = None,
    force: Force | None = None,
    no_prefect: Flag = False,
) -> Outcome:
    """Learn a table, draw a synthetic one, measure it, and publish it if every gate passes.

    The run decides first what there is to do: nothing where records, settings and code are those of the last accepted
    release; otherwise to draw from its model again, to go on training it, or to fit anew. It says which, and why.

    As in:

    ```console
    $ tabmint run tabmint.toml --set generator.budget=60s
    ```

    Args:
        config: The config file, as `tabmint init` writes it.
        settings: One setting laid over the file, as `section.key=value`; may be repeated.
        date: The date that the run belongs to, as 2026-11-25, which its seed derives from and {date} stands for in the
            source's path and query. Today's date, and the seed as it is, unless given.
        force: What to do about the model, whatever has changed.
        no_prefect: Run the same steps without Prefect.
    """
    from flows.results import RunRefusedError, Skipped

    try:
        result = (_run_plainly if no_prefect else _run_flow)(config, settings, date, force)
    except RunRefusedError as refusal:
        return _refused(refusal)
    return _skipped(result) if isinstance(result, Skipped) else _published(result)


def _run_plainly(
    config: Path, settings: tuple[str, ...], date: datetime.date | None, force: Force | None
) -> Release | Skipped:
    from flows.progress import show_progress
    from flows.settings import load_config
    from flows.steps import run_steps

    with show_progress() as display:
        return run_steps(load_config(config, settings), display, on=date, forced=force)


def _run_flow(
    config: Path, settings: tuple[str, ...], date: datetime.date | None, force: Force | None
) -> Release | Skipped:
    from flows.settings import load_config

    start_prefect(load_config(config, settings).output.root)
    from flows.synthesize import synthesize

    return synthesize(config, settings, date, force)


def _skipped(run: Skipped) -> Outcome:
    report = None if run.folder is None else run.folder / "report.html"
    lines = (
        f"Skipped    {run.reason}",
        f"Stands     {run.run_id if run.folder is None else shown(run.folder)}",
        *([] if report is None else [f"Report     {shown(report)}"]),
    )
    return Outcome("skipped", lines, {**run.model_dump(mode="json"), "report": None if report is None else str(report)})


def _published(release: Release) -> Outcome:
    report = release.folder / "report.html"
    lines = (
        f"Verdict    {release.verdict}, {release.n_passed} gate{'s' if release.n_passed != 1 else ''} passed",
        *(f"           {reason}" for reason in release.reviews),
        f"Model      {release.action.replace('_', ' ')}: {release.reason}",
        f"Published  {shown(release.folder)}",
        f"Report     {shown(report)}",
    )
    facts = {**release.model_dump(mode="json"), "verdict": release.verdict, "report": str(report)}
    return Outcome("published", lines, facts)


def _refused(refusal: RunRefusedError) -> Outcome:
    report = refusal.folder / "report.html"
    lines = (
        f"Verdict    {refusal.verdict}, {refusal.actual}",
        *(f"           {reason}" for reason in refusal.failures),
        "Published  nothing; the last release stays current",
        f"Report     {shown(report)}",
    )
    facts = {
        "verdict": refusal.verdict,
        "failures": refusal.failures,
        "folder": str(refusal.folder),
        "report": str(report),
    }
    return Outcome("refused", lines, facts, exit_code=3)
