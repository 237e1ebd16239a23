"""Two columns at a time: does the synthetic table hold them together as train does?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..jackknife import around, reaches
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..references import at_size, shuffled
from ..report import PairProfile
from ..statistics import (
    BoolArray,
    Estimate,
    FloatArray,
    IntArray,
    correlations,
    shares,
    standardised,
    total_variation,
    witnessed,
)
from ..threads import in_threads, one_thread
from .association import (
    DENSE_CELLS,
    associations,
    numeric_columns,
    pairs_of,
    pairs_with_a_category,
    rank_correlations,
    statistic_of,
)
from .information import normalised_information
from .published import SDMETRICS_TREND, compatible, trend_score

TREND = Definition(
    "trend_error",
    "pairs",
    0.0,
    1.0,
    "as SDMetrics' Column Pair Trends without thresholds, but bins from train for both",
)
PEARSON = Definition("pearson_error", "pairs", 0.0, 2.0, "mean |difference of Pearson's r| over pairs of numbers")
SPEARMAN = Definition("spearman_error", "pairs", 0.0, 2.0, "mean |difference of Spearman's r| over pairs of numbers")
CRAMER = Definition(
    "cramers_v_error",
    "pairs",
    0.0,
    1.0,
    "mean |difference of V| over pairs of categories; Bergsma 2013",
)
ETA = Definition("correlation_ratio_error", "pairs", 0.0, 1.0, "mean |difference of eta|, categories by numbers")
INFORMATION = Definition(
    "mutual_information_error",
    "pairs",
    0.0,
    1.0,
    "mean |difference of normalised mutual information|, Strehl and Ghosh 2002; bins from train",
)
BY_STATISTIC = {"pearson": PEARSON, "cramers_v": CRAMER, "correlation_ratio": ETA}

DIFFERENCES = (*BY_STATISTIC.values(), SPEARMAN, INFORMATION)

N_BINS, N_GROUPS = 10, 8
UNDEFINED = "train leaves it undefined for every such pair, as a constant or an empty column does"


@dataclass(frozen=True)
class Binned:
    """A frame as levels: numbers in equal-width bins of train's range, with bins beyond it and for missing."""

    codes: tuple[IntArray, ...]
    sizes: tuple[int, ...]

    @classmethod
    def of(cls, frame: Frame, train: Frame) -> Binned:
        """Bin `frame` by train's edges."""
        columns = [_binned(frame, train, i) for i in range(len(frame.features))]
        return cls(tuple(codes for codes, _ in columns), tuple(size for _, size in columns))


def _binned(frame: Frame, train: Frame, index: int) -> tuple[IntArray, int]:
    if frame.features[index].categorical:
        return frame.codes(index), len(frame.features[index].labels) + 1
    known = train.numbers(index)[~train.missing(index)]
    edges = np.linspace(known.min(), known.max(), N_BINS + 1) if len(known) else np.zeros(1)
    inside = np.digitize(frame.numbers(index), edges) - (frame.numbers(index) == edges[-1])  # the last bin is closed
    return np.where(frame.missing(index), len(edges) + 1, inside).astype(np.int64), len(edges) + 2


@dataclass(frozen=True)
class Comparison:
    """Train beside another table: everything about their pairs of columns, each part computed when first asked for."""

    train: Frame
    other: Frame
    binned_train: Binned

    @cached_property
    def binned_other(self) -> Binned:
        """The other table by train's edges."""
        return Binned.of(self.other, self.train)

    @cached_property
    def contingency(self) -> FloatArray:
        """The contingency error of every pair."""

        def error(pair: tuple[int, int]) -> float:
            return _contingency(self.binned_other, self.binned_train, *pair).value

        return np.array(in_threads(error, pairs_of(self.train), length=self.train.n_rows))

    @cached_property
    def correlation(self) -> tuple[FloatArray, FloatArray]:
        """Pearson's matrices of the numeric columns in train and in the other table, NaN where undefined."""
        return correlations(self._numbers(self.train)), correlations(self._numbers(self.other))

    @cached_property
    def counted(self) -> BoolArray:
        """Which pairs of numeric columns count, either way round: those whose correlation train defines."""
        theirs = self.correlation[0]
        return np.asarray(np.isfinite(theirs) & ~np.eye(len(theirs), dtype=np.bool_))

    @property
    def n_pairs(self) -> int:
        """How many pairs the trend is a mean over."""
        return len(pairs_with_a_category(self.train)) + int(self.counted.sum()) // 2

    def _numbers(self, frame: Frame) -> FloatArray:
        return numeric_columns(frame, [i for i, feature in enumerate(frame.features) if not feature.categorical])

    @property
    def trend(self) -> float:
        """The mean error over the pairs that count."""
        kinds = [statistic_of(self.train, *pair) for pair in pairs_of(self.train)]
        mixed = float(self.contingency[[kind != "pearson" for kind in kinds]].sum())
        theirs, ours = self._counted_correlation()
        numeric = 0.25 * float(np.abs(ours - theirs).sum())  # every pair stands there twice; half of it counts
        return (mixed + numeric) / self.n_pairs

    def trend_estimate(self) -> Estimate:
        """Return the trend with the influence of the other's rows, then of train's."""
        influence = self._correlation_influence()
        for parts in in_threads(self._influence, self._groups(), length=self.train.n_rows):
            influence += parts
        return Estimate(self.trend, influence / self.n_pairs)

    def _groups(self) -> list[list[tuple[int, int]]]:
        """Cut the pairs that are not both numbers into a few groups, each of which is summed in a fixed order."""
        pairs = pairs_with_a_category(self.train)
        return [pairs[start::N_GROUPS] for start in range(N_GROUPS)]

    def _influence(self, pairs: list[tuple[int, int]]) -> FloatArray:
        total = np.zeros(self.other.n_rows + self.train.n_rows)
        for pair in pairs:
            total += _contingency(self.binned_other, self.binned_train, *pair).estimate().influence
        return total

    def _counted_correlation(self) -> list[FloatArray]:
        """Return both matrices; what does not count, or is undefined in the other table alone, is no correlation."""
        return [np.where(self.counted, np.nan_to_num(r), 0.0) for r in self.correlation]

    def _correlation_influence(self) -> FloatArray:
        theirs, ours = self._counted_correlation()
        side = np.sign(ours - theirs)
        parts = [_correlation_influence(self._numbers(self.other), ours, side)]
        parts.append(-_correlation_influence(self._numbers(self.train), theirs, side))
        return np.concatenate(parts)


@dataclass(frozen=True)
class Contingency:
    """Two contingency tables: how often each cell occurs in either, and the cell of every row."""

    p: FloatArray
    q: FloatArray
    first: IntArray
    second: IntArray

    @property
    def value(self) -> float:
        """The total variation between the tables."""
        return float(total_variation(self.p, self.q) @ (self.p - self.q))

    def estimate(self) -> Estimate:
        """Return the total variation with the influence of every row."""
        return witnessed(total_variation(self.p, self.q), self.first, self.second)


def _contingency(ours: Binned, theirs: Binned, i: int, j: int) -> Contingency:
    """Count the cells of two columns in both tables, by sorting where there are many."""
    n_cells = ours.sizes[i] * ours.sizes[j]
    first, second = (binned.codes[i] * ours.sizes[j] + binned.codes[j] for binned in (ours, theirs))
    if n_cells > DENSE_CELLS:
        cells, both = np.unique(np.concatenate([first, second]), return_inverse=True)
        n_cells, first, second = len(cells), both[: len(first)], both[len(first) :]
    return Contingency(shares(first, n_cells), shares(second, n_cells), first, second)


def _correlation_influence(columns: FloatArray, r: FloatArray, side: FloatArray) -> FloatArray:
    """Return each row's influence on the sum over pairs of side * r / 2.

    A row adds zx zy - r (zx^2 + zy^2) / 2 to Pearson's r (Devlin, Gnanadesikan and Kettenring 1975,
    doi:10.1093/biomet/62.3.531); pairs stand twice in the matrices.
    """
    z = standardised(columns)
    product = (z * (side @ z)).sum(axis=0)
    scale = (side * r).sum(axis=1) @ np.square(z)
    return np.asarray(0.25 * (product - scale) / max(columns.shape[1], 1))


def measure_pairs(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure every pair of columns. All count: a pair unrelated in train must be unrelated in the synthetic table.

    The trend error is the mean over pairs of |difference of Pearson's r| / 2 for two numbers and of the contingency
    error for the others. Ceiling: holdout rows. Floor: train with every column shuffled on its own.

    A strength that train leaves undefined, as where a column is constant or empty, does not count: neither in the means
    of differences nor, for two numbers, in the trend error (SDMetrics gives such a pair no score). Where train defines
    it and the other table does not, it is 0 there, so that a column that became constant is held against the table.
    """
    reason = _reason(frames)
    if reason:
        every = (TREND, *BY_STATISTIC.values(), SPEARMAN, INFORMATION, SDMETRICS_TREND)
        return Findings(tuple(definition.unmeasured(reason) for definition in every))
    with one_thread():
        return _findings(frames, config, seed)


def _findings(frames: Frames, config: EvaluationConfig, seed: int) -> Findings:
    floor = shuffled(frames.train, numpy_rng(seed, "pairs", "floor"))
    binned = Binned.of(frames.train, frames.train)
    comparison = Comparison(frames.train, frames.synthetic, binned)
    others = [Comparison(frames.train, other, binned) for other in (frames.holdout, floor)]
    strengths = {role: associations(frame) for role, frame in _roles(frames, floor).items()}
    groups = numpy_rng(seed, "pairs", "groups")
    measurements = (
        _trend(frames, comparison, *others),
        *_differences(frames, floor, strengths, groups),
        compatible(SDMETRICS_TREND, trend_score, frames, floor, groups),
    )
    return Findings(measurements, pairs=_profiles(frames, strengths, comparison.contingency, config.pair_profiles))


def _trend(frames: Frames, ours: Comparison, holdout: Comparison, floor: Comparison) -> Measurement:
    if not ours.n_pairs:
        return TREND.unmeasured(UNDEFINED)
    value = ours.trend_estimate()
    return TREND.measured(
        value.value,
        n_rows=frames.synthetic.n_rows,
        interval=value.interval(0.0, 1.0),
        ceiling=_same_sized(holdout.trend, frames),
        floor=floor.trend,
    )


def _reason(frames: Frames) -> str | None:
    if len(frames.features) < 2:
        return "a table of one column has no pair"
    if not min(frames.train.n_rows, frames.holdout.n_rows, frames.synthetic.n_rows):
        return "a table has no row"
    return None


def _roles(frames: Frames, floor: Frame) -> dict[str, Frame]:
    return {"train": frames.train, "holdout": frames.holdout, "synthetic": frames.synthetic, "floor": floor}


def _same_sized(error: float, frames: Frames) -> float:
    n_train, n_holdout, n_rows = (f.n_rows for f in (frames.train, frames.holdout, frames.synthetic))
    return at_size(error, measured_on=n_holdout, n_rows=n_rows, n_train=n_train)


def _differences(
    frames: Frames, floor: Frame, strengths: dict[str, FloatArray], rng: np.random.Generator
) -> Iterator[Measurement]:
    """Yield the mean absolute differences from train over the pairs that have each strength there."""
    known = {role: _strengths(frame, frames.train, strengths[role]) for role, frame in _roles(frames, floor).items()}
    counted = [np.isfinite(strength) for strength in known["train"]]
    reach = reaches(partial(_mean_differences, counted), frames.train, frames.synthetic, rng)
    for k, definition in enumerate(DIFFERENCES):
        if counted[k].any():
            error = {role: _mean_difference(counted[k], known["train"][k], own[k]) for role, own in known.items()}
            yield definition.measured(
                error["synthetic"],
                n_rows=frames.synthetic.n_rows,
                interval=around(error["synthetic"], float(reach[k]), definition.best, definition.worst),
                ceiling=_same_sized(error["holdout"], frames),
                floor=error["floor"],
            )
        elif len(counted[k]):
            yield definition.unmeasured(UNDEFINED)
        else:
            yield definition.unmeasured("the table has no such pair of columns", applicable=False)


def _strengths(frame: Frame, train: Frame, association: FloatArray) -> list[FloatArray]:
    """Return the strengths of the pairs of each of `DIFFERENCES`, NaN where undefined; train's edges bin numbers."""
    pairs, found = pairs_of(frame), []
    for statistic in BY_STATISTIC:
        chosen = [pair for pair in pairs if statistic_of(frame, *pair) == statistic]
        rows, columns = np.array(chosen, dtype=np.int64).reshape(-1, 2).T
        found.append(association[rows, columns])
    upper = np.triu_indices(sum(not feature.categorical for feature in frame.features), k=1)
    binned = Binned.of(frame, train)
    return [*found, rank_correlations(frame)[upper], normalised_information(binned.codes, binned.sizes, pairs)]


def _mean_differences(counted: list[BoolArray], train: Frame, other: Frame) -> FloatArray:
    """Return the mean absolute difference of each strength over the counted pairs, 0 where there is none."""
    ours, theirs = (_strengths(frame, train, associations(frame)) for frame in (other, train))
    return np.array([_mean_difference(*each) for each in zip(counted, theirs, ours, strict=True)])


def _mean_difference(counted: BoolArray, first: FloatArray, second: FloatArray) -> float:
    """Return the mean over the counted pairs; what is undefined is no association, 0."""
    first, second = (np.nan_to_num(strength[counted]) for strength in (first, second))
    return float(np.abs(first - second).mean()) if counted.any() else 0.0


def _profiles(
    frames: Frames, strengths: dict[str, FloatArray], errors: FloatArray, n_profiles: int
) -> tuple[PairProfile, ...]:
    pairs = pairs_of(frames.train)
    worst = np.argsort(-errors, kind="stable")[:n_profiles]
    return tuple(_profile(frames, strengths, pairs[k], float(errors[k])) for k in worst)


def _profile(frames: Frames, strengths: dict[str, FloatArray], pair: tuple[int, int], error: float) -> PairProfile:
    i, j = pair
    shown = {role: float(np.nan_to_num(strength[i, j])) for role, strength in strengths.items()}
    return PairProfile(
        first=frames.features[i].name,
        second=frames.features[j].name,
        statistic=statistic_of(frames.train, i, j),
        contingency_error=error,
        train=shown["train"],
        holdout=shown["holdout"],
        synthetic=shown["synthetic"],
    )
