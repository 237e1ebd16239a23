"""SDMetrics' two quality scores as it defines them, so that published tables can be compared; ours are errors.

They differ from our shape and trend errors in three ways: missing cells of a category do not count in a shape; numbers
beside categories are cut into ten bins of each table's **own** range, where missing shares the last bin with the
largest value; a pair with a constant number has no score. Thresholds, which drop weakly related pairs, are not applied
and rows are not subsampled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from ..features import Frame, Frames
from ..jackknife import around, reaches
from ..measurement import Measurement
from ..metric import Definition
from ..references import at_size
from ..statistics import (
    FloatArray,
    IntArray,
    correlations,
    kolmogorov_smirnov,
    shares,
    total_variation,
)
from ..threads import in_threads
from .association import DENSE_CELLS, numeric_columns, pairs_with_a_category
from .bins import ordered

SDMETRICS_SHAPE = Definition("sdmetrics_shape", "marginals", 1.0, 0.0, "SDMetrics 0.32 Column Shapes")
SDMETRICS_TREND = Definition(
    "sdmetrics_trend", "pairs", 1.0, 0.0, "SDMetrics 0.32 Column Pair Trends, no threshold, no subsample"
)

N_BINS = 10
Score = Callable[[Frame, Frame], float | None]


def compatible(
    definition: Definition, score: Score, frames: Frames, floor: Frame, rng: np.random.Generator
) -> Measurement:
    """Return the score of the synthetic table, of holdout at the same size as ceiling, and of the floor."""
    value, ceiling, worst = (score(frames.train, other) for other in (frames.synthetic, frames.holdout, floor))
    if value is None:
        return definition.unmeasured("SDMetrics defines no score for any part of this table")
    n_train, n_holdout, n_rows = (f.n_rows for f in (frames.train, frames.holdout, frames.synthetic))
    if ceiling is not None:
        ceiling = 1.0 - at_size(1.0 - ceiling, measured_on=n_holdout, n_rows=n_rows, n_train=n_train)
    reach = float(reaches(partial(_as_array, score), frames.train, frames.synthetic, rng)[0])
    interval = around(value, reach, 0.0, 1.0)
    return definition.measured(value, n_rows=n_rows, interval=interval, ceiling=ceiling, floor=worst)


def _as_array(score: Score, train: Frame, other: Frame) -> FloatArray:
    value = score(train, other)
    return np.array([np.nan if value is None else value])


def shape_score(train: Frame, other: Frame) -> float | None:
    """Return the mean over columns of 1 - KS or 1 - TVD over present values; None where no column has any."""
    scores = in_threads(partial(_shape, train, other), range(len(train.features)), length=train.n_rows)
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _shape(train: Frame, other: Frame, index: int) -> float | None:
    ours, theirs = (frame.columns[index][~frame.missing(index)] for frame in (other, train))
    if not len(ours) or not len(theirs):
        return None
    if train.features[index].categorical:
        return 1.0 - _between(ours, theirs, len(train.features[index].labels), total_variation)
    points, codes = ordered(np.concatenate([ours, theirs]))
    return 1.0 - _between(codes[: len(ours)], codes[len(ours) :], len(points), kolmogorov_smirnov)


def _between(
    ours: IntArray, theirs: IntArray, n_levels: int, distance: Callable[[FloatArray, FloatArray], FloatArray]
) -> float:
    p, q = shares(ours, n_levels), shares(theirs, n_levels)
    return float(distance(p, q) @ (p - q))


def trend_score(train: Frame, other: Frame) -> float | None:
    """Return the mean score over pairs of columns; None where no pair has one.

    Two numbers: 1 - |difference of Pearson's r| / 2. Otherwise: 1 - total variation between contingency tables.
    """
    ours, theirs = ([_levels(frame, i) for i in range(len(train.features))] for frame in (other, train))

    def score(pair: tuple[int, int]) -> float:
        i, j = pair
        return 1.0 - _contingency((ours[i], ours[j]), (theirs[i], theirs[j]))

    scores = [*_correlation_scores(train, other), *in_threads(score, pairs_with_a_category(train), length=train.n_rows)]
    return float(np.mean(scores)) if scores else None


def _correlation_scores(train: Frame, other: Frame) -> FloatArray:
    numeric = [i for i, feature in enumerate(train.features) if not feature.categorical]
    tables = [numeric_columns(frame, numeric) for frame in (train, other)]
    theirs, ours = (correlations(columns) for columns in tables)
    defined = np.isfinite(ours - theirs)  # in both tables
    return np.asarray((1.0 - np.abs(ours - theirs) / 2)[np.triu(defined, k=1)])


def _levels(frame: Frame, index: int) -> tuple[IntArray, int]:
    if frame.features[index].categorical:
        return frame.codes(index), len(frame.features[index].labels) + 1
    numbers = frame.numbers(index)
    present = numbers[~np.isnan(numbers)]
    edges = np.histogram_bin_edges(present, N_BINS) if len(present) else np.zeros(1)
    return np.where(np.isnan(numbers), len(edges), np.digitize(numbers, edges)).astype(np.int64), N_BINS + 2


def _contingency(ours: tuple[tuple[IntArray, int], ...], theirs: tuple[tuple[IntArray, int], ...]) -> float:
    """Return the total variation; cells are counted by sorting where there are many."""
    (_, n_rows), (_, n_columns) = ours
    first, second = (pair[0][0] * n_columns + pair[1][0] for pair in (ours, theirs))
    n_cells = n_rows * n_columns
    if n_cells > DENSE_CELLS:
        _, both = np.unique(np.concatenate([first, second]), return_inverse=True)
        n_cells, first, second = int(both.max()) + 1, both[: len(first)], both[len(first) :]
    return _between(first, second, n_cells, total_variation)
