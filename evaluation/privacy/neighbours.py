"""The mixed distance between rows, and exact nearest neighbours under it, block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..features import Frame
from ..statistics import FloatArray, IntArray

Float32Array = npt.NDArray[np.float32]
BLOCK_CELLS = 1 << 20
"""Distances held at a time: three temporaries of this many cells stay below 10 MB, and in the processor's cache."""
MISSING_RANK, MISSING_PLACE = 2.0, 1e6
"""A missing number lies further than 1 from every other and at 0 from a missing one."""


@dataclass(frozen=True)
class Axis:
    """The scale of one numeric column, from the pooled original rows, so that train and holdout weigh the same.

    Attributes:
        known: the present values, sorted.
        low: their 2.5 % quantile.
        spread: the distance to their 97.5 % quantile.

    """

    known: FloatArray
    low: float
    spread: float

    @classmethod
    def of(cls, numbers: FloatArray) -> Axis:
        """Read the scale off a column; NaN is missing."""
        known = np.sort(numbers[~np.isnan(numbers)])
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (0.0, 0.0)
        return cls(known, float(low), float(high - low))

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
        codes: int32 **(n_categorical, n_rows)**, -1 for missing.

    """

    ranks: Float32Array
    places: Float32Array
    codes: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.codes.shape[1])

    def take(self, rows: IntArray) -> Points:
        """Return the given rows, in the given order."""
        return Points(self.ranks[:, rows], self.places[:, rows], self.codes[:, rows])


class Space:
    """The mixed distance: the mean over columns of a difference in [0, 1].

    Numbers and times: the smaller of the difference of mid-ranks and the difference in units of the 2.5-97.5 % range,
    so that neither a crowded nor a stretched part of the axis hides a near copy. Categories: 0 or 1. Missing beside
    missing: 0; beside a value: 1.

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

    def __init__(self, pooled: Frame) -> None:
        indices = range(len(pooled.features))
        self._numeric = [i for i in indices if not pooled.features[i].categorical]
        self._categorical = [i for i in indices if pooled.features[i].categorical]
        self._axes = [Axis.of(pooled.numbers(i)) for i in self._numeric]

    def place(self, frame: Frame) -> Points:
        """Place the rows of a frame."""
        numbers = [frame.numbers(i) for i in self._numeric]
        ranks = [axis.ranks(x) for axis, x in zip(self._axes, numbers, strict=True)]
        places = [axis.places(x) for axis, x in zip(self._axes, numbers, strict=True)]
        codes = np.array([frame.columns[i] for i in self._categorical], dtype=np.int32)
        return Points(
            _filled(ranks, numbers, MISSING_RANK, frame.n_rows),
            _filled(places, numbers, MISSING_PLACE, frame.n_rows),
            codes.reshape(len(self._categorical), frame.n_rows),
        )

    def distances(self, queries: Points, references: Points) -> Float32Array:
        """Return the distances **(n_queries, n_references)**, all at once."""
        total = np.zeros((len(queries), len(references)), dtype=np.float32)
        nearer, other = np.empty_like(total), np.empty_like(total)
        for i in range(len(self._numeric)):
            _gap(queries.ranks[i], references.ranks[i], nearer)
            _gap(queries.places[i], references.places[i], other)
            np.minimum(nearer, other, out=nearer)
            np.minimum(nearer, 1.0, out=nearer)
            total += nearer
        differs = np.empty(total.shape, dtype=np.bool_)
        for i in range(len(self._categorical)):
            np.not_equal(queries.codes[i][:, None], references.codes[i], out=differs)
            total += differs
        total /= len(self._numeric) + len(self._categorical)
        return total


def _filled(columns: list[FloatArray], numbers: list[FloatArray], missing: float, n_rows: int) -> Float32Array:
    filled = [np.where(np.isnan(x), missing, column) for column, x in zip(columns, numbers, strict=True)]
    return np.array(filled, dtype=np.float32).reshape(len(columns), n_rows)


def _gap(queries: Float32Array, references: Float32Array, out: Float32Array) -> None:
    np.subtract(queries[:, None], references, out=out)
    np.abs(out, out=out)


@dataclass(frozen=True)
class Nearest:
    """For every query, the distances to the nearest and second nearest reference row, and which the nearest is."""

    first: Float32Array
    second: Float32Array
    row: IntArray

    def ratio(self) -> FloatArray:
        """Return nearest over second nearest; 1 where both are at distance 0."""
        return np.divide(self.first, self.second, out=np.ones(len(self.first)), where=self.second > 0)


def nearest(space: Space, queries: Points, references: Points, block_cells: int = BLOCK_CELLS) -> Nearest:
    """Search the two nearest of at least two reference rows exactly, holding `block_cells` distances at a time."""
    size = max(1, block_cells // len(references))
    starts = range(0, len(queries), size)
    blocks = [_two_nearest(space, queries.take(np.arange(s, min(s + size, len(queries)))), references) for s in starts]
    return Nearest(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


def _two_nearest(space: Space, queries: Points, references: Points) -> tuple[Float32Array, Float32Array, IntArray]:
    distances = space.distances(queries, references)
    every = np.arange(len(queries))
    row = distances.argmin(axis=1)
    first = distances[every, row]
    distances[every, row] = np.inf
    return first, distances.min(axis=1), row.astype(np.int64)
