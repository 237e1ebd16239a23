"""Rows cut into boxes, and the exact search for nearest ones that looks only into boxes which can hold one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.cores import n_workers

from ..statistics import BoolArray, FloatArray, IntArray
from ..threads import in_threads
from .space import BLOCK_CELLS, Codes, Float32Array, Points, Space, blocks_of

ROWS_PER_BOX = 256
MOST_BOUNDS = 1 << 22
"""Of the distances between queries and boxes that are held at a time."""
ROWS_THAT_CHOOSE = 1_000
"""Of a box, by which the column is chosen that it is cut along."""
SLACK = 1e-5
"""More than float32 rounds a sum over columns by, so that no box is passed over for a rounding."""
MOST_OPEN = 0.5
"""Share of the boxes that may hold a nearer row, above which a comparison with all rows is faster."""
BITS = 64
Keys = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class _Box:
    """Some reference rows, by their places among all, and where they lie."""

    rows: IntArray
    points: Points


class Boxes:
    """Reference rows for the exact search of nearest neighbours by the mixed distance.

    The rows are cut in two along the column in which they differ most, again and again. The gaps between a query and
    the ends of a box, added up over the columns, bound its distance to every row inside: a box whose bound is beyond
    the nearest rows found so far is passed over. Of equally near rows the first counts, as if all had been compared.

    Source: Friedman, Bentley and Finkel 1977, doi:10.1145/355744.355745; levels are bounded by the set that occurs.

    Example:
        >>> from evaluation.features import Feature, Frame
        >>> from pipeline.columns import Integer
        >>> rows = Frame((Feature("age", Integer(name="age", arrow="int64")),), (np.array([20.0, 30.0, 40.0]),), 3)
        >>> space = Space(rows)
        >>> distances, places = Boxes(space, space.place(rows)).nearest(space.place(rows), 2)
        >>> places.tolist()
        [[0, 1], [1, 0], [2, 1]]

    """

    def __init__(self, space: Space, references: Points) -> None:
        self._space = space
        self._all = _Box(np.arange(len(references)), references)
        self._boxes = [_Box(rows, references.take(rows)) for rows in _cut(references, self._all.rows)]
        self._rank_ends = _ends([box.points.ranks for box in self._boxes])
        self._place_ends = _ends([box.points.places for box in self._boxes])
        self._levels = np.stack([np.bitwise_or.reduce(_bits(box.points.codes), axis=1) for box in self._boxes], axis=1)

    @property
    def references(self) -> Points:
        """All reference rows."""
        return self._all.points

    def nearest(self, queries: Points, k: int) -> tuple[Float32Array, IntArray]:
        """Return the distances and places of the `k` nearest references, or of all where there are fewer.

        Both are **(n_queries, k)**, nearest first.
        """
        k = min(k, len(self._all.rows))
        size = min(max(1, MOST_BOUNDS // len(self._boxes)), max(ROWS_PER_BOX, -(-len(queries) // n_workers())))
        slabs = [np.arange(start, min(start + size, len(queries))) for start in range(0, len(queries), size)]
        found = in_threads(lambda rows: self._search(queries.take(rows), k), slabs, length=BLOCK_CELLS)
        keys = np.concatenate(found) if found else np.empty((0, k), dtype=np.uint64)
        return _distances(keys), (keys & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def _search(self, queries: Points, k: int) -> Keys:
        """Look into each query's own box first, then into every other that may hold a nearer row.

        Where most boxes may, as among many columns of numbers, all rows are compared in one piece, which is faster.
        """
        found, bounds = _nothing(len(queries), k), self._bounds(queries) - np.float32(SLACK)
        own = bounds.argmin(axis=1)
        for place in np.unique(own):
            self._look_into(self._boxes[place], queries, np.flatnonzero(own == place), found)
        bounds[np.arange(len(queries)), own] = np.inf
        if (bounds <= _distances(found[:, -1:])).mean() > MOST_OPEN:
            found = _nothing(len(queries), k)
            self._look_into(self._all, queries, np.arange(len(queries)), found)
            return found
        for box, bound in zip(self._boxes, bounds.T, strict=True):
            self._look_into(box, queries, np.flatnonzero(bound <= _distances(found[:, -1])), found)
        return found

    def _look_into(self, box: _Box, queries: Points, asking: IntArray, found: Keys) -> None:
        """Put the rows of a box among those found by the queries that ask, and keep the nearest."""
        k = found.shape[1]
        for block in blocks_of(len(asking), len(box.rows)):
            asked = asking[block]
            distances = self._space.distances(queries.take(asked), box.points)
            keys = np.concatenate([found[asked], _keys(distances, box.rows)], axis=1)
            found[asked] = np.sort(np.partition(keys, k - 1, axis=1)[:, :k], axis=1)

    def _bounds(self, queries: Points) -> Float32Array:
        """Return how near any row of each box may be, **(n_queries, n_boxes)**."""
        total = np.zeros((len(queries), len(self._boxes)), dtype=np.float32)
        for i in range(len(queries.ranks)):
            gap = _gap(queries.places[i], *self._place_ends[:, i])
            if self._space.by_rank:
                gap = np.minimum(gap, _gap(queries.ranks[i], *self._rank_ends[:, i]))
            total += np.minimum(gap, 1.0)
        for codes, levels in zip(_bits(queries.codes), self._levels, strict=True):
            total += (levels & codes[:, None]) == 0
        return total / np.float32(queries.n_columns)


def _cut(points: Points, rows: IntArray) -> Iterator[IntArray]:
    """Yield the rows of each box, sorted."""
    waiting = [rows]
    while waiting:
        rows = waiting.pop()
        first = _half(points, rows) if len(rows) > ROWS_PER_BOX else None
        if first is None:
            yield rows
        else:
            waiting += [rows[~first], rows[first]]


def _half(points: Points, rows: IntArray) -> BoolArray | None:
    """Return which rows go to one side: below the median of a number, or those of the commonest level.

    None where all rows are the same.
    """
    some = points.take(rows[:: -(-len(rows) // ROWS_THAT_CHOOSE)])
    spread = np.concatenate([2.0 * np.minimum(_deviation(some.ranks), _deviation(some.places)), _variety(some.codes)])
    for column in np.argsort(-spread, kind="stable"):
        values = points.ranks[column] if column < len(points.ranks) else points.codes[column - len(points.ranks)]
        first = _below(values[rows]) if column < len(points.ranks) else _commonest(values[rows])
        if first.any() and not first.all():
            return first
    return None


def _deviation(numbers: Float32Array) -> FloatArray:
    middle = np.median(numbers, axis=1, keepdims=True) if numbers.size else numbers
    return np.asarray(np.minimum(np.abs(numbers - middle), 1.0).mean(axis=1), dtype=np.float64)


def _variety(codes: Codes) -> FloatArray:
    return np.array([1.0 - _commonest(column).mean() for column in codes])


def _below(numbers: Float32Array) -> BoolArray:
    middle = np.median(numbers)
    below = numbers <= middle
    return np.asarray(numbers < middle if below.all() else below)


def _commonest(codes: Codes) -> BoolArray:
    levels, counts = np.unique(codes, return_counts=True)
    return np.asarray(codes == levels[counts.argmax()])


def _ends(columns: list[Float32Array]) -> Float32Array:
    """Return the lowest and the highest number of each box, **(2, n_columns, n_boxes)**."""
    return np.stack([np.stack([end(c, axis=1) for c in columns], axis=1) for end in (np.min, np.max)])


def _gap(numbers: Float32Array, low: Float32Array, high: Float32Array) -> Float32Array:
    """Return how far each number lies outside each range, **(n_numbers, n_ranges)**."""
    outside = np.maximum(low - numbers[:, None], numbers[:, None] - high)
    return np.asarray(np.maximum(outside, 0.0), dtype=np.float32)


def _bits(codes: Codes) -> Keys:
    """Return each level as a bit; of more than 64 levels some share one, which loosens a bound and breaks none."""
    return np.left_shift(np.uint64(1), ((codes.astype(np.int64) + 1) % BITS).astype(np.uint64))


def _nothing(n_queries: int, k: int) -> Keys:
    """Return what was found before any row was looked at: infinitely far ones."""
    return _keys(np.full((n_queries, k), np.inf, dtype=np.float32), np.zeros(1, dtype=np.int64))


def _keys(distances: Float32Array, rows: IntArray) -> Keys:
    """Return numbers that order pairs of a distance and a place: bits of a float that is not negative rise with it."""
    return (distances.view(np.uint32).astype(np.uint64) << np.uint64(32)) | rows.astype(np.uint64)


def _distances(keys: Keys) -> Float32Array:
    return np.asarray((keys >> np.uint64(32)).astype(np.uint32).view(np.float32))
