from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codecs.categorical import CategoricalCodec
from pipeline.columns import Column
from pipeline.errors import SchemaError
from pipeline.inference import WIDELY, infer
from pipeline.source import read
from pipeline.transform import TransformConfig
from tests import zoo

ROWS = np.arange(200)


def infer_one(values: Any, name: str = "x") -> Any:
    return infer(pa.table({name: values})).columns[0]


@pytest.mark.parametrize("build", zoo.REFUSED, ids=lambda build: build.__name__)
def test_what_cannot_be_learned_is_refused_with_a_remedy(build: Callable[[], pa.Table]) -> None:
    with pytest.raises(SchemaError, match=";"):
        infer(build())


def test_every_unsupported_column_is_named() -> None:
    with pytest.raises(SchemaError, match=r'"list".*"struct"'):
        infer(zoo.nested())


def test_every_kind_is_told_apart_and_has_a_reason() -> None:
    schema = infer(zoo.every_kind())
    kinds = ["identifier", "continuous", "integer", "categorical", "boolean", "timestamp", "date", "duration", "text"]
    assert [column.kind for column in schema.columns] == [*kinds, "constant"]
    assert all(column.reason for column in schema.columns)


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("customerID", ROWS, "identifier"),
        ("PassengerId", np.random.default_rng(0).permutation(ROWS), "identifier"),
        ("x", ROWS + 1, "identifier"),
        ("x", ROWS[::-1], "identifier"),
        ("year", 1900 + ROWS, "integer"),
        ("weight", np.random.default_rng(0).permutation(10**6)[:200], "integer"),
        ("weight_g", np.random.default_rng(0).normal(70_000, 9_000, 200), "continuous"),
        ("id", ROWS // 2, "integer"),
        ("id", ROWS[:19], "integer"),
        ("id", [*range(199), None], "integer"),
        ("id", ROWS + 0.5, "continuous"),
        ("flag", ROWS % 2, "integer"),
        ("ref", [f"{i:04d}-XY" for i in ROWS], "identifier"),
        ("mail", [f"person{i}@example.org" for i in ROWS], "text"),
        ("name", [f"Smith, Mr. {'abcdefghij'[i % 10]} {i // 10}" for i in ROWS], "text"),
        (
            "address",
            [f"{i // 2} Long Street, Old Town" for i in ROWS[:180]] + ["1 Long Street, Old Town"] * 20,
            "text",
        ),
        ("remark", [f"came back after {i} days" for i in ROWS[:150]] + ["none at all"] * 50, "text"),
        ("ticket", [f"A{i}" for i in ROWS[:150]] + ["B1"] * 50, "text"),
        ("ticket", [f"A{i}" for i in ROWS[:99]] + ["B1"] * 101, "categorical"),
        ("cabin", [None] * 150 + [f"C{i // 3}" for i in ROWS[:50]], "text"),
        ("deck", [None] * 150 + ["A", "B", "C", "D", "E"] * 10, "categorical"),
        ("ward", ["a"] * 8 + ["b"] * 4 + ["c"] * 4 + ["d"] * 4, "categorical"),
        ("ward", ["a", "b", "c", "d", "e", "f", "g"] * 3, "text"),
        ("ward", ["a", "b"] * 4, "categorical"),
        ("city", ["Rome", "Oslo"] * 100, "categorical"),
    ],
)
def test_keys_text_and_levels_are_told_apart(name: str, values: Any, kind: str) -> None:
    assert infer_one(values, name).kind == kind


def test_a_level_that_is_shared_is_one_that_the_transform_does_not_protect() -> None:
    assert TransformConfig().protect == WIDELY


@given(st.lists(st.integers(0, 12), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_inferred_levels_can_be_learned(times: list[int]) -> None:
    cells = [f"level {i}" for i, n in enumerate(times) for _ in range(n)] + [None] * 20
    column = infer_one(pa.array(cells, pa.string()))
    if column.kind == "categorical":
        CategoricalCodec.fit(column, pa.array(cells, pa.string()), protect=WIDELY)


@pytest.mark.parametrize("largest", [7, 99, 100, 12_345, 2**53 + 1])
def test_new_whole_keys_lie_above_all_keys_and_do_not_tell_the_largest(largest: int) -> None:
    keys = [*range(-30, 0), largest]
    column = infer_one(pa.array(keys, pa.int64()), "id")
    assert column.start > largest
    assert set(str(column.start)) == {"1", "0"}


def test_keys_without_room_for_new_ones_are_no_identifier() -> None:
    assert infer_one(pa.array(range(100), pa.int8()), "id").kind == "integer"
    assert infer_one(pa.array(range(100), pa.int32()), "id").kind == "identifier"


def test_no_key_of_the_table_begins_like_a_new_one() -> None:
    assert infer_one([f"syn-{i}" for i in ROWS], "key").prefix == "syn2-"
    assert infer_one([f"syn-{i}" if i % 2 else f"syn2-{i}" for i in ROWS], "key").prefix == "syn3-"


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([1.0, 2.0], 0),
        ([0.1, 0.25], 2),
        ([1.5, np.nan, np.inf], 1),
        (np.random.default_rng(0).normal(size=50), None),
        ([1e300, 0.5], None),
        (pa.array([0.1, 0.2], pa.float32()), 1),
        (pa.array([0.1, 0.7], pa.float16()), 1),
    ],
)
def test_decimals_are_those_of_the_values(values: Any, decimals: int | None) -> None:
    assert infer_one(values).decimals == decimals


def test_no_extreme_is_told() -> None:
    table = pa.table({"a": ROWS % 90 + 10, "b": ROWS % 7 + 0.5, "c": ROWS % 9 - 4})
    bounds = [(column.minimum, column.maximum) for column in infer(table).columns]  # type: ignore[union-attr]
    assert bounds == [(0, None), (0.0, None), (None, None)]


@pytest.mark.parametrize(
    ("values", "step"),
    [(ROWS * 500, 500), (ROWS * 80, 20), (ROWS * 7, 1), ([100, 200] * 10, 1), (ROWS - 5, 1)],
)
def test_a_step_is_round_and_well_supported(values: Any, step: int) -> None:
    shuffled = np.random.default_rng(0).permutation(np.concatenate([values, values]))
    assert infer_one(shuffled).step == step


@pytest.mark.parametrize(
    ("step", "resolution"),
    [(86_400_000_000, "day"), (3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms"), (7, "us")],
)
def test_resolution_is_that_of_the_values(step: int, resolution: str) -> None:
    ticks = (ROWS * step).tolist()
    assert infer_one(pa.array(ticks, pa.timestamp("us", "UTC"))).resolution == resolution
    assert infer_one(pa.array(ticks, pa.duration("us"))).resolution == resolution


def test_constants_are_told_from_columns_with_missing_cells() -> None:
    assert infer_one(["a", "a"]).value == "a"
    assert infer_one(["a", None, "a"]).kind == "categorical"
    assert infer_one(pa.nulls(3, pa.int8())).value is None
    assert infer_one([dt.date(2024, 2, 29)] * 2).value == "2024-02-29"


KNOWN: dict[str, dict[str, str]] = {
    "telco_churn": {
        "customerID": "identifier",
        "tenure": "integer",
        "MonthlyCharges": "continuous",
        "Churn": "categorical",
    },
    "adult": {"fnlwgt": "integer", "age": "integer", "workclass": "categorical", "native-country": "categorical"},
    "titanic": {
        "name": "text",
        "pclass": "integer",
        "fare": "continuous",
        "sex": "categorical",
        "ticket": "text",
        "cabin": "text",
    },
    "news_39000": {"n_unique_tokens": "continuous", "LDA_00": "continuous", "shares": "continuous"},
    "beijing_pm25": {"No": "identifier", "year": "integer", "pm2.5": "integer", "cbwd": "categorical"},
}


@pytest.mark.parametrize("table", KNOWN)
def test_well_known_tables_are_understood(table: str) -> None:
    folder = os.environ.get("TABMINT_DATA")
    if not folder:
        pytest.skip("TABMINT_DATA names no folder with the tables")
    source = read(Path(folder) / f"{table}.csv.gz")
    schema = infer(source.table)
    schema.validate_table(source.table)
    found: dict[str, Column] = {name: schema.column(name) for name in KNOWN[table]}
    assert {name: column.kind for name, column in found.items()} == KNOWN[table]
