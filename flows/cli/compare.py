"""`tabmint compare`: the families side by side."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .options import Budget, Flag, Settings
from .outcome import Outcome, shown
from .starting import start_prefect

if TYPE_CHECKING:
    from flows.table_of_families import Comparison

KINDS = "flow_matching,ddpm,vae,wgan_gp"
NARROW = ("family", "verdict", "detector AUC", "shape", "trend", "utility gap", "membership AUC",
          "fit s", "rows/s", "holdout nats", "model MB")  # fmt: skip
"""What the table on the screen shows; the page and the JSON have more."""


def compare(
    config: Path,
    /,
    *,
    settings: Settings = (),
    budget: Annotated[Budget | None, Parameter(show_default=False)] = None,
    kinds: str = KINDS,
    date: datetime.date | None = None,
    no_prefect: Flag = False,
) -> Outcome:
    """Fit several families to the same rows within the same budget, judge each by the gates, and name a winner.

    Then say which family serves which purpose, as far as these runs can tell them apart. Nothing is published; the
    table and the reports go to comparisons/ in the output folder.

    A family that fails a gate is out. Of the others, PASS comes before REVIEW, then the smallest detector AUC. Families
    whose AUC lies within the 95 % interval of the smallest are tied, and the one that took the fewest seconds to fit
    and sample wins. Where all fail, none does, and the command exits with 3.

    As in:

    ```console
    $ tabmint compare tabmint.toml --budget 60s --kinds flow_matching,vae
    ```

    Args:
        config: The config file, as `tabmint init` writes it. Settings of its generator hold for its own kind alone.
        settings: One setting laid over the file, as `section.key=value`; may be repeated.
        budget: The most wall-clock time to train each for, as 90, 120s, 2m or 1h; that of the config unless given.
        kinds: The kinds of generators, with commas between, fitted one after the other.
        date: The date that {date} stands for in the source's path and query; today's unless given.
        no_prefect: Run the same steps without Prefect.
    """
    names = tuple(name.strip() for name in kinds.split(",") if name.strip())
    found = (_plainly if no_prefect else _as_flow)(config, settings, names, budget, date)
    lines = (
        *_table(found),
        "",
        f"Winner     {'' if found.winner else 'none. '}{found.reason}",
        f"Rule       {found.rule}",
        *(f"{advice.purpose.capitalize()}: {advice.words}" for advice in found.advice),
        "",
        f"Table      {shown(found.folder / 'comparison.html')}",
    )
    facts = {**found.model_dump(mode="json"), "page": str(found.folder / "comparison.html")}
    return Outcome("done", lines, facts) if found.winner else Outcome("refused", lines, facts, exit_code=3)


def _plainly(
    config: Path, settings: tuple[str, ...], kinds: tuple[str, ...], budget: float | None, date: datetime.date | None
) -> Comparison:
    from flows.comparison import compare_families
    from flows.progress import show_progress
    from flows.settings import load_config

    with show_progress() as display:
        return compare_families(load_config(config, settings), display, kinds=kinds, budget_s=budget, on=date)


def _as_flow(
    config: Path, settings: tuple[str, ...], kinds: tuple[str, ...], budget: float | None, date: datetime.date | None
) -> Comparison:
    from flows.settings import load_config

    start_prefect(load_config(config, settings).output.root)
    from flows.compare import compare as flow

    return flow(config, settings, kinds, budget, date)


def _table(found: Comparison) -> list[str]:
    from flows.table_of_families import cells

    rows = [NARROW, *(tuple(cells(row)[heading] for heading in NARROW) for row in found.rows)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
