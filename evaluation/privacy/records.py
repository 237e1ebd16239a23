"""The original rows that one record alone carries, and which of them the synthetic table repeats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..features import ROLES, Frames
from ..statistics import BoolArray, IntArray, Interval
from .decisions import clopper_pearson, detectable_excess, excess_p

Keys = npt.NDArray[np.uint64]


class RowKeys:
    """A 64-bit number for the cells of every row, over any set of columns; train first, then holdout, then synthetic.

    Equal cells give equal numbers. Different cells of a million rows give an equal pair with probability below 1e-7.
    A row's number is the sum of its cells', so leaving a column out is a subtraction.
    """

    def __init__(self, frames: Frames) -> None:
        self._tables = [getattr(frames, role) for role in ROLES]
        self.names = [feature.name for feature in frames.features]
        self.n_train, self.n_holdout = frames.train.n_rows, frames.holdout.n_rows

    @property
    def n_real(self) -> int:
        """The number of train and holdout rows."""
        return self.n_train + self.n_holdout

    def cells(self, index: int) -> Keys:
        """Return the numbers of the cells of one column."""
        floats = np.concatenate([table.numbers(index) for table in self._tables]) + 0.0  # -0.0 + 0.0 is 0.0
        floats[np.isnan(floats)] = np.nan  # one bit pattern for all of them
        return mixed(floats.view(np.uint64) + mixed(np.array([index], dtype=np.uint64)))

    def pattern(self, columns: Iterable[int]) -> Keys:
        """Return the numbers of the rows over which cells of the given columns are missing."""
        total = np.zeros(sum(table.n_rows for table in self._tables), dtype=np.uint64)
        for index in columns:
            missing = np.concatenate([table.missing(index) for table in self._tables])
            total += np.where(missing, mixed(np.array([~np.uint64(index)])), np.uint64(0))
        return total

    def over(self, columns: Iterable[int]) -> Keys:
        """Return the numbers of the rows over the given columns."""
        total = np.zeros(sum(table.n_rows for table in self._tables), dtype=np.uint64)
        for index in columns:
            total += self.cells(index)
        return total

    def singles(self, keys: Keys) -> Singles:
        """Return the original rows whose combination no other original row has, and which are repeated."""
        values, first, counts = np.unique(keys[: self.n_real], return_index=True, return_counts=True)
        alone = counts == 1
        repeated = np.isin(values[alone], keys[self.n_real :])
        return Singles(first[alone].astype(np.int64), repeated, self.n_train)


@dataclass(frozen=True)
class Singles:
    """Original rows that one record alone carries: common combinations point to nobody and never count.

    Attributes:
        rows: int64 **(n,)**, places among the train, then the holdout rows.
        repeated: bool **(n,)**, whether a synthetic row repeats it.
        n_train_rows: places below this are train's.
        odds: how much likelier train's may be repeated than holdout's before it counts against the table.

    """

    rows: IntArray
    repeated: BoolArray
    n_train_rows: int
    odds: float = 1.0

    def among(self, chosen: BoolArray) -> Singles:
        """Return those among the chosen original rows."""
        keep = chosen[self.rows]
        return Singles(self.rows[keep], self.repeated[keep], self.n_train_rows, self.odds)

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return len(self.rows)

    @property
    def n_train(self) -> int:
        """How many are train's."""
        return int((self.rows < self.n_train_rows).sum())

    @property
    def n_holdout(self) -> int:
        """How many are holdout's."""
        return len(self.rows) - self.n_train

    @property
    def train_hits(self) -> int:
        """How many of train's are repeated."""
        return int((self.repeated & (self.rows < self.n_train_rows)).sum())

    @property
    def holdout_hits(self) -> int:
        """How many of holdout's are repeated."""
        return int(self.repeated.sum()) - self.train_hits

    def train_hits_interval(self) -> Interval:
        """Return the 95 % interval of how many of train's are repeated: Clopper-Pearson over those at risk."""
        low, high = clopper_pearson(self.train_hits, self.n_train) if self.n_train else (0.0, 0.0)
        return low * self.n_train, high * self.n_train

    def detectable(self, below: float) -> int | None:
        """Return how many of train's, beyond chance, must be repeated for a smaller p-value."""
        fewest = detectable_excess(self.holdout_hits, self.n_train, self.n_holdout, below, self.odds)
        return None if fewest is None else fewest - round(self.holdout_hits * self.n_train / max(self.n_holdout, 1))

    def p_value(self) -> float:
        """Return how often chance repeats train's as much more often than holdout's."""
        return excess_p(self.train_hits, self.holdout_hits, self.n_train, self.n_holdout, self.odds)

    def counts(self) -> str:
        """Return the counts as a sentence."""
        return (
            f"{self.train_hits:,} of {self.n_train:,} only in train repeated, "
            f"{self.holdout_hits:,} of {self.n_holdout:,} only in holdout"
        )


def mixed(bits: Keys) -> Keys:
    """Return a well-spread 64-bit number for each of `bits`; different ones stay different.

    Source: Steele, Lea and Flood 2014, doi:10.1145/2660193.2660195, the finaliser of SplitMix.

    Example:
        >>> mixed(np.array([0, 1, 1], dtype=np.uint64)).tolist()
        [16294208416658607535, 10451216379200822465, 10451216379200822465]

    """
    z = bits + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), dtype=np.uint64)
