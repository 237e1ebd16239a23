"""Train columns, whole or in long runs, in the lists and tensors of a file."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from ...statistics import BoolArray, FloatArray, IntArray
from .train_values import TrainColumn

EVIDENCE = 60.0
"""Bits that a run of cells must have: 2 to the 60 is far more than the places where one could lie by chance."""
SHORTEST_RUN = 8
FEWEST_VALUES = 20
MOST_RARE_VALUES = 0.1
"""The share of the rows of which rare values may stand in one list: quantiles and edges of bins are far fewer."""
SAME_VALUES = 0.9
SAME_ORDER = 0.9999
A_FEW = 32
ROUNDING = 1e-5


def has_run(codes: IntArray, column: TrainColumn) -> bool:
    """Return whether a sequence, as codes of the column, repeats a run of its cells in the order of the rows.

    Runs have at least 60 bits, counted where a cell differs from the one before it. A strictly ascending or descending
    run is a vocabulary, not a piece of the table.

    Example:
        >>> import pyarrow as pa
        >>> from .train_values import train_column
        >>> column = train_column("x", pa.chunked_array([np.random.default_rng(0).integers(100, size=200)]))
        >>> has_run(column.codes[50:100], column), has_run(np.arange(90), column), has_run(column.codes[::2], column)
        (True, False, False)

    """
    length = _run_length(column)
    if length is None or len(codes) < length or longest(codes >= 0) < length:
        return False
    own, other = _windows(column.codes, length), _windows(codes, length)
    likely = np.isin(other, own[_whole(column.codes, length)]) & _whole(codes, length)
    likely &= ~_ordered(codes, length) & (_bits(codes, column, length) >= EVIDENCE / 2)
    return bool(likely.any())


def has_values(codes: IntArray, column: TrainColumn, protect: int) -> bool:
    """Return whether a list, as codes of the column, is a large part of its values in any order, with multiplicities.

    At least 90 % of the list are cells of the column, each counted as often as the column has it, and those that fewer
    than `protect` rows carry are at least twenty and a tenth of the rows.
    """
    met = np.minimum(np.bincount(codes[codes >= 0], minlength=len(column.counts)), column.counts)
    rare = int(met[column.counts < protect].sum())
    enough = max(FEWEST_VALUES, MOST_RARE_VALUES * len(column.codes))
    return rare >= enough and int(met.sum()) >= SAME_VALUES * len(codes)


def has_order(values: npt.NDArray[np.float64], column: TrainColumn) -> bool:
    """Return whether numbers, one per row, are the column rescaled or recoded: they tie and rank as its cells do.

    Of a column of few values any one-to-one recoding is recognised; of one of many, any monotone one.
    """
    rows = column.present
    if len(values) != len(column.codes) or len(rows) < FEWEST_VALUES or len(column.counts) < 2:
        return False
    own, other = column.codes[rows], values[rows]
    if len(column.counts) > len(rows) / 2:
        if not _rises_or_falls(own[:A_FEW], other[:A_FEW]):
            return False
        ranks = rankdata(other)
        return bool(np.ptp(ranks) > 0) and abs(float(np.corrcoef(own, ranks)[0, 1])) >= SAME_ORDER
    if len(np.unique(other[: len(column.counts) + 1])) > len(column.counts):
        return False
    distinct, recoded = np.unique(other, return_inverse=True)
    pairs = len(np.unique(np.stack([own, recoded]), axis=1).T)
    return pairs == len(distinct) == len(column.counts) and _entropy(column) * len(rows) >= EVIDENCE


def _rises_or_falls(own: IntArray, other: FloatArray) -> bool:
    """Return whether one is monotone in the other: a quick answer for most lists, which are not."""
    steps = np.diff(other[np.argsort(own, kind="stable")])
    return bool((steps >= 0).sum() >= len(steps) - 1 or (steps <= 0).sum() >= len(steps) - 1)


def has_spacing(values: npt.NDArray[np.float64], column: TrainColumn) -> bool:
    """Return whether numbers are a column of many values, rescaled and in any order: the gaps are the same."""
    if column.numbers is None or len(column.counts) <= len(column.codes) / 2:
        return False
    known = column.numbers[np.isfinite(column.numbers)]
    if len(values) != len(known) or len(known) < FEWEST_VALUES or not (np.ptp(known) > 0 and np.ptp(values) > 0):
        return False
    one, other = _unit(known), _unit(values)
    tolerance = ROUNDING * float(np.subtract(*np.quantile(one, [0.75, 0.25])))
    return any(bool(np.abs(one - way).max() < tolerance) for way in (other, 1.0 - other[::-1]))


def _run_length(column: TrainColumn) -> int | None:
    """Return how many cells in a row have `EVIDENCE` on average, or None where the column has not so many."""
    per_cell = float(np.mean(_information(column.codes, column)))
    if per_cell * len(column.codes) < EVIDENCE:
        return None
    return max(SHORTEST_RUN, math.ceil(EVIDENCE / per_cell))


def _information(codes: IntArray, column: TrainColumn) -> FloatArray:
    """Return the bits of every cell, 0 where it is missing or the same as the one before it."""
    bits = np.append(-np.log2(column.counts.clip(min=1) / max(column.counts.sum(), 1)), 0.0)
    changes = np.append(True, codes[1:] != codes[:-1])[: len(codes)]
    return np.asarray(np.where(changes, bits[codes], 0.0), np.float64)


def _bits(codes: IntArray, column: TrainColumn, length: int) -> FloatArray:
    total = np.concatenate([[0.0], np.cumsum(_information(codes, column))])
    return np.asarray(total[length:] - total[:-length], np.float64)


def _entropy(column: TrainColumn) -> float:
    shares = column.counts[column.counts > 0] / max(column.counts.sum(), 1)
    return float(-(shares * np.log2(shares)).sum())


def _windows(codes: IntArray, length: int) -> npt.NDArray[np.uint64]:
    """Return a hash of every `length` cells in a row: a polynomial modulo 2^64."""
    spread = (codes.astype(np.uint64) + np.uint64(2)) * np.uint64(0x9E3779B97F4A7C15)
    spread ^= spread >> np.uint64(29)
    total = np.zeros(max(0, len(codes) - length + 1), np.uint64)
    for i in range(length):
        total = total * np.uint64(0xBF58476D1CE4E5B9) + spread[i : i + len(total)]
    return total


def _whole(codes: IntArray, length: int) -> BoolArray:
    """Mark the windows without a cell that is missing or unknown."""
    total = np.concatenate([[0], np.cumsum(codes < 0)])
    return np.asarray(total[length:] == total[:-length], np.bool_)


def _ordered(codes: IntArray, length: int) -> BoolArray:
    """Mark the windows that ascend or descend strictly."""
    steps = np.sign(np.diff(codes))
    total = np.concatenate([[0], np.cumsum(steps)])
    return np.asarray(np.abs(total[length - 1 :] - total[: len(total) - length + 1]) == length - 1, np.bool_)


def longest(marks: BoolArray) -> int:
    """Return the length of the longest run of marks."""
    gaps = np.flatnonzero(~np.concatenate([[False], marks, [False]]))
    return int(np.diff(gaps).max(initial=1)) - 1


def _unit(values: FloatArray) -> FloatArray:
    ordered = np.sort(values)
    return np.asarray((ordered - ordered[0]) / (ordered[-1] - ordered[0]), np.float64)
