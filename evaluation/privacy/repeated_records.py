"""G1: are records that one row alone holds repeated more often when the generator saw them than when it did not?"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import ConfigError

from ..config import EvaluationConfig
from ..features import Frames
from ..report import GateVerdict, PrivacyTest, TestPart
from .at_risk import MIN_AT_RISK
from .decisions import (
    FAIL_BELOW,
    REVIEW_BELOW,
    chance,
    combined,
    counted,
    gravest,
    too_few_rows,
    undecided,
    verdict_of,
    worst,
    worst_first,
)
from .near_copies import TOLERANCES, near_singles
from .records import RowKeys, Singles
from .small_cells import MOST_ROUNDS, SMALL, SmallCells

STATISTIC = "repeated records only in train, at the size of holdout"
RULE = (
    f"PASS: p >= {REVIEW_BELOW:g}; FAIL: p < {FAIL_BELOW:g}; at least REVIEW where whole rows of train "
    "and none of holdout are repeated"
)
SOURCE = "equal-size train-only against holdout-only matches, exact under relabelling (Fisher 1935)"
WHOLE = "whole rows"
FEW = f"combinations that fewer than {SMALL} original rows share"
NEAR = tuple(f"{WHOLE}, numbers within {within}" for within in TOLERANCES)
ALTOGETHER = "all ways of counting together"
MIN_SINGLES = 20
"""Ten train records that are repeated are the fewest that can refuse where holdout has as many."""

Way = tuple[str, Singles | SmallCells]


def judge_copies(frames: Frames, config: EvaluationConfig) -> PrivacyTest:
    """Count repeated records only in train against those only in holdout, in several ways.

    The ways: whole rows; whole rows whose numbers may be a little off, which sees rounded and shaken copies; all
    columns but one, for each column, which sees copies with one changed cell; and each declared group of
    quasi-identifiers. Only records that differ from every other original one over the columns at
    hand are at risk. Were the generator blind to them, each of those repeated would be train's with the probability
    that any record is train's; sizes of the two tables need not be equal for that.

    Where fewer than 200 records of train are at risk, hardly anything could be told from these ways. There the rows of
    combinations that fewer than ten original rows share are counted as well, by the synthetic rows that repeat them.

    Raises:
        ConfigError: a quasi-identifier is no column of the table.
    """
    groups = _groups(frames, config)
    reason = too_few_rows(frames)
    if reason:
        return undecided("g1_copies", "NOT TESTABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    keys = RowKeys(frames)
    counted_ways = list(_ways(frames, keys, groups, config.privacy.permutations))
    ways = [(way, found) for way, found in counted_ways if found.n_rows >= MIN_SINGLES]
    if not any(found.n_train for _, found in ways):
        alone = counted(counted_ways[0][1].n_rows, "original row")
        reason = f"{alone} differ from all others, and few are in {FEW}, so no record can be singled out."
        return undecided("g1_copies", "NOT APPLICABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    return _decided(frames, ways)


def _groups(frames: Frames, config: EvaluationConfig) -> list[tuple[int, ...]]:
    """Return the places of the declared quasi-identifiers; identifiers and text are the business of G0."""
    names = [feature.name for feature in frames.features]
    known = {*names, *(column.name for column in frames.tables.schema.columns)} if frames.tables else {*names}
    unknown = sorted({name for group in config.privacy.quasi_identifiers for name in group} - known)
    if unknown:
        rule = "a quasi-identifier must be a column of the table"
        raise ConfigError(rule, actual=", ".join(f'"{name}"' for name in unknown), remedy="name other columns")
    return [tuple(names.index(n) for n in group if n in names) for group in config.privacy.quasi_identifiers]


def _ways(frames: Frames, keys: RowKeys, groups: list[tuple[int, ...]], permutations: int) -> Iterator[Way]:
    whole = keys.over(range(len(keys.names)))
    singles = keys.singles(whole)
    yield WHOLE, singles
    has_numbers = not all(feature.categorical for feature in frames.features)
    for way, within in zip(NEAR, TOLERANCES, strict=True) if has_numbers else ():
        yield way, near_singles(frames, keys, singles, within)
    if len(keys.names) > 1:
        for index, name in enumerate(keys.names):
            yield f'all columns but "{name}"', keys.singles(whole - keys.cells(index))
    for group in groups:
        if group:
            yield " and ".join(f'"{keys.names[index]}"' for index in group), keys.singles(keys.over(group))
    if singles.n_train < MIN_AT_RISK:
        yield FEW, SmallCells.of(keys, whole, permutations)


def _decided(frames: Frames, ways: list[Way]) -> PrivacyTest:
    share = min(1.0, frames.holdout.n_rows / frames.train.n_rows)
    p_values = [found.p_value() for _, found in ways]
    p_value = combined(p_values)
    parts = [_part(way, found, p, len(ways), share) for (way, found), p in zip(ways, p_values, strict=True)]
    parts.append(
        TestPart(
            subject=ALTOGETHER, statistic="p-value", value=p_value, p_value=p_value, verdict=verdict_of(p_value),
            note="Cauchy combination of the ways of counting",
        )
    )  # fmt: skip
    verdict, found = worst([part.verdict for part in parts]), gravest(parts)
    return PrivacyTest(
        name="g1_copies",
        verdict=verdict,
        statistic=f"{found.statistic}: {found.subject}",
        value=found.value,
        interval=found.interval,
        p_value=p_value,
        rule=RULE,
        reason=_reason(verdict, ways, p_values, p_value),
        detection_limit=_detection_limit(frames, ways),
        parts=worst_first(parts),
        source=SOURCE,
    )


def _part(way: str, found: Singles | SmallCells, p_value: float, n_ways: int, share: float) -> TestPart:
    unmatched = way == WHOLE and isinstance(found, Singles) and found.train_hits > 0 and found.holdout_hits == 0
    few = "synthetic rows that fall to train, at the size of holdout"
    low, high = found.train_hits_interval()
    own: GateVerdict = worst([verdict_of(min(1.0, p_value * n_ways)), "REVIEW" if unmatched else "PASS"])
    return TestPart(
        subject=way,
        statistic=STATISTIC if isinstance(found, Singles) else few,
        value=found.train_hits * share,
        interval=(low * share, high * share),
        p_value=p_value,
        verdict=own,
        note=found.counts(),
    )


def _reason(verdict: GateVerdict, ways: list[Way], p_values: list[float], p_value: float) -> str:
    found = _told(*ways[0])
    if verdict == "PASS":
        return f"{found} Chance explains this and every other way of counting ({chance(p_value)})."
    if p_value >= REVIEW_BELOW:
        return f"{found} That may be chance, but a repeated record of train should be looked at before release."
    told = _told(*min(zip(p_values, ways, strict=True), key=lambda pair: pair[0])[1])
    return f"{told} The generator repeats records that it saw; chance alone does so with {chance(p_value)}."


def _told(way: str, found: Singles | SmallCells) -> str:
    of = {WHOLE: "Of whole rows that one record alone holds", FEW: f"Of {FEW}"}.get(way, f"Compared over {way}")
    return f"{of}: {found.counts()}."


def _detection_limit(frames: Frames, ways: list[Way]) -> str:
    """Return the limits of whole rows and of small combinations, as far as they are counted."""
    below = FAIL_BELOW / len(ways)
    whole = [_limit_of_whole(frames, found, ways) for way, found in ways if way == WHOLE and isinstance(found, Singles)]
    return " ".join([*whole, *(_limit_of_few(frames, few, below) for _, few in ways if isinstance(few, SmallCells))])


def _limit_of_whole(frames: Frames, whole: Singles, ways: list[Way]) -> str:
    below = FAIL_BELOW / len(ways)
    fewest = whole.detectable(below)
    if fewest is None:
        return f"With {counted(whole.n_rows, 'record')} at risk, no number of copies could be told from chance."
    share = fewest / frames.synthetic.n_rows
    near = [found.detectable(below) for way, found in ways if way == NEAR[-1]]
    also = f", and near ones, every number within 1 % of its range, of {near[0]:,}" if near and near[0] else ""
    return (
        f"Verbatim copies of {counted(fewest, 'train record')} ({share:.2%} of the synthetic rows) are refused{also}; "
        "one verbatim copy is enough for a review where holdout shows none. A copy with two changed levels is not "
        "counted here."
    )


def _limit_of_few(frames: Frames, few: SmallCells, below: float) -> str:
    fewest = few.detectable(below)
    if fewest is None:
        return f"Of {FEW}, {MOST_ROUNDS} copies of each train row could not be told from chance."
    return (
        f"Of {FEW}, about {fewest:,} more synthetic rows ({fewest / frames.synthetic.n_rows:.2%}) that copy train's "
        f"{few.n_train:,}, as many of each, are refused."
    )
