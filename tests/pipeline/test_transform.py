from __future__ import annotations

import copy
import datetime
import json
import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from pipeline.checks import check_table
from pipeline.columns import (
    Boolean,
    Categorical,
    Constant,
    Continuous,
    Date,
    Duration,
    Identifier,
    Integer,
    Text,
    Timestamp,
)
from pipeline.encoded import Encoded
from pipeline.errors import ArtifactError, DataError, SchemaError
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.transform import TableTransform, TransformConfig

N_ROWS = 400

SCHEMA = Schema(
    columns=(
        Identifier(name="id", arrow="int64", start=10_000),
        Integer(name="age", arrow="int16", nullable=True, minimum=0),
        Continuous(name="weight", arrow="float32", nullable=True),
        Continuous(name="price", arrow="decimal128(9, 2)"),
        Categorical(name="city", arrow="dictionary<values=string, indices=int8>", nullable=True),
        Text(name="note", arrow="string", policy="drop"),
        Boolean(name="smoker", arrow="bool", nullable=True),
        Timestamp(name="seen", arrow="timestamp[us, tz=Europe/Oslo]", resolution="min"),
        Date(name="born", arrow="date32[day]"),
        Duration(name="stay", arrow="duration[s]"),
        Text(name="remark", arrow="large_string", placeholder="-"),
        Constant(name="site", arrow="string", value="A"),
    )
)


def people(n_rows: int = N_ROWS, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    absent = rng.random(n_rows) < 0.1
    day = datetime.date(1960, 1, 1)
    columns: dict[str, Any] = {
        "id": np.arange(n_rows),
        "age": pa.array(rng.integers(18, 90, n_rows), pa.int16(), mask=absent),
        "weight": pa.array(rng.normal(70, 12, n_rows).astype(np.float32), mask=absent),
        "price": pa.array(rng.integers(100, 99_999, n_rows)).cast(pa.decimal128(19, 0)).view(pa.decimal128(19, 2)),
        "city": pa.array(rng.choice(["Oslo", "Rome", "Bree"], n_rows, p=[0.6, 0.395, 0.005]), mask=absent),
        "note": [f"seen on {i}" for i in range(n_rows)],
        "smoker": pa.array(rng.random(n_rows) < 0.3, mask=absent),
        "seen": pa.array(rng.integers(0, 10**6, n_rows) * 60_000_000, pa.timestamp("us", "Europe/Oslo")),
        "born": [day + datetime.timedelta(days=int(days)) for days in rng.integers(0, 20_000, n_rows)],
        "stay": pa.array(rng.integers(0, 30, n_rows), pa.duration("s")),
        "remark": [f"line {i}" for i in range(n_rows)],
        "site": ["A"] * n_rows,
    }
    fields = [pa.field(column.name, column.arrow_type, column.nullable) for column in SCHEMA.columns]
    cells = [pa.array(value) if not isinstance(value, pa.Array) else value for value in columns.values()]
    cells[4] = cells[4].dictionary_encode()
    return pa.table([array.cast(field.type) for array, field in zip(cells, fields, strict=True)], pa.schema(fields))


@pytest.fixture(scope="module")
def train() -> pa.Table:
    return people()


@pytest.fixture(scope="module")
def transform(train: pa.Table) -> TableTransform:
    return TableTransform.fit(train, SCHEMA)


def test_a_decoded_table_has_exactly_the_declared_schema(transform: TableTransform, train: pa.Table) -> None:
    table = transform.decode(transform.encode(train), seed=0)
    assert table.schema.equals(SCHEMA.arrow(), check_metadata=True)
    check_table(table, SCHEMA)


def test_a_generator_sees_only_the_modelled_columns(transform: TableTransform, train: pa.Table) -> None:
    encoded = transform.encode(train)
    seen = ("seen (date)", "seen (time of day)")
    assert encoded.layout.names == ("age", "weight", "price", "city", "smoker", *seen, "born", "stay")
    assert (encoded.tokens.dtype, encoded.tokens.shape) == (np.int32, (N_ROWS, 9))
    assert encoded.values.shape == (N_ROWS, len(encoded.layout.valued))
    assert (encoded.tokens >= 0).all()
    assert (encoded.tokens < np.array(encoded.layout.sizes)).all()
    assert ((encoded.values >= 0) & (encoded.values < 1)).all()


def test_decode_undoes_encode_up_to_what_is_protected(transform: TableTransform, train: pa.Table) -> None:
    back = transform.decode(transform.encode(train), seed=0)
    for name in transform.parts:
        drawable = pa.array(transform.can_draw(name, train[name].combine_chunks()))
        found, wanted = (table[name].filter(drawable).to_pylist() for table in (back, train))
        assert len(found) > 0.9 * N_ROWS
        assert found == wanted


def test_identifiers_and_text_of_the_table_never_come_back(transform: TableTransform, train: pa.Table) -> None:
    table = transform.decode(transform.encode(train), seed=0)
    assert table["id"].to_pylist() == list(range(10_000, 10_000 + N_ROWS))
    assert set(table["remark"].to_pylist()) == {"-"}
    assert "note" not in table.column_names


def test_the_decode_seed_draws_what_stands_in_for_rare_levels(transform: TableTransform, train: pa.Table) -> None:
    rare = Encoded(transform.layout, transform.encode(train).tokens.copy(), transform.encode(train).values)
    rare.tokens[:, 3] = transform.layout.sizes[3] - 1
    first, again, other = (transform.decode(rare, seed=seed)["city"].to_pylist() for seed in (1, 1, 2))
    assert first == again != other
    assert set(first) == {"Oslo", "Rome"}


def test_neither_rare_levels_nor_extremes_are_in_the_state(transform: TableTransform, train: pa.Table) -> None:
    text = json.dumps(transform.to_json())
    assert "Bree" not in text
    price = [int(cell * 100) for cell in train["price"].to_pylist()]
    state = transform.to_json()["codecs"]["price"]
    assert not {min(price), max(price)} & {*state["atoms"], *state["low"], *state["high"]}


def test_the_state_survives_json(transform: TableTransform, train: pa.Table) -> None:
    restored = TableTransform.from_json(json.loads(json.dumps(transform.to_json())))
    encoded = transform.encode(train)
    assert restored.schema == transform.schema
    assert restored.encode(train).tokens.tolist() == encoded.tokens.tolist()
    assert restored.decode(encoded, seed=3).equals(transform.decode(encoded, seed=3))


DAMAGE: dict[str, Callable[[dict[str, Any]], object]] = {
    "no schema": lambda state: state.pop("schema"),
    "no codec": lambda state: state["codecs"].pop("age"),
    "unknown setting": lambda state: state["schema"].update(colour=1),
    "a level lost": lambda state: state["codecs"]["city"]["levels"].pop(),
    "a level twice": lambda state: state["codecs"]["city"].update(levels=["Oslo", "Oslo"]),
    "a level of another type": lambda state: state["codecs"]["city"].update(levels=[1, 2]),
    "an edge lost": lambda state: state["codecs"]["price"]["low"].pop(),
    "edges not ascending": lambda state: state["codecs"]["price"]["low"].reverse(),
    "an edge not a number": lambda state: state["codecs"]["weight"]["low"].__setitem__(0, float("nan")),
    "an edge too large": lambda state: state["codecs"]["price"]["low"].__setitem__(0, 2**70),
    "a count lost": lambda state: state["codecs"]["smoker"]["vocabulary"]["counts"].pop(),
    "codecs a list": lambda state: state.update(codecs=[]),
    "a codec null": lambda state: state["codecs"].update(age=None),
    "special unknown": lambda state: state["codecs"]["weight"].update(special=[9]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_state_is_refused(transform: TableTransform, damage: str) -> None:
    state = copy.deepcopy(transform.to_json())
    DAMAGE[damage](state)
    with pytest.raises(ArtifactError, match="state is damaged"):
        TableTransform.from_json(state)


@pytest.mark.parametrize(
    ("column", "value", "cell"),
    [
        ("age", 40, 40),
        ("age", "40", 40),
        ("age", None, None),
        ("city", "Rome", "Rome"),
        ("smoker", "true", True),
        ("born", datetime.date(1980, 5, 17), datetime.date(1980, 5, 17)),
        ("born", "1980-05-17", datetime.date(1980, 5, 17)),
        ("price", "500.25", Decimal("500.25")),
    ],
)
def test_a_condition_is_encoded_like_a_cell(
    transform: TableTransform, column: str, value: object, cell: object
) -> None:
    [(place, (token, position))] = transform.encode_value(column, value).items()
    assert transform.layout.names[place] == column
    drawn = transform.codecs[column].decode(np.array([token], np.int32), np.array([position]), np.random.default_rng(0))
    assert drawn.to_pylist() == [cell]


@pytest.mark.parametrize(
    ("column", "value", "error", "words"),
    [
        ("city", "Bree", DataError, '"city" must be a value that can be drawn'),
        ("city", "Atlantis", DataError, '"city" must be a value that can be drawn'),
        ("price", 9_000_000, DataError, '"price" must be a value that can be drawn'),
        ("age", "old", DataError, '"age" must fit int16'),
        ("age", 10**9, DataError, '"age" must fit int16'),
        ("age", -1, DataError, "below the minimum 0"),
        ("price", None, DataError, "never missing"),
        ("id", 3, DataError, "not modelled"),
        ("aeg", 3, SchemaError, '"aeg"'),
    ],
)
def test_a_condition_that_cannot_be_drawn_is_refused(
    transform: TableTransform, column: str, value: object, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        transform.encode_value(column, value)


@pytest.mark.parametrize(
    ("column", "levels"),
    [("city", ["Oslo", "Rome"]), ("smoker", [False, True]), ("age", []), ("seen", []), ("id", []), ("site", [])],
)
def test_levels_are_the_categories_that_can_be_drawn(
    transform: TableTransform, column: str, levels: list[object]
) -> None:
    assert transform.levels(column) == levels
    assert all(transform.encode_value(column, level) for level in levels)


@pytest.mark.parametrize(("cells", "levels"), [([True, None], [True]), ([False, None], [False]), ([None, None], [])])
def test_a_boolean_that_train_never_met_is_no_level(cells: list[bool | None], levels: list[bool]) -> None:
    schema = Schema(columns=(Boolean(name="sick", arrow="bool", nullable=True), Integer(name="age", arrow="int64")))
    train = pa.table({"sick": pa.array(cells * 30, pa.bool_()), "age": np.arange(60)}, schema.arrow())
    assert TableTransform.fit(train, schema).levels("sick") == levels


def test_there_are_no_levels_of_a_column_that_is_not_there(transform: TableTransform) -> None:
    with pytest.raises(SchemaError, match='"town"'):
        transform.levels("town")


def test_unseen_rows_are_encoded_too(transform: TableTransform) -> None:
    other = people(300, seed=1).slice(7)
    encoded = transform.encode(other)
    assert len(encoded) == 293
    check_table(transform.decode(encoded, seed=0), SCHEMA)


def test_a_synthetic_table_can_be_encoded_again(transform: TableTransform, train: pa.Table) -> None:
    encoded = transform.encode(train)
    again = transform.encode(transform.decode(encoded, seed=0))
    kept = transform.layout.columns[3].drawable[encoded.tokens[:, 3]]
    assert (again.tokens[kept] == encoded.tokens[kept]).all()
    assert np.abs(again.values[kept] - encoded.values[kept]).max() < 1e-4


def test_no_rows_give_a_table_without_rows(transform: TableTransform, train: pa.Table) -> None:
    empty = transform.decode(transform.encode(train.slice(0, 0)), seed=0)
    assert len(empty) == 0
    assert empty.schema.equals(SCHEMA.arrow())


def test_a_table_of_another_type_is_refused(transform: TableTransform, train: pa.Table) -> None:
    with pytest.raises(SchemaError, match='"age" must be int16; found int64'):
        transform.encode(train.set_column(1, "age", train["age"].cast(pa.int64())))
    with pytest.raises(SchemaError, match='"age" must be int16; found no such column'):
        transform.encode(train.drop_columns("age"))


def test_a_table_that_issued_keys_would_repeat_is_refused(train: pa.Table) -> None:
    clashing = SCHEMA.columns[0].model_copy(update={"start": N_ROWS - 1})
    with pytest.raises(DataError, match=r'"id".*found 1 key'):
        TableTransform.fit(train, Schema(columns=(clashing, *SCHEMA.columns[1:])))


def test_a_table_without_a_column_to_model_is_refused(train: pa.Table) -> None:
    with pytest.raises(DataError, match="needs a column to model"):
        TableTransform.fit(train.select(["id"]), Schema(columns=SCHEMA.columns[:1]))


def test_a_column_of_which_nothing_may_be_drawn_is_refused() -> None:
    schema = Schema(columns=(Continuous(name="x", arrow="float64"),))
    with pytest.raises(DataError, match='"x" needs a value that may be drawn'):
        TableTransform.fit(pa.table({"x": [float("nan")] * 3}), schema)


def test_settings_reach_the_codecs(train: pa.Table) -> None:
    config = TransformConfig(protect=1, n_bins=2, max_repeated=0)
    layout = TableTransform.fit(train, SCHEMA, config).layout
    assert layout.columns[0].valued.sum() == 2
    assert layout.columns[3].size == 5


ADULT = Path(os.environ.get("TABMINT_DATA", "")) / "adult.csv.gz"


@pytest.mark.skipif(not ADULT.is_file(), reason="TABMINT_DATA does not hold adult.csv.gz")
def test_marginals_of_adult_pass_through() -> None:
    table = pa.csv.read_csv(ADULT)
    transform = TableTransform.fit(table, infer(table))
    back = transform.decode(transform.encode(table), seed=0)
    for name in table.column_names:
        counts = [column.value_counts() for column in (table[name], back[name])]
        found, wanted = (dict(zip(*(part.to_pylist() for part in each.flatten()), strict=True)) for each in counts)
        assert sum(abs(found.get(key, 0) - wanted.get(key, 0)) for key in found | wanted) < 0.004 * len(table)
