"""Exact nearest neighbours under the mixed distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..statistics import FloatArray, IntArray
from .boxes import Boxes
from .space import Float32Array, Points, Space


@dataclass(frozen=True)
class Nearest:
    """For every query, the distances to the nearest and second nearest reference row, and which the nearest is."""

    first: Float32Array
    second: Float32Array
    row: IntArray

    def ratio(self) -> FloatArray:
        """Return nearest over second nearest; 1 where both are at distance 0."""
        return np.divide(self.first, self.second, out=np.ones(len(self.first)), where=self.second > 0)


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of every query, nearest first: distances and rows, each **(n_queries, k)**."""

    distances: Float32Array
    rows: IntArray

    def take(self, queries: IntArray) -> Neighbours:
        """Return those of the given queries."""
        return Neighbours(self.distances[queries], self.rows[queries])


def k_nearest(space: Space, queries: Points, references: Points, k: int) -> Neighbours:
    """Search the `k` nearest reference rows exactly, or all where there are fewer."""
    return Neighbours(*Boxes(space, references).nearest(queries, k))


def nearest(space: Space, queries: Points, references: Points) -> Nearest:
    """Search the two nearest of at least two reference rows exactly."""
    return two_nearest(Boxes(space, references), queries)


def two_nearest(references: Boxes, queries: Points) -> Nearest:
    """Search the same among rows that have been cut into boxes already."""
    distances, rows = references.nearest(queries, 2)
    return Nearest(distances[:, 0], distances[:, 1], rows[:, 0])


def nearest_distance(space: Space, queries: Points, references: Points, k: int = 1) -> FloatArray:
    """Return the mean distance of every query to its `k` nearest references, **(n_queries,)**.

    Example:
        >>> from evaluation.features import Feature, Frame
        >>> from pipeline.columns import Integer
        >>> rows = Frame((Feature("age", Integer(name="age", arrow="int64")),), (np.array([20.0, 30.0, 40.0]),), 3)
        >>> points = Space(rows).place(rows)
        >>> nearest_distance(Space(rows), points, points, k=2).round(3)
        array([0.167, 0.167, 0.167])

    """
    distances = k_nearest(space, queries, references, k).distances
    return np.asarray(distances.mean(axis=1), dtype=np.float64)
