"""Rows that must meet what a model does not ensure are drawn until they do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.encoded import BoolArray, Rows
from pipeline.errors import DataError

MOST_TRIES = 1_000
MOST_ROWS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Redrawn:
    """Rows that all fit.

    Attributes:
        table: the rows.
        acceptance: the part of all drawn rows that fitted, in (0, 1].
    """

    table: pa.Table
    acceptance: float


def redraw(n: int, draw: Callable[[Rows, int], pa.Table], fits: Callable[[pa.Table], BoolArray]) -> Redrawn:
    """Draw each of n rows until it fits: of several draws of a row the first that does, which is rejection sampling.

    Args:
        n: rows.
        draw: the numbers of the rows to draw, which may repeat, and of the round, which must seed it -> as many rows.
        fits: which rows of a table fit.

    Raises:
        DataError: a row did not fit in 1,000 tries.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> numbers = lambda rows, _: pa.table({"x": rng.integers(10, size=len(rows))})
        >>> even = redraw(3, numbers, lambda table: table["x"].to_numpy() % 2 == 0)
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
        fitting = np.flatnonzero(fits(table))
        first = fitting[np.unique(rows[fitting], return_index=True)[1]]
        parts.append(table.take(pa.array(first)))
        numbers.append(rows[first])
        missing = np.setdiff1d(missing, rows[first], assume_unique=True)
        tries, n_drawn, n_fitting, turn = tries + repeats, n_drawn + len(rows), n_fitting + len(fitting), turn + 1
        if len(missing) and tries >= MOST_TRIES:
            raise _too_few(len(missing), n_fitting, n_drawn)
    order = np.argsort(np.concatenate(numbers))
    return Redrawn(pa.concat_tables(parts).combine_chunks().take(pa.array(order)), n_fitting / max(n_drawn, 1))


def _repeats(n_missing: int, tries: int, acceptance: float) -> int:
    """Return how often to draw each missing row at once: as often as it may need, if memory allows."""
    wanted = min(math.ceil(1 / acceptance), MOST_TRIES - tries, MOST_ROWS_AT_ONCE // max(n_missing, 1))
    return max(1, wanted)


def _too_few(n_missing: int, n_fitting: int, n_drawn: int) -> DataError:
    return DataError(
        "rows that fit must be drawn often enough",
        actual=f"{n_fitting:,} of {n_drawn:,} drawn, and {n_missing:,} rows are missing after {MOST_TRIES:,} tries",
        remedy="ask for conditions that more train rows meet",
    )
