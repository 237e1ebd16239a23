from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pyarrow as pa
import pytest

from pipeline.errors import SourceError
from pipeline.source import SourceConfig, read

PASSWORD = "p@ss/w:rd 7"


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


def _binary(name: str) -> str | None:
    folders = [str(folder) for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name, path=os.pathsep.join([*folders, os.environ.get("PATH", "")]))


def _server_user() -> str | None:
    """Return another user to run the server as, because it refuses to run as root."""
    return None if os.getuid() else "nobody"


def _run(*command: str, folder: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
    done = subprocess.run(
        command,
        user=_server_user(),
        cwd=folder,
        env=environment,
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Start a server of its own on a socket in a new folder, and give its uri."""
    initdb, pg_ctl = _binary("initdb"), _binary("pg_ctl")
    if initdb is None or pg_ctl is None:
        pytest.skip("no PostgreSQL server is installed (initdb, pg_ctl)")
    pytest.importorskip("adbc_driver_postgresql", reason="the extra tabmint[db] is not installed")
    with tempfile.TemporaryDirectory(prefix="tabmint-pg-") as name:
        folder = Path(name)
        (folder / "password").write_text(PASSWORD)
        if user := _server_user():
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        log, data = str(folder / "log"), str(folder / "data")
        _run(
            initdb, "-D", data, "-U", "ada", "-A", "scram-sha-256", "--pwfile", str(folder / "password"), folder=folder
        )
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        _run(pg_ctl, "-D", data, "-l", log, "-w", "-o", options, "start", folder=folder)
        try:
            yield f"postgresql://ada:{quote(PASSWORD, safe='')}@/postgres?host={quote(name, safe='')}"
        finally:
            _run(pg_ctl, "-D", data, "-m", "immediate", "-w", "stop", folder=folder)


@pytest.mark.slow
def test_postgresql_gives_its_rows_and_types(postgres: str) -> None:
    query = """
        SELECT * FROM (VALUES
            (1::bigint, 0.5::float8, 'Ada'::text, true, DATE '2024-02-29',
             TIMESTAMPTZ '2024-01-01 10:00+02', 12.50::numeric(10,2)),
            (NULL, 'NaN', '', NULL, NULL, NULL, NULL)
        ) AS people (n, x, name, smoker, day, seen, amount)
    """
    table = read(SourceConfig(uri=postgres, query=query)).table
    types = ["int64", "double", "string", "bool", "date32[day]", "timestamp[us, tz=UTC]", "decimal128(18, 2)"]
    assert [str(field.type) for field in table.schema] == types
    assert table["amount"].to_pylist() == [Decimal("12.50"), None]
    assert table["name"].to_pylist() == ["Ada", ""]
    assert table["n"].to_pylist() == [1, None]


@pytest.mark.slow
def test_a_numeric_too_wide_for_a_decimal_becomes_a_float(postgres: str) -> None:
    query = "SELECT x::numeric FROM (VALUES ('123456789012345678901.5'), ('NaN'), ('0.25')) AS v (x)"
    column = read(SourceConfig(uri=postgres, query=query)).table["x"]
    assert column.type == pa.float64()
    assert column[2].as_py() == 0.25


@pytest.mark.slow
def test_postgresql_refusals_do_not_tell_the_password(postgres: str) -> None:
    with pytest.raises(SourceError, match=r"the query fails; found .*nope"):
        read(SourceConfig(uri=postgres, query="SELECT nope"))
    wrong = postgres.replace(quote(PASSWORD, safe=""), "other-s3cret")
    with pytest.raises(SourceError, match="cannot be reached") as refused:
        read(SourceConfig(uri=wrong, query="SELECT 1"))
    assert "other-s3cret" not in str(refused.value)
