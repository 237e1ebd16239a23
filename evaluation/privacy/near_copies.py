"""The original rows that lie alone within a tolerance, and to which of them a synthetic row comes as close."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.spatial import cKDTree

from pipeline.seeds import numpy_rng

from ..features import ROLES, Frames
from ..statistics import FloatArray
from .decisions import TOLERATED_SHARE
from .records import RowKeys, Singles

Tolerance = Literal["one step", "1 % of the range"]
TOLERANCES: tuple[Tolerance, ...] = ("one step", "1 % of the range")
SHARE_OF_RANGE = 0.01
MOST_SEARCHED = 40_000
"""Records that are looked at, drawn at random; the rows they are compared with are never thinned."""
WITHIN = 1.0 + 1e-6
"""Numbers divided by their tolerance differ by 1 at most, but for rounding."""
APART = 2.0
"""Rows of different levels are further apart than any tolerance."""


@dataclass(frozen=True)
class Boxes:
    """Rows as points whose largest coordinate difference is at most 1 where they agree within the tolerance.

    Attributes:
        real: float64 **(n_train + n_holdout, n_coordinates)**.
        synthetic: float64 **(n_synthetic, n_coordinates)**.

    """

    real: FloatArray
    synthetic: FloatArray

    @classmethod
    def of(cls, frames: Frames, keys: RowKeys, tolerance: Tolerance) -> Boxes:
        """Place the rows: one coordinate for all levels and missing cells together, one for each numeric column."""
        numeric = [index for index, feature in enumerate(frames.features) if not feature.categorical]
        levels = keys.over(set(range(len(frames.features))) - set(numeric)) + keys.pattern(numeric)
        points = [APART * np.unique(levels, return_inverse=True)[1]]
        for index in numeric:
            column = np.concatenate([getattr(frames, role).numbers(index) for role in ROLES])
            points.append(np.nan_to_num(column / _width(column[: keys.n_real], tolerance)))
        placed = np.column_stack(points)
        return cls(placed[: keys.n_real], placed[keys.n_real :])


def near_singles(frames: Frames, keys: RowKeys, singles: Singles, tolerance: Tolerance) -> Singles:
    """Return the records that agree with no other original row within the tolerance; repeated by one that does.

    Rows agree if their levels and missing cells are the same and every number differs by at most one step of its
    column's grid (the smallest difference of two original values), or by 1 % of the column's 2.5-97.5 % range where
    that is wider and asked for. Which records lie alone does not depend on whether they are train's, so their labels
    are exchangeable under an honest generator, as those of exact repetitions are. Rows near to one of train's are no
    copies yet: train's may be repeated with the odds that the test of the nearest records tolerates.
    """
    rows = np.sort(numpy_rng(0, "privacy", "near copies").permutation(singles.rows)[:MOST_SEARCHED])
    boxes = Boxes.of(frames, keys, tolerance)
    alone = rows[~np.isfinite(_distance(boxes.real, boxes.real[rows], k=2))]
    approached = np.isfinite(_distance(boxes.synthetic, boxes.real[alone], k=1))
    return Singles(alone, approached, singles.n_train_rows, TOLERATED_SHARE / (1.0 - TOLERATED_SHARE))


def _width(original: FloatArray, tolerance: Tolerance) -> float:
    """Return by how much a number may differ: no less than floats of that size can; 1 in a column of one value."""
    known = original[~np.isnan(original)]
    values = np.unique(known)
    if len(values) < 2:
        return 1.0
    step = max(float(np.diff(values).min()), float(np.spacing(np.abs(values).max())))
    low, high = np.quantile(known, [0.025, 0.975])
    return step if tolerance == "one step" else max(step, SHARE_OF_RANGE * float(high - low))


def _distance(points: FloatArray, queries: FloatArray, k: int) -> FloatArray:
    """Return the largest coordinate difference to the k-th nearest point, infinite beyond the tolerance."""
    if not len(points) or not len(queries):
        return np.full(len(queries), np.inf)
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    found = np.asarray(tree.query(queries, k=[k], p=np.inf, distance_upper_bound=WITHIN)[0], dtype=np.float64)
    return found[:, 0]
