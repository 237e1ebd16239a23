"""What the page shows that the report does not say in so many words: decisions, scales, sentences, the model card."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..glossary import PRIVACY_TESTS, Term, term
from ..measurement import Family, Interval, Measured, Measurement
from ..report import (
    MISSING_LABEL,
    ColumnNats,
    ColumnProfile,
    GateResult,
    GateVerdict,
    PrivacyTest,
    Report,
    Subgroup,
    TestPart,
)
from ..wording import number

VERDICT_ORDER: tuple[GateVerdict, ...] = ("FAIL", "REVIEW", "NOT TESTABLE", "PASS", "OFF", "NOT APPLICABLE")
JUDGED: tuple[GateVerdict, ...] = ("FAIL", "REVIEW", "PASS")
_TABLES = ("train", "holdout", "synthetic")


@dataclass(frozen=True)
class Decision:
    """One gate's verdict as the first page shows it.

    Attributes:
        statistic: what the value is, in words; empty where the title says it.
        anchor: the id of the place in the page that says more.
        on_privacy: whether it speaks about privacy or about quality.

    """

    title: str
    verdict: GateVerdict
    reason: str
    rule: str
    statistic: str
    value: float | None
    interval: Interval | None
    p_value: float | None
    anchor: str
    on_privacy: bool

    @property
    def after_title(self) -> str:
        """The reason as it reads after the title, which some reasons begin with."""
        rest = self.reason.removeprefix(self.title)
        return f": {rest}" if rest == self.reason else rest


def decisions_of(report: Report) -> list[Decision]:
    """Return the decision of every gate, worst first; a privacy test that is switched off decides nothing."""
    families = {measurement.metric: measurement.family for measurement in report.measurements}
    tests: dict[str, PrivacyTest] = {test.name: test for test in report.privacy}
    found = [_decision(gate, tests.get(gate.name), families.get(gate.metric)) for gate in report.gates]
    return sorted(found, key=lambda decision: VERDICT_ORDER.index(decision.verdict))


def _decision(gate: GateResult, test: PrivacyTest | None, family: Family | None) -> Decision:
    on_privacy = gate.name in PRIVACY_TESTS or family == "privacy"
    elsewhere = "privacy" if gate.name in PRIVACY_TESTS else "scorecard"
    return Decision(
        term(gate.metric).title, gate.verdict, gate.reason, gate.rule, test.statistic if test else "", gate.value,
        gate.interval, gate.p_value, anchor=test.name if test else elsewhere, on_privacy=on_privacy,
    )  # fmt: skip


def in_words(measured: Measured) -> str:
    """Return a sentence that places a number between its floor and its ceiling.

    Example:
        >>> auc = {"metric": "c2st_auc", "family": "detection", "best": 0.5, "worst": 1, "n_rows": 9}
        >>> in_words(Measured(value=0.6, ceiling=0.5, floor=0.9, **auc))
        '75 % of the way from the floor to the ceiling.'

    """
    value, ceiling, floor = measured.value, measured.ceiling, measured.floor
    if ceiling is None:
        return "No ceiling was measured for it."
    if measured.interval is not None and measured.interval[0] <= ceiling <= measured.interval[1]:
        return "Its interval holds the ceiling: no difference from original rows can be seen at this size."
    if _is_better(measured, value, ceiling):
        return "At least as good as original holdout rows."
    if measured.family == "privacy" or floor is None or not _is_better(measured, ceiling, floor):
        return f"{number(abs(value - ceiling))} worse than with original holdout rows."
    if not _is_better(measured, value, floor):
        return "No better than the floor, a table known to be bad."
    return f"{math.floor(100 * (value - floor) / (ceiling - floor))} % of the way from the floor to the ceiling."


def _is_better(measured: Measured, one: float, other: float) -> bool:
    """Return whether `one` is at least as near to the metric's best as `other`."""
    return abs(one - measured.best) <= abs(other - measured.best)


@dataclass(frozen=True)
class MissingRate:
    """The share of missing cells of one column in each table, None where the table was not profiled."""

    column: str
    train: float | None
    holdout: float | None
    synthetic: float | None


def missing_rates(columns: Sequence[ColumnProfile]) -> list[MissingRate]:
    """Return the columns that have missing cells, the largest difference between train and synthetic first."""
    found = []
    for profile in columns:
        if MISSING_LABEL in profile.labels:
            place = profile.labels.index(MISSING_LABEL)
            shares: dict[str, float] = {series.table: series.shares[place] for series in profile.series}
            found.append(MissingRate(column=profile.column, **dict.fromkeys(_TABLES) | shares))
    return sorted(found, key=lambda rate: -abs((rate.train or 0.0) - (rate.synthetic or 0.0)))


def typeset(rule: str) -> str:
    """Return a rule with its comparisons as a person writes them.

    Example:
        >>> typeset("c2st_auc <= 0.65")
        'c2st_auc ≤ 0.65'

    """
    return rule.replace("<=", "≤").replace(">=", "≥")


def amount(value: float | None) -> str:
    """Return a number that may be a count; a count is whole.

    Example:
        >>> amount(12.0), amount(0.5), amount(1.0)
        ('12', '0.500', '1.000')

    """
    is_count = value is not None and value >= 2 and value.is_integer()
    return number(value, 0 if is_count else None)


def part_scales(parts: Sequence[TestPart]) -> dict[str, Interval]:
    """Return for each statistic the range over all its parts, so that their intervals can be compared by eye."""
    ends: dict[str, list[float]] = {}
    for part in parts:
        ends.setdefault(part.statistic, []).extend((part.value, *(part.interval or ())))
    return {statistic: (min(numbers), max(numbers)) for statistic, numbers in ends.items()}


def subgroup_metrics(subgroups: Sequence[Subgroup]) -> list[str]:
    """Return the metrics measured on any subgroup, in the order in which they first appear."""
    return list(dict.fromkeys(m.metric for subgroup in subgroups for m in subgroup.measurements))


def by_metric(measurements: Sequence[Measurement]) -> dict[str, Measurement]:
    """Return the first measurement of each metric by its name."""
    return {measurement.metric: measurement for measurement in reversed(measurements)}


def best_point(report: Report) -> tuple[float, float] | None:
    """Return the lowest validation loss and the time in seconds when it was reached."""
    scored = [(p.validation_loss, p.elapsed_s) for p in report.training if p.validation_loss is not None]
    return min((point for point in scored if math.isfinite(point[0])), default=None)


def terms_used(report: Report) -> dict[str, Term]:
    """Return the words for the metrics in the report, one entry per meaning, by the anchor of its glossary entry."""
    return {anchor: term(metric) for metric, anchor in reversed(anchors_of(report).items())}


def anchors_of(report: Report) -> dict[str, str]:
    """Return for every metric that has words the id of its entry in the glossary; metrics of one meaning share it."""
    everything = [*report.measurements, *(m for column in report.columns for m in column.measurements)]
    everything += [m for subgroup in report.subgroups for m in subgroup.measurements]
    ids: dict[str, str] = {}
    metrics = dict.fromkeys(m.metric for m in everything if term(m.metric).meaning)
    return {metric: ids.setdefault(term(metric).meaning, f"term-{len(ids) + 1}") for metric in metrics}


def calibration_of(report: Report) -> list[ColumnNats]:
    """Return the nats of each column, the one where they are farthest from what the model expects first."""
    columns = report.likelihood.columns if report.likelihood else ()
    return sorted(columns, key=lambda column: -abs(column.overconfidence.value))
