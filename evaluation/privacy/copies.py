"""Synthetic rows that equal an original one in every cell, counted against what chance would repeat."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import ROLES, Frames, Role
from ..measurement import Measurement
from ..metric import Definition
from ..statistics import Estimate, FloatArray, IntArray
from .decisions import clopper_pearson

COPIES = Definition("exact_copies", "privacy", 0.0, 1.0, "share of synthetic rows equal to a train row, no holdout row")
COPIES_P = Definition(
    "exact_copies_p",
    "privacy",
    1.0,
    0.0,
    "one-sided p-value of the copies, train and holdout labels permuted; its interval is that of so many permutations",
)


def row_keys(frames: Frames) -> dict[Role, IntArray]:
    """Return for every row of each table a number that is equal exactly where all modelled cells are equal."""
    tables = [getattr(frames, role) for role in ROLES]
    keys = np.zeros(sum(table.n_rows for table in tables), dtype=np.int64)
    for i in range(len(frames.features)):
        codes = pd.factorize(np.concatenate([table.columns[i] for table in tables]))[0] + 1
        keys = pd.factorize(keys * (int(codes.max()) + 1) + codes)[0].astype(np.int64)
    return dict(zip(ROLES, np.split(keys, np.cumsum([table.n_rows for table in tables])[:-1]), strict=True))


@dataclass(frozen=True)
class Occurrences:
    """How often each combination of original rows that the synthetic table repeats occurs in each table."""

    train: IntArray
    holdout: IntArray
    synthetic: IntArray
    train_weight: float
    holdout_weight: float

    @cached_property
    def _none_of_train(self) -> FloatArray:
        """The chance that of 0, 1, 2, ... train rows none stays."""
        return np.asarray((1.0 - self.train_weight) ** np.arange(self._most + 1))

    @cached_property
    def _none_of_holdout(self) -> FloatArray:
        return np.asarray((1.0 - self.holdout_weight) ** np.arange(self._most + 1))

    @property
    def _most(self) -> int:
        return int((self.train + self.holdout).max(initial=0))

    def one_sided(self, train: IntArray, holdout: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return the chance that a combination is met only in train, and only in holdout, at equal numbers of rows.

        The larger side is thinned to the size of the smaller one: of t rows at least one stays with 1 - (1 - w)^t.
        """
        no_train, no_holdout = self._none_of_train[train], self._none_of_holdout[holdout]
        return (1.0 - no_train) * no_holdout, no_train * (1.0 - no_holdout)

    def excess(self, train: IntArray, holdout: IntArray) -> float:
        """Return how many more synthetic rows repeat train alone than holdout alone."""
        only_train, only_holdout = self.one_sided(train, holdout)
        return float(self.synthetic @ (only_train - only_holdout))

    def n_reached(self, n_permutations: int, rng: np.random.Generator, n_train: int, n_holdout: int) -> int:
        """Return how many permutations of the original rows' labels show at least this excess."""
        rows = self.train + self.holdout
        labels, first = np.zeros(int(rows.sum()), dtype=np.int64), np.cumsum(rows) - rows
        rest = n_train + n_holdout - len(labels)
        observed, reached = self.excess(self.train, self.holdout), 0
        for _ in range(n_permutations if len(rows) else 0):
            labels[:] = 0
            labels[: int(rng.hypergeometric(n_train, n_holdout, len(labels))) if rest else n_train] = 1
            rng.shuffle(labels)
            drawn = np.add.reduceat(labels, first)
            reached += self.excess(drawn, rows - drawn) >= observed - 1e-9
        return reached if len(rows) else n_permutations


def exact_copies(
    frames: Frames, keys: dict[Role, IntArray], config: EvaluationConfig, seed: int
) -> tuple[Measurement, Measurement]:
    """Measure the share of synthetic rows that repeat train alone, and how rare it is if train is nothing special.

    The ceiling is the share that repeats holdout alone: what chance does. A p-value is one half by chance in the mean,
    and of rows copied from train the smallest that so many permutations can show.
    """
    rng = numpy_rng(seed, "privacy", "copies")
    n_train, n_holdout, n_rows = (getattr(frames, role).n_rows for role in ROLES)
    found = occurrences(keys)
    only_train, only_holdout = found.one_sided(found.train, found.holdout)
    repeated = found.synthetic * only_train / n_rows
    value = Estimate(float(repeated.sum()), repeated)  # each combination is met or missed as one
    n_drawn = config.privacy.permutations
    reached = found.n_reached(n_drawn, rng, n_train, n_holdout)
    copies = keys["train"][rng.integers(n_train, size=n_rows)]
    floor = occurrences(keys | {"synthetic": copies})
    return (
        COPIES.measured(
            value.value, n_rows=n_rows, interval=value.interval(0.0, 1.0),
            ceiling=float(found.synthetic @ only_holdout) / n_rows,
            floor=float(floor.synthetic @ floor.one_sided(floor.train, floor.holdout)[0]) / n_rows,
        ),
        COPIES_P.measured(
            (1 + reached) / (1 + n_drawn), n_rows=n_rows, interval=clopper_pearson(reached, n_drawn),
            ceiling=0.5, floor=1 / (1 + n_drawn),
        ),
    )  # fmt: skip


def occurrences(keys: dict[Role, IntArray]) -> Occurrences:
    """Count the combinations that occur in the synthetic table and in train or holdout."""
    n_keys = max(int(part.max(initial=-1)) for part in keys.values()) + 1
    counts = {role: np.bincount(part, minlength=n_keys) for role, part in keys.items()}
    shared = np.flatnonzero((counts["synthetic"] > 0) & (counts["train"] + counts["holdout"] > 0))
    n_train, n_holdout = len(keys["train"]), len(keys["holdout"])
    return Occurrences(
        counts["train"][shared],
        counts["holdout"][shared],
        counts["synthetic"][shared],
        min(1.0, n_holdout / n_train),
        min(1.0, n_train / n_holdout),
    )
