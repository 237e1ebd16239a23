"""Whose records an attacker could point to: combinations that many share, or that both tables have, betray nobody."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..features import Frames
from ..report import GateVerdict
from ..statistics import IntArray
from .records import RowKeys

MIN_AT_RISK = 200
MIN_CONTROLS = 150
"""So few others may stand beside 200 of train at risk by chance where both tables are alike; fewer are too few rows."""
MIN_SYNTHETIC = 100


@dataclass(frozen=True)
class Obstacle:
    """Why records cannot be attacked: NOT APPLICABLE where few are at risk, NOT TESTABLE where evidence is wanting."""

    verdict: GateVerdict
    reason: str

    @property
    def applicable(self) -> bool:
        """Whether there is something to attack."""
        return self.verdict != "NOT APPLICABLE"


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


def obstacle(n_at_risk: int, n_attacked: int) -> Obstacle | None:
    """Return why records cannot be attacked, or None where they can.

    Args:
        n_at_risk: how many train rows no other original row equals.
        n_attacked: how many of them, and as many of holdout, can be attacked.

    Example:
        >>> [found and found.verdict for found in (obstacle(12, 12), obstacle(9_000, 40), obstacle(9_000, 800))]
        ['NOT APPLICABLE', 'NOT TESTABLE', None]

    """
    if n_at_risk < MIN_AT_RISK:
        told = f"{n_at_risk} records of train differ from every other original row, fewer than the {MIN_AT_RISK} that"
        return Obstacle("NOT APPLICABLE", f"{told} an attack is judged on; whoever shares all cells is not betrayed.")
    if n_attacked < MIN_CONTROLS:
        told = f"{n_attacked} records a side are unique and can be attacked; {MIN_CONTROLS} are needed."
        return Obstacle("NOT TESTABLE", f"{told} Of train {n_at_risk:,} are unique, so the holdout is too small.")
    return None
