from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pytest

from pipeline.checks import check_table
from pipeline.columns import Boolean, Categorical, Constant, Continuous, Identifier, Integer, Text, Timestamp
from pipeline.errors import DataError
from pipeline.schema import Schema

SCHEMA = Schema(
    columns=(
        Identifier(name="id", arrow="int64"),
        Integer(name="age", arrow="int16", nullable=True, minimum=0, maximum=120, step=2),
        Continuous(name="price", arrow="float64", decimals=2),
        Categorical(name="city", arrow="string", levels=("Oslo", "Rome")),
        Boolean(name="smoker", arrow="bool"),
        Timestamp(name="seen", arrow="timestamp[s]", resolution="min"),
        Text(name="note", arrow="string", policy="drop"),
        Constant(name="site", arrow="string", value="A"),
    )
)

GOOD = pa.table(
    [[1, 2], [30, None], [0.25, 3.0], ["Oslo", "Rome"], [True, False], [0, 120], ["A", "A"]], schema=SCHEMA.arrow()
)


def with_cells(name: str, cells: list[object]) -> pa.Table:
    place = GOOD.column_names.index(name)
    field = GOOD.schema.field(name)
    return GOOD.set_column(place, field, pa.chunked_array([pa.array(cells, field.type)]))


def test_a_table_that_satisfies_its_schema_passes() -> None:
    check_table(GOOD, SCHEMA)


@pytest.mark.parametrize(
    ("name", "cells", "words"),
    [
        ("id", [1, 1], '"id": 1 value repeating a key'),
        ("age", [-2, 4], '"age": 1 value below the minimum 0'),
        ("age", [122, 4], '"age": 1 value above the maximum 120'),
        ("age", [3, 4], '"age": 1 value off the step 2'),
        ("price", [0.25, 0.255], '"price": 1 value with more than 2 decimals'),
        ("price", [None, 0.5], '"price": 1 value missing'),
        ("city", ["Oslo", "Bree"], '"city": 1 value at a level that is not declared'),
        ("smoker", [None, None], '"smoker": 2 values missing'),
        ("seen", [0, 61], '"seen": 1 value finer than the resolution min'),
        ("site", ["A", "B"], '"site": 1 value different from the constant'),
    ],
)
def test_a_cell_that_breaks_a_rule_is_named(name: str, cells: list[object], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_table(with_cells(name, cells), SCHEMA)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop_columns("age"), '"age" occurs 0 times'),
        (lambda t: t.append_column("age", t["age"]), '"age" occurs 2 times'),
        (lambda t: t.append_column("note", t["site"]), '"note" is not in the schema'),
        (lambda t: t.set_column(1, "age", t["age"].cast(pa.int32())), '"age" is declared int32, not int16'),
        (lambda t: t.set_column(0, "id", t["id"]), '"id" is declared int64, not int64 not null'),
        (lambda t: t.select([0, 2, 1, 3, 4, 5, 6]), 'in another order, from "price" on'),
    ],
)
def test_a_table_of_another_form_is_refused(change: Callable[[pa.Table], pa.Table], words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_table(change(GOOD), SCHEMA)


def test_every_failing_column_is_named_and_no_value_is_told() -> None:
    table = with_cells("city", ["Bree", "Bree"]).drop_columns("smoker")
    table = table.set_column(1, table.schema.field("age"), pa.chunked_array([pa.array([77, 200], pa.int16())]))
    with pytest.raises(DataError) as caught:
        check_table(table, SCHEMA)
    assert all(f'"{name}"' in str(caught.value) for name in ("city", "smoker", "age"))
    assert not any(value in str(caught.value) for value in ("Bree", "77", "200"))
