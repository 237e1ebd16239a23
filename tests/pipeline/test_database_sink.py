from __future__ import annotations

import datetime as dt
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pytest

from pipeline.credentials import resolve
from pipeline.delivery import DatabaseSink, deliver, deliver_to_database
from pipeline.errors import ConfigError, DeliveryError, SourceError
from pipeline.inference import infer
from pipeline.source import SourceConfig, read, resolved
from tests.pipeline.postgres_server import PASSWORD, Server, start_postgres  # noqa: F401 - a fixture
from tests.pipeline.releases import manifest

REPOSITORY = Path(__file__).parents[2]
MONDAY, TUESDAY = dt.date(2026, 11, 23), dt.date(2026, 11, 24)
INSTANT = dt.datetime(2024, 2, 29, 23, 59, 59)

pytestmark = pytest.mark.slow


@pytest.fixture
def name(postgres: Server, request: pytest.FixtureRequest) -> str:
    """A table of this test's own, absent at its start."""
    name = f"t{abs(hash(request.node.name)) % 10**9}"
    postgres.do(f"DROP TABLE IF EXISTS {name} CASCADE")
    return name


@pytest.fixture
def put(postgres: Server, name: str) -> Callable[..., None]:
    def deliver_rows(table: pa.Table, date: dt.date | None = None) -> None:
        deliver_to_database(table, uri=postgres.uri(), name=name, date=date)

    return deliver_rows


def numbers(*values: int | None) -> pa.Table:
    return pa.table({"n": pa.array(values, pa.int64())})


def content(postgres: Server, name: str) -> list[int]:
    return [row[0] for row in postgres.rows(f"SELECT n FROM {name} ORDER BY n")]


EVERY_TYPE = {
    "boolean": pa.array([True, False, None]),
    "int8": pa.array([-128, 127, None], pa.int8()),
    "int16": pa.array([-(2**15), 2**15 - 1, None], pa.int16()),
    "int32": pa.array([-(2**31), 2**31 - 1, None], pa.int32()),
    "int64": pa.array([-(2**63), 2**63 - 1, None], pa.int64()),
    "uint8": pa.array([0, 255, None], pa.uint8()),
    "uint16": pa.array([0, 2**16 - 1, None], pa.uint16()),
    "uint32": pa.array([0, 2**32 - 1, None], pa.uint32()),
    "uint64": pa.array([0, 2**63 - 1, None], pa.uint64()),
    "half": pa.array([0.5, -2.0, None], pa.float16()),
    "float": pa.array([1.5, float("inf"), None], pa.float32()),
    "double": pa.array([0.1, -1e300, None], pa.float64()),
    "decimal": pa.array([Decimal("-12.50"), Decimal("99999999.99"), None], pa.decimal128(10, 2)),
    "long decimal": pa.array([Decimal("0." + "9" * 18), Decimal("-0." + "0" * 17 + "1"), None], pa.decimal128(18, 18)),
    "whole decimal": pa.array([Decimal("9" * 18), Decimal(-10000), None], pa.decimal128(18, 0)),
    "string": pa.array(["Tromsø 🙂 \u2028", "", None], pa.string()),
    "large string": pa.array(["\\N", "a\tb\n", None], pa.large_string()),
    "dictionary": pa.array(["x", "y", None]).dictionary_encode(),
    "date32": pa.array([dt.date(1, 1, 1), dt.date(9999, 12, 31), None], pa.date32()),
    "date64": pa.array([dt.date(1970, 1, 1), dt.date(2024, 2, 29), None], pa.date64()),
    "seconds": pa.array([INSTANT, dt.datetime(1900, 1, 1), None], pa.timestamp("s")),
    "microseconds": pa.array([INSTANT.replace(microsecond=1), INSTANT, None], pa.timestamp("us")),
    "nanoseconds": pa.array([INSTANT, INSTANT.replace(microsecond=7), None], pa.timestamp("ns")),
    "zoned": pa.array([INSTANT, dt.datetime(1950, 7, 1), None], pa.timestamp("ms", "Europe/Oslo")),
    "duration": pa.array([dt.timedelta(days=3, microseconds=-1), dt.timedelta(days=-40), None], pa.duration("us")),
    "short duration": pa.array([dt.timedelta(seconds=1), dt.timedelta(0), None], pa.duration("ns")),
    "null": pa.array([None, None, None], pa.null()),
    'na"me; DROP': pa.array([1, 2, 3]),
}


def test_every_type_goes_in_and_comes_back_equal(postgres: Server, name: str, put: Callable[..., None]) -> None:
    table = pa.table(EVERY_TYPE)
    put(table)
    source = SourceConfig(uri=postgres.uri(), query=f"SELECT * FROM {name}")
    back = read(source).table
    assert back.column_names == table.column_names
    for column in table.column_names:
        if column != "null":
            again = back[column].cast(table[column].type) if column != "dictionary" else back[column]
            assert again.to_pylist() == table[column].to_pylist(), column
    assert back["null"].null_count == 3


def test_the_types_in_the_database_are_what_a_person_expects(
    postgres: Server, name: str, put: Callable[..., None]
) -> None:
    put(pa.table(EVERY_TYPE))
    query = (
        f"SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{name}'::regclass"
    )
    types = dict(postgres.rows(f"{query} AND attnum > 0"))
    wanted = {
        "boolean": "boolean", "uint8": "smallint", "uint16": "integer", "uint32": "bigint", "half": "real",
        "double": "double precision", "decimal": "numeric(10,2)", "dictionary": "text", "date64": "date",
        "nanoseconds": "timestamp without time zone", "zoned": "timestamp with time zone", "duration": "interval",
    }  # fmt: skip
    assert {column: types[column] for column in wanted} == wanted


def test_query_in_table_out_query_in_is_the_same_table_under_the_same_schema(
    postgres: Server, name: str, put: Callable[..., None]
) -> None:
    query = """
        SELECT i AS n, (i / 4.0)::float8 AS x, (i * 1.25)::numeric(10, 2) AS amount, 'Ada ' || i % 7 AS name,
            i % 2 = 0 AS smoker, DATE '2024-02-28' + i AS day, i * interval '90 minutes' AS stay,
            TIMESTAMPTZ '2024-01-01 10:00+02' + i * interval '1 hour' AS seen,
            CASE WHEN i % 5 > 0 THEN i::int2 END AS visits
        FROM generate_series(1, 200) AS i
    """
    first = read(SourceConfig(uri=postgres.uri(), query=query)).table
    schema = infer(first)
    put(first)
    again = read(SourceConfig(uri=postgres.uri(), query=f"SELECT * FROM {name} ORDER BY n"), schema=schema)
    assert again.table.equals(read(first, schema=schema).table)


def test_delivering_twice_leaves_the_same_rows(postgres: Server, name: str, put: Callable[..., None]) -> None:
    for _ in range(2):
        put(numbers(1, 2, 2))
    assert content(postgres, name) == [1, 2, 2]


def test_a_table_without_rows_is_delivered(postgres: Server, name: str, put: Callable[..., None]) -> None:
    put(numbers(1))
    put(numbers())
    assert content(postgres, name) == []


def test_the_table_keeps_its_grants_views_indexes_and_column_order(
    postgres: Server, name: str, put: Callable[..., None]
) -> None:
    postgres.do(
        f"CREATE TABLE {name} (b text, n bigint NOT NULL)",
        f"CREATE INDEX ON {name} (n)",
        f"CREATE VIEW {name}_view AS SELECT n FROM {name}",
        f"GRANT SELECT ON {name} TO PUBLIC",
    )
    state = f"SELECT oid::text, relacl::text, relhasindex FROM pg_class WHERE relname = '{name}'"
    before = postgres.rows(state)
    put(pa.table({"n": [1, 2], "b": ["x", "y"]}))
    put(pa.table({"n": [3], "b": ["z"]}))
    assert postgres.rows(state) == before
    assert postgres.rows(f"SELECT * FROM {name}") == [("z", 3)]
    assert content(postgres, f"{name}_view") == [3]


def test_a_partition_replaces_the_rows_of_its_date_alone(postgres: Server, name: str, put: Callable[..., None]) -> None:
    put(numbers(1, 2), MONDAY)
    put(numbers(3), TUESDAY)
    for _ in range(2):
        put(numbers(4, 5), MONDAY)
    assert postgres.rows(f"SELECT n, run_date FROM {name} ORDER BY n") == [(3, TUESDAY), (4, MONDAY), (5, MONDAY)]


def test_a_partition_needs_its_column_for_itself(put: Callable[..., None]) -> None:
    with pytest.raises(DeliveryError, match='"run_date" is added; found one in the table'):
        put(pa.table({"run_date": [1]}), MONDAY)


def test_a_table_of_other_columns_is_refused_with_the_difference(
    postgres: Server, name: str, put: Callable[..., None]
) -> None:
    postgres.do(f"CREATE TABLE {name} (n integer, note text)", f"INSERT INTO {name} VALUES (7, 'kept')")
    with pytest.raises(DeliveryError) as refused:
        put(pa.table({"n": [1], "x": [0.5]}))
    differences = (
        'column "n" is integer and not bigint; column "x" (double precision) is missing; column "note" is one too many'
    )
    assert refused.value.actual == differences
    assert content(postgres, name) == [7]


def test_a_reader_sees_the_old_rows_or_the_new_ones(postgres: Server, name: str, put: Callable[..., None]) -> None:
    put(numbers(*range(1000)))
    seen: set[int] = set()
    done = threading.Event()

    def watch() -> None:
        with postgres.connect() as connection, connection.cursor() as cursor:
            while not done.is_set():
                cursor.execute(f"SELECT count(*) FROM {name}")
                seen.add(cursor.fetchall()[0][0])
                connection.rollback()

    watcher = threading.Thread(target=watch)
    watcher.start()
    for size in (2000, 1000) * 5:
        put(numbers(*range(size)))
    done.set()
    watcher.join()
    assert seen <= {1000, 2000}
    assert seen


def test_a_reader_that_began_before_does_not_see_an_empty_table(
    postgres: Server, name: str, put: Callable[..., None]
) -> None:
    put(numbers(1, 2))
    with postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute("SELECT 1")  # takes the snapshot, and no lock on the table
        put(numbers(3))
        cursor.execute(f"SELECT n FROM {name} ORDER BY n")
        assert cursor.fetchall() == [(1,), (2,)]
    assert content(postgres, name) == [3]


def test_two_deliveries_at_once_leave_the_rows_of_one(postgres: Server, name: str, put: Callable[..., None]) -> None:
    tables = [numbers(*[i] * 3000) for i in range(4)]
    threads = [threading.Thread(target=put, args=(table,)) for table in tables]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = content(postgres, name)
    assert len(left) == 3000
    assert len(set(left)) == 1


def on_row(postgres: Server, name: str, row: int, action: str) -> None:
    """Let the server run `action` when the copy comes to the row whose n is `row`."""
    body = f"BEGIN IF NEW.n = {row} THEN {action}; END IF; RETURN NEW; END"
    postgres.do(
        f"CREATE OR REPLACE FUNCTION {name}_fault() RETURNS trigger LANGUAGE plpgsql AS $$ {body} $$",
        f"CREATE TRIGGER fault BEFORE INSERT ON {name} FOR EACH ROW EXECUTE FUNCTION {name}_fault()",
    )


@pytest.mark.parametrize(
    "action",
    [
        "PERFORM pg_terminate_backend(pg_backend_pid())",
        "RAISE EXCEPTION 'disk full' USING ERRCODE = 'disk_full'",
        "NEW.n := 0",
    ],
    ids=["backend killed", "disk full", "constraint"],
)
def test_a_failure_in_the_middle_of_the_copy_leaves_the_old_rows(
    postgres: Server, name: str, put: Callable[..., None], action: str
) -> None:
    put(numbers(1, 2, 3))
    postgres.do(f"ALTER TABLE {name} ADD CONSTRAINT positive CHECK (n > 0)")
    on_row(postgres, name, 5_000, action)
    with pytest.raises(DeliveryError, match=f"{name} cannot be written"):
        put(numbers(*range(4, 10_000)))
    assert content(postgres, name) == [1, 2, 3]
    postgres.do(f"DROP TRIGGER fault ON {name}")
    put(numbers(*range(4, 10_000)))
    assert content(postgres, name) == list(range(4, 10_000))


def test_a_client_killed_in_the_middle_of_the_copy_leaves_the_old_rows(
    postgres: Server, name: str, put: Callable[..., None]
) -> None:
    put(numbers(1, 2, 3))
    on_row(postgres, name, 5_000, "PERFORM pg_sleep(60)")
    script = f"""
        import os, pyarrow as pa
        from pipeline.delivery import deliver_to_database
        deliver_to_database(pa.table({{"n": range(4, 10_000)}}), uri=os.environ["URI"], name="{name}")
    """
    client = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], cwd=REPOSITORY, env={**os.environ, "URI": postgres.uri()}
    )
    asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    deadline = time.monotonic() + 60
    while not (sleepers := postgres.rows(asleep)) and client.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert sleepers, "the copy never came to its fault"
    client.send_signal(signal.SIGKILL)
    assert client.wait() == -signal.SIGKILL
    assert content(postgres, name) == [1, 2, 3]
    postgres.do(f"SELECT pg_terminate_backend({sleepers[0][0]})::text")
    postgres.do(f"DROP TRIGGER fault ON {name}")
    put(numbers(4))
    assert content(postgres, name) == [4]


def test_instants_finer_than_a_microsecond_are_refused_and_not_cut(put: Callable[..., None]) -> None:
    fine = pa.table({"seen": pa.array([1], pa.timestamp("ns")), "n": [1]})
    with pytest.raises(DeliveryError, match=r'column "seen" must hold what PostgreSQL can.*whole microseconds'):
        put(fine)


def test_what_no_text_in_postgresql_holds_is_refused_without_the_text(put: Callable[..., None]) -> None:
    with pytest.raises(DeliveryError, match='column "note" must hold no NUL character') as refused:
        put(pa.table({"note": ["Ada\0"]}))
    assert "Ada" not in str(refused.value)


def test_another_database_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="PostgreSQL only"):
        deliver_to_database(numbers(1), uri=f"sqlite:{tmp_path}/people.db", name="people")


def test_a_name_that_would_be_cut_off_is_refused(put: Callable[..., None]) -> None:
    with pytest.raises(DeliveryError, match="at most 63 bytes"):
        put(pa.table({"ø" * 32: [1]}))


def test_a_schema_and_upper_case_are_kept(postgres: Server) -> None:
    postgres.do('DROP SCHEMA IF EXISTS "Analytics" CASCADE', 'CREATE SCHEMA "Analytics"')
    for _ in range(2):
        deliver_to_database(numbers(1), uri=postgres.uri(), name="Analytics.Visits")
    assert content(postgres, '"Analytics"."Visits"') == [1]


def test_deliver_resolves_the_sink_and_says_where_it_is(
    postgres: Server, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgres.uri())
    replace = DatabaseSink(kind="postgresql", uri="${DATABASE_URL}", table=name)
    assert deliver(replace, tmp_path, numbers(1), manifest()) == f"PostgreSQL table {name}"
    postgres.do(f"DROP TABLE {name}")
    uri = f"postgresql://ada:${{secret:warehouse}}@/postgres?host={quote(postgres.folder, safe='')}"
    partition = DatabaseSink(kind="postgresql", uri=uri, table=name, mode="partition")
    deliver(partition, tmp_path, numbers(1), manifest(day="2026-11-24"), {"warehouse": PASSWORD}.__getitem__)
    assert postgres.rows(f"SELECT n, run_date FROM {name}") == [(1, TUESDAY)]


@pytest.mark.parametrize("table", ["", "a.b.c", 'a"b', "a;b", "1a", "a b", ".a", "a" * 64, "tåble"])
def test_a_sink_names_a_table(table: str) -> None:
    with pytest.raises(ConfigError, match="a table is named by"):
        DatabaseSink(kind="postgresql", uri="${DATABASE_URL}", table=table)


@pytest.mark.parametrize("uri", ["postgresql://ada:s3cret@host/db", "postgresql://host/db?user=ada&password=s3cret"])
def test_a_sink_holds_no_literal_password(uri: str) -> None:
    with pytest.raises(ConfigError, match="no password stands in a config") as refused:
        DatabaseSink(kind="postgresql", uri=uri, table="t")
    assert "s3cret" not in str(refused.value)


def read_rows(uri: str, query: str = "SELECT 1 AS n") -> None:
    read(resolved(SourceConfig(uri=uri, query=query)))


def write_rows(uri: str, name: str = "canary") -> None:
    deliver_to_database(numbers(1), uri=resolve(uri), name=name)


FAILURES = {
    "wrong host": ("postgresql://ada:${CANARY}@127.0.0.1:1/postgres", read_rows, write_rows),
    "wrong password": ("postgresql://ada:x${CANARY}@/postgres?host={}", read_rows, write_rows),
    "missing database": ("postgresql://ada:${CANARY}@/nowhere?host={}", read_rows, write_rows),
    "malformed uri": ("postgresql://ada:${CANARY}@a b/postgres?host={}", read_rows, write_rows),
    "bad query": ("postgresql://ada:${CANARY}@/postgres?host={}", lambda uri: read_rows(uri, "SELECT nope"), None),
    "no permission": ("postgresql://guest:${CANARY}@/postgres?host={}", None, lambda uri: write_rows(uri, "owned")),
    "type conflict": ("postgresql://ada:${CANARY}@/postgres?host={}", None, lambda uri: write_rows(uri, "texts")),
}


@pytest.mark.parametrize("case", FAILURES)
def test_no_failure_tells_the_password(
    postgres: Server, case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CANARY", PASSWORD)
    postgres.do(
        "DROP TABLE IF EXISTS owned, texts",
        "DROP ROLE IF EXISTS guest",
        f"CREATE ROLE guest LOGIN PASSWORD '{PASSWORD}'",
        "CREATE TABLE owned (n bigint)",
        "CREATE TABLE texts (n text)",
        "INSERT INTO owned VALUES (7)",
    )
    template, *actions = FAILURES[case]
    uri = template.replace("{}", quote(postgres.folder, safe=""))
    with caplog.at_level(logging.DEBUG):
        told = [_told(action, uri) for action in actions if action is not None]
    config = SourceConfig(uri=uri, query="SELECT 1")
    told += [caplog.text, repr(config), repr(resolved(config)), str(resolved(config).recorded())]
    secrets = (PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), "w:rd", "w%3Ard")
    assert [text for text in told if any(secret in text for secret in secrets)] == []
    assert content(postgres, "owned") == [7]


def _told(action: Callable[[str], None], uri: str) -> str:
    with pytest.raises((SourceError, DeliveryError)) as refused:
        action(uri)
    chain: list[BaseException] = [refused.value]
    while inner := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(inner)
    return "\n".join([*traceback.format_exception(refused.value), *(f"{error} {error!r}" for error in chain)])
