"""G2: does the synthetic table take up single values of train: numbers, times, rare levels, extremes?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce

import numpy as np

from pipeline.columns import Categorical, Continuous, Integer

from ..features import Feature, Frames
from ..report import GateVerdict, PrivacyTest, TestPart
from ..statistics import FloatArray
from .decisions import (
    FAIL_BELOW,
    REVIEW_BELOW,
    chance,
    clopper_pearson,
    combined,
    counted,
    gravest,
    too_few_rows,
    undecided,
    verdict_of,
    worst,
    worst_first,
)
from .records import RowKeys, Singles

STATISTIC = "repeated single values of train, at the size of holdout"
RULE = (
    f"PASS: p >= {REVIEW_BELOW:g} and no telling extreme of train repeated; FAIL: p < {FAIL_BELOW:g}, of single values "
    "or of the number of extremes"
)
SOURCE = "values only in train against values only in holdout, exact under relabelling (Fisher 1935)"
MIN_SINGLES = 20
"""Fewer values that one row alone holds cannot tell train from holdout."""
TAIL_ROWS = 100
"""The outermost original rows of a column, from which the chance to repeat its extreme is estimated."""
EXTREMES = "single extremes of train that come back and are telling"
TELLING_BELOW = 0.05
"""An extreme that honest rows repeat more often tells nothing."""


def judge_value_support(frames: Frames) -> PrivacyTest:
    """Count, column by column, repeated values that one train row alone holds against those of one holdout row alone.

    A value that several rows share, such as 40 working hours, points to nobody: a generator may learn it. On a dense
    grid of values honest rows repeat single values by chance, but those of train as often as those of holdout. Declared
    levels and bounds are public and do not count.

    An extreme of train counts where one train row alone holds it, and no holdout row. Chance repeats it too where the
    grid is coarse or an end is capped: the outermost rows tell how often. A repeated extreme is therefore for review;
    where chance repeats as many in less than one honest table in a thousand, they are refused.
    """
    reason = too_few_rows(frames)
    if reason:
        return undecided("g2_value_support", "NOT TESTABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    columns = list(_columns(frames))
    extremes = list(_extremes(frames))
    if not columns and not extremes:
        reason = f"No column has {MIN_SINGLES} values that one row alone holds, and no extreme is such a value."
        return undecided("g2_value_support", "NOT APPLICABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    return _decided(frames, columns, extremes)


def _columns(frames: Frames) -> Iterator[tuple[str, Singles]]:
    keys = RowKeys(frames)
    for index, feature in enumerate(frames.features):
        if isinstance(feature.column, Categorical) and feature.column.levels is not None:
            continue
        present = ~np.concatenate([frames.train.missing(index), frames.holdout.missing(index)])
        singles = keys.singles(keys.cells(index)).among(present)
        if len(singles.rows) >= MIN_SINGLES:
            yield feature.name, singles


@dataclass(frozen=True)
class Extreme:
    """The smallest or largest value of a column, which one train row alone holds.

    Attributes:
        repeated: how many synthetic rows hold it.
        p_value: how often honest rows would repeat it.

    """

    repeated: int
    p_value: float

    @property
    def telling(self) -> bool:
        """Whether honest rows would seldom repeat it."""
        return self.p_value < TELLING_BELOW


def _extremes(frames: Frames) -> Iterator[Extreme]:
    for index, feature in enumerate(frames.features):
        if feature.categorical:
            continue
        train, holdout, synthetic = (table.numbers(index) for table in (frames.train, frames.holdout, frames.synthetic))
        for side, sign in (("minimum", 1.0), ("maximum", -1.0)):
            found = _extreme(feature, side, sign, train, holdout, synthetic)
            if found:
                yield found


def _extreme(
    feature: Feature, side: str, sign: float, train: FloatArray, holdout: FloatArray, synthetic: FloatArray
) -> Extreme | None:
    """Return what became of one end of a column, or None where no train row stands there alone."""
    train, holdout = (numbers[~np.isnan(numbers)] * sign for numbers in (train, holdout))
    if len(train) < MIN_SINGLES or len(holdout) < MIN_SINGLES:
        return None
    end = train.min()
    if (train == end).sum() > 1 or end in holdout or _public(feature, side, sign * end):
        return None
    repeated = int((sign * synthetic == end).sum())
    return Extreme(repeated, _chance_to_repeat(train, holdout, end, len(synthetic)))


def _public(feature: Feature, side: str, value: float) -> bool:
    declared = getattr(feature.column, side) if isinstance(feature.column, Continuous | Integer) else None
    return declared is not None and declared * feature.unit == value


def _chance_to_repeat(train: FloatArray, holdout: FloatArray, end: float, n_synthetic: int) -> float:
    """Return how often honest rows hold `end`, by the larger of two estimates from the outermost values.

    As if the rows spread evenly over the grid points there; and as often as holdout repeats a train row's single value
    there, if it does so at all, with Jeffreys' half added.
    """
    original = np.sort(np.concatenate([train, holdout]))
    n_tail = min(int((original < end).sum()) + TAIL_ROWS, len(original))
    edge, steps = original[n_tail - 1], np.diff(original)
    n_points = 1.0 + (edge - original[0]) / steps[steps > 0].min()
    values, counts = np.unique(train[train <= edge], return_counts=True)
    single = values[counts == 1]
    n_repeated = int(np.isin(single, holdout).sum())
    share = (n_repeated + 0.5) / (len(single) + 1) if n_repeated else 0.0
    hits = max(n_tail / len(original) / n_points, share / len(holdout)) * n_synthetic
    return float(-np.expm1(-hits))


def _reached(extremes: list[Extreme]) -> FloatArray:
    """Return how often honest rows repeat at least 0, 1, ... of the telling extremes: sums of independent events."""
    chances = ([1.0 - extreme.p_value, extreme.p_value] for extreme in extremes if extreme.telling)
    law = reduce(np.convolve, chances, np.ones(1))
    return np.cumsum(law[::-1])[::-1]


def _extremes_p(extremes: list[Extreme]) -> float:
    return float(_reached(extremes)[_n_repeated(extremes)])


def fewest_extremes(frames: Frames) -> int | None:
    """Return how many telling extremes of train must come back to be refused; None where all of them would not be."""
    return _fewest(list(_extremes(frames)))


def _fewest(extremes: list[Extreme]) -> int | None:
    refused = np.flatnonzero(_reached(extremes) < FAIL_BELOW)
    return int(refused[0]) if len(refused) else None


def _decided(frames: Frames, columns: list[tuple[str, Singles]], extremes: list[Extreme]) -> PrivacyTest:
    p_values = [singles.p_value() for _, singles in columns]
    p_value = combined(p_values) if p_values else 1.0
    share = min(1.0, frames.holdout.n_rows / frames.train.n_rows)
    parts = [
        _part(name, singles, p, verdict_of(min(1.0, p * len(columns))), share)
        for (name, singles), p in zip(columns, p_values, strict=True)
    ]
    if columns:
        together = verdict_of(p_value)
        note = "Cauchy combination of the columns"
        parts.append(
            TestPart(
                subject="all columns together", statistic="p-value", value=p_value, p_value=p_value, verdict=together,
                note=note,
            )
        )  # fmt: skip
    if extremes:
        parts.append(_all_extremes(extremes))
    verdict, found = worst([part.verdict for part in parts]), gravest(parts)
    return PrivacyTest(
        name="g2_value_support",
        verdict=verdict,
        statistic=f"{found.statistic}: {found.subject}",
        value=found.value,
        interval=found.interval,
        p_value=p_value,
        rule=RULE,
        reason=_reason(verdict, p_value, columns, extremes),
        detection_limit=_detection_limit(frames, columns, extremes),
        parts=worst_first(parts),
        source=SOURCE,
    )


def _part(name: str, singles: Singles, p_value: float, verdict: GateVerdict, share: float) -> TestPart:
    low, high = singles.train_hits_interval()
    return TestPart(
        subject=name,
        statistic=STATISTIC,
        value=singles.train_hits * share,
        interval=(low * share, high * share),
        p_value=p_value,
        verdict=verdict,
        note=singles.counts(),
    )


def _all_extremes(extremes: list[Extreme]) -> TestPart:
    """Return the extremes as one part: which of them came back would say that a value in the table is a person's."""
    p_value, n_repeated = _extremes_p(extremes), _n_repeated(extremes)
    n_telling = sum(extreme.telling for extreme in extremes)
    low, high = clopper_pearson(n_repeated, n_telling) if n_telling else (0.0, 0.0)
    return TestPart(
        subject="all extremes together",
        statistic=EXTREMES,
        value=n_repeated,
        interval=(low * n_telling, high * n_telling),
        p_value=p_value,
        verdict=worst([verdict_of(p_value), "REVIEW" if n_repeated else "PASS"]),
        note=f"of {counted(n_telling, 'telling extreme')}",
    )


def _n_repeated(extremes: list[Extreme]) -> int:
    """Count the telling extremes that come back. One is looked at: it may be a common cap all the same."""
    return sum(extreme.repeated > 0 and extreme.telling for extreme in extremes)


def _reason(verdict: GateVerdict, p_value: float, columns: list[tuple[str, Singles]], extremes: list[Extreme]) -> str:
    if verdict == "PASS":
        return f"Single values of train are repeated no more than those of holdout ({chance(p_value)})."
    n_repeated = _n_repeated(extremes)
    comes = "comes" if n_repeated == 1 else "come"
    told = f"{counted(n_repeated, 'single extreme')} of train {comes} back. " if n_repeated else ""
    if p_value >= REVIEW_BELOW:
        return f"{told}Chance repeats as many with {chance(_extremes_p(extremes))}."
    name, singles = min(columns, key=lambda column: column[1].p_value())
    return f'{told}Values that one row alone holds come back, most of all in "{name}": {singles.counts()}.'


def _detection_limit(frames: Frames, columns: list[tuple[str, Singles]], extremes: list[Extreme]) -> str:
    fewest_ends = _fewest(extremes)
    of_them = (
        "all of them repeated are for review"
        if fewest_ends is None
        else f"a repetition of {fewest_ends} or more is refused"
    )
    n_telling = sum(extreme.telling for extreme in extremes)
    seen = f"{counted(n_telling, 'extreme')} of train would be telling" + (f", and {of_them}" if n_telling else "")
    if not columns:
        return f"No column has enough single values to count; {seen}."
    name, singles = max(columns, key=lambda column: len(column[1].rows))
    fewest = singles.detectable(FAIL_BELOW / len(columns))
    if fewest is None:
        return f"Even in {name} no number of repeated values could be told from chance; {seen}."
    share = fewest / frames.synthetic.n_rows
    return (
        f"In {name}, the column with most single values, {counted(fewest, 'repeated value')} of train "
        f"({share:.2%} of the synthetic rows) are refused; {seen}."
    )
