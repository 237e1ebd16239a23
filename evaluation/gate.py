"""Gates: bounds declared before a run that decide whether its table may be published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pipeline.config import Config

from .glossary import term
from .measurement import Measured, Measurement
from .report import GateResult, GateVerdict, PrivacyTest, Verdict
from .wording import number, short

Off = Literal["off"]
Switch = Literal["on", "off"]
Bound = Annotated[float, Field(allow_inf_nan=False)]


class Gate(Config):
    """A bound on one metric. A number that lies on the bound passes.

    `judges` says which number is compared: the `value`; the worse end of its 95 % `interval`, so that too few rows
    count against release; or the `excess` of the value over its ceiling (the same metric on original holdout rows).

    Raises:
        ValueError: not exactly one of `at_most` and `at_least` is given.

    Example:
        >>> Gate(metric="c2st_auc", at_most=0.65).rule
        'c2st_auc <= 0.65'

    """

    metric: str
    subject: str = ""
    at_most: Bound | None = None
    at_least: Bound | None = None
    judges: Literal["value", "interval", "excess"] = "value"

    @model_validator(mode="after")
    def _one_bound(self) -> Gate:
        if (self.at_most is None) == (self.at_least is None):
            raise ValueError(f"a gate has either at_most or at_least; found {self.at_most} and {self.at_least}")
        return self

    @property
    def bound(self) -> float:
        """The declared bound, in the metric's own unit."""
        return next(bound for bound in (self.at_most, self.at_least) if bound is not None)

    @property
    def name(self) -> str:
        """The metric, with its subject in brackets where it has one."""
        return f"{self.metric}[{self.subject}]" if self.subject else self.metric

    @property
    def rule(self) -> str:
        """The gate as a formula in text."""
        judged = {"value": "", "interval": f", {self._worse_end} end of interval", "excess": ", excess over ceiling"}
        return f"{self.name}{judged[self.judges]} {'>=' if self.at_most is None else '<='} {self.bound:g}"

    @property
    def _worse_end(self) -> str:
        return "lower" if self.at_most is None else "upper"

    @property
    def statistic(self) -> str:
        """What the number is that is compared, in words."""
        title = term(self.metric).title + (f' of "{short(self.subject)}"' if self.subject else "")
        end = f", {self._worse_end} end of its 95 % interval"
        return title + {"value": "", "interval": end, "excess": " in excess of chance"}[self.judges]

    def judged(self, measured: Measured) -> tuple[float | None, str]:
        """Return the number to compare, or None where `measured` lacks it, and what to call it in a sentence."""
        if self.judges == "interval":
            end = None if measured.interval is None else measured.interval[0 if self.at_most is None else 1]
            return end, f"{self.statistic},"
        if self.judges == "excess":
            excess = None if measured.ceiling is None else measured.value - measured.ceiling
            return excess, self.statistic
        return measured.value, self.statistic

    def passes(self, value: float) -> bool:
        """Return whether `value` keeps the bound."""
        return value >= self.bound if self.at_most is None else value <= self.bound


class Gates(Config):
    """The gates of a run. Each is on unless the configuration says "off"; a user's bound replaces the default one.

    Gates on quality are bounds: on the value, or on what it exceeds honest rows by where few rows alone make an error.
    Gates on privacy are tests that decide by their own statistics, with PASS, REVIEW or FAIL. `also` adds bounds on any
    other metric or subject.

    Attributes:
        review: what happens to a table whose worst verdict is REVIEW. "publish" publishes it with that verdict in its
            report and manifest, for a person to look at; "refuse" treats it like FAIL.

    Example:
        >>> gates = Gates.model_validate({"c2st_auc": {"at_most": 0.7}, "utility_gap": "off", "g4_membership": "off"})
        >>> gates.c2st_auc.rule, gates.utility_gap, gates.g4_membership, gates.g1_copies
        ('c2st_auc <= 0.7', 'off', 'off', 'on')

    """

    shape_error: Gate | Off = Gate(metric="shape_error", at_most=0.05, judges="excess")
    trend_error: Gate | Off = Gate(metric="trend_error", at_most=0.04, judges="excess")
    missing_rate_error: Gate | Off = Gate(metric="missing_rate_error", at_most=0.05)
    c2st_auc: Gate | Off = Gate(metric="c2st_auc", at_most=0.80)
    utility_gap: Gate | Off = Gate(metric="utility_gap", at_most=0.05)
    g0_identifiers: Switch = "on"
    g1_copies: Switch = "on"
    g2_value_support: Switch = "on"
    g3_nearest_records: Switch = "on"
    g4_membership: Switch = "on"
    g5_outliers: Switch = "on"
    g7_inference: Switch = "on"
    review: Literal["publish", "refuse"] = "publish"
    also: tuple[Gate, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _lay_over_defaults(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        return {name: _merged(_default(cls, name), value) for name, value in given.items()}

    @model_validator(mode="after")
    def _named_after_metric(self) -> Gates:
        for name, gate in self.named():
            if isinstance(gate, Gate) and gate.name != name:
                raise ValueError(f'the gate "{name}" judges its own metric; found {gate.name}; put that under `also`')
        return self

    def named(self) -> Iterator[tuple[str, Gate | Switch]]:
        """Yield every gate with its name: bounds as gates, privacy tests as "on"; those that are off as "off"."""
        for name in type(self).model_fields:
            if name not in ("also", "review"):
                yield name, getattr(self, name)
        yield from ((gate.name, gate) for gate in self.also)


def judge(
    measurements: Sequence[Measurement], tests: Sequence[PrivacyTest], gates: Gates
) -> tuple[tuple[GateResult, ...], Verdict]:
    """Return the decision of every gate and the verdict, which is the worst of them.

    A gate on something missing, unmeasured, not testable or measured twice fails, except where the measurement declares
    itself not applicable.

    Example:
        >>> gates = Gates.model_validate({name: "off" for name, _ in Gates().named() if name != "c2st_auc"})
        >>> results, verdict = judge([], [], gates)
        >>> verdict, results[3].reason
        ('FAIL', 'Detector AUC was not measured, and a gate passes only on evidence.')

    """
    results = tuple(_result(name, gate, measurements, tests) for name, gate in gates.named())
    return results, worst([result.verdict for result in results])


def worst(verdicts: Sequence[GateVerdict]) -> Verdict:
    """Return the worst of some verdicts; what is not testable fails.

    Example:
        >>> worst(["PASS", "OFF", "REVIEW"]), worst(["PASS", "NOT TESTABLE"]), worst(["PASS", "NOT APPLICABLE"])
        ('REVIEW', 'FAIL', 'PASS')

    """
    if "FAIL" in verdicts or "NOT TESTABLE" in verdicts:
        return "FAIL"
    return "REVIEW" if "REVIEW" in verdicts else "PASS"


def _result(
    name: str, gate: Gate | Switch, measurements: Sequence[Measurement], tests: Sequence[PrivacyTest]
) -> GateResult:
    if gate == "off":
        title = term(name).title
        reason = f"{title} was not judged: the configuration switches this gate off."
        return GateResult(name=name, metric=name, rule="off", statistic=title, value=None, verdict="OFF", reason=reason)
    if not isinstance(gate, Gate):
        return _of_test(name, [test for test in tests if test.name == name])
    found = [m for m in measurements if m.metric == gate.metric and m.subject == gate.subject]
    one = found[0] if len(found) == 1 else None
    return _on_number(gate, one) if isinstance(one, Measured) else _without(gate, found)


def _of_test(name: str, found: Sequence[PrivacyTest]) -> GateResult:
    if len(found) != 1:
        title = term(name).title
        reason = f"{title}: {len(found)} results of this test, and a gate passes only on evidence."
        return GateResult(
            name=name, metric=name, rule="one result", statistic=title, value=None, verdict="FAIL", reason=reason
        )
    test = found[0]
    return GateResult(
        name=name, metric=name, rule=test.rule, statistic=test.statistic, value=test.value, verdict=test.verdict,
        reason=test.reason, interval=test.interval, p_value=test.p_value, detection_limit=test.detection_limit,
    )  # fmt: skip


def _on_number(gate: Gate, measured: Measured) -> GateResult:
    value, called = gate.judged(measured)
    if value is None:
        lacks = "interval" if gate.judges == "interval" else "ceiling"
        return _decided(gate, "FAIL", f"{term(gate.metric).title} came without the {lacks} that this gate judges.")
    allowed = "at least" if gate.at_most is None else "at most"
    value_text, bound_text = _told_apart(value, gate.bound)
    reason = f"{called} is {value_text}; allowed is {allowed} {bound_text}."
    limit = gate.bound + (measured.value - value if gate.judges == "excess" else 0.0)
    decided = _decided(gate, "PASS" if gate.passes(value) else "FAIL", reason)
    shift = value - measured.value if gate.judges == "excess" else 0.0
    interval = measured.interval and (measured.interval[0] + shift, measured.interval[1] + shift)
    return decided.model_copy(update={"value": value, "limit": limit, "interval": interval})


def _without(gate: Gate, found: Sequence[Measurement]) -> GateResult:
    title = term(gate.metric).title
    if len(found) > 1:
        return _decided(gate, "FAIL", f"{title} was measured {len(found)} times: this gate has no one number to judge.")
    if not found or isinstance(found[0], Measured):
        return _decided(gate, "FAIL", f"{title} was not measured, and a gate passes only on evidence.")
    if not found[0].applicable:
        return _decided(gate, "NOT APPLICABLE", f"{title} does not apply: {found[0].reason}")
    return _decided(gate, "FAIL", f"{title} could not be measured: {found[0].reason}")


def _decided(gate: Gate, verdict: GateVerdict, reason: str) -> GateResult:
    return GateResult(
        name=gate.name, metric=gate.metric, rule=gate.rule, statistic=gate.statistic, value=None, verdict=verdict,
        reason=reason,
    )  # fmt: skip


def _told_apart(value: float, bound: float) -> tuple[str, str]:
    """Return both numbers as usual, or with as many decimals as it takes to see that they differ."""
    texts = ((number(value, digits), number(bound, digits)) for digits in (None, *range(4, 18)))
    return next((pair for pair in texts if pair[0] != pair[1] or value == bound), (repr(value), repr(bound)))


def _default(gates: type[Gates], name: str) -> Any:
    return gates.model_fields[name].default if name in gates.model_fields else None


def _merged(default: Any, given: Any) -> Any:
    """Lay what a user wrote for one gate over its default; a given bound replaces the default one, on either side."""
    if not (isinstance(default, Gate) and isinstance(given, Mapping)):
        return given
    drop = {"at_most", "at_least"} if given.keys() & {"at_most", "at_least"} else set()
    return default.model_dump(exclude=drop, exclude_none=True) | dict(given)
