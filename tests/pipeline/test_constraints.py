"""What a constraint says of the rows of a table, and which constraints no schema may declare."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.checks import check_table
from pipeline.columns import Boolean, Categorical, Continuous, Date, Duration, Identifier, Integer, Timestamp
from pipeline.constraints import (
    Constraint,
    FixedCombinations,
    FunctionalDependence,
    Inequality,
    OneHot,
    Predicate,
    Range,
    Sum,
    Unique,
)
from pipeline.drift_rules import Change
from pipeline.errors import DataError, SchemaError
from pipeline.evolution import evolve, with_free_keys
from pipeline.schema import Schema

ZONE = "timestamp[s, tz=Europe/Oslo]"

COLUMNS = (
    Identifier(name="id", arrow="int64"),
    Integer(name="a", arrow="int64", nullable=True),
    Integer(name="b", arrow="int64", nullable=True),
    Integer(name="c", arrow="int64", nullable=True),
    Continuous(name="x", arrow="double", nullable=True),
    Continuous(name="y", arrow="double", decimals=2, nullable=True),
    Continuous(name="price", arrow="decimal128(9, 2)", nullable=True),
    Categorical(name="city", arrow="string", nullable=True),
    Categorical(name="country", arrow="dictionary<values=string, indices=int32>", nullable=True),
    Boolean(name="red", arrow="bool", nullable=True),
    Boolean(name="blue", arrow="bool", nullable=True),
    Date(name="born", arrow="date32[day]", nullable=True),
    Timestamp(name="seen", arrow=ZONE, nullable=True),
    Duration(name="stay", arrow="duration[s]", nullable=True),
)


def table(**cells: list[Any]) -> pa.Table:
    """Return rows of the given columns in their declared types, missing in all others."""
    n = len(next(iter(cells.values())))
    return pa.table(
        {
            column.name: pa.array(cells.get(column.name, list(range(n)) if column.name == "id" else [None] * n)).cast(
                column.arrow_type
            )
            for column in COLUMNS
        },
        schema=Schema(columns=COLUMNS).arrow(),
    )


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


BROKEN: list[tuple[Constraint, dict[str, list[Any]], list[int]]] = [
    (Inequality(columns=("a", "b")), {"a": [1, 2, 3, None], "b": [1, 1, None, 0]}, [1]),
    (Inequality(columns=("a", "b"), strict=True), {"a": [1, 2, 3], "b": [1, 3, 2]}, [0, 2]),
    (Inequality(columns=("a", "b", "c")), {"a": [1, 5, 5], "b": [2, None, 7], "c": [3, 4, None]}, [1]),
    (Inequality(columns=("a", "x")), {"a": [1, 2, 3], "x": [1.0, 1.9, float("nan")]}, [1]),
    (Inequality(columns=("a", "b")), {"a": [2**62 + 1], "b": [2**62]}, [0]),  # not the same in double precision
    (Sum(total="c", parts=("a", "b")), {"a": [1, 1, None, 1], "b": [2, 2, 2, 2], "c": [3, 4, 4, None]}, [1]),
    (Sum(total="c", parts=("a", "b")), {"a": [2**62], "b": [2**62], "c": [-(2**63)]}, [0]),  # it wraps round
    (Sum(total="x", parts=("y", "a")), {"y": [0.1, 0.1], "a": [2, 2], "x": [2.1, 2.1001]}, [1]),
    (Sum(total="y", parts=("x", "a"), decimals=2), {"x": [0.333, 0.333], "a": [1, 1], "y": [1.33, 1.34]}, [1]),
    (OneHot(columns=("red", "blue")), {"red": [True, True, False, None], "blue": [False, True, False, False]}, [1, 2]),
    (OneHot(columns=("red", "blue"), none=True), {"red": [True, False, True], "blue": [True, False, None]}, [0]),
    (OneHot(columns=("a", "b")), {"a": [1, 2, 0], "b": [0, 0, 1]}, [1]),
    (Unique(columns=("a", "city")), {"a": [1, 1, 1, None, None], "city": ["x", "y", "x", "x", "x"]}, [2]),
    (Range(column="a", minimum=2, maximum=3), {"a": [1, 2, 3, 4, None]}, [0, 3]),
    (Range(column="price", maximum="1.50"), {"price": [Decimal("1.50"), Decimal("1.51")]}, [1]),
    (Range(column="born", minimum="2000-01-01"), {"born": [day("1999-12-31"), day("2000-01-01")]}, [0]),
    (Range(column="stay", maximum=60), {"stay": [dt.timedelta(minutes=1), dt.timedelta(seconds=61)]}, [1]),
    (
        Range(column="seen", minimum="2024-07-01 00:00:00"),  # local time: two hours ahead of UTC
        {"seen": [dt.datetime(2024, 6, 30, 21, 59, 59, tzinfo=dt.UTC), dt.datetime(2024, 6, 30, 22, tzinfo=dt.UTC)]},
        [0],
    ),
    (
        FunctionalDependence(determinants=("city",), dependents=("country", "a")),
        {
            "city": ["Oslo", "Oslo", "Oslo", "Rome", None, None, "Rome"],
            "country": ["no", "no", "it", "it", "it", "no", None],
            "a": [1, 1, 1, 2, 3, 4, 3],
        },
        [2, 6],
    ),
    (Predicate(expression="a >= 18 or b == 0"), {"a": [17, 17, 18, None], "b": [0, 1, 1, 1]}, [1]),
    (Predicate(expression="1 < a <= 3"), {"a": [1, 2, 3, 4]}, [0, 3]),
    (
        Predicate(expression="not (city == 'Oslo' and a - b * 2 < -1)"),
        {"city": ["x", "Oslo", "Oslo"], "a": [0, 0, 1], "b": [1] * 3},
        [1],
    ),
    (Predicate(expression="country in ('no', 'it')"), {"country": ["no", "se", None]}, [1]),
    (Predicate(expression="country not in ['no']"), {"country": ["no", "se"]}, [0]),
    (Predicate(expression="a is None or b is not None"), {"a": [1, 1, None], "b": [1, None, None]}, [1]),
    (Predicate(expression="born < '2001-02-03'"), {"born": [day("2001-02-02"), day("2001-02-03")]}, [1]),
    (Predicate(expression="red or a / 2 == 0.5"), {"red": [True, False, False], "a": [0, 1, 2]}, [2]),
    (Predicate(expression="price <= 1.5"), {"price": [Decimal("1.50"), Decimal("1.51")]}, [1]),
]  # fmt: skip


@pytest.mark.parametrize(("constraint", "cells", "rows"), BROKEN, ids=lambda x: x.text if hasattr(x, "text") else "")
def test_the_rows_that_break_a_constraint_are_found(
    constraint: Constraint, cells: dict[str, list[Any]], rows: list[int]
) -> None:
    found = table(**cells)
    schema = Schema(columns=COLUMNS, constraints=(constraint,))
    assert np.flatnonzero(constraint.broken(found)).tolist() == rows
    assert Schema.model_validate_json(schema.model_dump_json()) == schema
    plural = "s break" if len(rows) > 1 else " breaks"
    words = f"{len(rows)} row{plural} {constraint.text}, first row {rows[0] + 1}"
    with pytest.raises(SchemaError) as refused:
        schema.validate_table(found)
    with pytest.raises(DataError) as refused_too:
        check_table(found, schema)
    assert words in str(refused.value)
    assert words in str(refused_too.value)
    held = found.filter(pa.array(~np.isin(np.arange(len(found)), rows)))
    schema.validate_table(held)
    check_table(held, schema)


def test_combinations_and_dependents_are_those_of_train() -> None:
    train = table(city=["Oslo", "Rome"], country=["no", "it"])
    drawn = table(city=["Oslo", "Rome", "Oslo", None], country=["no", "no", None, "no"])
    fixed = FixedCombinations(columns=("city", "country"))
    follows = FunctionalDependence(determinants=("city",), dependents=("country",))
    for constraint in (fixed, follows):
        assert not constraint.broken(drawn).any()
        assert constraint.broken(drawn, train).tolist() == [False, True, False, False]
        schema = Schema(columns=COLUMNS, constraints=(constraint,))
        check_table(drawn, schema)
        with pytest.raises(DataError, match=r"1 row breaks .* first row 2"):
            check_table(drawn, schema, train=train)


NOT_DECLARED: list[tuple[list[Constraint], str]] = [
    ([Inequality(columns=("a", "z"))], 'speaks of a column that the schema does not have; found "z"'),
    ([Inequality(columns=("a", "a"))], "must name each column once"),
    ([Inequality(columns=("a", "city"))], 'found "city", which is categorical'),
    ([Inequality(columns=("a", "id"))], 'found "id", which is identifier'),
    ([Inequality(columns=("a", "born"))], "compares numbers, or columns of one type"),
    ([Inequality(columns=("a", "b")), Inequality(columns=("b", "c", "a"))], 'in a circle; found "a", "b", "c", "a"'),
    ([Sum(total="c", parts=("a", "b")), Sum(total="a", parts=("c", "b"))], "in a circle"),
    ([Sum(total="c", parts=("a", "b")), Sum(total="c", parts=("a", "x"))], "adds exactly only within one type"),
    ([Sum(total="x", parts=("a", "b")), Sum(total="x", parts=("a", "c"))], 'found two of "x"'),
    ([Sum(total="a", parts=("x", "b"))], "adds exactly only within one type"),
    ([Sum(total="y", parts=("x", "a"))], "must say to how many decimals it is rounded"),
    ([OneHot(columns=("red", "city"))], "booleans or whole numbers"),
    ([Range(column="a")], "needs a bound"),
    ([Range(column="a", minimum=3, maximum=2)], "minimum above its maximum"),
    ([Range(column="born", minimum="yesterday")], "must fit date32"),
    ([Unique(columns=("id",))], 'found "id", which is identifier'),
    ([Predicate(expression="a > z")], 'found "z"'),
    ([Predicate(expression="a > 'x'")], "must be one over columns"),
    ([Predicate(expression="a + city > 1")], "arithmetic with string"),
    ([Predicate(expression="a + b")], "no comparison"),
    ([Predicate(expression="city < 3")], "must be one over columns"),
]


@pytest.mark.parametrize(("constraints", "words"), NOT_DECLARED)
def test_constraints_that_do_not_fit_are_refused(constraints: list[Constraint], words: str) -> None:
    with pytest.raises(SchemaError, match=words.replace('"', '"')):
        Schema(columns=COLUMNS, constraints=tuple(constraints))


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')", "a.real > 1", "(lambda: 1)() == a", "[x for x in a] == 1", "a ** 9 > 1",
        "a if b else c", "f'{a}' == 'x'", "a := 3", "a[0] > 1", "1 == 1", "", "a >", "a is b", "a in b", "a @ b > 1",
        "b'x' == a", "a == None", "a in ()", "(1, 2) == a", "None is a",
        "~a == 1", "a; b", "(" * 3000 + "a" + ")" * 3000, "1j == a",
    ],
)  # fmt: skip
def test_an_expression_can_do_nothing_but_compare(expression: str) -> None:
    with pytest.raises((SchemaError, ValueError)) as refused:
        Predicate(expression=expression)
    assert len(expression) > 2000 or "must be one over columns" in str(refused.value)


def test_a_column_whose_name_is_no_word_stands_in_backticks() -> None:
    found = Predicate(expression="`hours per week` <= 40 and `a'b` == '`'")
    assert found.names == ("hours per week", "a'b")


def test_a_schema_file_says_where_a_constraint_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "schema.json"
    state = json.loads(Schema(columns=COLUMNS).model_dump_json())
    state["constraints"] = [{"kind": "inequality", "columns": ["a"]}]
    path.write_text(json.dumps(state))
    with pytest.raises(SchemaError, match="constraint 1, columns: "):
        Schema.read_file(path)
    state["constraints"] = [{"kind": "inequality", "columns": ["a", "z"]}]
    path.write_text(json.dumps(state))
    with pytest.raises(SchemaError, match=r'schema\.json", the constraint "a" <= "z" speaks of a column'):
        Schema.read_file(path)
    del state["constraints"]
    path.write_text(json.dumps(state))
    assert Schema.read_file(path).constraints == ()


def test_constraints_follow_columns_that_were_renamed_and_go_with_dropped_ones() -> None:
    constraints = (
        Inequality(columns=("a", "b"), reason="b comes after a"),
        Predicate(expression="a > 3 or city == 'a'"),
        Sum(total="c", parts=("a", "b")),
        Unique(columns=("x",)),
    )
    schema = Schema(columns=COLUMNS, constraints=constraints)
    changes = [
        Change(kind="renamed", column="the a", was="a", detail="", rule="accept"),
        Change(kind="dropped", column="c", detail="", rule="warn"),
    ]
    evolved = evolve(schema, table(x=[1.0]), changes)
    assert [constraint.text for constraint in evolved.constraints] == [
        '"the a" <= "b"', "`the a` > 3 or `city` == 'a'", 'unique "x"'
    ]  # fmt: skip
    assert evolved.constraints[0].reason == "b comes after a"
    assert with_free_keys(evolved, table(id=[1, 2], x=[1.0, 2.0])).constraints == evolved.constraints
