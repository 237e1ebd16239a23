"""How far one column of a table lies from the same column of train, by every distance that suits its kind."""

from __future__ import annotations

import numpy as np

from ..features import Frame
from ..metric import Definition
from ..statistics import (
    Estimate,
    FloatArray,
    IntArray,
    kolmogorov_smirnov,
    shares,
    total_variation,
    wasserstein,
    witnessed,
)
from .bins import ordered, quantile_codes

KS = Definition("ks", "marginals", 0.0, 1.0, "Massey 1951, doi:10.1080/01621459.1951.10500769")
TVD = Definition("tvd", "marginals", 0.0, 1.0, "total variation distance; missing is a level")
WASSERSTEIN = Definition("wasserstein", "marginals", 0.0, 1.0, "Wasserstein-1 / train's range from 2.5 % to 97.5 %")
JENSEN_SHANNON = Definition(
    "jensen_shannon",
    "marginals",
    0.0,
    1.0,
    "root of the divergence in bits: Endres and Schindelin 2003, doi:10.1109/TIT.2003.813506; 20 quantile bins",
)
MISSING = Definition("missing_rate_error", "marginals", 0.0, 1.0, "difference between the shares of missing cells")
CATEGORY_COVERAGE = Definition(
    "category_coverage", "marginals", 1.0, 0.0, "share of train's levels that occur: SDMetrics' CategoryCoverage"
)
RANGE_COVERAGE = Definition(
    "range_coverage",
    "marginals",
    1.0,
    0.0,
    "share of train's range that is reached: SDMetrics' RangeCoverage, in steps of .05",
)

N_BINS = 20
COARSE = 0.05
"""Range coverage is told in such steps: from the exact share, and the synthetic table's own range, train's smallest or
largest value could be computed, and it may be one person's."""
Distances = dict[Definition, Estimate]


def column_distances(train: Frame, other: Frame, index: int) -> Distances:
    """Return what can be measured of the column `index`; influences are those of the other's rows, then of train's.

    Coverages have no influence: what a table lacks altogether is no mean over its rows.
    """
    gone = [frame.missing(index).astype(np.int64) for frame in (other, train)]
    p, q = (shares(codes, 2) for codes in gone)
    found = {MISSING: witnessed(total_variation(p, q), *gone)}
    between = _between_categories if train.features[index].categorical else _between_numbers
    return found | between(train, other, index)


def _between_categories(train: Frame, other: Frame, index: int) -> Distances:
    n_levels = len(train.features[index].labels)
    ours, theirs = other.codes(index), train.codes(index)
    p, q = shares(ours, n_levels + 1), shares(theirs, n_levels + 1)
    found = {TVD: witnessed(total_variation(p, q), ours, theirs), JENSEN_SHANNON: jensen_shannon(ours, theirs)}
    known = q[:n_levels] > 0
    if known.any():
        found[CATEGORY_COVERAGE] = _without_influence(float((p[:n_levels] > 0)[known].mean()))
    return found


def _between_numbers(train: Frame, other: Frame, index: int) -> Distances:
    """Compare over the values that occur in either table; where one has none at all, the gap is as wide as can be."""
    ours, theirs = other.numbers(index), train.numbers(index)
    points, codes = ordered(np.concatenate([ours, theirs]))
    first, second = codes[: len(ours)], codes[len(ours) :]
    p, q = shares(first, len(points)), shares(second, len(points))
    if not len(points):
        return {}
    known = points[q > 0]
    if not (p.any() and q.any()):
        worst = Estimate(1.0, np.zeros(len(codes)))
        lost = {RANGE_COVERAGE: _without_influence(0.0)} if len(known) > 1 else {}
        return {KS: worst, JENSEN_SHANNON: worst, **lost}
    found = {KS: witnessed(kolmogorov_smirnov(p, q), first, second)}
    found[JENSEN_SHANNON] = jensen_shannon(*quantile_codes(theirs, N_BINS, ours, theirs))
    low, high = np.nanquantile(theirs, [0.025, 0.975])
    if high > low:
        found[WASSERSTEIN] = witnessed(wasserstein(p, q, points) / (high - low), first, second)
    if len(known) > 1:
        reached = range_reached(points[p > 0], float(known[0]), float(known[-1]))
        found[RANGE_COVERAGE] = _without_influence(COARSE * round(reached / COARSE))
    return found


def range_reached(points: FloatArray, low: float, high: float) -> float:
    """Return the share of the range from `low` to `high` that increasing `points` span: SDMetrics' RangeCoverage.

    Example:
        >>> range_reached(np.array([2.0, 9.0]), 0.0, 10.0)
        0.7

    """
    lost = max(0.0, float(points[0]) - low) + max(0.0, high - float(points[-1]))
    return max(0.0, 1.0 - lost / (high - low))


def _without_influence(value: float) -> Estimate:
    return Estimate(value, np.zeros(0))


def jensen_shannon(first: IntArray, second: IntArray) -> Estimate:
    """Return the Jensen-Shannon distance between two samples of levels, in [0, 1]; rows with code -1 do not count.

    It is the root of the divergence in bits, and each row's influence is the divergence's derivative over twice the
    root. Source: Endres and Schindelin 2003, doi:10.1109/TIT.2003.813506.

    Example:
        >>> jensen_shannon(np.array([0, 0]), np.array([1, 1])).value
        1.0

    """
    n_levels = int(max(first.max(initial=-1), second.max(initial=-1))) + 1
    p, q = shares(first, n_levels), shares(second, n_levels)
    middle = (p + q) / 2
    ours, theirs = (0.5 * _bits(x, middle) for x in (p, q))
    distance = float(np.sqrt(max(0.0, float(ours @ p) + float(theirs @ q))))
    influence = np.concatenate([_influence(ours, p, first), _influence(theirs, q, second)])
    return Estimate(distance, influence / (2 * distance) if distance > 0 else np.zeros_like(influence))


def _bits(p: FloatArray, middle: FloatArray) -> FloatArray:
    return np.log2(np.divide(p, middle, out=np.ones_like(p), where=p > 0))


def _influence(score: FloatArray, p: FloatArray, codes: IntArray) -> FloatArray:
    present = codes >= 0
    return np.where(present, score[codes] - float(score @ p), 0.0) / max(int(present.sum()), 1)
