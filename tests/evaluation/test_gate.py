from __future__ import annotations

import tomllib
from typing import Any

import pytest
from pydantic import ValidationError

from evaluation.gate import Gate, Gates, judge
from evaluation.glossary import term
from evaluation.measurement import Measurement, Unmeasured
from evaluation.report import GateResult, PrivacyTest
from tests.evaluation.example_report import measured, overall

QUALITY = ("shape_error", "trend_error", "missing_rate_error", "c2st_auc", "utility_gap")
ALL_OFF = {name: "off" for name, _ in Gates().named()}


def decide(gate: dict[str, Any], *measurements: Measurement) -> GateResult:
    """Judge one gate alone."""
    results, verdict = judge(measurements, [], Gates.model_validate(ALL_OFF | {"also": [gate]}))
    assert verdict == ("FAIL" if results[-1].verdict == "FAIL" else "PASS")
    return results[-1]


def auc(value: float = 0.6, **company: object) -> Measurement:
    return measured("c2st_auc", "detection", value, best=0.5, **company)


def privacy_test(name: str, verdict: str = "PASS") -> PrivacyTest:
    return PrivacyTest.model_validate(
        {"name": name, "verdict": verdict, "statistic": "s", "value": 0.1, "interval": (0.0, 0.2), "rule": "r",
         "reason": f"{name} says {verdict}.", "detection_limit": "Ten rows."}
    )  # fmt: skip


def all_tests(**verdicts: str) -> list[PrivacyTest]:
    names = [name for name, gate in Gates().named() if gate == "on"]
    return [privacy_test(name, verdicts.get(name, "PASS")) for name in names]


def test_defaults_pass_a_good_table() -> None:
    results, verdict = judge(overall(), all_tests(), Gates())
    assert verdict == "PASS"
    assert {result.verdict for result in results} == {"PASS"}
    assert [result.name for result in results][:5] == list(QUALITY)


@pytest.mark.parametrize(
    ("of_test", "expected"),
    [("PASS", "PASS"), ("REVIEW", "REVIEW"), ("FAIL", "FAIL"), ("NOT TESTABLE", "FAIL"), ("NOT APPLICABLE", "PASS")],
)
def test_the_worst_verdict_decides(of_test: str, expected: str) -> None:
    results, verdict = judge(overall(), all_tests(g4_membership=of_test), Gates())
    assert verdict == expected
    result = next(result for result in results if result.name == "g4_membership")
    assert (result.verdict, result.interval, result.detection_limit) == (of_test, (0.0, 0.2), "Ten rows.")


def test_a_failed_bound_outweighs_a_review() -> None:
    bad = [measured("c2st_auc", "detection", 0.99, best=0.5) if m.metric == "c2st_auc" else m for m in overall()]
    assert judge(bad, all_tests(g1_copies="REVIEW"), Gates())[1] == "FAIL"


def test_a_privacy_test_that_is_missing_or_came_twice_fails() -> None:
    for tests in (all_tests()[1:], [*all_tests(), privacy_test("g0_identifiers")]):
        results, verdict = judge(overall(), tests, Gates())
        assert verdict == "FAIL"
        assert [result.name for result in results if result.verdict == "FAIL"] == ["g0_identifiers"]


def test_a_privacy_test_can_be_switched_off() -> None:
    gates = Gates.model_validate({"g4_membership": "off"})
    results, verdict = judge(overall(), all_tests(g4_membership="FAIL"), gates)
    assert verdict == "PASS"
    assert next(result.verdict for result in results if result.name == "g4_membership") == "OFF"


def test_toml_overrides_a_bound_and_keeps_what_the_gate_judges() -> None:
    text = "[gates]\nc2st_auc = { at_most = 0.7 }\nshape_error = { at_most = 0.1 }\nutility_gap = 'off'"
    gates = Gates.model_validate(tomllib.loads(text)["gates"])
    assert gates.c2st_auc == Gate(metric="c2st_auc", at_most=0.7)
    assert gates.shape_error == Gate(metric="shape_error", at_most=0.1, judges="excess")
    assert gates.utility_gap == "off"
    assert gates.trend_error == Gates().trend_error


def test_a_given_side_replaces_the_default_side() -> None:
    gates = Gates.model_validate({"c2st_auc": {"at_least": 0.4}})
    assert gates.c2st_auc == Gate(metric="c2st_auc", at_least=0.4)


def test_gates_survive_their_own_json() -> None:
    gates = Gates.model_validate({"c2st_auc": "off", "also": [{"metric": "tstr_auc", "at_least": 0.9}]})
    assert Gates.model_validate_json(gates.model_dump_json()) == gates


@pytest.mark.parametrize(
    "given",
    [
        {"c2st_auk": {"at_most": 0.7}},
        {"c2st_auc": "of"},
        {"c2st_auc": False},
        {"c2st_auc": None},
        {"c2st_auc": {"at_most": float("nan")}},
        {"c2st_auc": {"at_most": 0.7, "at_least": 0.5}},
        {"c2st_auc": {"metric": "shape_error", "at_most": 0.7}},
        {"also": [{"metric": "nndr"}]},
    ],
)
def test_a_malformed_gate_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Gates.model_validate(given)


@pytest.mark.parametrize(
    ("bound", "value", "verdict"),
    [
        ({"at_most": 0.6}, 0.6, "PASS"),
        ({"at_most": 0.6}, 0.6000001, "FAIL"),
        ({"at_least": 0.6}, 0.6, "PASS"),
        ({"at_least": 0.6}, 0.5999999, "FAIL"),
    ],
)
def test_the_bound_itself_passes(bound: dict[str, float], value: float, verdict: str) -> None:
    assert decide({"metric": "c2st_auc"} | bound, auc(value)).verdict == verdict


def test_a_narrow_failure_shows_digits_that_differ() -> None:
    reason = decide({"metric": "c2st_auc", "at_most": 0.6}, auc(0.600001)).reason
    assert reason == "Detector AUC is 0.600001; allowed is at most 0.600000."


@pytest.mark.parametrize(("bound", "end"), [({"at_most": 0.61}, 0.62), ({"at_least": 0.59}, 0.58)])
def test_interval_gates_judge_the_worse_end(bound: dict[str, float], end: float) -> None:
    gate = {"metric": "c2st_auc", "judges": "interval"} | bound
    result = decide(gate, auc(0.6, interval=(0.58, 0.62)))
    assert (result.verdict, result.value, result.limit) == ("FAIL", end, next(iter(bound.values())))
    assert decide(gate | bound, auc(0.6, interval=(0.6, 0.6))).verdict == "PASS"


def test_excess_gates_judge_the_value_above_the_ceiling() -> None:
    gate = {"metric": "c2st_auc", "judges": "excess", "at_most": 0.25}
    passed, failed = decide(gate, auc(0.75, ceiling=0.5)), decide(gate, auc(0.875, ceiling=0.5))
    assert (passed.verdict, passed.value, passed.limit) == ("PASS", 0.25, 0.75)
    assert (failed.verdict, failed.value, failed.limit) == ("FAIL", 0.375, 0.75)


@pytest.mark.parametrize("judges", ["interval", "excess"])
def test_a_number_without_the_company_that_is_judged_fails(judges: str) -> None:
    result = decide({"metric": "c2st_auc", "judges": judges, "at_most": 0.9}, auc())
    assert result.verdict == "FAIL"
    assert "without" in result.reason


def test_missing_unmeasured_and_ambiguous_numbers_fail() -> None:
    gate = {"metric": "c2st_auc", "at_most": 0.9}
    unmeasured = Unmeasured(metric="c2st_auc", family="detection", reason="one row only")
    assert decide(gate).verdict == "FAIL"
    assert decide(gate, auc(subject="age")).verdict == "FAIL"
    assert decide(gate, auc(), auc()).verdict == "FAIL"
    assert decide(gate, unmeasured).reason == "Detector AUC could not be measured: one row only"


def test_what_does_not_apply_does_not_fail() -> None:
    results, verdict = judge(overall(target=False), all_tests(), Gates())
    utility = next(result for result in results if result.name == "utility_gap")
    assert (verdict, utility.verdict, utility.value) == ("PASS", "NOT APPLICABLE", None)
    assert "no target is declared" in utility.reason


def test_a_gate_that_is_off_stays_in_the_report() -> None:
    results, verdict = judge(overall(), all_tests(), Gates.model_validate(dict.fromkeys(QUALITY, "off")))
    off = {result.name: result.reason for result in results if result.verdict == "OFF"}
    assert verdict == "PASS"
    assert set(off) == set(QUALITY)
    assert all("switches this gate off" in reason for reason in off.values())


@pytest.mark.parametrize(
    ("judges", "statistic"),
    [
        ("value", "Detector AUC"),
        ("interval", "Detector AUC, upper end of its 95 % interval"),
        ("excess", "Detector AUC in excess of chance"),
    ],
)
def test_every_gate_on_a_number_says_which_number(judges: str, statistic: str) -> None:
    gate = {"metric": "c2st_auc", "judges": judges, "at_most": 0.9}
    for result in (decide(gate, auc(0.6, ceiling=0.5, interval=(0.5, 0.7))), decide(gate)):
        assert result.statistic == statistic
    assert decide(gate | {"subject": "age"}).statistic.startswith('Detector AUC of "age"')


def test_every_gate_on_a_test_says_what_the_test_says() -> None:
    tests = [test.model_copy(update={"statistic": f"number of {test.name}"}) for test in all_tests()]
    results, _ = judge(overall(), tests, Gates.model_validate({"g4_membership": "off"}))
    said = {result.name: result.statistic for result in results if result.name.startswith("g")}
    expected = {test.name: test.statistic for test in tests} | {"g4_membership": term("g4_membership").title}
    assert said == expected


def test_an_added_gate_can_judge_one_subject() -> None:
    gate = {"metric": "tvd", "subject": "age", "at_most": 0.1}
    good, bad = measured("tvd", "marginals", 0.9, subject="sex"), measured("tvd", "marginals", 0.2, subject="age")
    result = decide(gate, good, bad)
    assert (result.name, result.verdict, result.value) == ("tvd[age]", "FAIL", 0.2)
