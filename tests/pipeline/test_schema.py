from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.columns import Column
from pipeline.errors import SchemaError
from pipeline.inference import infer
from pipeline.schema import (
    Boolean,
    Categorical,
    Constant,
    Continuous,
    Duration,
    Identifier,
    Integer,
    Schema,
    Text,
    Timestamp,
    parse_arrow_type,
)
from tests import zoo

TYPES = (
    pa.int8(),
    pa.uint64(),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.bool_(),
    pa.null(),
    pa.string(),
    pa.large_string(),
    pa.date32(),
    pa.date64(),
    pa.decimal128(18, 4),
    pa.duration("ms"),
    pa.timestamp("ns"),
    pa.timestamp("us", "Europe/Berlin"),
    pa.timestamp("s", "+05:30"),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.int32(), pa.large_string(), ordered=True),
)


def fits(column: Column, values: pa.Array) -> None:
    Schema(columns=(column,)).validate_table(pa.table({column.name: values}))


@pytest.mark.parametrize("arrow_type", TYPES, ids=str)
def test_arrow_types_survive_their_text(arrow_type: pa.DataType) -> None:
    assert parse_arrow_type(str(arrow_type)) == arrow_type


@pytest.mark.parametrize(
    "text", ["", "int65", "timestamp[weeks]", "dictionary<values=nope, indices=int8>", "decimal128(99, 1)"]
)
def test_unknown_arrow_types_are_refused(text: str) -> None:
    with pytest.raises(SchemaError, match="Arrow type is unknown"):
        parse_arrow_type(text)


def test_equal_types_are_written_in_one_way() -> None:
    texts = ("dictionary<values=string, indices=int8>", "dictionary<values=string, indices=int8, ordered=0>")
    first, second = (Categorical(name="c", arrow=text) for text in texts)
    assert first == second


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (lambda: Integer(name="age", arrow="string"), '"age" is declared integer'),
        (lambda: Continuous(name="age", arrow="list"), "unknown"),
        (lambda: Continuous(name="age", arrow="decimal128(38, 2)"), '"age" has an Arrow type that is not supported'),
        (lambda: Continuous(name="age", arrow="double", minimum=2, maximum=1), '"age" has its minimum above'),
        (lambda: Continuous(name="age", arrow="decimal128(9, 2)", decimals=3), '"age" declares more decimals'),
        (lambda: Categorical(name="age", arrow="int64", levels=("a",)), '"age" is int64, and its levels must be'),
        (lambda: Categorical(name="age", arrow="string", levels=("a", "a")), '"age" declares a level twice'),
        (lambda: Constant(name="age", arrow="int64", value="old"), '"age" is int64, and its constant'),
        (lambda: Constant(name="age", arrow="int64", value=None), '"age" is constantly missing'),
        (lambda: Schema(columns=()), "at least one column"),
        (lambda: Schema(columns=(Boolean(name="a", arrow="bool"),) * 2), 'found "a" more than once'),
        (lambda: Schema(version=2, columns=(Boolean(name="a", arrow="bool"),)), "version 1; found version 2"),
    ],
)
def test_contradictions_are_refused(build: Callable[[], object], rule: str) -> None:
    with pytest.raises(SchemaError) as refused:
        build()
    assert rule in str(refused.value)
    assert refused.value.remedy


@pytest.mark.parametrize("build", zoo.ACCEPTED, ids=lambda build: build.__name__)
def test_a_hard_table_fits_its_own_schema_after_a_round_trip(build: Callable[[], pa.Table], tmp_path: Path) -> None:
    table = build()
    schema = infer(table)
    schema.write(tmp_path / "schema.json")
    again = Schema.read_file(tmp_path / "schema.json")
    assert again == schema
    again.validate_table(table)
    assert again.arrow().names == table.column_names
    assert [field.type for field in again.arrow()] == [field.type for field in table.schema]


def test_every_column_that_does_not_fit_is_named() -> None:
    schema = Schema(
        columns=(
            Integer(name="visits", arrow="int64", minimum=0, maximum=9, step=2),
            Continuous(name="weight", arrow="double", decimals=1, maximum=200),
            Boolean(name="smoker", arrow="bool"),
            Timestamp(name="seen", arrow="timestamp[s, tz=UTC]", resolution="min"),
            Duration(name="stay", arrow="duration[s]", resolution="h"),
            Categorical(name="city", arrow="string", levels=("Rome", "Oslo"), unseen="refuse"),
            Identifier(name="key", arrow="string"),
            Constant(name="site", arrow="string", value="north"),
            Boolean(name="gone", arrow="bool"),
        )
    )
    table = pa.table(
        {
            "visits": [2, -1, 12],
            "weight": [70.5, 70.55, 999.0],
            "smoker": [True, None, False],
            "seen": pa.array([0, 60, 61], pa.timestamp("s", "UTC")),
            "stay": pa.array([0, 3600, 1], pa.duration("s")),
            "city": ["Rome", "Paris", "Oslo"],
            "key": ["a", "b", "a"],
            "site": ["north", "south", "north"],
            "new": [1, 2, 3],
        }
    )
    with pytest.raises(SchemaError) as refused:
        schema.validate_table(table)
    message = str(refused.value)
    for expected in (
        'column "gone" is missing',
        'column "new" is not in the schema',
        '"visits": 1 value below the minimum 0, first in row 2, and 1 value above the maximum 9, first in row 3, '
        "and 1 value off the step 2, first in row 2",
        '"weight": 1 value above the maximum 200.0, first in row 3, and 1 value with more than 1 decimals, first in',
        '"smoker": 1 value missing, declared never missing, first in row 2',
        '"seen": 1 value finer than the resolution min, first in row 3',
        '"stay": 1 value finer than the resolution h, first in row 3',
        '"city": 1 value at a level that is not declared, first in row 2',
        '"key": 1 value repeating a key, first in row 3',
        '"site": 1 value different from the constant, first in row 2',
    ):
        assert expected in message
    for value in ("Paris", "south", "999"):
        assert value not in message


def test_types_and_order_count() -> None:
    schema = infer(pa.table({"a": [1, 2], "b": ["x", "y"]}))
    with pytest.raises(SchemaError, match='column "a": is double, declared int64'):
        schema.validate_table(pa.table({"a": [1.0, 2.0], "b": ["x", "y"]}))
    with pytest.raises(SchemaError, match='in another order, from "b" on'):
        schema.validate_table(pa.table({"b": ["x", "y"], "a": [1, 2]}))


def test_nan_and_infinity_are_values() -> None:
    column = Continuous(name="x", arrow="double", decimals=1)
    fits(column, pa.array([np.nan, np.inf, -np.inf, 0.5]))
    with pytest.raises(SchemaError, match="missing"):
        fits(column, pa.array([0.5, None]))


def test_a_dropped_text_may_be_absent_and_a_replaced_one_may_not() -> None:
    kept = Boolean(name="a", arrow="bool")
    table = pa.table({"a": [True]})
    Schema(columns=(kept, Text(name="note", arrow="string", policy="drop"))).validate_table(table)
    with pytest.raises(SchemaError, match='"note" is missing'):
        Schema(columns=(kept, Text(name="note", arrow="string"))).validate_table(table)


def test_numbers_above_int64_are_refused() -> None:
    with pytest.raises(SchemaError, match="above 2"):
        fits(Integer(name="hash", arrow="uint64"), pa.array([1, 2**63], pa.uint64()))


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1), st.integers(0, 6))
def test_numbers_rounded_to_the_declared_decimals_fit(units: list[int], decimals: int) -> None:
    fits(Continuous(name="x", arrow="double", decimals=decimals), pa.array([unit / 10**decimals for unit in units]))


@given(st.integers(-(10**6), 10**6), st.integers(0, 6))
def test_half_a_unit_more_does_not_fit(unit: int, decimals: int) -> None:
    with pytest.raises(SchemaError, match="decimals"):
        fits(Continuous(name="x", arrow="double", decimals=decimals), pa.array([(unit + 0.5) / 10**decimals]))


def edited(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    path = tmp_path / "schema.json"
    infer(pa.table({"age": [36, 41], "smoker": [True, False]})).write(path)
    state = json.loads(path.read_text())
    change(state)
    path.write_text(json.dumps(state))
    return path


def test_the_file_can_be_edited(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda state: state["columns"][0].update(minimum=18))
    with pytest.raises(SchemaError, match='"age": 1 value below the minimum 18'):
        Schema.read_file(path).validate_table(pa.table({"age": [17, 41], "smoker": [True, False]}))


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (lambda state: state["columns"][0].update(step="two"), 'column "age", step: Input should be a valid integer'),
        (lambda state: state["columns"][0].update(colour="red"), 'column "age", colour: Extra inputs'),
        (lambda state: state["columns"][1].update(kind="bool"), "column \"smoker\": Input tag 'bool'"),
        (lambda state: state["columns"][1].pop("name"), "column 2, name: Field required"),
        (lambda state: state["columns"][1].update(name="age"), 'found "age" more than once'),
        (lambda state: state.update(columns="none"), "columns: Input should be a valid tuple"),
        (lambda state: state.update(version=7), "found version 7"),
        (lambda state: state["columns"][0].update(arrow="text"), 'unknown; found "text"'),
    ],
)
def test_a_malformed_file_says_where(tmp_path: Path, change: Callable[[dict[str, Any]], object], where: str) -> None:
    path = edited(tmp_path, change)
    with pytest.raises(SchemaError) as refused:
        Schema.read_file(path)
    assert where in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"', "\xff"])
def test_a_file_that_is_no_schema_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "schema.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SchemaError, match="schema file"):
        Schema.read_file(path)
    with pytest.raises(SchemaError, match="cannot be read"):
        Schema.read_file(tmp_path / "absent.json")


@pytest.mark.parametrize("name", ["every_kind", "all_null_column", "constant_column"])
def test_a_constant_gives_its_column_back(name: str) -> None:
    table = getattr(zoo, name)()
    constants = [column for column in infer(table).columns if isinstance(column, Constant)]
    assert constants
    for column in constants:
        assert column.array(table.num_rows).equals(table[column.name].combine_chunks())


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), 0.1, 1e300])
def test_a_constant_number_of_any_sort_survives_the_file(tmp_path: Path, value: float) -> None:
    schema = infer(pa.table({"x": [value, value]}))
    schema.write(tmp_path / "schema.json")
    column = Schema.read_file(tmp_path / "schema.json").column("x")
    assert isinstance(column, Constant)
    np.testing.assert_equal(column.array(1)[0].as_py(), value)
    fits(column, pa.array([value, value]))


def test_missing_keys_repeat_no_key() -> None:
    column = Identifier(name="key", arrow="int64", nullable=True)
    fits(column, pa.array([1, None, None, 2]))
    with pytest.raises(SchemaError, match="1 value repeating a key, first in row 4"):
        fits(column, pa.array([1, None, None, 1]))
