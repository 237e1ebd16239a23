"""Intervals of numbers that have no simple influence per row, by leaving out groups of rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pandas.util import hash_array
from scipy.stats import t

from .features import Frame
from .measurement import Interval
from .statistics import FloatArray

Statistic = Callable[[Frame, Frame], FloatArray]
N_GROUPS = 10
MOST_ROWS = 10_000
"""Of the larger table: its variance, and that of the same share of the other, is scaled to all rows."""
LEVEL = 0.95


def reaches(statistic: Statistic, train: Frame, other: Frame, rng: np.random.Generator) -> FloatArray:
    """Return half the length of the 95 % interval of every number that `statistic` returns, **(n_numbers,)**.

    Both tables are cut at random into ten groups of rows, and each number is computed without one group of either: the
    tables are independent, so the variances add. Larger tables are thinned to 10,000 rows first and the standard error
    scaled with the root of the share of the rows. NaN where a table has fewer than two rows a group.

    Source: Shao and Tu 1995, The Jackknife and Bootstrap, sec. 2.3 (delete-a-group), with 9 degrees of freedom.

    Example:
        >>> from evaluation.features import Feature
        >>> from pipeline.columns import Integer
        >>> rng = np.random.default_rng(0)
        >>> one, other = (
        ...     Frame((Feature("x", Integer(name="x", arrow="int64")),), (rng.normal(size=400),), 400) for _ in range(2)
        ... )
        >>> mean = lambda train, other: np.array([other.columns[0].mean() - train.columns[0].mean()])
        >>> bool(0.08 < reaches(mean, one, other, rng)[0] < 0.25)  # 1.96 * sqrt(2 / 400) is .14
        True

    """
    share = min(1.0, MOST_ROWS / max(train.n_rows, other.n_rows, 1))
    thinned = [_thinned(frame, round(share * frame.n_rows), rng) for frame in (train, other)]
    groups = [np.arange(frame.n_rows) % N_GROUPS for frame in thinned]
    if min(frame.n_rows for frame in thinned) < 2 * N_GROUPS:
        return np.full(len(statistic(train, other)), np.nan)
    without = [
        statistic(*(frame.take(group != left_out) for frame, group in zip(thinned, groups, strict=True)))
        for left_out in range(N_GROUPS)
    ]
    variance = (N_GROUPS - 1) * np.var(np.array(without), axis=0)
    return np.asarray(t.ppf((1 + LEVEL) / 2, N_GROUPS - 1) * np.sqrt(share * variance))


def _thinned(frame: Frame, n_rows: int, rng: np.random.Generator) -> Frame:
    """Return so many rows at random and in random order, whatever order they are given in."""
    total = np.zeros(frame.n_rows, dtype=np.uint64)
    for index in range(len(frame.features)):
        weight = rng.integers(1 << 62, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        total += hash_array(frame.numbers(index) + 0.0) * weight  # -0.0 + 0.0 is 0.0
    return frame.take(np.argsort(total, kind="stable")[rng.permutation(frame.n_rows)[:n_rows]])


def around(value: float, reach: float, lowest: float, highest: float) -> Interval | None:
    """Return the interval that reaches so far to either side, clipped to what the number can take; None for NaN.

    Example:
        >>> around(0.125, 0.25, 0.0, 1.0)
        (0.0, 0.375)

    """
    return None if np.isnan(reach) else (max(value - reach, lowest), min(value + reach, highest))
