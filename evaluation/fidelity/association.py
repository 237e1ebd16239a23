"""How strongly two columns of one table belong together, by the statistic that suits their kinds."""

from __future__ import annotations

from typing import Literal

import numpy as np

from ..features import Frame
from ..statistics import FloatArray, IntArray, correlation_ratio, correlations, cramers_v, ranks
from ..threads import in_threads

Statistic = Literal["pearson", "cramers_v", "correlation_ratio"]
DENSE_CELLS = 1 << 20
"""Contingency tables with more cells are counted by sorting, so that memory follows the rows, not the levels."""


def statistic_of(frame: Frame, i: int, j: int) -> Statistic:
    """Return Pearson for two numbers, Cramér's V for two categories, else the correlation ratio."""
    by_categories: tuple[Statistic, ...] = ("pearson", "correlation_ratio", "cramers_v")
    return by_categories[frame.features[i].categorical + frame.features[j].categorical]


def pairs_of(frame: Frame) -> list[tuple[int, int]]:
    """Return the indices of all pairs of columns, in table order."""
    d = len(frame.features)
    return [(i, j) for i in range(d) for j in range(i + 1, d)]


def pairs_with_a_category(frame: Frame) -> list[tuple[int, int]]:
    """Return the pairs of columns that are not both numbers, in table order."""
    return [pair for pair in pairs_of(frame) if statistic_of(frame, *pair) != "pearson"]


def associations(frame: Frame) -> FloatArray:
    """Return the strength of association of every pair, **(d, d)** and symmetric, by the statistic of their kinds.

    In Cramér's V missing is a level; elsewhere a row counts where both cells are present. An association that is
    undefined, as where a column is constant or empty, is NaN.
    """
    strength = np.eye(len(frame.features))
    numeric = [i for i, feature in enumerate(frame.features) if not feature.categorical]
    if numeric:
        strength[np.ix_(numeric, numeric)] = correlations(numeric_columns(frame, numeric))
    pairs = pairs_with_a_category(frame)
    found = in_threads(lambda pair: _with_category(frame, *pair), pairs, length=frame.n_rows)
    for (i, j), value in zip(pairs, found, strict=True):
        strength[i, j] = strength[j, i] = value
    return strength


def rank_correlations(frame: Frame) -> FloatArray:
    """Return Spearman's correlations of the numeric columns, **(k, k)**, ranked over each column's present cells."""
    numeric = [i for i, feature in enumerate(frame.features) if not feature.categorical]
    return correlations(ranks(numeric_columns(frame, numeric)))


def numeric_columns(frame: Frame, indices: list[int]) -> FloatArray:
    """Return the given columns as float64 **(len(indices), n_rows)**, NaN for missing."""
    return np.array([frame.columns[i] for i in indices], dtype=np.float64).reshape(len(indices), frame.n_rows)


def _with_category(frame: Frame, i: int, j: int) -> float:
    if not frame.features[j].categorical:
        return correlation_ratio(frame.codes(i), frame.numbers(j))
    if not frame.features[i].categorical:
        return correlation_ratio(frame.codes(j), frame.numbers(i))
    width = len(frame.features[j].labels) + 1
    cells, counts = filled_cells(frame.codes(i) * width + frame.codes(j), (len(frame.features[i].labels) + 1) * width)
    return cramers_v(counts, cells // width, cells % width)


def filled_cells(joint: IntArray, n_cells: int) -> tuple[IntArray, IntArray]:
    """Return the cells that occur and how often.

    Example:
        >>> filled_cells(np.array([3, 0, 3]), 5)
        (array([0, 3]), array([1, 2]))

    """
    if n_cells > DENSE_CELLS:
        return np.unique(joint, return_counts=True)
    counts = np.bincount(joint, minlength=n_cells)
    cells = np.flatnonzero(counts)
    return cells, counts[cells]
