from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from evaluation.measurement import Measured, Unmeasured
from evaluation.privacy.canaries import Canaries, canary_test, draw_canaries, insert_canaries
from evaluation.report import PrivacyTest
from pipeline.columns import Boolean, Identifier, Integer
from pipeline.errors import ConfigError
from pipeline.schema import Schema
from tests.evaluation.mixed_table import SCHEMA, draw

TRAIN = draw(1_000, 1)


@pytest.fixture(scope="module")
def canaries() -> Canaries:
    return draw_canaries(TRAIN, SCHEMA, seed=0, n=80)


def rows(table: pa.Table) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in table.to_pylist()]


def judge(synthetic: pa.Table, canaries: Canaries) -> PrivacyTest:
    return canary_test(synthetic, canaries, SCHEMA)[0]


def with_rows(extra: pa.Table) -> pa.Table:
    return pa.concat_tables([draw(1_000, 3), extra])


def test_canaries_are_new_distinct_combinations_of_known_values(canaries: Canaries) -> None:
    drawn = pa.concat_tables([canaries.inserted, canaries.withheld])
    assert drawn.schema == TRAIN.schema
    assert len(set(rows(drawn))) == 160
    assert not set(rows(drawn)) & set(rows(TRAIN))
    for name in TRAIN.column_names:
        assert set(drawn[name].to_pylist()) <= set(TRAIN[name].to_pylist())


def test_as_many_are_withheld_and_a_quarter_each_goes_in_1_2_4_and_8_times(canaries: Canaries) -> None:
    assert canaries.inserted.num_rows == canaries.withheld.num_rows == 80
    assert np.bincount(canaries.copies)[[1, 2, 4, 8]].tolist() == [20, 20, 20, 20]


def test_the_default_number_is_three_hundred_of_each() -> None:
    canaries = draw_canaries(TRAIN, SCHEMA, seed=0)
    assert canaries.inserted.num_rows == canaries.withheld.num_rows == len(canaries.copies) == 300


def test_inserting_adds_exactly_the_planned_copies(canaries: Canaries) -> None:
    planted = rows(insert_canaries(TRAIN, canaries, seed=0))
    assert len(planted) == 1_000 + 20 * (1 + 2 + 4 + 8)
    counts = [planted.count(row) for row in rows(canaries.inserted)]
    assert counts == canaries.copies.tolist()
    assert not set(planted) & set(rows(canaries.withheld))
    assert planted[:1_000] != rows(TRAIN)


def test_the_same_seed_draws_the_same_canaries(canaries: Canaries) -> None:
    again = draw_canaries(TRAIN, SCHEMA, seed=0, n=80)
    assert again.inserted.equals(canaries.inserted)
    assert not draw_canaries(TRAIN, SCHEMA, seed=1, n=80).inserted.equals(canaries.inserted)
    assert insert_canaries(TRAIN, canaries, seed=0).equals(insert_canaries(TRAIN, canaries, seed=0))


def test_a_table_that_knows_no_canary_passes(canaries: Canaries) -> None:
    test, measurements = canary_test(draw(1_000, 3), canaries, SCHEMA)
    assert test.verdict == "PASS"
    assert test.value == 0.0
    assert "3.8 %" in test.detection_limit
    reproduced, ranked = measurements
    assert isinstance(reproduced, Measured)
    assert reproduced.value == reproduced.ceiling == 0.0
    assert ranked.interval[0] < 0.5 < ranked.interval[1]


def test_one_reproduced_canary_that_was_inserted_once_fails(canaries: Canaries) -> None:
    test = judge(with_rows(canaries.inserted.slice(0, 1)), canaries)
    assert test.verdict == "FAIL"
    assert test.value == pytest.approx(1 / 80)


def test_a_canary_that_was_inserted_often_is_for_review(canaries: Canaries) -> None:
    assert judge(with_rows(canaries.inserted.slice(79, 1)), canaries).verdict == "REVIEW"


def test_canaries_that_chance_reproduces_as_often_do_not_fail(canaries: Canaries) -> None:
    both = pa.concat_tables([canaries.inserted.slice(0, 1), canaries.withheld.slice(0, 10)])
    assert judge(with_rows(both), canaries).verdict == "REVIEW"


def test_near_copies_of_canaries_are_ranked_first(canaries: Canaries) -> None:
    near = canaries.inserted
    near = near.set_column(0, near.schema.field(0), pa.array(near["income"].to_numpy() + 1e-3))
    test, (reproduced, ranked) = canary_test(with_rows(near), canaries, SCHEMA)
    assert reproduced.value == 0.0
    assert ranked.value > 0.9
    assert test.verdict == "REVIEW"
    assert test.parts[-1].p_value < 1e-6


def test_columns_that_are_not_modelled_repeat_known_values_and_do_not_count() -> None:
    schema = Schema(columns=(Identifier(name="id", arrow="string"), *SCHEMA.columns))
    table = TRAIN.add_column(0, "id", pa.array([f"p{i}" for i in range(1_000)]))
    canaries = draw_canaries(table, schema, seed=0, n=20)
    assert set(canaries.inserted["id"].to_pylist()) <= set(table["id"].to_pylist())
    renamed = canaries.inserted.set_column(0, "id", pa.array(["new"] * 20))
    assert canary_test(renamed, canaries, schema)[0].value == 1.0


def test_a_table_with_too_few_combinations_is_refused() -> None:
    schema = Schema(columns=(Boolean(name="a", arrow="bool"), Boolean(name="b", arrow="bool")))
    table = pa.table({"a": [True, False] * 10, "b": [True] * 20})
    with pytest.raises(ConfigError, match="600 combinations"):
        draw_canaries(table, schema, seed=0)


def test_an_empty_synthetic_table_is_not_testable(canaries: Canaries) -> None:
    test, measurements = canary_test(TRAIN.slice(0, 0), canaries, SCHEMA)
    assert test.verdict == "NOT TESTABLE"
    assert all(isinstance(m, Unmeasured) for m in measurements)


def test_a_column_without_a_value_stays_empty() -> None:
    schema = Schema(columns=(*SCHEMA.columns, Integer(name="empty", arrow="int64", nullable=True)))
    table = TRAIN.append_column("empty", pa.nulls(1_000, "int64"))
    assert draw_canaries(table, schema, seed=0, n=20).inserted["empty"].null_count == 20
