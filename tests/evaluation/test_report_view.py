from __future__ import annotations

from typing import Any

import pytest

from evaluation.gate import Gates
from evaluation.measurement import Measured
from evaluation.rendering.heat_maps import heat_maps_of, pair_difference
from evaluation.rendering.model_card import model_card_of
from evaluation.rendering.view import decisions_of, in_words, missing_rates, part_scales
from tests.evaluation.example_report import example_report, profile


def test_a_privacy_test_that_is_switched_off_decides_nothing() -> None:
    gates = Gates.model_validate({"g1_copies": "off"})
    off = next(d for d in decisions_of(example_report(leaking=True, gates=gates)) if d.title == "G1 Copies")
    on = next(d for d in decisions_of(example_report(leaking=True)) if d.title == "G1 Copies")
    assert (off.verdict, on.verdict) == ("OFF", "FAIL")
    assert off.anchor == on.anchor == "g1_copies"
    assert on.statistic == "matches of singletons that only train has"


def test_a_test_without_a_result_is_looked_up_in_the_privacy_section() -> None:
    report = example_report().model_copy(update={"privacy": ()})
    assert {d.anchor for d in decisions_of(report) if d.on_privacy} == {"privacy"}


def test_decisions_come_worst_first_and_are_told_apart() -> None:
    found = decisions_of(example_report(leaking=True))
    assert [d.verdict for d in found] == sorted(
        (d.verdict for d in found), key=["FAIL", "REVIEW", "NOT TESTABLE", "PASS", "OFF", "NOT APPLICABLE"].index
    )
    assert {d.title for d in found if not d.on_privacy} == {
        "Column shape error", "Column pair error", "Missing rate error", "Detector AUC", "Utility gap",
    }  # fmt: skip
    assert {d.after_title[:2] for d in found if d.title.startswith("G")} == {": "}
    assert next(d.after_title for d in found if d.title == "Detector AUC").startswith(" is 0.710")


def test_parts_of_one_statistic_share_a_scale() -> None:
    test = next(test for test in example_report().privacy if test.name == "g4_membership")
    scales = part_scales(test.parts)
    assert set(scales) == {"AUC", "TPR at 1 % FPR"}
    for part in test.parts:
        low, high = scales[part.statistic]
        assert low <= min(part.interval or ()) <= part.value <= max(part.interval or ()) <= high


def test_the_model_card_follows_the_verdict() -> None:
    refused, passed = model_card_of(example_report(leaking=True)), model_card_of(example_report())
    assert refused.uses == ("None: the table was refused.",)
    assert "flow_matching" in passed.made
    assert "12,000 train rows with 10 columns" in passed.made
    assert any("G1 Copies" in limit for limit in refused.limits)
    assert not any(limit.startswith("Failed") for limit in passed.limits)
    assert any("Too few rows to test: G5" in limit for limit in refused.limits)
    assert any("no utility gap" in use for use in model_card_of(example_report(target=False)).uses)


def test_missing_rates_come_from_the_missing_bin() -> None:
    report = example_report()
    rates = missing_rates(report.columns)
    assert {rate.column for rate in rates} == {column.column for column in report.columns}
    gaps = [abs((rate.train or 0) - (rate.synthetic or 0)) for rate in rates]
    assert gaps == sorted(gaps, reverse=True)
    assert missing_rates([profile("a", "categorical", 0, levels=("x", "y"))]) == []


def test_the_heat_maps_hold_train_synthetic_and_their_difference() -> None:
    report = example_report(names=("a", "b", "c"))
    heat = heat_maps_of(report)
    assert heat is not None
    pair = next(pair for pair in report.pairs if (pair.first, pair.second) == ("a", "c"))
    assert heat.names == ("a", "b", "c")
    assert heat.train[0][2] == heat.train[2][0] == pair.train
    assert heat.synthetic[0][2] == heat.synthetic[2][0] == pair.synthetic
    assert heat.difference[0][2] == heat.difference[2][0] == pair_difference(pair)
    assert heat.train[1][1] is None
    assert heat_maps_of(example_report(names=("a",))) is None
    wide = heat_maps_of(example_report(names=[f"c{i}" for i in range(40)]), limit=7)
    assert wide is not None
    assert len(wide.names) == 7


@pytest.mark.parametrize(
    ("company", "words"),
    [
        ({"value": 0.0, "ceiling": 0.1}, "At least as good as original holdout rows."),
        ({"value": 0.12, "ceiling": 0.1, "interval": (0.09, 0.15)}, "Its interval holds the ceiling"),
        ({"value": 0.2, "ceiling": 0.1, "floor": 0.5}, "75 % of the way"),
        ({"value": 0.6, "ceiling": 0.1, "floor": 0.5}, "No better than the floor"),
        ({"value": 0.2, "ceiling": 0.1}, "0.100 worse than with original holdout rows."),
        ({"value": 0.2, "ceiling": 0.1, "floor": 0.5, "family": "privacy"}, "0.100 worse than with original"),
        ({"value": 0.2}, "No ceiling was measured"),
    ],
)
def test_a_number_is_placed_in_words(company: dict[str, Any], words: str) -> None:
    settings = {"metric": "m", "family": "marginals", "best": 0.0, "worst": 1.0, "n_rows": 9} | company
    assert in_words(Measured.model_validate(settings)).startswith(words)
