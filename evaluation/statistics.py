"""The statistics behind the metrics, as plain functions of arrays.

An estimate carries its **influence**: what each row adds to it, so that the variance is the sum of the squares (the
delta method, van der Vaart 1998, Asymptotic Statistics, ch. 20). Averages and differences of estimates over the same
rows then have honest intervals without resampling, because the rows' correlations stay in. An estimate that owes
something to other chance as well, such as the rows that a model learned from, carries **replicates**: what it is when
that chance is drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, t

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Interval = tuple[float, float]

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A number and the influence of every row on it.

    Attributes:
        value: the estimate.
        influence: float64 **(n_rows,)**; the variance over rows is the sum of its squares.
        replicates: float64 **(n_replicates,)**, the estimate with all other chance drawn again; empty where there is
            none. Their variance is that of the estimate over this chance.

    Example:
        >>> low, high = mean(np.array([1.0, 2.0, 3.0])).interval(0.0, 10.0)
        >>> round(low, 2), round(high, 2)
        (1.08, 2.92)

    """

    value: float
    influence: FloatArray
    replicates: FloatArray = field(default_factory=lambda: np.zeros(0))

    def interval(self, lowest: float = -np.inf, highest: float = np.inf) -> Interval:
        """Return the 95 % interval, clipped to what the number can take."""
        reach = reach_95(float(np.square(self.influence).sum()), self.replicates)
        return max(self.value - reach, lowest), min(self.value + reach, highest)

    def replicated(self, replicates: FloatArray) -> Estimate:
        """Return the estimate with what it is when all other chance is drawn again."""
        return replace(self, replicates=replicates)

    def __sub__(self, other: Estimate) -> Estimate:
        return Estimate(self.value - other.value, self.influence - other.influence, self.replicates - other.replicates)


def reach_95(variance: float, replicates: FloatArray) -> float:
    """Return half the length of a 95 % interval: from a known variance, and that of a few replicates, added.

    The quantile is Student's, with the degrees of freedom of the sum: Welch 1947, doi:10.1093/biomet/34.1-2.28.

    Example:
        >>> round(reach_95(1.0, np.zeros(0)), 2), round(reach_95(0.0, np.array([1.0, 2.0, 3.0])), 2)
        (1.96, 4.3)

    """
    if len(replicates) < 2 or not np.ptp(replicates):
        return Z_95 * float(np.sqrt(variance))
    between = float(np.var(replicates, ddof=1))
    freedom = (len(replicates) - 1) * (1 + variance / between) ** 2
    return float(t.ppf(0.975, freedom) * np.sqrt(variance + between))


def mean(values: FloatArray) -> Estimate:
    """Return the mean of `values`, one per row.

    Example:
        >>> mean(np.array([1.0, 3.0])).value
        2.0

    """
    centre = float(values.mean())
    return Estimate(centre, (values - centre) / len(values))


def average(estimates: Sequence[Estimate]) -> Estimate:
    """Return the mean of several estimates over the same rows.

    Example:
        >>> average([mean(np.array([0.0, 1.0])), mean(np.array([1.0, 0.0]))]).interval()
        (0.5, 0.5)

    """
    influence = reduce(np.add, (estimate.influence for estimate in estimates)) / len(estimates)
    replicates = reduce(np.add, (estimate.replicates for estimate in estimates)) / len(estimates)
    return Estimate(sum(estimate.value for estimate in estimates) / len(estimates), influence, replicates)


def clustered(values: FloatArray, clusters: IntArray) -> Estimate:
    """Return the mean of `values`, whose rows depend on each other inside a cluster; one influence per cluster.

    Source: Liang and Zeger 1986, doi:10.1093/biomet/73.1.13.

    Example:
        >>> clustered(np.array([1.0, 1.0, 0.0]), np.array([7, 7, 2])).influence.size
        2

    """
    whole = mean(values)
    _, members = np.unique(clusters, return_inverse=True)
    return Estimate(whole.value, np.asarray(np.bincount(members, whole.influence), dtype=np.float64))


def shares(codes: IntArray, n_levels: int) -> FloatArray:
    """Return the share of every level among the rows whose code is not negative; zeros where there is none.

    Example:
        >>> shares(np.array([0, 2, 2, -1, 2]), 3)
        array([0.25, 0.  , 0.75])

    """
    counts = np.bincount(codes[codes >= 0], minlength=n_levels)
    return np.asarray(counts / max(int(counts.sum()), 1))


def total_variation(p: FloatArray, q: FloatArray) -> FloatArray:
    """Return the witness of the total variation distance, half the L1 distance between the shares `p` and `q`.

    A **witness** has one number per level, and the distance is the difference of its means, `witness @ (p - q)`
    (Sriperumbudur et al. 2012, doi:10.1214/12-EJS722). So a distance is a mean over rows, and has an interval.

    Example:
        >>> p, q = np.array([0.5, 0.5]), np.array([0.75, 0.25])
        >>> float(total_variation(p, q) @ (p - q))
        0.25

    """
    return np.asarray(0.5 * np.sign(p - q))


def kolmogorov_smirnov(p: FloatArray, q: FloatArray) -> FloatArray:
    """Return the witness of the largest gap between the distribution functions of `p` and `q` over **ordered** levels.

    Source: Massey 1951, doi:10.1080/01621459.1951.10500769.

    Example:
        >>> p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
        >>> float(kolmogorov_smirnov(p, q) @ (p - q))
        0.5

    """
    gap = np.cumsum(p - q)
    widest = int(np.abs(gap).argmax())
    return np.where(np.arange(len(gap)) <= widest, np.sign(gap[widest]), 0.0)


def wasserstein(p: FloatArray, q: FloatArray, points: FloatArray) -> FloatArray:
    """Return the witness of the area between the distribution functions of `p` and `q` over increasing `points`.

    Source: Vallender 1974, doi:10.1137/1118101.

    Example:
        >>> p, q = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5])
        >>> float(wasserstein(p, q, np.array([0.0, 1.0, 2.0])) @ (p - q))
        1.0

    """
    steps = np.sign(np.cumsum(p - q)[:-1]) * np.diff(points)
    return np.asarray(-np.concatenate([[0.0], np.cumsum(steps)]))


def witnessed(witness: FloatArray, first: IntArray, second: IntArray) -> Estimate:
    """Return the difference of the means of `witness` over two samples of levels; the influences come in that order.

    Rows with a negative code do not count.

    Example:
        >>> witnessed(np.array([0.5, -0.5]), np.array([0, 0]), np.array([0, 1])).value
        0.5

    """
    one, other = _mean_of_levels(witness, first), _mean_of_levels(witness, second)
    return Estimate(one.value - other.value, np.concatenate([one.influence, -other.influence]))


def _mean_of_levels(witness: FloatArray, codes: IntArray) -> Estimate:
    weight = codes >= 0
    n = max(int(weight.sum()), 1)
    values = witness[codes] * weight  # a negative code looks up the last level and is weighted with 0
    centre = float(values.sum()) / n
    return Estimate(centre, (values - centre * weight) / n)


def ranks(columns: FloatArray) -> FloatArray:
    """Return mid-ranks along axis 1; NaN stays NaN and does not count.

    Example:
        >>> ranks(np.array([[5.0, np.nan, 5.0, 9.0]]))
        array([[1.5, nan, 1.5, 3. ]])

    """
    return np.asarray(rankdata(columns, axis=1, nan_policy="omit"), dtype=np.float64)


def standardised(columns: FloatArray) -> FloatArray:
    """Centre and scale along axis 1; NaN becomes 0, and so does a column without spread.

    Example:
        >>> standardised(np.array([[1.0, 3.0, np.nan], [2.0, 2.0, 2.0]]))
        array([[-1.,  1.,  0.],
               [ 0.,  0.,  0.]])

    """
    present = np.isfinite(columns)
    filled = np.where(present, columns, 0.0)
    count = np.maximum(present.sum(axis=1, keepdims=True), 1)
    centre = filled.sum(axis=1, keepdims=True) / count
    centred = np.where(present, filled - centre, 0.0)
    spread = np.sqrt(np.square(centred).sum(axis=1, keepdims=True) / count)
    has_spread = spread > 1e-14 * np.abs(centre)  # less is the rounding of the mean
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=has_spread))


def correlations(columns: FloatArray) -> FloatArray:
    """Return the Pearson correlations of **(d, n)** columns over the rows where both are present.

    A correlation that is undefined, because a column has no spread there, is NaN.

    Example:
        >>> correlations(np.array([[1.0, 2.0, 3.0, 9.0], [2.0, 4.0, 6.0, np.nan]])).round(6)
        array([[1., 1.],
               [1., 1.]])

    """
    z = standardised(columns)
    present = np.isfinite(columns).astype(np.float64)
    if present.all():
        varies = z.any(axis=1)
        r = np.clip(z @ z.T / max(columns.shape[1], 1), -1.0, 1.0)
        return np.where(np.logical_and.outer(varies, varies), r, np.nan)
    count, total, square = present @ present.T, z @ present.T, np.square(z) @ present.T
    covariance = count * (z @ z.T) - total * total.T
    variance = np.maximum(count * square - np.square(total), 0.0)
    scale = np.sqrt(variance * variance.T)
    r = np.divide(covariance, scale, out=np.full_like(scale, np.nan), where=scale > 1e-9 * np.square(count))
    return np.asarray(np.clip(r, -1.0, 1.0))


def cramers_v(counts: IntArray, rows: IntArray, columns: IntArray) -> float:
    """Return Cramér's V, corrected for its bias, from the filled cells of a contingency table.

    It is NaN where a side has one level, or as many as there are rows.

    Args:
        counts: int64 **(n_cells,)**, each above 0.
        rows: the row of each cell.
        columns: the column of each cell.

    Source: Bergsma 2013, eqs. 3-5, doi:10.1016/j.jkss.2012.10.002.

    Example:
        >>> cramers_v(np.array([50, 50]), np.array([0, 1]), np.array([0, 1]))
        1.0

    """
    n = int(counts.sum())
    by_row, by_column = np.bincount(rows, counts), np.bincount(columns, counts)
    phi2 = float((np.square(counts / by_row[rows]) * by_row[rows] / by_column[columns]).sum()) - 1.0
    r, c = np.count_nonzero(by_row), np.count_nonzero(by_column)
    if n < 2 or min(r, c) < 2:
        return np.nan
    excess = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    smaller = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1))
    return float(min(1.0, np.sqrt(excess / (smaller - 1)))) if smaller > 1 else np.nan


def correlation_ratio(codes: IntArray, values: FloatArray) -> float:
    """Return eta, the root of the share of spread in `values` that their group explains.

    Rows whose value is NaN do not count. `codes` are at least 0. Without spread, or with one group, eta is NaN.

    Source: Fisher 1925, Statistical Methods for Research Workers, ch. VIII.

    Example:
        >>> correlation_ratio(np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 3.0, 3.0]))
        1.0

    """
    present = np.isfinite(values)
    z = standardised(values[None, present])[0]
    size = np.bincount(codes[present])
    total = np.bincount(codes[present], weights=z)
    spread = float(z @ z)
    between = float((np.square(total) / np.maximum(size, 1)).sum())
    return float(np.sqrt(min(1.0, between / spread))) if spread > 0 and np.count_nonzero(size) > 1 else np.nan


def auc(scores: FloatArray, positive: BoolArray) -> Estimate:
    """Return the area under the ROC curve, with DeLong's structural components as influence; ties count half.

    Source: DeLong, DeLong and Clarke-Pearson 1988, doi:10.2307/2531595; by mid-ranks as in Sun and Xu 2014,
    doi:10.1109/LSP.2014.2337313.

    Example:
        >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True])).value
        0.75

    """
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    everywhere = rankdata(scores)
    below = np.empty(len(scores))
    below[positive] = (everywhere[positive] - rankdata(scores[positive])) / n_negative
    below[~positive] = 1.0 - (everywhere[~positive] - rankdata(scores[~positive])) / n_positive
    area = float(below[positive].mean())
    return Estimate(area, (below - area) / np.where(positive, n_positive, n_negative))


def r_squared(truth: FloatArray, predicted: FloatArray) -> Estimate:
    """Return the coefficient of determination; it falls below 0 where the mean would predict better.

    Example:
        >>> r_squared(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])).value
        1.0

    """
    error, spread = np.square(truth - predicted), np.square(truth - truth.mean())
    share = float(error.sum() / spread.sum())
    return Estimate(1.0 - share, (share * spread - error) / spread.sum())
