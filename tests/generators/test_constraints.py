"""Constraints hold on every drawn row, whatever is asked of the draw, or the draw is refused with the reason."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generators import Range as Between
from generators import TabularGenerator, generator_config
from generators.scenarios import what_if
from pipeline.checks import check_table
from pipeline.columns import Categorical, Integer
from pipeline.constraints import (
    FixedCombinations,
    FunctionalDependence,
    Inequality,
    OneHot,
    Predicate,
    Range,
    Sum,
    Unique,
)
from pipeline.errors import ConfigError, DataError, SchemaError, UnsupportedError
from pipeline.fingerprint import fingerprint
from pipeline.inference import infer
from pipeline.schema import Schema

from .broken import FLOW

CITIES = {"no": ["Oslo", "Bergen", "Hamar"], "it": ["Rome", "Bari"], "se": ["Lund"]}
HEIGHT = {"Oslo": 23.5, "Bergen": 12.0, "Hamar": 127.0, "Rome": 21.0, "Bari": 5.0, "Lund": 49.5}


def stays(n: int = 400) -> pa.Table:
    """Return rows that hold a constraint of every kind."""
    rng = np.random.default_rng(0)
    country = rng.choice(list(CITIES), n)
    city = [rng.choice(CITIES[each]) for each in country]
    came = 1_700_000_000 // 3600 * 3600 + rng.integers(0, 300 * 24, n) * 3600
    rent, food, colour = rng.integers(0, 60, n), rng.integers(0, 40, n), rng.integers(0, 3, n)
    left, age = came + rng.integers(0, 9, n) * 86_400 + 7200, rng.integers(0, 90, n)
    return pa.table(
        {
            "key": [f"stay-{i}" for i in range(n)],
            "country": country,
            "city": pa.array(city, mask=rng.random(n) < 0.1),
            "height": [HEIGHT[each] for each in city],
            "came": pa.array(came).cast(pa.timestamp("s")),
            "left": pa.array(left, mask=rng.random(n) < 0.1).cast(pa.timestamp("s")),
            "rent": rent,
            "food": food,
            "cost": rent + food,
            "red": colour == 0,
            "green": colour == 1,
            "blue": colour == 2,
            "age": age,
            "income": np.where(age < 18, 0, rng.integers(0, 900, n)),
            "room": rng.permutation(max(1000, n))[:n],
            "night": rng.integers(1, 40, n),
        }
    )  # fmt: skip


CONSTRAINTS = (
    FixedCombinations(columns=("country", "city")),
    FunctionalDependence(determinants=("city",), dependents=("height",)),
    Inequality(columns=("came", "left")),
    Sum(total="cost", parts=("rent", "food")),
    OneHot(columns=("red", "green", "blue")),
    Range(column="came", minimum="2023-11-14 00:00:00"),
    Predicate(expression="age >= 18 or income == 0"),
    Unique(columns=("room", "night")),
)
SCHEMA = Schema(columns=infer(stays()).columns, constraints=CONSTRAINTS)


def fitted(schema: Schema = SCHEMA, table: pa.Table | None = None) -> TabularGenerator:
    return TabularGenerator(generator_config("independent")).fit(stays() if table is None else table, schema, seed=0)


@pytest.fixture(scope="module")
def generator() -> TabularGenerator:
    return fitted()


def keeps(table: pa.Table, n: int) -> pa.Table:
    """Look whether n rows hold everything that the schema declares, given what may occur in train."""
    assert table.num_rows == n
    check_table(table, SCHEMA, train=stays())
    assert len(set(table["key"].to_pylist())) == n
    return table


@given(st.integers(0, 300), st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_every_drawn_row_holds_every_constraint(n: int, seed: int) -> None:
    drawn = fitted_once().sample(n, seed=seed)
    keeps(drawn, n)
    assert fingerprint(fitted_once().sample(n, seed=seed)) == fingerprint(drawn)


def fitted_once(kept: list[TabularGenerator] = []) -> TabularGenerator:  # noqa: B006  fitted once for all examples
    return kept[0] if kept else kept.append(fitted()) or kept[0]


def test_a_trained_family_keeps_them_too(tmp_path) -> None:
    generator = TabularGenerator(FLOW).fit(stays(), SCHEMA, seed=0)
    drawn = keeps(generator.sample(300, seed=1), 300)
    conditions = {"country": "no", "age": Between(18, None), "red": True}
    some = keeps(generator.sample(60, seed=1, conditions=conditions), 60)
    assert set(some["country"].to_pylist()) == {"no"}
    assert all(some["red"].to_pylist())
    keeps(generator.complete(drawn, ["country", "came", "rent"], seed=3), 300)
    generator.save(tmp_path / "model")
    assert fingerprint(TabularGenerator.load(tmp_path / "model").sample(300, seed=1)) == fingerprint(drawn)


def test_what_is_kept_how_is_told(generator: TabularGenerator) -> None:
    found = {each["constraint"]: each for each in generator.describe()["diagnostics"]["constraints"]}
    assert set(found) == {constraint.text for constraint in CONSTRAINTS}
    by = Counter(each["by"] for each in found.values())
    assert by == {"construction": 5, "drawing anew": 3}
    assert all(each["acceptance"] == 1 for each in found.values() if each["by"] == "construction")
    grown_up = np.mean([age >= 18 for age in stays()["age"].to_pylist()])
    poor = np.mean([income == 0 for income in stays()["income"].to_pylist()])
    expected = 1 - (1 - grown_up) * (1 - poor)
    assert found["age >= 18 or income == 0"]["acceptance"] == pytest.approx(expected, abs=0.03)
    generator.sample(2_000, seed=5)
    assert generator.acceptance == pytest.approx(expected, abs=0.04)
    json.dumps(generator.describe(), allow_nan=False)


@pytest.mark.parametrize(
    "conditions",
    [
        {"city": "Oslo"},
        {"city": None, "country": "it"},
        {"country": ["no", "se"], "city": ["Oslo", "Lund", "Rome"]},
        {"height": Between(20, 50)},
        {"red": "false", "green": False},
        {"came": "2024-01-05 10:00:00", "left": "2024-01-07 12:00:00"},
        {"left": Between("2024-03-01 00:00:00", None)},
        {"rent": 30, "food": 3, "cost": 33},
        {"rent": 30, "cost": 34},  # which leaves one value for food
        {"cost": Between(10, 20), "country": "no"},
        {"age": 10},
        {"income": Between(500, None)},
    ],
)
def test_conditions_and_constraints_hold_together(generator: TabularGenerator, conditions: dict) -> None:
    drawn = keeps(generator.sample(40, seed=2, conditions=conditions), 40)
    for name, wanted in conditions.items():
        cells = drawn[name].to_pylist()
        if isinstance(wanted, Between):
            low, high = (
                None if end is None else pa.array([end]).cast(drawn[name].type)[0].as_py()
                for end in (wanted.low, wanted.high)
            )
            assert all((low is None or low <= cell) and (high is None or cell <= high) for cell in cells)
        else:
            values = wanted if isinstance(wanted, list) else [wanted]
            allowed = {pa.array([v]).cast(drawn[name].type)[0].as_py() if v is not None else None for v in values}
            assert set(cells) <= allowed
            assert len(conditions) > 1 or set(cells) == allowed


@pytest.mark.parametrize(
    ("conditions", "error", "words"),
    [
        ({"city": "Oslo", "country": "it"}, DataError, "must leave a value that can be drawn"),
        ({"city": "Atlantis"}, DataError, 'columns "city" must belong to a combination that may be drawn'),
        ({"left": "2024-01-07 12:00:00"}, UnsupportedError, 'as its distance from "came".*give "came" too'),
        ({"cost": 33}, UnsupportedError, 'computed from "rent" and "food".*give all of these but one'),
        (
            {"came": "2024-01-07 12:00:00", "left": "2024-01-05 12:00:00"},
            DataError,
            'found 1 row breaks "came" <= "left"',
        ),
        (
            {"rent": 20, "food": 10, "cost": Between(50, None)},
            DataError,
            "100.0% of those drawn last break the conditions",
        ),
        ({"age": 10, "income": 700}, DataError, "found 1 row breaks age >= 18 or income == 0"),
        ({"rent": 20, "food": 10, "cost": 31}, DataError, '1 row breaks "cost" = '),
        ({"rent": 30, "cost": 20}, DataError, 'column "food" must be able to hold what is left of column "cost"'),
        ({"city": Between("A", "B")}, ConfigError, "needs a column with an order"),
        ({"key": "stay-1"}, ConfigError, "must name a modelled column"),
    ],
)
def test_conditions_against_constraints_are_refused_with_the_reason(
    generator: TabularGenerator, conditions: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        generator.sample(20, conditions=conditions)


def test_a_tied_column_is_drawn_under_a_condition_as_often_as_train_has_it(generator: TabularGenerator) -> None:
    drawn = generator.sample(4_000, seed=0, conditions={"country": "no"})["city"].to_pylist()
    train = stays().filter(pa.compute.equal(stays()["country"], "no"))["city"].to_pylist()
    for city in ("Oslo", "Bergen", "Hamar"):
        share = train.count(city) / (len(train) - train.count(None))
        assert drawn.count(city) / (len(drawn) - drawn.count(None)) == pytest.approx(share, abs=0.04)


def test_tied_columns_are_rebalanced_and_rows_stay_unique(generator: TabularGenerator) -> None:
    drawn = keeps(generator.rebalance(90, "country", seed=1), 90)
    assert Counter(drawn["country"].to_pylist()) == {"it": 30, "no": 30, "se": 30}
    keeps(generator.meet_margins(60, {"city": {"Oslo": 1, "Rome": 2}, "red": {True: 1, False: 1}}), 60)
    with pytest.raises(ConfigError, match='shares must be given for column "cost"'):
        generator.rebalance(10, "cost")


def test_known_cells_stay_and_drawn_ones_go_with_them(generator: TabularGenerator) -> None:
    table = stays(120)
    rng = np.random.default_rng(0)
    known = {
        name: rng.random(120) < 0.5 for name in ("country", "city", "came", "rent", "age", "room", "key", "height")
    }
    known["left"] = known["came"] & (rng.random(120) < 0.5)
    both = known["rent"] & (rng.random(120) < 0.5)
    known |= {"food": both, "cost": known["rent"]}  # the food of the others follows
    drawn = keeps(generator.complete(table, known, seed=0), 120)
    for name, marks in known.items():
        kept = pa.array(marks)
        assert drawn[name].filter(kept).to_pylist() == table[name].filter(kept).to_pylist()
    assert (
        drawn["food"].filter(pa.array(known["rent"])).to_pylist()
        == table["food"].filter(pa.array(known["rent"])).to_pylist()
    )
    never = generator.complete(table, ["country", "came"], seed=0, missing="never")
    assert sum(never[name].null_count for name in never.column_names) == 0
    others = what_if(
        generator,
        table.slice(0, 5),
        changes={"city": "Oslo", "country": "no", "height": 23.5},
        redraw=["rent", "food", "cost", "room"],
        n_draws=3,
    )
    assert set(others["city"].to_pylist()) == {"Oslo"}


def test_known_cells_that_contradict_each_other_are_refused(generator: TabularGenerator) -> None:
    table = stays(30)
    wrong = table.set_column(table.column_names.index("left"), "left", pa.array([0] * 30).cast(pa.timestamp("s")))
    with pytest.raises(DataError, match=r'what is given must hold .* found 30 rows break "came" <= "left"'):
        generator.complete(wrong, ["came", "left"])
    with pytest.raises(UnsupportedError, match='give "came" too'):
        generator.complete(wrong, ["left"])
    keeps(generator.complete(wrong, ["came"]), 30)  # what is not known may be anything


def test_a_table_that_breaks_a_constraint_is_not_learned() -> None:
    table = stays()
    broken = table.set_column(table.column_names.index("cost"), "cost", pa.array([999] * len(table)))
    with pytest.raises(SchemaError, match=r'400 rows break "cost" = "rent" \+ "food", first row 1'):
        fitted(table=broken)


def test_a_constraint_that_hardly_any_drawn_row_holds_is_refused() -> None:
    table = pa.table({"a": [*range(50)] * 4, "b": [*range(50)] * 4, "c": [i % 2 for i in range(200)]})
    columns = tuple(Integer(name=name, arrow="int64") for name in "abc")
    generator = fitted(Schema(columns=columns, constraints=(Predicate(expression="a * 1000 - b * 1000 == 0"),)), table)
    (found,) = generator.describe()["diagnostics"]["constraints"]
    assert found["acceptance"] < 0.05
    drawn = generator.sample(20)
    assert drawn["a"].to_pylist() == drawn["b"].to_pylist()
    never = fitted(Schema(columns=columns, constraints=(Predicate(expression="c / 2 != 0.5 or a == b"),)), table)
    words = (
        r"of 1,000 drawn rows one at least must fit; found \d+ of .*\d\.\d% of those drawn last break c / 2 != 0\.5 or"
    )
    with pytest.raises(DataError, match=words):
        never.sample(5, conditions={"c": 1, "a": Between(0, 20), "b": Between(30, None)})


def test_more_unique_rows_than_there_are_combinations_are_refused() -> None:
    table = pa.table({"a": [i % 6 for i in range(36)], "b": [i // 6 for i in range(36)]})
    schema = Schema(
        columns=tuple(Integer(name=name, arrow="int64") for name in "ab"), constraints=(Unique(columns=("a", "b")),)
    )
    generator = fitted(schema, table)
    assert len(set(zip(*generator.sample(36).to_pydict().values(), strict=True))) == 36
    with pytest.raises(DataError, match=r'1 rows are missing: 100\.0% of those drawn last break unique "a", "b"'):
        generator.sample(37)


def test_rows_may_be_kept_by_a_function(generator: TabularGenerator) -> None:
    drawn = keeps(generator.sample(50, where=lambda rows: np.array(rows["rent"]) > 30), 50)
    assert min(drawn["rent"].to_pylist()) > 30
    assert 0.2 < generator.acceptance < 0.8
    with pytest.raises(ConfigError, match=r"one truth value for each row; found int64 of shape \(5,\) for 5 rows"):
        generator.sample(5, where=lambda rows: np.zeros(5, np.int64))
    frame = TabularGenerator(generator_config("independent")).fit(stays().to_pandas())
    assert (frame.sample(9, where=lambda rows: rows.rent > 30).rent > 30).all()


def test_a_schema_without_constraints_is_drawn_at_once() -> None:
    generator = fitted(infer(stays()))
    generator.sample(10)
    assert generator.acceptance == 1
    assert "constraints" not in generator.describe()["diagnostics"]


def test_combinations_are_learned_by_the_codecs_of_their_columns() -> None:
    levels = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2] * 20, pa.int8()), ["low", "mid", "high"], ordered=True)
    table = pa.table({"size": levels, "price": [1.5, 2.5, 3.5] * 20})
    schema = Schema(
        columns=infer(table).columns, constraints=(FunctionalDependence(determinants=("size",), dependents=("price",)),)
    )
    assert isinstance(schema.columns[0], Categorical)
    drawn = fitted(schema, table).sample(50)
    check_table(drawn, schema, train=table)
    assert drawn["size"].combine_chunks().dictionary.to_pylist() == ["low", "mid", "high"]
