"""A password that stands nowhere: a run is made to fail in every way, and all that it left is searched for it."""

import json
import os
import subprocess
import sys
from urllib.parse import quote

import pyarrow.parquet as pq
import pytest

from flows.cli import main
from tests.pipeline.postgres_server import Server, start_postgres  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow

CANARY = "c4n4ry/p@ss:w0rd%#"
OTHER = "https://hooks.invalid/t0ken-c4n4ry-7f"
CONFIG = """\
name = "visits"

[source]
uri = "postgresql://reader:${CANARY}@/postgres?host=%(host)s"
query = "SELECT * FROM visits"

[generator]
kind = "independent"

[evaluation]
families = ["marginals"]

[alert]
webhook = "${ALERT_ADDRESS}"
timeout_s = 1

[[sinks]]
kind = "postgresql"
uri = "postgresql://reader:${CANARY}@/postgres?host=%(host)s"
table = "synthetic"

[gates]
%(gates)s
"""
FAILURES = {
    "published": (),
    "drift": ("source.query=SELECT *, 1 AS tip FROM visits",),
    "gate": ("gates.shape_error={at_most=-1.0}", "sample.rows=50"),
    "bad query": ("source.query=SELECT * FROM nothing",),
    "wrong password": ("source.uri=postgresql://ada:${CANARY}@/postgres?host=%(host)s",),
    "no such database": ("source.uri=postgresql://reader:${CANARY}@/nowhere?host=%(host)s",),
    "no such host": ("source.uri=postgresql://reader:${CANARY}@127.0.0.1:1/postgres",),
    "malformed uri": ("source.uri=postgresql://reader:${CANARY}@[/postgres",),
    "sink refuses": ("sinks=[{kind='postgresql', uri='postgresql://reader:${CANARY}@/postgres?host=%(host)s', "
                     "table='forbidden.synthetic'}]", "sample.rows=60"),
    "unset variable": ("source.uri=postgresql://reader:${UNSET}@/postgres?host=%(host)s",),
    "unknown setting": ("sinks=[{kind='magic', uri='${CANARY}'}]",),
    "training": ("generator.kind=flow_matching", "generator.budget=1s", "generator.training={learning_rate=1e30}"),
}  # fmt: skip


@pytest.fixture(scope="module")
def database(postgres: Server):
    password = CANARY.replace("'", "''")
    postgres.do(
        f"CREATE ROLE reader LOGIN PASSWORD '{password}'",
        "CREATE TABLE visits AS SELECT i % 3 AS ward, (i * 7919) % 101 AS days, (i * 31) % 17 AS age, "
        "((i * 7919) % 10007)::float8 / 100 AS fee "
        "FROM generate_series(1, 400) AS i",
        "GRANT SELECT ON visits TO reader",
        "GRANT CREATE ON SCHEMA public TO reader",
        "CREATE SCHEMA forbidden",
    )
    return postgres


GATES = [
    "shape_error", "trend_error", "missing_rate_error", "c2st_auc", "utility_gap", "g0_identifiers", "g1_copies",
    "g2_value_support", "g3_nearest_records", "g4_membership", "g5_outliers", "g7_inference",
]  # fmt: skip


def write(folder, host):
    gates = "\n".join(f'{name} = "off"' for name in GATES if name != "shape_error")
    (folder / "tabmint.toml").write_text(CONFIG % {"host": host, "gates": gates + "\nshape_error = { at_most = 0.9 }"})
    return {"CANARY": CANARY, "ALERT_ADDRESS": OTHER, "HOME": str(folder)}


def tokens(host, overrides):
    settings = [token for override in overrides for token in ("--set", override % {"host": host})]
    return ["run", "tabmint.toml", "--traceback", "--json", *settings]


def traces(folder, **texts):
    """Return where a secret, or a form of it, is found."""
    secrets = {CANARY, quote(CANARY, safe=""), OTHER, "c4n4ry"}
    places = {name: text.encode() for name, text in texts.items()}
    places |= {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}
    return [where for where, content in places.items() if any(secret.encode() in content for secret in secrets)]


def test_a_secret_is_found_where_it_is_planted(tmp_path):
    (tmp_path / "log").write_text(f"connecting as reader with {CANARY}")
    assert traces(tmp_path, stderr=OTHER) == ["stderr", str(tmp_path / "log")]


def test_no_secret_is_left_anywhere_by_any_failure(database, tmp_path, monkeypatch, capfd, caplog):
    host = quote(database.folder, safe="")
    for name, value in write(tmp_path, host).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    caplog.set_level("DEBUG")
    ends = {}
    for day, (name, overrides) in enumerate(FAILURES.items(), 1):
        code = main([*tokens(host, overrides), "--no-prefect", "--date", f"2026-11-{day:02}"])
        out, err = capfd.readouterr()
        ends[name] = (code, json.loads(out.splitlines()[-1])["status"])
        assert traces(tmp_path, out=out, err=err, log=caplog.text) == [], name
    assert ends.pop("published") == (0, "published")
    assert ends.pop("gate") == (3, "refused")
    assert ends.pop("sink refuses") == (1, "error") and ends.pop("training")[0] in (0, 1)
    assert set(ends.values()) == {(2, "error")}, ends
    assert pq.read_metadata(tmp_path / "out" / "current" / "visits" / "synthetic.parquet").num_rows > 0
    assert database.rows("SELECT count(*) FROM synthetic")[0][0] > 0


@pytest.mark.parametrize(("name", "code"), [("bad query", 2), ("gate", 3)])
def test_no_secret_reaches_prefects_state_logs_or_database(database, tmp_path, name, code):
    host = quote(database.folder, safe="")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    done = subprocess.run(
        [sys.executable, "-m", "flows", *tokens(host, FAILURES[name])],
        cwd=tmp_path,
        env=kept | write(tmp_path, host),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == code, done.stderr
    assert (tmp_path / "out" / "prefect" / "prefect.db").is_file()
    assert traces(tmp_path, out=done.stdout, err=done.stderr) == []
