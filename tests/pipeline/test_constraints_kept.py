"""Whatever tokens are drawn, the decoded rows hold the constraints that are kept by reparametrisation."""

from __future__ import annotations

import copy
import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.columns import Boolean, Categorical, Column, Continuous, Date, Duration, Identifier, Integer, Timestamp
from pipeline.constrained import ConstrainedTransform
from pipeline.constraints import (
    FixedCombinations,
    FunctionalDependence,
    Inequality,
    OneHot,
    Predicate,
    Sum,
    Unique,
)
from pipeline.constraints.gap import Gap
from pipeline.constraints.plan import is_kept_by, steps_for
from pipeline.constraints.total import Total
from pipeline.encoded import Encoded
from pipeline.errors import ArtifactError, DataError, SchemaError, UnsupportedError
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.transform import TableTransform, TransformConfig

UNPROTECTED = TransformConfig(protect=1)


def anything(transform: ConstrainedTransform, n: int = 400, seed: int = 0) -> Encoded:
    """Return rows that a model without any sense could draw: each token that may be drawn is as likely as another."""
    rng, layout = np.random.default_rng(seed), transform.layout
    tokens = np.stack([rng.choice(np.flatnonzero(column.drawable), n) for column in layout.columns], axis=1)
    return Encoded(layout, tokens.astype(np.int32), rng.random((n, len(layout.valued))))


def assert_kept(table: pa.Table, schema: Schema, config: TransformConfig = UNPROTECTED) -> ConstrainedTransform:
    """Fit, draw anything, and look; then look whether train itself comes back."""
    transform = ConstrainedTransform.fit(table, schema, config)
    assert all(transform.kept().values())
    drawn = transform.decode(anything(transform), seed=0)
    assert drawn.schema.equals(schema.arrow())
    assert {rule for rule, marks in transform.broken(drawn).items() if marks.any() and "bounds" not in rule} == set()
    state = json.loads(json.dumps(transform.to_json(), allow_nan=False, sort_keys=True))  # as `write_json` does
    again = ConstrainedTransform.from_json(state)
    assert again.layout.to_json() == transform.layout.to_json()
    assert again.decode(anything(transform), seed=0).equals(drawn)
    return transform


def declared(arrow: str, name: str, **settings: Any) -> Column:
    kinds = {"int": Integer, "double": Continuous, "float": Continuous, "decimal": Continuous, "date": Date}
    kinds |= {"timestamp": Timestamp, "duration": Duration}
    kind = next(kind for prefix, kind in kinds.items() if arrow.startswith(prefix))
    return kind(name=name, arrow=arrow, nullable=True, **settings)


OSLO = "timestamp[s, tz=Europe/Oslo]"
ORDERED: dict[str, tuple[str, dict[str, Any], st.SearchStrategy[Any]]] = {
    "int64": ("int64", {}, st.integers(-(10**6), 10**6)),
    "int8": ("int8", {}, st.integers(-40, 40)),  # drawn sums stay inside the type
    "steps": ("int16", {"step": 5}, st.integers(-100, 100).map(lambda n: 5 * n)),
    "decimals": ("double", {"decimals": 2}, st.integers(-(10**5), 10**5).map(lambda n: n / 100)),
    "doubles": ("double", {}, st.floats(-1e6, 1e6).map(lambda x: round(x, 3))),
    "floats": ("float", {"decimals": 1}, st.integers(-1000, 1000).map(lambda n: float(np.float32(n / 10)))),
    "decimal": ("decimal128(6, 2)", {}, st.integers(-9999, 9999).map(lambda n: Decimal(n) / 100)),
    "dates": ("date32[day]", {}, st.dates(dt.date(1900, 1, 1), dt.date(2100, 1, 1))),
    "minutes": (
        OSLO,
        {"resolution": "min"},
        st.integers(28_500_000, 28_800_000).map(lambda n: 60 * n),  # over both changes of the clock of 2024
    ),
    "seconds": ("timestamp[us]", {"resolution": "s"}, st.integers(0, 10**6).map(lambda n: n * 10**6)),
    "durations": ("duration[s]", {"resolution": "min"}, st.integers(0, 10**4).map(lambda n: 60 * n)),
}


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", ORDERED)
@given(st.data())
@settings(max_examples=12, deadline=None)
def test_what_ascends_in_train_ascends_in_whatever_is_drawn(kind: str, strict: bool, data: st.DataObject) -> None:
    arrow, grid, values = ORDERED[kind]
    rows = data.draw(st.lists(st.tuples(*(st.none() | values for _ in range(3))), min_size=5, max_size=30))
    columns = tuple(declared(arrow, name, **grid) for name in "abc")
    schema = Schema(columns=columns, constraints=(Inequality(columns=("a", "b", "c"), strict=strict),))
    ascending = [_ascending(row, strict) for row in rows]
    cells = zip(*ascending, strict=True)
    table = pa.table([pa.array(cell).cast(columns[0].arrow_type) for cell in cells], schema=schema.arrow())
    assert_kept(table, schema)


@pytest.mark.parametrize("kind", [kind for kind in ORDERED if kind not in ("doubles", "floats", "minutes")])
@given(st.data())
@settings(max_examples=12, deadline=None)
def test_a_distance_leads_back_to_where_it_was_measured(kind: str, data: st.DataObject) -> None:
    arrow, grid, values = ORDERED[kind]
    rows = [_ascending(row, False) for row in data.draw(st.lists(st.tuples(*(st.none() | values for _ in range(3)))))]
    schema = Schema(columns=tuple(declared(arrow, name, **grid) for name in "abc"))
    arrays = [
        pa.array([row[i] for row in rows], from_pandas=False).cast(schema.column("a").arrow_type) for i in range(3)
    ]
    cells = dict(zip("abc", arrays, strict=True))
    gap = Gap.of(schema, "c", ("a", "b"), strict=False, alone=True)
    assert gap.back({**cells, **gap.forward(cells)})["c"].to_pylist() == arrays[2].to_pylist()


def _ascending(row: tuple[Any, ...], strict: bool) -> tuple[Any, ...]:
    """Return the row with its cells sorted, those that are there; equal ones missing where they must differ."""
    there = sorted(cell for cell in row if cell is not None)
    kept = [cell for place, cell in enumerate(there) if not strict or place == 0 or cell != there[place - 1]]
    found = iter([*kept, *[None] * (len(there) - len(kept))])
    return tuple(None if cell is None else next(found) for cell in row)


def table_of(schema: Schema, **cells: Any) -> pa.Table:
    arrays = [pa.array(cells[column.name]).cast(column.arrow_type) for column in schema.columns]
    return pa.table(arrays, schema=schema.arrow())


def integers(*names: str, **settings: Any) -> tuple[Integer, ...]:
    return tuple(Integer(name=name, arrow="int64", **settings) for name in names)


def test_a_point_in_time_keeps_its_own_time_of_day() -> None:
    rng = np.random.default_rng(0)
    came = 1_700_000_000 // 86_400 * 86_400 + rng.integers(0, 365 * 24, 600) * 3600
    noons = came // 86_400 * 86_400 + rng.integers(1, 9, 600) * 86_400 + 12 * 3600
    left = np.where(rng.random(600) < 0.3, came + 1800, noons)  # half an hour later, or at noon of another day
    columns = tuple(Timestamp(name=name, arrow="timestamp[s]", resolution="min") for name in ("came", "left"))
    schema = Schema(columns=columns, constraints=(Inequality(columns=("came", "left")),))
    table = table_of(schema, came=came, left=left)
    transform = assert_kept(table, schema, TransformConfig())
    assert transform.layout.names[2:] == ("left above came (date)", "left above came (time of day)")
    drawn = transform.decode(transform.encode(table), seed=0)
    stayed = drawn["left"].cast(pa.int64()).to_numpy() - drawn["came"].cast(pa.int64()).to_numpy()
    same_day, noon = stayed == 1800, drawn["left"].cast(pa.int64()).to_numpy() % 86_400 == 12 * 3600
    assert (same_day | noon).mean() > 0.97


def test_the_clock_that_is_set_back_does_not_turn_time_round() -> None:
    night = 1_729_987_200  # 2024-10-27 02:00 in Oslo, the first of two
    columns = tuple(Timestamp(name=name, arrow=OSLO, resolution="min") for name in ("came", "left"))
    schema = Schema(columns=columns, constraints=(Inequality(columns=("came", "left")),))
    came = night + 60 * np.arange(-120, 180)
    assert_kept(table_of(schema, came=came, left=came + 60 * (np.arange(300) % 97)), schema)


def test_numbers_of_several_types_ascend() -> None:
    columns = (*integers("a"), Continuous(name="b", arrow="double", decimals=1), Integer(name="c", arrow="int16"))
    schema = Schema(columns=columns, constraints=(Inequality(columns=("a", "b")), Inequality(columns=("a", "c"))))
    a = np.arange(50)
    assert_kept(table_of(schema, a=a, b=a + 0.5, c=a * 2), schema)


def test_a_cell_above_two_others_is_above_the_higher() -> None:
    constraints = (Inequality(columns=("a", "c")), Inequality(columns=("b", "c")))
    schema = Schema(columns=integers("c", "a", "b"), constraints=constraints)
    a, b = np.random.default_rng(0).integers(0, 50, (2, 100))
    transform = assert_kept(table_of(schema, a=a, b=b, c=np.maximum(a, b) + np.arange(100) % 7), schema)
    assert transform.layout.names == ("c above a and b", "a", "b")


def test_what_train_has_too_few_of_beside_a_missing_cell_is_drawn_missing() -> None:
    columns = (*integers("low", nullable=True), *integers("high", nullable=True))
    schema = Schema(columns=columns, constraints=(Inequality(columns=("low", "high")),))
    low = [None if i % 10 == 0 else i for i in range(100)]
    few = table_of(schema, low=low, high=[i + 5 for i in range(100)])
    many = table_of(schema, low=[None if i % 4 == 0 else i for i in range(100)], high=[i + 5 for i in range(100)])
    assert ConstrainedTransform.fit(few, schema).layout.names == ("low", "high above low")
    transform = ConstrainedTransform.fit(many, schema)
    assert transform.layout.names == ("low", "high above low", "high alone")
    drawn = transform.decode(anything(transform), seed=0)
    alone = drawn.filter(pa.compute.is_null(drawn["low"]))
    assert alone["high"].null_count < len(alone)


PARTS: dict[str, tuple[str, dict[str, Any], st.SearchStrategy[Any]]] = {
    name: ORDERED[name] for name in ("int64", "int8", "decimals", "doubles", "floats", "decimal")
}


@pytest.mark.parametrize("kind", PARTS)
@given(st.data())
@settings(max_examples=12, deadline=None)
def test_a_total_is_the_sum_of_whatever_parts_are_drawn(kind: str, data: st.DataObject) -> None:
    arrow, grid, values = PARTS[kind]
    schema = Schema(
        columns=tuple(declared(arrow, name, **grid) for name in ("total", "a", "b")),
        constraints=(Sum(total="total", parts=("a", "b"), decimals=grid.get("decimals")),),
    )
    small = values.map(lambda x: x // 2) if kind in ("int8", "decimal") else values
    rows = data.draw(st.lists(st.tuples(st.none() | small, st.none() | small, st.none() | values), min_size=5))
    arrow_type = schema.columns[0].arrow_type
    a, b, other = (pa.array([row[i] for row in rows]).cast(arrow_type) for i in range(3))
    parts = Total.of(schema, "total", ("a", "b"), there=False, alone=False).back({"a": a, "b": b})["total"]
    totals = [
        (None if own is None else summed) if None not in (x, y) else own
        for x, y, summed, own in zip(a.to_pylist(), b.to_pylist(), parts.to_pylist(), other.to_pylist(), strict=True)
    ]
    assert_kept(table_of(schema, total=totals, a=a, b=b), schema)


def test_a_sum_beyond_its_type_is_found_and_not_wrapped_round() -> None:
    columns = (Integer(name="t", arrow="int8"), *(Integer(name=name, arrow="int8") for name in "ab"))
    schema = Schema(columns=columns, constraints=(Sum(total="t", parts=("a", "b")),))
    table = table_of(schema, a=[100, 1] * 10, b=[1, 100] * 10, t=[101] * 20)
    transform = ConstrainedTransform.fit(table, schema)
    drawn = transform.decode(anything(transform), seed=0)
    too_much = drawn["t"].to_numpy() == 127
    assert too_much.any()
    assert transform.broken(drawn)['"t" = "a" + "b"'].tolist() == too_much.tolist()


def test_bounds_of_a_computed_column_are_looked_after() -> None:
    columns = (*integers("low"), *integers("high", maximum=12))
    schema = Schema(columns=columns, constraints=(Inequality(columns=("low", "high")),))
    transform = ConstrainedTransform.fit(table_of(schema, low=[1, 9] * 10, high=[9, 12] * 10), schema)
    drawn = transform.decode(anything(transform), seed=0)
    found = transform.broken(drawn)['the bounds of column "high"']
    assert found.tolist() == (drawn["high"].to_numpy() > 12).tolist()
    assert found.any()


def places(n: int = 300) -> pa.Table:
    rng = np.random.default_rng(0)
    country = rng.choice(["no", "it", "se"], n)
    city = np.array(
        [
            {"no": ["Oslo", "Bergen"], "it": ["Rome", "Bari"], "se": ["Lund", "Oslo"]}[c][i]
            for c, i in zip(country, rng.integers(0, 2, n), strict=True)
        ]
    )
    city[0], country[1] = "Lom", "fi"
    return pa.table(
        {
            "city": pa.array(city, mask=rng.random(n) < 0.1).dictionary_encode(),
            "country": country,
            "south": pa.array(country == "it"),
            "height": np.select([city == "Oslo", city == "Rome"], [23.5, 21.0], 7.25),
            "other": rng.integers(0, 5, n),
        }
    )


def with_constraints(table: pa.Table, *constraints: Any) -> Schema:
    return Schema(columns=infer(table).columns, constraints=constraints)


@pytest.mark.parametrize("protect", [1, 5])
def test_only_combinations_of_train_are_drawn_and_none_that_few_rows_carry(protect: int) -> None:
    table = places()
    fixed = FixedCombinations(columns=("city", "country"))
    schema = with_constraints(table, fixed)
    config = TransformConfig(protect=protect)
    transform = assert_kept(table, schema, config)
    drawn = transform.decode(anything(transform, 3_000), seed=0)
    train = list(zip(table["city"].to_pylist(), table["country"].to_pylist(), strict=True))
    found = set(zip(drawn["city"].to_pylist(), drawn["country"].to_pylist(), strict=True))
    assert found == {pair for pair in train if train.count(pair) >= protect}
    assert drawn.schema.field("city").type == table.schema.field("city").type
    assert "Lom" not in json.dumps(transform.to_json()) or protect == 1


def test_dependents_follow_their_determinants() -> None:
    table = places()
    follows = (
        FunctionalDependence(determinants=("country",), dependents=("south",)),
        FunctionalDependence(determinants=("city", "country"), dependents=("height",)),
    )
    table = table.filter(table["city"].is_valid())
    schema = with_constraints(table, *follows)
    transform = assert_kept(table, schema)
    assert transform.layout.names == ("city, country, south, height", "other")
    drawn = transform.decode(anything(transform), seed=0)
    assert not any(constraint.broken(drawn, table).any() for constraint in follows)


def test_one_of_several_flags_is_set() -> None:
    colour = np.arange(100) % 4
    table = pa.table({"red": colour == 0, "blue": colour == 1, "green": (colour == 2).astype(np.int8)})
    for constraint, refused in (
        (OneHot(columns=("red", "blue", "green")), True),
        (OneHot(columns=("red", "blue", "green"), none=True), False),
    ):
        schema = with_constraints(table, constraint)
        if refused:
            with pytest.raises(SchemaError, match="25 rows break exactly one of"):
                ConstrainedTransform.fit(table, schema)
        else:
            drawn = assert_kept(table, schema)
            assert drawn.layout.names == ("red, blue, green",)


def test_a_train_table_that_breaks_a_constraint_is_refused_before_anything_is_learned() -> None:
    schema = Schema(columns=integers("a", "b"), constraints=(Inequality(columns=("a", "b")),))
    with pytest.raises(SchemaError, match='found 2 rows break "a" <= "b", first row 2; mend the table'):
        ConstrainedTransform.fit(table_of(schema, a=[1, 2, 3], b=[1, 1, 1]), schema)


def test_combinations_that_nobody_shares_are_refused() -> None:
    table = pa.table({"a": [i % 29 for i in range(30)], "b": [i % 28 for i in range(30)]})
    schema = with_constraints(table, FixedCombinations(columns=("a", "b")))
    with pytest.raises(
        DataError, match='"a", "b" need a combination carried by at least 5 rows; found 30 combinations'
    ):
        ConstrainedTransform.fit(table, schema)


def test_what_cannot_be_reparametrised_together_is_left_to_drawing_anew() -> None:
    constraints = (
        FixedCombinations(columns=("a", "b")),
        Inequality(columns=("c", "b")),  # b is replaced already
        Sum(total="c", parts=("a", "d")),
        Inequality(columns=("e", "d")),
        Sum(total="e", parts=("c", "d")),  # d is read from e
        Unique(columns=("e",)),
        Predicate(expression="e > 0"),
    )
    schema = Schema(columns=integers("a", "b", "c", "d", "e"), constraints=constraints)
    table = table_of(schema, a=[0] * 30, b=[50] * 30, c=range(30), d=range(30), e=range(30))
    steps = steps_for(schema, table, protect=5)
    assert [is_kept_by(constraint, steps) for constraint in constraints] == [
        True,
        False,
        True,
        True,
        False,
        False,
        False,
    ]
    assert [step.replaced[0].name for step in steps] == ["a", "d", "c"]


def mixed() -> tuple[pa.Table, Schema]:
    table = places()
    rng = np.random.default_rng(1)
    low, rent, food = rng.integers(0, 50, (3, len(table)))
    cells = {"low": low, "high": low + rng.integers(0, 9, len(table)), "rent": rent, "food": food, "cost": rent + food}
    for name, array in cells.items():
        table = table.append_column(name, pa.array(array))
    constraints = (
        FixedCombinations(columns=("city", "country")),
        Inequality(columns=("low", "high")),
        Sum(total="cost", parts=("rent", "food")),
    )
    return table, with_constraints(table, *constraints)


@pytest.fixture(scope="module")
def transform() -> ConstrainedTransform:
    return ConstrainedTransform.fit(*mixed())


def test_known_cells_are_encoded_where_they_decide_a_token(transform: ConstrainedTransform) -> None:
    table, _ = mixed()
    n = len(table)
    every, some = np.ones(n, np.bool_), np.arange(n) % 2 == 0
    whole = transform.encode(table)
    encoded, mask = transform.encode_cells(
        table, {"low": every, "high": some, "city": some, "country": every, "cost": some, "rent": every, "food": some}
    )
    by_name = dict(zip(transform.layout.names, mask.T, strict=True))
    assert by_name["low"].all()
    assert (
        by_name["high above low"].tolist()
        == by_name["city, country"].tolist()
        == by_name["food"].tolist()
        == some.tolist()
    )
    assert not by_name["other"].any()
    assert (encoded.tokens[mask] == whole.tokens[mask]).all()


@pytest.mark.parametrize(("name", "other"), [("high", '"low"'), ("cost", "all of these but one")])
def test_a_cell_that_is_learned_from_others_is_not_known_without_them(
    transform: ConstrainedTransform, name: str, other: str
) -> None:
    table, _ = mixed()
    known = {name: np.ones(len(table), np.bool_)}
    for refused in (lambda: transform.encode_cells(table, known), lambda: transform.encode_values({name: 3})):
        with pytest.raises(UnsupportedError, match=f'column "{name}" is .* only with (it|them).*give {other}'):
            refused()


def test_a_known_cell_narrows_the_combinations_of_its_own_row(transform: ConstrainedTransform) -> None:
    table, _ = mixed()
    n = len(table)
    known = {"country": np.arange(n) % 2 == 1, "city": np.arange(n) % 4 == 0}
    known["country"][1] = False  # nobody's but this row's
    known["city"][0] = False
    found = transform.narrowed(table, known)
    place = transform.layout.names.index("city, country")
    pairs = transform.steps[0].levels
    for row in range(n):
        tokens = found.tokens[found.group[row]].get(place)
        if not (known["country"][row] or known["city"][row]):
            assert tokens is None
        else:
            name = "country" if known["country"][row] else "city"
            same = [cell == table[name][row].as_py() for cell in pairs[name].to_pylist()]
            assert tokens.tolist() == [*same, False]
    known["country"][1] = True
    with pytest.raises(DataError, match='cells of columns "country" must belong to a combination that may be drawn'):
        transform.narrowed(table, known)


def test_conditions_are_translated(transform: ConstrainedTransform) -> None:
    place = transform.layout.names.index
    known = transform.encode_values({"low": "3", "high": 5, "country": "no", "city": "Oslo", "other": 1})
    assert set(known) == {place(name) for name in ("low", "high above low", "city, country", "other")}
    pairs = transform.steps[0].levels
    token = known[place("city, country")][0]
    assert (pairs["city"][token].as_py(), pairs["country"][token].as_py()) == ("Oslo", "no")
    (tokens,) = transform.tokens_of("city", ["Oslo", None]).values()
    assert [pairs["city"][i].as_py() in ("Oslo", None) for i in range(len(pairs))] == tokens[:-1].tolist()
    assert transform.tokens_of("high", [5]) == transform.tokens_between("high", 3, 9) == {}
    assert list(transform.tokens_between("low", 3, 9)) == [place("low")]
    assert [transform.is_tied(name) for name in ("city", "low", "high", "cost", "other")] == [True] + [False] * 4
    assert transform.levels("country") == ["it", "no", "se"]
    assert transform.levels("high") == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"city": "Bari", "country": "no"}, 'columns "city", "country" must belong to a combination'),
        ({"low": 5, "high": 4}, 'hold the constraints of the schema; found 1 row breaks "low" <= "high"'),
        ({"low": 5, "high": 400}, '"high above low" must be a value that can be drawn'),
        ({"low": "x"}, 'column "low" must fit int64'),
    ],
)
def test_impossible_conditions_are_refused(transform: ConstrainedTransform, values: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        transform.encode_values(values)


def test_a_condition_on_a_city_that_is_not_there_is_refused(transform: ConstrainedTransform) -> None:
    with pytest.raises(DataError, match='columns "city" must belong to a combination'):
        transform.tokens_of("city", ["Atlantis"])


def test_the_tokens_of_missing_cells_are_known() -> None:
    columns = (
        *integers("low", "high", nullable=True), *integers("rent", "food", "cost", nullable=True),
        Categorical(name="city", arrow="string", nullable=True), Categorical(name="country", arrow="string"),
        Identifier(name="id", arrow="int64", start=10**6), Boolean(name="sick", arrow="bool", nullable=True),
    )  # fmt: skip
    constraints = (
        Inequality(columns=("low", "high")),
        Sum(total="cost", parts=("rent", "food")),
        FixedCombinations(columns=("city", "country")),
    )
    schema = Schema(columns=columns, constraints=constraints)
    rng, n = np.random.default_rng(0), 600
    low, rent, food = rng.integers(0, 50, (3, n))
    cells: dict[str, Any] = {"low": low, "high": low + 3, "rent": rent, "food": food, "cost": rent + food}
    cells |= {"city": rng.choice(["Oslo", "Bergen"], n), "country": ["no"] * n, "id": range(n), "sick": low > 20}
    gaps = {name: pa.array(cells[name], mask=rng.random(n) < 0.3) for name in cells if name not in ("country", "id")}
    table = table_of(schema, **(cells | gaps))
    transform = assert_kept(table, schema)
    encoded, allowed = anything(transform), ~transform.missing_tokens
    for place, column in enumerate(transform.layout.columns):
        offset = transform.layout.offsets[place]
        tokens = np.flatnonzero(allowed[offset : offset + column.size] & column.drawable)
        encoded.tokens[:, place] = tokens[encoded.tokens[:, place] % len(tokens)]
    assert transform.decode(encoded, seed=0).combine_chunks().to_pandas().isna().sum().sum() == 0


def test_without_a_constraint_it_is_the_plain_transform() -> None:
    table = places()
    schema = infer(table)
    one, other = ConstrainedTransform.fit(table, schema), TableTransform.fit(table, schema)
    encoded = one.encode(table)
    assert one.inner.to_json() == other.to_json()
    assert one.decode(encoded, seed=3).equals(other.decode(other.encode(table), seed=3))
    assert one.broken(table) == {}


@pytest.mark.parametrize("damage", ["steps", "kind", "levels", "inner"])
def test_a_damaged_state_is_refused(transform: ConstrainedTransform, damage: str) -> None:
    state = copy.deepcopy(transform.to_json())
    match damage:
        case "kind":
            state["steps"][0]["kind"] = "magic"
        case "levels":
            state["steps"][0]["levels"]["city"] = [1, 2, 3]
        case _:
            del state[damage]
    with pytest.raises(ArtifactError, match="state is damaged"):
        ConstrainedTransform.from_json(state)


@pytest.mark.parametrize("kind", PARTS)
@given(st.data())
@settings(max_examples=12, deadline=None)
def test_a_part_follows_from_its_total_and_all_other_parts(kind: str, data: st.DataObject) -> None:
    arrow, grid, values = PARTS[kind]
    names = ("total", "a", "b", "c")
    schema = Schema(columns=tuple(declared(arrow, name, **grid) for name in names))
    small = values.map(lambda x: x // 3) if kind in ("int8", "decimal") else values
    rows = data.draw(st.lists(st.tuples(*(st.none() | small for _ in "abc")), min_size=1, max_size=9))
    arrow_type = schema.columns[0].arrow_type
    cells = {name: pa.array([row[i] for row in rows]).cast(arrow_type) for i, name in enumerate("abc")}
    step = Total.of(schema, "total", ("a", "b", "c"), there=False, alone=False)
    cells |= step.back(cells)
    everywhere = np.ones(len(rows), np.bool_)
    found = step.deduced(
        {**cells, "b": pa.nulls(len(rows), arrow_type)}, dict.fromkeys(("total", "a", "c"), everywhere), len(rows)
    )
    expected = [None if None in row else row[1] for row in rows]
    if not any(cell is not None for cell in expected):
        assert found == {}
        return
    ((name, (part, marks)),) = found.items()
    assert (name, marks.tolist()) == ("b", [cell is not None for cell in expected])
    was = [cells["b"][i].as_py() if mark else None for i, mark in enumerate(marks)]
    if kind == "doubles":  # of which sums are rounded
        was, part = ([cell for cell in each if cell is not None] for each in (was, part.to_pylist()))
        assert part == pytest.approx(was, abs=1e-6)
    else:
        assert part.to_pylist() == was


def test_what_is_not_known_yet_is_not_taken_for_missing():
    columns = (Boolean(name="cancelled", arrow="bool"), Integer(name="delay", arrow="int64", nullable=True))
    rule = Predicate(expression="cancelled == (delay is None)")
    schema = Schema(columns=columns, constraints=(rule,))
    train = pa.table({"cancelled": [True, False] * 10, "delay": [None, 5] * 10}).cast(schema.arrow())
    transform = ConstrainedTransform.fit(train, schema)
    some, known = pa.table({"cancelled": [False, True]}), {"cancelled": np.array([True, True])}
    transform.refuse_contradictions(some, known)
    given = some.append_column("delay", pa.array([None, None], pa.int64()))
    with pytest.raises(DataError, match="1 row breaks cancelled"):
        transform.refuse_contradictions(given, {**known, "delay": np.array([True, True])})
