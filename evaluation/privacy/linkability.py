"""Linkability: two parties hold different columns of the same people; does the synthetic table bring them together?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..features import Frame
from ..statistics import BoolArray, IntArray
from .neighbours import k_nearest
from .space import Space

N_CANDIDATES = 5


def linked(
    records: Frame, synthetic: Frame, first: Sequence[int], second: Sequence[int], pooled: Frame
) -> BoolArray:  # fmt: skip
    """Return which records **(n_records,)** are linked: one synthetic row is among the five nearest by either group.

    Args:
        records: the records that both parties hold, each party its own columns.
        synthetic: the synthetic rows.
        first: the columns that one party holds.
        second: the columns that the other party holds.
        pooled: the rows that give the distances their scale.

    """
    candidates = [_candidates(records, synthetic, group, pooled) for group in (first, second)]
    return np.asarray((candidates[0][:, :, None] == candidates[1][:, None, :]).any(axis=(1, 2)))


def _candidates(records: Frame, synthetic: Frame, columns: Sequence[int], pooled: Frame) -> IntArray:
    part, others, scale = (_columns(frame, columns) for frame in (records, synthetic, pooled))
    space = Space(scale)
    return k_nearest(space, space.place(part), space.place(others), N_CANDIDATES).rows


def _columns(frame: Frame, columns: Sequence[int]) -> Frame:
    return Frame(
        tuple(frame.features[i] for i in columns), tuple(frame.columns[i] for i in columns), frame.n_rows
    )  # fmt: skip
