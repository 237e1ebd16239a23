"""G1: are records that one row alone holds repeated more often when the generator saw them than when it did not?"""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import ConfigError

from ..config import EvaluationConfig
from ..features import Frames
from ..report import GateVerdict, PrivacyTest, TestPart
from .decisions import (
    FAIL_BELOW,
    REVIEW_BELOW,
    chance,
    combined,
    counted,
    too_few_rows,
    undecided,
    verdict_of,
    worst,
    worst_first,
)
from .near_copies import TOLERANCES, near_singles
from .records import RowKeys, Singles

STATISTIC = "p-value of the repeated records, all ways of counting combined"
RULE = (
    f"PASS: p >= {REVIEW_BELOW:g}; FAIL: p < {FAIL_BELOW:g}; at least REVIEW where whole rows of train "
    "and none of holdout are repeated"
)
SOURCE = "equal-size train-only against holdout-only matches, exact under relabelling (Fisher 1935)"
WHOLE = "whole rows"
NEAR = tuple(f"{WHOLE}, numbers within {within}" for within in TOLERANCES)
ALTOGETHER = "all ways of counting together"
MIN_SINGLES = 20
"""Ten train records that are repeated are the fewest that can refuse where holdout has as many."""


def judge_copies(frames: Frames, config: EvaluationConfig) -> PrivacyTest:
    """Count repeated records only in train against those only in holdout, in several ways.

    The ways: whole rows; whole rows whose numbers may be a little off, which sees rounded and shaken copies; all
    columns but one, for each column, which sees copies with one changed cell; and each declared group of
    quasi-identifiers. Only records that differ from every other original one over the columns at
    hand are at risk. Were the generator blind to them, each of those repeated would be train's with the probability
    that any record is train's; sizes of the two tables need not be equal for that, and nothing is drawn.

    Raises:
        ConfigError: a quasi-identifier is no column of the table.
    """
    groups = _groups(frames, config)
    reason = too_few_rows(frames)
    if reason:
        return undecided("g1_copies", "NOT TESTABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    keys = RowKeys(frames)
    counted_ways = list(_ways(frames, keys, groups))
    whole = counted_ways[0][1]
    ways = [(way, singles) for way, singles in counted_ways if len(singles.rows) >= MIN_SINGLES]
    if not ways or not whole.n_train:
        reason = f"{counted(len(whole.rows), 'original row')} differ from all others, so no record can be singled out."
        return undecided("g1_copies", "NOT APPLICABLE", statistic=STATISTIC, rule=RULE, reason=reason)
    return _decided(frames, whole, ways)


def _groups(frames: Frames, config: EvaluationConfig) -> list[tuple[int, ...]]:
    """Return the places of the declared quasi-identifiers; identifiers and text are the business of G0."""
    names = [feature.name for feature in frames.features]
    known = {*names, *(column.name for column in frames.tables.schema.columns)} if frames.tables else {*names}
    unknown = sorted({name for group in config.privacy.quasi_identifiers for name in group} - known)
    if unknown:
        rule = "a quasi-identifier must be a column of the table"
        raise ConfigError(rule, actual=", ".join(f'"{name}"' for name in unknown), remedy="name other columns")
    return [tuple(names.index(n) for n in group if n in names) for group in config.privacy.quasi_identifiers]


def _ways(frames: Frames, keys: RowKeys, groups: list[tuple[int, ...]]) -> Iterator[tuple[str, Singles]]:
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


def _decided(frames: Frames, whole: Singles, ways: list[tuple[str, Singles]]) -> PrivacyTest:
    share = min(1.0, frames.holdout.n_rows / frames.train.n_rows)
    p_values = [singles.p_value() for _, singles in ways]
    p_value = combined(p_values)
    parts = [_part(way, singles, p, len(ways), share) for (way, singles), p in zip(ways, p_values, strict=True)]
    parts.append(
        TestPart(
            subject=ALTOGETHER, statistic="p-value", value=p_value, p_value=p_value, verdict=verdict_of(p_value),
            note="Cauchy combination of the ways of counting",
        )
    )  # fmt: skip
    verdict = worst([part.verdict for part in parts])
    return PrivacyTest(
        name="g1_copies",
        verdict=verdict,
        statistic=STATISTIC,
        value=p_value,
        rule=RULE,
        reason=_reason(verdict, whole, ways, p_values, p_value),
        detection_limit=_detection_limit(frames, whole, ways),
        parts=worst_first(parts),
        source=SOURCE,
    )


def _part(way: str, singles: Singles, p_value: float, n_ways: int, share: float) -> TestPart:
    unmatched = way == WHOLE and singles.train_hits > 0 and singles.holdout_hits == 0
    own: GateVerdict = worst([verdict_of(min(1.0, p_value * n_ways)), "REVIEW" if unmatched else "PASS"])
    return TestPart(
        subject=way,
        statistic="repeated records only in train, at the size of holdout",
        value=singles.train_hits * share,
        p_value=p_value,
        verdict=own,
        note=singles.counts(),
    )


def _reason(
    verdict: GateVerdict, whole: Singles, ways: list[tuple[str, Singles]], p_values: list[float], p_value: float
) -> str:
    found = f"Of whole rows that one record alone holds: {whole.counts()}."
    if verdict == "PASS":
        return f"{found} Chance explains this and every other way of counting (p = {chance(p_value)})."
    if p_value >= REVIEW_BELOW:
        return f"{found} That may be chance, but a repeated record of train should be looked at before release."
    way, singles = min(zip(p_values, ways, strict=True), key=lambda pair: pair[0])[1]
    told = found if way == WHOLE else f"Compared over {way}: {singles.counts()}."
    return f"{told} The generator repeats records that it saw; chance alone does so with p = {chance(p_value)}."


def _detection_limit(frames: Frames, whole: Singles, ways: list[tuple[str, Singles]]) -> str:
    fewest = whole.detectable(FAIL_BELOW / len(ways))
    if fewest is None:
        return f"With {counted(len(whole.rows), 'record')} at risk, no number of copies could be told from chance."
    share = fewest / frames.synthetic.n_rows
    near = [singles.detectable(FAIL_BELOW / len(ways)) for way, singles in ways if way == NEAR[-1]]
    also = f", and near ones, every number within 1 % of its range, of {near[0]:,}" if near and near[0] else ""
    return (
        f"Verbatim copies of {counted(fewest, 'train record')} ({share:.2%} of the synthetic rows) are refused{also}; "
        "one verbatim copy is enough for a review where holdout shows none. A copy with two changed levels is not "
        "counted here."
    )
