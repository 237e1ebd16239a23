"""Three columns at a time, and how many real rows would do as well as the synthetic table."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import comb

from ..features import Frame
from ..statistics import Estimate, FloatArray, IntArray, shares, total_variation, witnessed
from .bins import levels

N_BINS, N_LABELS = 8, 15
"""At most 16 x 16 x 16 cells a triple: fine enough to see an interaction, coarse enough to be filled."""
N_SIZES = 24
SMALLEST = 10
N_DRAWS = 3

Triple = tuple[int, int, int]


@dataclass(frozen=True)
class Coarse:
    """A table as few levels per column, by train's bins: `codes` **(n_columns, n_rows)** and `sizes`."""

    codes: IntArray
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, frame: Frame, train: Frame) -> Coarse:
        """Read the levels; see `bins.levels`."""
        columns = [levels(train, frame, i, N_BINS, N_LABELS) for i in range(len(train.features))]
        return cls(np.array([codes for codes, _ in columns]), tuple(size for _, size in columns))

    def cells(self, triple: Triple) -> tuple[IntArray, int]:
        """Return the cell of every row in the table of three columns, and how many cells there are."""
        i, j, k = triple
        _, b, c = (self.sizes[x] for x in triple)
        return (self.codes[i] * b + self.codes[j]) * c + self.codes[k], self.sizes[i] * b * c


def draw_triples(n_columns: int, n_triples: int, rng: np.random.Generator) -> list[Triple]:
    """Return all triples of columns, or `n_triples` distinct ones at random, in order."""
    if comb(n_columns, 3, exact=True) <= n_triples:
        return list(combinations(range(n_columns), 3))
    found: set[Triple] = set()
    while len(found) < n_triples:
        i, j, k = sorted(rng.choice(n_columns, size=3, replace=False).tolist())
        found.add((i, j, k))
    return sorted(found)


def triple_error(ours: Coarse, theirs: Coarse, triples: list[Triple]) -> Estimate:
    """Return the mean total variation over triples of columns; influences are those of our rows, then of theirs.

    Example:
        >>> one = Coarse(np.array([[0, 1], [0, 1], [0, 1]]), (2, 2, 2))
        >>> other = Coarse(np.array([[0, 1], [1, 0], [0, 1]]), (2, 2, 2))
        >>> triple_error(one, other, [(0, 1, 2)]).value
        1.0

    """
    value, influence = 0.0, np.zeros(ours.codes.shape[1] + theirs.codes.shape[1])
    for triple in triples:
        (first, n_cells), (second, _) = ours.cells(triple), theirs.cells(triple)
        error = witnessed(total_variation(shares(first, n_cells), shares(second, n_cells)), first, second)
        value += error.value / len(triples)
        influence += error.influence / len(triples)
    return Estimate(value, influence)


@dataclass(frozen=True)
class LearningCurve:
    """How the triple error to holdout falls with the number of real rows: sizes rising, errors falling."""

    sizes: FloatArray
    errors: FloatArray

    @classmethod
    def of(cls, train: Coarse, holdout: Coarse, triples: list[Triple], rng: np.random.Generator) -> LearningCurve:
        """Measure random subsamples of train at sizes that grow by a constant factor, the mean over a few draws."""
        n_rows = train.codes.shape[1]
        sizes = np.unique(np.geomspace(min(SMALLEST, n_rows), n_rows, N_SIZES).round().astype(np.int64))
        orders = [rng.permutation(n_rows) for _ in range(N_DRAWS)]
        errors = np.mean([_errors(train, holdout, triple, orders, sizes) for triple in triples], axis=0)
        return cls(sizes.astype(np.float64), np.minimum.accumulate(errors))

    def size_of(self, error: float) -> float:
        """Return how many real rows have this error, interpolated in the logarithm of the size; never beyond the ends.

        Example:
            >>> LearningCurve(np.array([10.0, 1000.0]), np.array([0.5, 0.1])).size_of(0.3).__round__()
            100

        """
        return float(np.exp(np.interp(-error, -self.errors, np.log(self.sizes))))


def _errors(train: Coarse, holdout: Coarse, triple: Triple, orders: list[IntArray], sizes: IntArray) -> FloatArray:
    """Return the mean error over orders of the first `sizes` rows of each."""
    (cells, n_cells), (held, _) = train.cells(triple), holdout.cells(triple)
    target, errors = shares(held, n_cells), np.zeros(len(sizes))
    for order in orders:
        counts, start = np.zeros(n_cells, dtype=np.int64), 0
        for k, size in enumerate(sizes):
            counts += np.bincount(cells[order[start:size]], minlength=n_cells)
            errors[k] += 0.5 * float(np.abs(counts / size - target).sum()) / len(orders)
            start = size
    return errors
