"""Whose records an attacker could point to: combinations that many share, or that both tables have, betray nobody."""

from __future__ import annotations

import numpy as np

from ..features import Frames
from ..statistics import IntArray
from .records import RowKeys

MIN_AT_RISK = 200
MIN_SYNTHETIC = 100


def unique_records(frames: Frames, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Return, in random order, the train rows and the holdout rows that no other row of train or holdout equals."""
    keys = RowKeys(frames)
    rows = keys.singles(keys.over(range(len(frames.features)))).rows
    n_train = frames.train.n_rows
    return rng.permutation(rows[rows < n_train]), rng.permutation(rows[rows >= n_train] - n_train)


def copied_share(frames: Frames) -> float:
    """Return the share of train's records that as many rows as the synthetic table has, drawn from train, would hold.

    Such copies are the floor of an attack: it finds each record that was copied, and no other.

    Example:
        >>> from evaluation.features import Frame
        >>> round(copied_share(Frames(Frame((), (), 100), Frame((), (), 100), Frame((), (), 100))), 2)
        0.63

    """
    return float(-np.expm1(frames.synthetic.n_rows * np.log1p(-1.0 / max(frames.train.n_rows, 2))))


def too_few(n: int) -> str:
    """Return why `n` records a side are too few to attack, or nothing."""
    return "" if n >= MIN_AT_RISK else f"{n} records a side are unique and can be attacked; {MIN_AT_RISK} are needed."
