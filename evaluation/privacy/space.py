"""The mixed distance between rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..features import Frame
from ..statistics import BoolArray, FloatArray, IntArray

Float32Array = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32] | npt.NDArray[np.int16]
BLOCK_CELLS = 1 << 18
"""Distances held at a time: the temporaries of so few cells stay in the processor's second cache, and each operation
still lasts so long that threads seldom wait for Python's lock."""
MISSING_RANK, MISSING_PLACE = 2.0, 1e6
"""A missing number lies further than 1 from every other and at 0 from a missing one."""


@dataclass(frozen=True)
class Axis:
    """The scale of one numeric column, from the pooled original rows, so that train and holdout weigh the same.

    Attributes:
        known: the present values, sorted.
        low: their 2.5 % quantile.
        spread: the distance to their 97.5 % quantile; where that is none, the whole range.

    """

    known: FloatArray
    low: float
    spread: float

    @classmethod
    def of(cls, numbers: FloatArray) -> Axis:
        """Read the scale off a column; NaN is missing."""
        known = np.sort(numbers[~np.isnan(numbers)])
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (0.0, 0.0)
        spread = high - low if high > low or not len(known) else known[-1] - known[0]
        return cls(known, float(low), float(spread))

    def ranks(self, numbers: FloatArray) -> FloatArray:
        """Return mid-ranks in [0, 1]."""
        sides = [np.searchsorted(self.known, numbers, side=side) for side in ("left", "right")]
        return (sides[0] + sides[1]) / max(2 * len(self.known), 1)

    def places(self, numbers: FloatArray) -> FloatArray:
        """Return positions in units of the spread; ranks where there is no spread."""
        return (numbers - self.low) / self.spread if self.spread > 0 else self.ranks(numbers)


@dataclass(frozen=True)
class Points:
    """Rows placed for the mixed distance.

    Attributes:
        ranks, places: float32 **(n_numeric, n_rows)**.
        codes: int16 or int32 **(n_categorical, n_rows)**, -1 for missing.
        gaps: bool **(n_numeric,)**, where a number may be missing.

    """

    ranks: Float32Array
    places: Float32Array
    codes: Codes
    gaps: BoolArray

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    @property
    def n_columns(self) -> int:
        """The number of columns that a distance adds up."""
        return len(self.ranks) + len(self.codes)

    def take(self, rows: IntArray) -> Points:
        """Return the given rows, in the given order; of rows **(n, k)**, k for each of n queries."""
        # `take` leaves each column in one piece of memory, which indexing with an array does not.
        ranks, places = (each.take(rows, axis=1) for each in (self.ranks, self.places))
        return Points(ranks, places, self.codes.take(rows, axis=1), self.gaps)


class Space:
    """The mixed distance: the mean over columns of a difference in [0, 1].

    Numbers and times: the smaller of the difference of mid-ranks and the difference in units of the 2.5-97.5 % range,
    so that neither a crowded nor a stretched part of the axis hides a near copy. Categories: 0 or 1. Missing beside
    missing: 0; beside a value: 1.

    Without `ranks` the difference in units of the range counts alone, up to 1: by ranks the largest number is as near
    to the second largest as any two others, so no number could be an outlier.

    Example:
        >>> from evaluation.features import Feature
        >>> from pipeline.columns import Integer
        >>> age = Feature("age", Integer(name="age", arrow="int64", nullable=True))
        >>> rows = Frame((age,), (np.array([20.0, 30.0, np.nan]),), 3)
        >>> space = Space(rows)
        >>> space.distances(space.place(rows), space.place(rows)).round(2)
        array([[0. , 0.5, 1. ],
               [0.5, 0. , 1. ],
               [1. , 1. , 0. ]], dtype=float32)

    """

    def __init__(self, pooled: Frame, *, ranks: bool = True) -> None:
        self.by_rank = ranks
        indices = range(len(pooled.features))
        self._numeric = [i for i in indices if not pooled.features[i].categorical]
        self._categorical = [i for i in indices if pooled.features[i].categorical]
        self._axes = [Axis.of(pooled.numbers(i)) for i in self._numeric]

    def place(self, frame: Frame) -> Points:
        """Place the rows of a frame."""
        numbers = [frame.numbers(i) for i in self._numeric]
        ranks = [axis.ranks(x) for axis, x in zip(self._axes, numbers, strict=True)]
        places = [axis.places(x) for axis, x in zip(self._axes, numbers, strict=True)]
        many = any(len(frame.features[i].labels) > np.iinfo(np.int16).max for i in self._categorical)
        codes = np.array([frame.columns[i] for i in self._categorical], dtype=np.int64).reshape(
            len(self._categorical), frame.n_rows
        )
        return Points(
            _filled(ranks, numbers, MISSING_RANK, frame.n_rows),
            _filled(places, numbers, MISSING_PLACE, frame.n_rows),
            codes.astype(np.int32) if many else codes.astype(np.int16),
            np.array([np.isnan(x).any() for x in numbers], dtype=np.bool_),
        )

    def distances(self, queries: Points, references: Points) -> Float32Array:
        """Return the distances **(n_queries, n_references)**, all at once.

        References taken as **(n_queries, k)** are each compared with their own query: **(n_queries, k)**.
        """
        total = self._categories_that_differ(queries, references)
        nearer, other = np.empty_like(total), np.empty_like(total)
        for i in range(len(self._numeric)):
            _gap(queries.places[i], references.places[i], nearer)
            if self.by_rank:
                _gap(queries.ranks[i], references.ranks[i], other)
                np.minimum(nearer, other, out=nearer)
            if not self.by_rank or queries.gaps[i] or references.gaps[i]:
                np.minimum(nearer, 1.0, out=nearer)  # ranks of present values differ by no more than 1
            total += nearer
        total /= len(self._numeric) + len(self._categorical)
        return total

    def _categories_that_differ(self, queries: Points, references: Points) -> Float32Array:
        """Count in bytes as far as they reach: a quarter of the memory that floats would pass through."""
        shape = (len(queries), references.codes.shape[-1])
        count = np.zeros(shape, dtype=np.min_scalar_type(len(self._categorical)))
        differs = np.empty(count.shape, dtype=np.bool_)
        for i in range(len(self._categorical)):
            np.not_equal(queries.codes[i][:, None], references.codes[i], out=differs)
            np.add(count, differs.view(np.uint8), out=count)
        return count.astype(np.float32)


def _filled(columns: list[FloatArray], numbers: list[FloatArray], missing: float, n_rows: int) -> Float32Array:
    filled = [np.where(np.isnan(x), missing, column) for column, x in zip(columns, numbers, strict=True)]
    return np.array(filled, dtype=np.float32).reshape(len(columns), n_rows)


def _gap(queries: Float32Array, references: Float32Array, out: Float32Array) -> None:
    np.subtract(queries[:, None], references, out=out)
    np.abs(out, out=out)


def blocks_of(n_queries: int, n_references: int) -> list[IntArray]:
    """Return the places of the queries of each block, in which `BLOCK_CELLS` distances are held at a time.

    Example:
        >>> [len(block) for block in blocks_of(10, BLOCK_CELLS // 4)]
        [4, 4, 2]

    """
    size = max(1, BLOCK_CELLS // max(n_references, 1))
    return [np.arange(start, min(start + size, n_queries)) for start in range(0, n_queries, size)]
