"""Rows that must meet what a model does not ensure are drawn until they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.encoded import BoolArray, Rows
from pipeline.errors import DataError

MOST_TRIES = 1_000
FEWEST_DRAWN = 20_000
"""So many rows tell whether more than one in `MOST_TRIES` fits."""
MOST_ROWS_AT_ONCE = 1 << 18

Draw = Callable[[Rows, int], pa.Table]
"""The numbers of the rows to draw, which may repeat, and of the round, which must seed it -> as many rows."""
Broken = Callable[[pa.Table, Rows], Mapping[str, BoolArray]]
"""Drawn rows and their numbers -> which of them break each rule, by the rule's words."""


@dataclass(frozen=True)
class Redrawn:
    """Rows that all fit.

    Attributes:
        table: the rows.
        n_drawn: how many were drawn for them.
        n_fitting: how many of these fitted.
    """

    table: pa.Table
    n_drawn: int
    n_fitting: int

    @property
    def acceptance(self) -> float:
        """The part of all drawn rows that fitted, in (0, 1]."""
        return self.n_fitting / self.n_drawn if self.n_drawn else 1.0


def redraw(n: int, draw: Draw, broken: Broken) -> Redrawn:
    """Draw each of n rows until it fits: of several draws of a row the first that does, which is rejection sampling.

    Args:
        n: rows.
        draw: draws rows.
        broken: says which of them break which rule. It is asked about drawn rows behind those that fitted before, so
            that a rule may compare rows with earlier ones.

    Raises:
        DataError: a row did not fit in 1,000 tries, or fewer than one in 1,000 fit.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> numbers = lambda rows, _: pa.table({"x": rng.integers(10, size=len(rows))})
        >>> even = redraw(3, numbers, lambda table, _: {"x is even": table["x"].to_numpy() % 2 == 1})
        >>> [x % 2 for x in even.table["x"].to_pylist()]
        [0, 0, 0]
    """
    parts: list[pa.Table] = []
    numbers: list[Rows] = []
    missing, tries, n_drawn, n_fitting, turn = np.arange(n), 0, 0, 0, 0
    while len(missing) or not parts:
        repeats = _repeats(len(missing), tries, (n_fitting + 1) / (n_drawn + 1))
        rows = np.repeat(missing, repeats)
        table = draw(rows, turn)
        marks = broken(pa.concat_tables([*parts, table]), np.concatenate([*numbers, rows]))
        wrong = {rule: each[len(each) - len(rows) :] for rule, each in marks.items()}
        fitting = np.flatnonzero(~np.logical_or.reduce([*wrong.values(), np.zeros(len(rows), np.bool_)]))
        first = fitting[np.unique(rows[fitting], return_index=True)[1]]
        parts.append(table.take(pa.array(first)))
        numbers.append(rows[first])
        missing = np.setdiff1d(missing, rows[first], assume_unique=True)
        tries, n_drawn, n_fitting, turn = tries + repeats, n_drawn + len(rows), n_fitting + len(fitting), turn + 1
        hopeless = n_drawn >= FEWEST_DRAWN and n_fitting * MOST_TRIES < n_drawn
        if len(missing) and (hopeless or tries >= MOST_TRIES):
            raise _too_few(len(missing), n_fitting, n_drawn, wrong)
    order = np.argsort(np.concatenate(numbers))
    return Redrawn(pa.concat_tables(parts).combine_chunks().take(pa.array(order)), n_drawn, n_fitting)


def _repeats(n_missing: int, tries: int, acceptance: float) -> int:
    """Return how often to draw each missing row at once: as often as it may need, if memory allows."""
    wanted = min(math.ceil(1 / acceptance), MOST_TRIES - tries, MOST_ROWS_AT_ONCE // max(n_missing, 1))
    return max(1, wanted)


def _too_few(n_missing: int, n_fitting: int, n_drawn: int, wrong: Mapping[str, BoolArray]) -> DataError:
    worst = max(wrong, key=lambda rule: wrong[rule].mean())
    share = f"{wrong[worst].mean():.1%} of those drawn last break {worst}"
    return DataError(
        f"of {MOST_TRIES:,} drawn rows one at least must fit",
        actual=f"{n_fitting:,} of {n_drawn:,} that do, and {n_missing:,} rows are missing: {share}",
        remedy="ask for what more train rows meet: wider conditions, fewer rows, a constraint that the model can learn",
    )
