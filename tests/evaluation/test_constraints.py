"""Constraints of the schema are a gate: every row of any tool's table holds them, or the table is refused."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
import pytest

from evaluation.config import EvaluationConfig
from evaluation.constraints import judge_constraints
from evaluation.gate import Gates
from evaluation.suite import evaluate
from evaluation.tables import Tables
from pipeline.columns import Categorical, Integer
from pipeline.constraints import FixedCombinations, Inequality
from pipeline.schema import Schema

COLUMNS = (
    Integer(name="low", arrow="int64"),
    Integer(name="high", arrow="int64"),
    Categorical(name="country", arrow="string"),
    Categorical(name="city", arrow="string"),
)
CONSTRAINTS = (Inequality(columns=("low", "high")), FixedCombinations(columns=("country", "city")))
TRAIN = pa.table({"low": [1, 2], "high": [2, 2], "country": ["no", "it"], "city": ["Oslo", "Rome"]})
GOOD = pa.table({"low": [3, 4, 5, 6], "high": [9] * 4, "country": ["no"] * 4, "city": ["Oslo"] * 4})
BAD = pa.table({"low": [3, 4, 5, 6], "high": [9, 3, 9, 5], "country": ["it"] + ["no"] * 3, "city": ["Oslo"] * 4})
OFF = Gates.model_validate({name: "off" for name, _ in Gates().named()})


def tables(synthetic: pa.Table) -> Tables:
    return Tables(Schema(columns=COLUMNS, constraints=CONSTRAINTS), TRAIN, TRAIN, synthetic)


def test_a_table_that_holds_them_passes() -> None:
    found = judge_constraints(tables(GOOD))
    assert (found.verdict, found.value, found.reason) == (
        "PASS",
        0.0,
        "Every row holds all 2 constraints of the schema.",
    )


def test_rows_that_break_one_are_counted_once_and_refused() -> None:
    found = judge_constraints(tables(BAD))
    assert (found.verdict, found.value) == ("FAIL", 0.75)
    assert found.reason == (
        '3 of 4 rows (75.0 %) break what the schema declares: 2 rows break "low" <= "high", first row 2; '
        '1 row breaks fixed combinations of "country", "city", first row 1.'
    )


def test_dictionaries_are_compared_as_text_and_other_types_not_at_all() -> None:
    coded = GOOD.set_column(2, "country", GOOD["country"].dictionary_encode())
    assert judge_constraints(tables(coded)).verdict == "PASS"
    worded = GOOD.set_column(0, "low", pa.array(["a"] * 4))
    assert judge_constraints(tables(worded)).verdict == "FAIL"
    assert "could not be compared" in judge_constraints(tables(worded)).reason


@pytest.mark.parametrize(("synthetic", "verdict"), [(GOOD, "PASS"), (BAD, "FAIL")])
def test_the_report_has_the_gate_where_the_schema_has_constraints(synthetic: pa.Table, verdict: str) -> None:
    report = evaluate(tables(synthetic), EvaluationConfig(families=()), OFF, seed=0)
    assert (report.verdict, report.gates[-1].name, report.gates[-1].verdict) == (verdict, "constraints", verdict)
    assert bool(report.failures()) == (verdict == "FAIL")
    without = evaluate(
        replace(tables(synthetic), schema=Schema(columns=COLUMNS)), EvaluationConfig(families=()), OFF, seed=0
    )
    assert (without.verdict, without.gates[-1].name) == ("PASS", report.gates[-2].name)
