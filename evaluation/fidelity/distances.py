"""How far one column of a table lies from the same column of train, by every distance that suits its kind."""

from __future__ import annotations

from dataclasses import replace

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
N_OUTERMOST = 10
Distances = dict[Definition, Estimate]


def column_distances(train: Frame, other: Frame, index: int) -> Distances:
    """Return what can be measured of the column `index`; influences are those of the other's rows, then of train's.

    A coverage is no mean over rows; `category_coverage` and `range_coverage` say what a row's influence on it is.
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
    if q[:n_levels].any():
        found[CATEGORY_COVERAGE] = category_coverage(ours, theirs, n_levels)
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
        lost = {RANGE_COVERAGE: Estimate(0.0, np.zeros(len(codes)))} if len(known) > 1 else {}
        return {KS: worst, JENSEN_SHANNON: worst, **lost}
    found = {KS: witnessed(kolmogorov_smirnov(p, q), first, second)}
    found[JENSEN_SHANNON] = jensen_shannon(*quantile_codes(theirs, N_BINS, ours, theirs))
    low, high = np.nanquantile(theirs, [0.025, 0.975])
    if high > low:
        found[WASSERSTEIN] = witnessed(wasserstein(p, q, points) / (high - low), first, second)
    if len(known) > 1:
        reached = range_coverage(ours, theirs)
        found[RANGE_COVERAGE] = replace(reached, value=COARSE * round(reached.value / COARSE))
    return found


def category_coverage(ours: IntArray, theirs: IntArray, n_levels: int) -> Estimate:
    """Return the share of the levels below `n_levels` in `theirs` that occur in `ours`; other codes do not count.

    A row's influence is by how much the share would fall without the row. The sum of their squares is the variance at
    least; Efron and Stein 1981, doi:10.1214/aos/1176345462.

    Example:
        >>> found = category_coverage(np.array([0, 0, 1]), np.array([0, 1, 2, 2]), 3)
        >>> round(found.value, 2), found.influence.round(2).tolist()
        (0.67, [0.0, 0.0, 0.33, 0.17, 0.17, 0.0, 0.0])

    """
    met, known = (np.bincount(codes[codes >= 0], minlength=n_levels)[:n_levels] for codes in (ours, theirs))
    n_known, covered = int((known > 0).sum()), (met > 0) & (known > 0)
    value = float(covered.sum() / n_known)
    without_ours = np.where(covered & (met == 1), 1 / n_known, 0.0)
    without_theirs = np.where(known == 1, value - (covered.sum() - covered) / max(n_known - 1, 1), 0.0)
    parts = zip((without_ours, without_theirs), (ours, theirs), strict=True)
    return Estimate(value, np.concatenate([_of_levels(influence, codes) for influence, codes in parts]))


def _of_levels(numbers: FloatArray, codes: IntArray) -> FloatArray:
    """Return each row's number by its code; 0 where the code is that of no level."""
    known = (codes >= 0) & (codes < len(numbers))
    return np.where(known, numbers[np.where(known, codes, 0)], 0.0)


def range_coverage(ours: FloatArray, theirs: FloatArray) -> Estimate:
    """Return the share of the range of `theirs` that `ours` spans; NaN does not count.

    Only a row that stands at an end alone has an influence: by how much the share would change were the end a standard
    deviation further in, as if the ten outermost values were the tail of an exponential distribution. The largest of n
    such values has the standard deviation pi / sqrt(6) for large n; Rényi 1953, doi:10.1007/BF02127580.

    Example:
        >>> found = range_coverage(np.array([2.0, 9.0, 8.0]), np.array([0.0, 0.0, 10.0, 10.0]))
        >>> round(found.value, 2), found.influence.round(2).tolist()
        (0.7, [0.51, 0.7, 0.0, 0.0, 0.0, 0.0, 0.0])

    """
    sides, ends = (ours, theirs), (_ends(ours), _ends(theirs))
    value, influence = _range_reached(*ends), [np.zeros(len(side)) for side in sides]
    for which, side in enumerate(sides):
        for place, sign in ((0, 1.0), (1, -1.0)):
            moved = [end.copy() for end in ends]
            moved[which][place] += sign * _deviation_of_end(sign * side)
            influence[which][int(np.nanargmin(sign * side))] += value - _range_reached(*moved)
    return Estimate(value, np.concatenate(influence))


def _ends(numbers: FloatArray) -> FloatArray:
    return np.array([np.nanmin(numbers), np.nanmax(numbers)])


def _deviation_of_end(numbers: FloatArray) -> float:
    """Return the standard deviation of the smallest number; 0 where several rows have it."""
    last = min(N_OUTERMOST, len(numbers) - 1)
    outermost = np.sort(np.partition(numbers, last)[: last + 1])  # NaN comes last
    outermost = outermost[~np.isnan(outermost)]
    if len(outermost) < 2 or outermost[0] == outermost[1]:
        return 0.0
    return float((outermost[-1] - outermost[:-1]).mean() * np.pi / np.sqrt(6))


def _range_reached(ours: FloatArray, theirs: FloatArray) -> float:
    return range_reached(ours, *theirs.tolist()) if theirs[1] > theirs[0] else 0.0


def range_reached(points: FloatArray, low: float, high: float) -> float:
    """Return the share of the range from `low` to `high` that increasing `points` span: SDMetrics' RangeCoverage.

    Example:
        >>> range_reached(np.array([2.0, 9.0]), 0.0, 10.0)
        0.7

    """
    lost = max(0.0, float(points[0]) - low) + max(0.0, high - float(points[-1]))
    return max(0.0, 1.0 - lost / (high - low))


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
