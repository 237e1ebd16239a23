"""`tabmint run`: the whole job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .options import Flag
from .outcome import Outcome, shown

if TYPE_CHECKING:
    from flows.steps import Release, RunRefusedError


def run(
    config: Path,
    /,
    *,
    settings: Annotated[tuple[str, ...], Parameter(name="--set", negative=(), show_default=False)] = (),
    no_prefect: Flag = False,
) -> Outcome:
    """Learn a table, draw a synthetic one, measure it, and publish it if every gate passes.

    As in:

    ```console
    $ tabmint run tabmint.toml --set generator.budget=60s
    ```

    Args:
        config: The config file, as `tabmint init` writes it.
        settings: One setting laid over the file, as `section.key=value`; may be repeated.
        no_prefect: Run the same steps without Prefect.
    """
    from flows.steps import RunRefusedError

    try:
        release = (_run_plainly if no_prefect else _run_flow)(config, settings)
    except RunRefusedError as refusal:
        return _refused(refusal)
    return _published(release)


def _run_plainly(config: Path, settings: tuple[str, ...]) -> Release:
    from flows.progress import show_progress
    from flows.settings import load_config
    from flows.steps import run_steps

    with show_progress() as display:
        return run_steps(load_config(config, settings), display)


def _run_flow(config: Path, settings: tuple[str, ...]) -> Release:
    from flows.environment import prepare_prefect, reach_server
    from flows.settings import load_config

    home = load_config(config, settings).output.root.resolve() / "prefect"
    prepare_prefect(home)
    sys.stderr.write("Prefect starts, which takes some seconds\n")
    reach_server()
    from flows.synthesize import synthesize

    return synthesize(config, settings)


def _published(release: Release) -> Outcome:
    report = release.folder / "report.html"
    lines = (
        f"Verdict    {release.verdict}, {release.n_passed} gate{'s' if release.n_passed != 1 else ''} passed",
        *(f"           {reason}" for reason in release.reviews),
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
