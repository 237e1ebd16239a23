"""Do models learned from synthetic rows tell the same story: which columns matter, and which learner is best?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..statistics import Estimate, FloatArray, Interval, ranks, reach_95, standardised
from .learners import Predictor
from .scores import loss
from .tasks import Task

PROBED_ROWS = 2_000
N_DRAWS = 200
"""Bootstrap draws behind the spread of a rank correlation, which is then known to 5 % (1 / sqrt(2 * 200))."""


def importances(predict: Predictor, task: Task, rng: np.random.Generator) -> FloatArray:
    """Return how much each holdout row's squared error rises when a column is permuted, **(n_rows, n_features)**.

    The mean over rows is the permutation importance. Every model must be probed with an equal generator, so that all
    see the same permutations.

    Source: Breiman 2001, doi:10.1023/A:1010933404324; Fisher, Rudin and Dominici 2019, arXiv:1801.01489.
    """
    chosen = rng.permutation(task.predictors["holdout"].n_rows)[:PROBED_ROWS]
    probe = task.predictors["holdout"].take(chosen)
    before = loss(task, predict(probe), chosen)
    rises = []
    for i in range(len(probe.features)):
        columns = list(probe.columns)
        columns[i] = columns[i][rng.permutation(probe.n_rows)]
        permuted = type(probe)(probe.features, tuple(columns), probe.n_rows)
        rises.append(loss(task, predict(permuted), chosen) - before)
    return np.array(rises).T


def mean_of_rows(values: FloatArray) -> list[Estimate]:
    """Return the mean of each column of **(n_rows, n_columns)** numbers."""
    centre = values.mean(axis=0)
    return [Estimate(float(c), (values[:, j] - c) / len(values)) for j, c in enumerate(centre)]


def rank_agreement(
    one: Sequence[Estimate], other: Sequence[Estimate], rng: np.random.Generator
) -> tuple[float, Interval]:
    """Return Spearman's correlation of two lists of estimates over the same rows, with its 95 % interval.

    The spread over rows is that of a bootstrap (Efron 1979, doi:10.1214/aos/1176344552), in which both lists share each
    draw. Ranks are no smooth function of the rows, so that an influence would not do. To it is added the variance over
    the estimates' replicates.
    """
    influence = np.array([estimate.influence for estimate in (*one, *other)]).T
    values = np.array([[estimate.value for estimate in (*one, *other)]])
    replicates = np.array([estimate.replicates for estimate in (*one, *other)]).T
    draws = values + resampled_sums(influence, rng)
    n = len(one)
    value, by_draw, by_replicate = (spearman(rows[:, :n], rows[:, n:]) for rows in (values, draws, replicates))
    reach = reach_95(float(by_draw.var()), by_replicate)
    return float(value[0]), (max(float(value[0]) - reach, -1.0), min(float(value[0]) + reach, 1.0))


def resampled_sums(rows: FloatArray, rng: np.random.Generator, n_draws: int = N_DRAWS) -> FloatArray:
    """Return the sums **(n_draws, n_columns)** of as many rows as there are, drawn with replacement."""
    n = len(rows)
    return np.array([np.bincount(rng.integers(n, size=n), minlength=n) @ rows for _ in range(n_draws)])


def spearman(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the rank correlations along axis 1; 0 where one side has no spread.

    Source: Spearman 1904, doi:10.2307/1412159.

    Example:
        >>> spearman(np.array([[1.0, 2.0, 9.0]]), np.array([[3.0, 4.0, 5.0]])).round(6)
        array([1.])

    """
    return np.asarray((standardised(ranks(one)) * standardised(ranks(other))).mean(axis=1))
