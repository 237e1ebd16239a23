from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pyarrow as pa
import pytest

from pipeline.errors import SchemaError, SourceError
from pipeline.source import SourceConfig, read
from tests.pipeline.postgres_server import PASSWORD, Server, start_postgres  # noqa: F401 - a fixture


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "people.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE people (name TEXT, age INTEGER, weight REAL)")
        rows = [("Ada", 36, 61.5), ("", None, 70), (None, 2**53 + 1, None)]
        connection.executemany("INSERT INTO people VALUES (?, ?, ?)", rows)
    return path


@pytest.mark.parametrize("form", ["sqlite:{}", "sqlite:///{}"])
def test_sqlite_gives_its_rows_and_types(database: Path, form: str) -> None:
    table = read(SourceConfig(uri=form.format(database), query="SELECT * FROM people")).table
    assert table.to_pydict() == {"name": ["Ada", "", None], "age": [36, None, 2**53 + 1], "weight": [61.5, 70.0, None]}


def test_a_value_of_another_type_far_down_is_seen(database: Path) -> None:
    query = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) {}"
    uri = f"sqlite:{database}"
    halves = read(SourceConfig(uri=uri, query=query.format("SELECT CASE i WHEN 4999 THEN 0.5 ELSE i END AS x FROM n")))
    assert halves.table["x"][4998].as_py() == 0.5


@pytest.mark.parametrize(("query", "reason"), [("SELECT nope FROM people", "nope"), ("SELEC", "SELEC")])
def test_a_wrong_query_is_refused(database: Path, query: str, reason: str) -> None:
    with pytest.raises(SourceError, match=f"the query fails; found .*{reason}"):
        read(SourceConfig(uri=f"sqlite:{database}", query=query))


def test_an_empty_result_is_refused(database: Path) -> None:
    with pytest.raises(SourceError, match="found 0 rows"):
        read(SourceConfig(uri=f"sqlite:{database}", query="SELECT * FROM people WHERE age > 1e17"))


def test_an_unknown_database_is_refused_without_its_uri() -> None:
    with pytest.raises(SourceError, match="must begin with") as refused:
        read(SourceConfig(uri="mysql://ada:s3cret@host/db", query="SELECT 1"))
    assert "s3cret" not in str(refused.value)


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    with pytest.raises(SourceError, match=r"tabmint\[db\]"):
        read(SourceConfig(uri="postgresql://host/db", query="SELECT 1"))


@pytest.mark.parametrize(
    "uri",
    [
        f"postgresql://ada:{quote(PASSWORD, safe='')}@127.0.0.1:1/db",
        f"postgresql://127.0.0.1:1/db?user=ada&password={quote(PASSWORD)}",
        f"postgresql://ada:{PASSWORD}@127.0.0.1:port/db",
        f"postgresql://ada:{quote(PASSWORD, safe='')}@[::1/db",
        f"postgresql://ada@127.0.0.1:1/db?{quote(PASSWORD, safe='')}",
    ],
)
def test_no_message_tells_the_password(uri: str) -> None:
    config = SourceConfig(uri=uri, query="SELECT 1")
    assert PASSWORD not in repr(config)
    with pytest.raises(SourceError) as refused:
        read(config)
    for secret in (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "w:rd"):
        assert secret not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_driver_that_tells_the_uri_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"postgresql://ada:{quote(PASSWORD, safe='')}@host/db?sslpassword=other-s3cret"

    def connect(target: str) -> None:
        raise RuntimeError(f"cannot use {target}: ada and {PASSWORD} and other-s3cret are refused")

    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", SimpleNamespace(connect=connect))
    with pytest.raises(SourceError, match=r"found cannot use \*\*\*: \*\*\* and \*\*\* and \*\*\* are refused"):
        read(SourceConfig(uri=uri, query="SELECT 1"))


@pytest.mark.slow
def test_postgresql_gives_its_rows_and_types(postgres: Server) -> None:
    query = """
        SELECT * FROM (VALUES
            (1::bigint, 0.5::float8, 'Ada'::text, true, DATE '2024-02-29',
             TIMESTAMPTZ '2024-01-01 10:00+02', 12.50::numeric(10,2)),
            (NULL, 'NaN', '', NULL, NULL, NULL, NULL)
        ) AS people (n, x, name, smoker, day, seen, amount)
    """
    table = read(SourceConfig(uri=postgres.uri(), query=query)).table
    types = ["int64", "double", "string", "bool", "date32[day]", "timestamp[us, tz=UTC]", "decimal128(18, 2)"]
    assert [str(field.type) for field in table.schema] == types
    assert table["amount"].to_pylist() == [Decimal("12.50"), None]
    assert table["name"].to_pylist() == ["Ada", ""]
    assert table["n"].to_pylist() == [1, None]


@pytest.mark.slow
def test_a_numeric_too_wide_for_a_decimal_becomes_a_float(postgres: Server) -> None:
    query = "SELECT x::numeric FROM (VALUES ('123456789012345678901.5'), ('NaN'), ('0.25')) AS v (x)"
    column = read(SourceConfig(uri=postgres.uri(), query=query)).table["x"]
    assert column.type == pa.float64()
    assert column[2].as_py() == 0.25


@pytest.mark.slow
def test_postgresql_refusals_do_not_tell_the_password(postgres: Server) -> None:
    with pytest.raises(SourceError, match=r"the query fails; found .*nope"):
        read(SourceConfig(uri=postgres.uri(), query="SELECT nope"))
    wrong = postgres.uri(password="other-s3cret")
    with pytest.raises(SourceError, match="cannot be reached") as refused:
        read(SourceConfig(uri=wrong, query="SELECT 1"))
    assert "other-s3cret" not in str(refused.value)


@pytest.mark.slow
def test_intervals_are_durations_and_months_are_refused(postgres: Server) -> None:
    query = "SELECT x::interval FROM (VALUES ('1 day 00:00:01'), (NULL), ('-00:00:00.000001')) AS v (x)"
    column = read(SourceConfig(uri=postgres.uri(), query=query)).table["x"]
    assert column.type == pa.duration("us")
    assert column.to_pylist() == [timedelta(days=1, seconds=1), None, timedelta(microseconds=-1)]
    with pytest.raises(SourceError, match='no fixed length, as in column "x"'):
        read(SourceConfig(uri=postgres.uri(), query="SELECT interval '1 month' AS x"))


@pytest.mark.slow
@pytest.mark.parametrize("query", ["SELECT 'Ada-4711'::int", "SELECT name::int FROM (VALUES ('Ada-4711')) AS v (name)"])
def test_no_message_tells_a_cell(postgres: Server, query: str) -> None:
    with pytest.raises(SourceError, match="invalid input syntax for type integer") as refused:
        read(SourceConfig(uri=postgres.uri(), query=query))
    assert "4711" not in str(refused.value)


def test_a_query_that_names_two_columns_alike_is_refused() -> None:
    with pytest.raises(SchemaError, match='"n" more than once'):
        read(SourceConfig(uri="sqlite::memory:", query="SELECT 1 AS n, 2 AS n"))
