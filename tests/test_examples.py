"""Every example runs, and finds what it says that it finds. Figures are judged here, words by people."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from generators import FlowMatchingConfig

EXAMPLES = Path(__file__).parents[1] / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_patient_records_keep_every_rule_and_the_gate_says_what_it_can_see(capsys):
    found = load("patient_records").main(FlowMatchingConfig(members=1))
    assert (found.n_train, found.n_holdout) == (1_086, 543)
    assert len(found.broken) == 6 and set(found.broken.values()) == {0}
    assert all(n > 0 for n in found.broken_without_rules.values())
    assert 0.5 < found.acceptance < 1
    shape, trend = found.number("shape_error"), found.number("trend_error")
    assert shape.value < shape.ceiling + 0.05 and trend.value < trend.ceiling + 0.04
    for train, holdout, drawn in found.correlations.values():
        assert abs(train - holdout) < 0.2 and abs(train - drawn) < 0.25
    assert found.correlations["weight_1971", "weight_1982"][2] > 0.7
    verdicts = {test.name: test.verdict for test in found.report.privacy}
    assert verdicts["g0_identifiers"] == "NOT APPLICABLE"
    others = [test for test in found.report.privacy if test.name != "g0_identifiers"]
    assert len(others) == 6 and all(test.detection_limit for test in others)
    assert "NOT TESTABLE" not in verdicts.values()
    assert verdicts["g1_copies"] in ("PASS", "REVIEW") and verdicts["g2_value_support"] in ("PASS", "REVIEW")
    told = capsys.readouterr().out
    assert f"Verdict on sharing: {found.report.verdict}." in told
    assert all(f"{test.name}: {test.verdict}" in told for test in found.report.privacy)


@pytest.mark.slow
def test_recommender_items_lie_beside_their_like_and_lines_cross_categories(capsys):
    found = load("recommender_items").main()
    assert found.n_modelled == 31 and found.active_units >= 4
    assert found.same_category > 0.8 and found.by_chance < 0.15
    assert found.valid == 1
    assert len(found.switches) == 20 and found.switches.min() >= 1 and found.switches.mean() <= 3
    assert found.first[0] > 0.6 and found.first[-1] < 0.1 and found.last[0] < 0.1 and found.last[-1] > 0.6
    assert np.diff(found.first).max() < 0.1 and np.diff(found.last).min() > -0.1  # over, and not back
    assert "100% of all items" in capsys.readouterr().out


@pytest.mark.slow
def test_synthetic_frauds_look_like_real_ones_and_the_advice_is_what_the_splits_say(capsys):
    example = load("fraud_imbalance")
    found = example.main(n_splits=2, learners=example.LEARNERS[:1])
    assert found.unchanged and found.n_after > 5 * found.n_frauds > 0
    assert 0.5 < found.median_amount[1] / found.median_amount[0] < 2
    assert abs(found.share_abroad[0] - found.share_abroad[1]) < 0.2
    prevalence = found.n_frauds / example.N_PAYMENTS
    assert all(10 * prevalence < value < found.best_possible + 0.05 for value in found.pr_auc.values())
    assert found.advice.sentence.startswith("Use" if found.advice.use else "Do not use")
    assert not found.advice.use  # two splits tell little, so that advice to use would be rash
    assert found.advice.sentence in capsys.readouterr().out


def test_the_law_of_the_payments_gives_the_chance_of_fraud():
    table, chance = load("fraud_imbalance").payments(60_000, seed=5)
    assert abs(chance.mean() - table["fraud"].mean()) < 0.003
    for low, high in ((0.0, 0.05), (0.2, 0.5), (0.5, 0.8), (0.9, 1.0)):
        inside = (chance >= low) & (chance <= high)
        assert abs(chance[inside].mean() - table["fraud"][inside].mean()) < 0.1


@pytest.mark.slow
def test_density_finds_defects_that_no_single_sensor_shows_and_names_the_sensor(capsys):
    found = load("defect_detection").main()
    assert found.auc["density"] > 0.88
    assert found.auc["density"] > found.auc["isolation forest"] + 0.1
    assert found.auc["largest deviation of one sensor"] < 0.7
    assert found.false_alarms < 0.03 < 0.3 < found.detected
    assert found.named > 0.8 > 0.5 > found.named_by_size
    assert found.among_three >= found.named
    reasons, wrong = found.example
    assert reasons.startswith(f"{wrong} = ")
    assert "ROC-AUC" in capsys.readouterr().out


@pytest.mark.slow
def test_the_weather_ensemble_is_calibrated_and_sharper_than_climatology(capsys):
    found = load("weather_ensemble").main()
    assert set(found.coverage) == {"temperature_next", "wind_next"}
    for name, coverage in found.coverage.items():
        assert 0.86 < coverage < 0.95
        assert found.width[name] < 0.9 * found.width_of_all_days[name]
        assert found.histogram[name].min() > 0.07 and found.histogram[name].max() < 0.19  # flat is .125
    assert found.spread_windy[0] > 1.5 * found.spread_calm[0]
    for drawn, by_law in (found.spread_calm, found.spread_windy):
        assert 0.7 < drawn / by_law < 1.5
    assert found.rain[0] < 0.8 * found.rain[1]
    assert "rank" in capsys.readouterr().out


@pytest.fixture(scope="module")
def patients():
    return pq.read_table(EXAMPLES / "patients.parquet")


def test_the_table_of_patients_is_small_and_plain_and_keeps_its_rules(patients):
    example = load("patient_records")
    assert (EXAMPLES / "patients.parquet").stat().st_size < 50_000
    assert patients.num_rows == 1_629
    assert patients.schema.equals(load("make_patients").SCHEMA, check_metadata=True)
    assert {rule.text: int(rule.broken(patients).sum()) for rule in example.RULES} == dict.fromkeys(
        (rule.text for rule in example.RULES), 0
    )


def test_the_readme_describes_the_columns_of_the_patients(patients):
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8").split("# The table of patients")[1]
    rows = re.findall(r"^\| `(\w+)` \| (\w+).*? \| .+?(?:; ([\d,]+) missing)? \|$", text, re.MULTILINE)
    assert [name for name, *_ in rows] == patients.column_names
    types = {"string": "string", "integer": "int64", "double": "double", "boolean": "bool"}
    for name, kind, missing in rows:
        assert types[kind] == str(patients[name].type), name
        assert int((missing or "0").replace(",", "")) == patients[name].null_count, name


def test_rebuilding_gives_the_committed_patients(patients):
    if importlib.util.find_spec("causaldata") is None:
        pytest.skip("causaldata is not installed")
    module = load("make_patients")
    assert module.patients(module.published_folder()).equals(patients)


def test_the_readme_names_every_example():
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    scripts = {path.name for path in EXAMPLES.glob("*.py")}
    assert scripts <= set(re.findall(r"`(\w+\.py)`", text))
