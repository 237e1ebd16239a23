"""What an attacker holds: the synthetic rows, other rows of the population, and the records he asks about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...features import Frame
from ...statistics import FloatArray, IntArray
from ..neighbours import Float32Array, Points, Space, in_blocks

N_NEIGHBOURS = 10


@dataclass(frozen=True)
class Neighbours:
    """The nearest rows of every query, nearest first: distances and rows, each **(n_queries, k)**."""

    distances: Float32Array
    rows: IntArray


def k_nearest(space: Space, queries: Points, references: Points, k: int) -> Neighbours:
    """Search the `k` nearest reference rows exactly, or all where there are fewer, block by block."""
    blocks = in_blocks(space, queries, references, lambda distances: _k_smallest(distances, k))
    return Neighbours(np.concatenate([d for d, _ in blocks]), np.concatenate([r for _, r in blocks]))


def _k_smallest(distances: Float32Array, k: int) -> tuple[Float32Array, IntArray]:
    rows = np.argpartition(distances, k - 1, axis=1)[:, :k] if k < distances.shape[1] else _every_row(distances)
    found = np.take_along_axis(distances, rows, axis=1)
    order = np.argsort(found, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(rows, order, axis=1).astype(np.int64)


def _every_row(distances: Float32Array) -> IntArray:
    return np.tile(np.arange(distances.shape[1]), (len(distances), 1))


@dataclass(frozen=True)
class Evidence:
    """Everything that an attack may use. Which of the attacked records are members is not in it.

    Attributes:
        attacked: members and others.
        synthetic: the synthetic rows.
        reference: rows of the population; none of them was trained on, none is attacked.
        space: the mixed distance.
        in_synthetic: the synthetic rows nearest to each attacked record.
        in_reference: the reference rows nearest to each attacked record.

    """

    attacked: Frame
    synthetic: Frame
    reference: Frame
    space: Space
    in_synthetic: Neighbours
    in_reference: Neighbours

    @classmethod
    def gather(cls, attacked: Frame, synthetic: Frame, reference: Frame, space: Space) -> Evidence:
        """Search the neighbours that several attacks share."""
        places = space.place(attacked)
        near = [k_nearest(space, places, space.place(rows), N_NEIGHBOURS) for rows in (synthetic, reference)]
        return cls(attacked, synthetic, reference, space, *near)


Attack = Callable[[Evidence, int], FloatArray]
"""Evidence and a seed in; a score **(n_attacked,)** out, higher where the record looks more like a member."""
