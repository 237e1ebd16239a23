"""Rows as points in a Euclidean space that weighs every column alike, learned on train and fixed for every table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features import Frame
from ..statistics import FloatArray

KEPT_VARIANCE = 0.99
MAX_AXES = 32
"""Beyond these few axes of a mixed table add hardly any variance, and distances lose their contrast."""
N_LEVELS = 50
LEAST_SPREAD = 0.2
"""A column whose spread is smaller, as when 2 % of the rows differ, is not blown up: a few rows would weigh most."""


@dataclass(frozen=True)
class Embedding:
    """The map from rows to points.

    A number becomes its mid-rank among train's values, so that no tail outweighs the rest; a missing one the middle,
    with an indicator beside it. A category becomes indicators of its levels. Every column is centred and scaled to a
    total variance of 1 in train, or less if it hardly varies; then principal axes of train are kept, up to 99 % of the
    variance or 32 of them.
    The mixed weighing follows factor analysis of mixed data (Pagès 2004, Revue de statistique appliquée 52:93).

    Attributes:
        train: the table it was learned on.
        centre: float64 **(n_coordinates,)**, the mean of train's coordinates.
        axes: float64 **(n_coordinates, n_axes)**, the columns' scales times train's principal axes.

    """

    train: Frame
    centre: FloatArray
    axes: FloatArray

    @classmethod
    def of(cls, train: Frame) -> Embedding:
        """Learn the map from train, which has a row and a column."""
        blocks = [_coordinates(train, train, i) for i in range(len(train.features))]
        spread = [float(np.sqrt(block.var(axis=0).sum())) for block in blocks]
        scale = np.concatenate(
            [np.full(len(x.T), 1.0 / max(s, LEAST_SPREAD)) for x, s in zip(blocks, spread, strict=True)]
        )
        unscaled = np.concatenate(blocks, axis=1)
        covariance = np.cov(unscaled, rowvar=False, ddof=0) * np.outer(scale, scale)
        variances, directions = np.linalg.eigh(covariance)
        kept = directions[:, np.argsort(-variances)[: _n_axes(variances)]]
        return cls(train, unscaled.mean(axis=0), scale[:, None] * kept)

    def place(self, frame: Frame) -> FloatArray:
        """Return the points **(n_rows, n_axes)** of a table."""
        blocks = [_coordinates(self.train, frame, i) for i in range(len(frame.features))]
        return np.asarray((np.concatenate(blocks, axis=1) - self.centre) @ self.axes)


def _n_axes(variances: FloatArray) -> int:
    share = np.cumsum(np.sort(variances)[::-1]) / max(float(variances.sum()), 1e-300)
    return min(MAX_AXES, int(np.searchsorted(share, KEPT_VARIANCE)) + 1)


def _coordinates(train: Frame, frame: Frame, index: int) -> FloatArray:
    """Return a column's coordinates **(n_rows, k)** before centring and scaling."""
    if train.features[index].categorical:
        codes = np.asarray(frame.columns[index], dtype=np.int64)
        n_levels = min(len(train.features[index].labels), N_LEVELS)
        return np.eye(n_levels + 1)[np.where(codes < 0, n_levels, np.minimum(codes, n_levels - 1))]
    known, numbers = np.sort(train.numbers(index)[~train.missing(index)]), frame.numbers(index)
    sides = [np.searchsorted(known, numbers, side=side) for side in ("left", "right")]
    ranks = np.where(np.isnan(numbers), 0.5, (sides[0] + sides[1]) / max(2 * len(known), 1))
    return np.stack([np.sqrt(12) * (ranks - 0.5), np.isnan(numbers)], axis=1)  # even ranks have variance 1
