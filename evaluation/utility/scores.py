"""How well predictions meet the truth, as estimates whose intervals hold the chance of the holdout rows.

Every score carries its influence, the first-order effect of each row's weight. Its interval is that of the
infinitesimal jackknife, which is where the bootstrap over rows leads as rows grow (Efron 1982,
doi:10.1137/1.9781611970319, ch. 6), without its noise and cost. Differences over the same rows are thereby paired.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..statistics import BoolArray, Estimate, FloatArray, IntArray, auc, average, mean, r_squared
from .tasks import Task

N_BINS = 15
"""Of equal numbers of rows, as is usual for the calibration error (Guo et al. 2017, arXiv:1706.04599)."""

OneAgainstRest = Callable[..., Estimate]


def macro(score: OneAgainstRest, scores: FloatArray | BoolArray, truth: IntArray, classes: IntArray) -> Estimate:
    """Return the mean over `classes` of the score of each one against the rest.

    Args:
        score: of **(n,)** scores or flags against **(n,)** truth values.
        scores: **(n, n_classes)**; truth values where `score` takes flags.
        truth: int64 **(n,)**, the number of each row's class; every one of `classes` is in it.
        classes: the classes to average over.

    Example:
        >>> macro(average_precision, np.eye(3), np.array([0, 1, 2]), np.arange(3)).value
        1.0

    """
    return average([score(scores[:, k], truth == k) for k in classes])


def headline(task: Task, predicted: FloatArray, role: str = "holdout") -> Estimate:
    """Return the macro one-against-rest AUC of class scores, or the R2 of predicted quantities."""
    if task.classes is None:
        return r_squared(task.targets[role], predicted)
    truth = task.labels(role)
    return macro(auc, predicted, truth, np.unique(truth))


def average_precision(scores: FloatArray, positive: BoolArray) -> Estimate:
    """Return the area under the precision-recall curve as a sum of steps; rows of one score enter it together.

    Shuffled scores reach the share of positives, not 0.5. There is at least one positive row.

    Source: Davis and Goadrich 2006, doi:10.1145/1143844.1143874; Boyd, Eng and Page 2013,
    doi:10.1007/978-3-642-40994-3_29.

    Example:
        >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True])).value.__round__(4)
        0.8333

    """
    level, hits, seen = _from_the_top(scores, positive)
    precision, total = np.cumsum(hits) / np.cumsum(seen), hits.sum()
    area = float(hits @ precision / total)
    below = _sums_below(hits / np.cumsum(seen)), _sums_below(hits * precision / np.cumsum(seen))
    influence = positive * (precision[level] + below[0][level] - area) - below[1][level]
    return Estimate(area, np.asarray(influence / total))


def f1(flagged: BoolArray, positive: BoolArray) -> Estimate:
    """Return the harmonic mean of precision and recall; there is at least one positive row.

    Source: van Rijsbergen 1979, Information Retrieval, ch. 7.

    Example:
        >>> f1(np.array([True, True, False]), np.array([True, False, False])).value.__round__(4)
        0.6667

    """
    hits, total = 2.0 * (flagged & positive), flagged.astype(np.float64) + positive
    value = float(hits.sum() / total.sum())
    return Estimate(value, (hits - value * total) / total.sum())


def best_threshold(scores: FloatArray, positive: BoolArray) -> float:
    """Return the threshold from which on rows are flagged for the highest F1, midway between two scores.

    It is infinite where no row is positive, and minus infinity where all rows are best flagged.

    Example:
        >>> best_threshold(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False]))
        0.5

    """
    if not positive.any():
        return float("inf")
    _, hits, seen = _from_the_top(scores, positive)
    best = int((2 * np.cumsum(hits) / (np.cumsum(seen) + hits.sum())).argmax())
    highest_first = np.append(np.unique(scores)[::-1], -np.inf)
    return float((highest_first[best] + highest_first[best + 1]) / 2)


def loss(task: Task, predicted: FloatArray, rows: IntArray) -> FloatArray:
    """Return the squared error **(n,)** of holdout's `rows`.

    For classes it is half the sum over them, which for two classes is the squared error of either one's probability.
    """
    truth = task.targets["holdout"][rows]
    if task.classes is None:
        return np.asarray(np.square(truth - predicted))
    return np.asarray(np.square(np.eye(task.n_classes)[truth.astype(np.int64)] - predicted).sum(axis=1) / 2)


def brier(task: Task, predicted: FloatArray) -> Estimate:
    """Return the mean squared error of the probabilities of the classes.

    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, halved.
    """
    return mean(loss(task, predicted, np.arange(len(predicted))))


def calibration_error(probabilities: FloatArray, positive: BoolArray) -> Estimate:
    """Return by how much the share of positives differs from the predicted one, averaged over 15 bins of equal numbers.

    Chance alone keeps it above 0, by about 0.8 sqrt(15 p (1 - p) / n).

    Source: Naeini, Cooper and Hauskrecht 2015, doi:10.1609/aaai.v29i1.9602; bins of equal numbers and one class at a
    time as in Nixon et al. 2019, arXiv:1904.01685.

    Example:
        >>> calibration_error(np.array([0.75, 0.75, 0.75, 0.75]), np.array([True, True, False, True])).value
        0.0

    """
    edges = np.quantile(probabilities, np.arange(1, N_BINS) / N_BINS)
    bins = np.searchsorted(edges, probabilities, side="right")
    excess = positive - probabilities
    sign = np.sign(np.bincount(bins, excess, minlength=N_BINS))
    return mean(sign[bins] * excess)


def rmse(truth: FloatArray, predicted: FloatArray) -> Estimate:
    """Return the root of the mean squared error, in the target's unit.

    Example:
        >>> rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0])).value.__round__(4)
        1.4142

    """
    squared = mean(np.square(truth - predicted))
    root = float(np.sqrt(squared.value))
    return Estimate(root, squared.influence / (2 * root) if root else np.zeros_like(squared.influence))


def _from_the_top(scores: FloatArray, positive: BoolArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return the level of every row, the highest score's first, and how many positives and rows each level has."""
    _, level = np.unique(-scores, return_inverse=True)
    return (
        level.astype(np.int64),
        np.bincount(level, positive).astype(np.float64),
        np.bincount(level).astype(np.float64),
    )


def _sums_below(levels: FloatArray) -> FloatArray:
    """Return the sum over each level and all of lower scores."""
    return np.asarray(np.cumsum(levels[::-1])[::-1])
