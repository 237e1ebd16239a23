"""A deadline: the important is measured first, nothing is started too late, and what is missing is said."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from evaluation import suite
from evaluation.config import FAMILIES, EvaluationConfig, PrivacyConfig
from evaluation.deadline import IMPORTANCE
from evaluation.features import Frames
from evaluation.gate import Gates
from evaluation.glossary import TERMS, family_of
from evaluation.history import FOLLOWED, figures, privacy_verdicts
from evaluation.measurement import Family, Measured, Unmeasured
from evaluation.metric import Definition, Findings, Metric
from evaluation.report import Report
from evaluation.suite import METRICS, evaluate
from tests.evaluation.mixed_table import draw, tables

JUDGED = {
    "marginals": ("shape_error", "missing_rate_error"),
    "pairs": ("trend_error",),
    "detection": ("c2st_auc",),
    "utility": ("utility_gap",),
}


class SlowMachine:
    """A clock and metrics of which each takes one second and measures what the gates judge."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.measured = 100.0, list[Family]()
        for family in FAMILIES:
            stages = tuple(self.metric(family, place) for place in range(len(METRICS[family])))
            monkeypatch.setitem(METRICS, family, stages)

    def metric(self, family: Family, place: int) -> Metric:
        def measure(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
            self.now += 1.0
            self.measured.append(family)
            names = JUDGED.get(family, ()) if place == 0 else ()
            return Findings(
                tuple(Definition(n, family, 0.0, 1.0, "made up").measured(0.0, n_rows=1, ceiling=0.0) for n in names)
            )

        return measure

    def evaluate(self, budget_s: float | None, gates: Gates | None = None) -> Report:
        config = EvaluationConfig(budget_s=budget_s)
        return evaluate(tables(draw(20, 3)), config, gates, seed=0, clock=lambda: self.now)


@pytest.fixture
def slow_machine(monkeypatch: pytest.MonkeyPatch) -> SlowMachine:
    return SlowMachine(monkeypatch)


def gate(report: Report, name: str) -> tuple[str, str]:
    (found,) = [gate for gate in report.gates if gate.name == name]
    return found.verdict, found.reason


def test_every_family_is_measured_once_in_the_order_of_importance(slow_machine: SlowMachine) -> None:
    report = slow_machine.evaluate(None)
    assert tuple(dict.fromkeys(slow_machine.measured)) == IMPORTANCE
    assert set(IMPORTANCE) == set(FAMILIES)
    assert IMPORTANCE[0] == "privacy"
    assert report.notes == ()


def test_the_report_keeps_its_order(slow_machine: SlowMachine) -> None:
    report = slow_machine.evaluate(None)
    assert list(dict.fromkeys(m.family for m in report.measurements)) == [f for f in FAMILIES if f in JUDGED]


def test_a_running_metric_is_finished_and_none_is_started_after(slow_machine: SlowMachine) -> None:
    slow_machine.evaluate(4.5)
    assert slow_machine.measured == ["privacy", "privacy", "privacy", "marginals", "pairs"]


def test_a_gate_on_what_was_left_out_fails_with_that_reason(slow_machine: SlowMachine) -> None:
    report = slow_machine.evaluate(5.0)
    why = "left out: the time budget of 5 s was over"
    assert gate(report, "trend_error")[0] == "PASS"
    assert gate(report, "c2st_auc") == ("FAIL", f"Detector AUC could not be measured: {why}")
    assert gate(report, "utility_gap") == ("FAIL", f"Utility gap could not be measured: {why}")
    assert report.verdict == "FAIL"
    assert report.notes == (f"L{why[1:]}: joint, detection, subgroups, utility.",)


def test_privacy_tests_that_were_left_out_are_not_testable_and_refuse(slow_machine: SlowMachine) -> None:
    gates = Gates.model_validate({"g7_inference": "off"})
    report = slow_machine.evaluate(2.0, gates)
    assert slow_machine.measured == ["privacy", "privacy"]
    missing = {test.name: test for test in report.privacy}
    assert set(missing) == {f"g{i}_{name}" for i, name in enumerate(
        ("identifiers", "copies", "value_support", "nearest_records", "membership", "outliers"))}  # fmt: skip
    assert {test.verdict for test in missing.values()} == {"NOT TESTABLE"}
    assert gate(report, "g1_copies") == ("NOT TESTABLE", "Left out: the time budget of 2 s was over.")
    assert gate(report, "g7_inference")[0] == "OFF"
    assert report.notes[0].endswith("marginals, pairs, joint, detection, subgroups, utility, privacy in part.")


def test_a_gate_that_the_user_added_learns_the_reason_too(slow_machine: SlowMachine) -> None:
    also = [{"metric": "tstr_auc", "at_least": 0.8}, {"metric": "invented", "at_most": 1}]
    report = slow_machine.evaluate(4.0, Gates.model_validate({"also": also}))
    assert "left out" in gate(report, "tstr_auc")[1]
    assert gate(report, "invented") == ("FAIL", "Invented was not measured, and a gate passes only on evidence.")


def test_what_there_was_time_for_is_not_called_left_out(slow_machine: SlowMachine) -> None:
    report = slow_machine.evaluate(1_000.0)
    assert not [m for m in report.measurements if isinstance(m, Unmeasured)]
    assert report.notes == ()
    few = EvaluationConfig(families=("marginals",), budget_s=1_000.0)
    report = evaluate(tables(draw(20, 3)), few, seed=0, clock=lambda: slow_machine.now)
    assert "left out" not in gate(report, "utility_gap")[1]


def test_a_budget_is_a_positive_time() -> None:
    for budget_s in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValidationError, match="budget_s"):
            EvaluationConfig(budget_s=budget_s)


@pytest.mark.slow
def test_the_order_of_measuring_changes_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = EvaluationConfig(
        detection_folds=2,
        detection_rows=300,
        utility_rows=300,
        utility_replicates=2,
        privacy=PrivacyConfig(permutations=99),
    )
    given = tables(draw(600, 3), n_train=600, n_holdout=600, target="member")
    first = evaluate(given, quick, seed=0)
    monkeypatch.setattr(suite, "IMPORTANCE", IMPORTANCE[::-1])
    assert evaluate(given, quick, seed=0) == first
    generous = quick.model_copy(update={"budget_s": 10_000.0})
    assert evaluate(given, generous, seed=0) == first
    assert {m.metric for m in first.measurements if isinstance(m, Measured)} >= set(figures(first))
    assert set(FOLLOWED) - set(figures(first)) == {"linkability_risk"}
    assert privacy_verdicts(first) == {test.name: test.verdict for test in first.privacy}
    assert {family_of(m.metric) for m in first.measurements} == set(FAMILIES)
    assert all(family_of(m.metric) == m.family for m in first.measurements)


def test_every_term_has_a_family() -> None:
    assert {family_of(name) for name in TERMS} == set(FAMILIES)
