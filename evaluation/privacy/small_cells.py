"""Combinations of cells that a few original rows share: does the synthetic table repeat train's more than holdout's?"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from pipeline.seeds import numpy_rng

from ..statistics import Z_95, FloatArray, IntArray, Interval
from .decisions import DRAWS_PER_PERMUTATION, relabelled_p
from .records import Keys, RowKeys

SMALL = 10
"""Fewer original rows than these make a combination small: its size in a published table would tell of persons."""
MOST_ROUNDS = 10
"""How many copies of every train row at hand the search for the detection limit tries before it gives up."""


@dataclass(frozen=True)
class SmallCells:
    """The original rows of the small combinations, and the synthetic rows that repeat each.

    The synthetic rows of a combination are shared out evenly among its original rows. A row's share does not depend on
    whether it is train's, so under an honest generator the labels of the rows are exchangeable, however many synthetic
    rows repeat one combination and however many original rows it has.

    Attributes:
        combination: int64 **(n,)**, the place of each row's combination, train's rows first.
        synthetic: int64 **(n_combinations,)**, how many synthetic rows repeat each.
        n_train: how many of the rows are train's.
        n_draws: how many relabellings a p-value draws.

    """

    combination: IntArray
    synthetic: IntArray
    n_train: int
    n_draws: int

    @classmethod
    def of(cls, row_keys: RowKeys, keys: Keys, permutations: int) -> SmallCells:
        """Find the combinations that fewer than ten train and holdout rows together share."""
        real, repeating = keys[: row_keys.n_real], keys[row_keys.n_real :]
        values, combination, sizes = np.unique(real, return_inverse=True, return_counts=True)
        small = sizes < SMALL
        rows = np.flatnonzero(small[combination])
        place = np.cumsum(small) - 1
        synthetic = np.sort(repeating)
        n_synthetic = np.searchsorted(synthetic, values, side="right") - np.searchsorted(synthetic, values)
        n_train = int((rows < row_keys.n_train).sum())
        return cls(place[combination[rows]], n_synthetic[small], n_train, permutations * DRAWS_PER_PERMUTATION)

    @property
    def n_rows(self) -> int:
        """How many original rows are in small combinations."""
        return len(self.combination)

    @property
    def n_holdout(self) -> int:
        """How many of them are holdout's."""
        return self.n_rows - self.n_train

    @property
    def train_hits(self) -> float:
        """How many synthetic rows fall to train."""
        return float(self._shares(self.synthetic)[: self.n_train].sum())

    def train_hits_interval(self) -> Interval:
        """Return the 95 % interval of these, from the spread of the train rows' shares."""
        shares = self._shares(self.synthetic)[: self.n_train]
        reach = Z_95 * float(np.sqrt(len(shares) * shares.var())) if len(shares) else 0.0
        return max(self.train_hits - reach, 0.0), self.train_hits + reach

    def p_value(self) -> float:
        """Return how often relabelled rows put as many synthetic rows on train."""
        shares = self._shares(self.synthetic)
        train, holdout = shares[: self.n_train], shares[self.n_train :]
        repeated, rng = (train[train > 0], holdout[holdout > 0]), numpy_rng(0, "privacy", "small cells", "labels")
        return relabelled_p(*repeated, self.n_train, self.n_holdout, self.n_draws, rng)

    def detectable(self, below: float) -> int | None:
        """Return about how many copies of train's rows, as many of each, would give a smaller p-value; None if none do.

        The relabelled sum is taken for normal, with its exact mean and variance.
        """
        order = numpy_rng(0, "privacy", "small cells", "copies").permutation(self.n_train)
        numbers = range(MOST_ROUNDS * self.n_train + 1)
        fewest = bisect_right(numbers, norm.isf(below), key=lambda n: self._deviations(self._with_copies(order, n)))
        return fewest if fewest < len(numbers) else None

    def counts(self) -> str:
        """Return the counts as a sentence."""
        in_holdout = float(self._shares(self.synthetic)[self.n_train :].sum())
        return (
            f"{self.train_hits:,.1f} synthetic rows fall to {self.n_train:,} rows of train, "
            f"{in_holdout:,.1f} to {self.n_holdout:,} of holdout"
        )

    def _shares(self, synthetic: IntArray) -> FloatArray:
        sizes = np.bincount(self.combination, minlength=len(synthetic))
        return np.asarray((synthetic / np.maximum(sizes, 1))[self.combination], dtype=np.float64)

    def _deviations(self, synthetic: IntArray) -> float:
        """Return how many standard deviations of relabelled rows train's part lies above their mean."""
        shares = self._shares(synthetic)
        excess = float(shares[: self.n_train].sum() - shares.mean() * self.n_train)
        variance = self.n_train * self.n_holdout / self.n_rows * float(shares.var(ddof=1))
        return excess / variance**0.5 if variance > 0.0 else 0.0

    def _with_copies(self, order: IntArray, n_copies: int) -> IntArray:
        """Return the synthetic rows with copies of train's rows in that order added, round by round."""
        copied = self.combination[np.resize(order, n_copies)]
        return np.asarray(self.synthetic + np.bincount(copied, minlength=len(self.synthetic)), dtype=np.int64)
