import json
import os
import signal
import sqlite3
import subprocess
import sys

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.testing.utilities import prefect_test_harness

from flows import artifacts
from flows import synthesize as flow_module
from flows.artifacts import Shown, artifact_key
from flows.environment import QUIET_AND_OFFLINE, prepare_prefect
from flows.progress import Silent
from flows.results import RunRefusedError, Skipped
from flows.settings import load_config
from flows.steps import run_steps
from flows.synthesize import synthesize
from pipeline.artifact import sha256_file
from pipeline.errors import SourceError
from pipeline.publish import current
from pipeline.source import load

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


def records(kind):
    with get_client(sync_client=True) as client:
        return client.request("POST", f"/{kind}/filter", json={}).json()


def test_the_flow_publishes_the_same_table_as_the_plain_steps(config_path, config):
    release = synthesize(config_path)
    assert current(config.output.root, "people") == release.folder
    plain = run_steps(load_config(config_path, ("output.root=plain",)))
    assert sha256_file(release.folder / "synthetic.parquet") == sha256_file(plain.folder / "synthetic.parquet")


def test_the_tasks_are_few_and_the_artifacts_are_shown(config_path):
    before = {task["id"] for task in records("task_runs")}
    release = synthesize(config_path, ("name=Shown.2",))
    names = [task["name"].split("-")[0] for task in records("task_runs") if task["id"] not in before]
    assert sorted(names) == [
        "decide", "deliver", "evaluate", "fit", "gate", "ingest", "publish", "sample", "split",
    ]  # fmt: skip
    artifacts = {artifact["key"]: artifact["data"] for artifact in records("artifacts")}
    assert json.loads(artifacts["shown-2-scorecard"])[0]["gate"] == "shape_error"
    summary = artifacts["shown-2-summary"]
    assert str(release.folder) in summary and release.reason in summary and "1 of 1 passed" in summary
    assert artifacts["shown-2-fit"] == artifacts["shown-2-evaluate"] == 100
    assert (release.folder / "report.html").as_uri() in artifacts["shown-2-report"]


def test_no_table_is_handed_to_prefect(config_path, people):
    synthesize(config_path)
    with get_client(sync_client=True) as client:
        text = client.request("POST", "/flow_runs/filter", json={}).text
        text += client.request("POST", "/task_runs/filter", json={}).text
    assert "Bergen" not in text


def test_a_refused_flow_fails_and_shows_why(config_path, config, refusing):
    with pytest.raises(RunRefusedError) as caught:
        synthesize(config_path, refusing)
    assert current(config.output.root, "people") is None
    assert "FAILED" in {run["state"]["type"] for run in records("flow_runs")}
    summaries = [a["data"] for a in records("artifacts") if a["key"] == "people-summary"]
    assert any(caught.value.failures[0] in summary for summary in summaries)


def test_a_database_is_tried_again(config_path, tmp_path, people, monkeypatch):
    with sqlite3.connect(tmp_path / "people.db") as connection:
        people.to_pandas().to_sql("people", connection, index=False)
    connection.close()
    calls = []

    def read_at_the_second_time(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise SourceError("the database cannot be reached")
        return load(*args, **kwargs)

    monkeypatch.setattr("flows.intake.load", read_at_the_second_time)
    impatient = flow_module.ingest_database.with_options(retry_delay_seconds=0)
    monkeypatch.setattr(flow_module, "ingest_database", impatient)
    text = config_path.read_text().replace(
        'path = "people.parquet"', 'uri = "sqlite:///people.db"\nquery = "select * from people"'
    )
    config_path.write_text(text)
    assert pq.read_metadata(synthesize(config_path).folder / "synthetic.parquet").num_rows == 150
    assert len(calls) == 2


def summaries(name="people"):
    found = [artifact for artifact in records("artifacts") if artifact["key"] == f"{name}-summary"]
    return [artifact["data"] for artifact in sorted(found, key=lambda artifact: artifact["created"])]


def test_a_run_with_nothing_to_do_ends_as_skipped_and_says_why(config_path):
    first = synthesize(config_path, ("name=again",))
    state = synthesize(config_path, ("name=again",), return_state=True)
    assert (state.type.value, state.name) == ("COMPLETED", "Skipped") and "Records, schema" in state.message
    assert isinstance(state.result(), Skipped) and any(state.message in summary for summary in summaries("again"))
    assert isinstance(synthesize(config_path, ("name=again",)), Skipped) and state.result().folder == first.folder


def test_what_changed_since_the_last_release_is_shown(config_path, people, tmp_path):
    first = synthesize(config_path, ("name=followed",))
    pq.write_table(pa.concat_tables([people, people.slice(0, 200)]), tmp_path / "people.parquet")
    synthesize(config_path, ("name=followed",))
    summary = summaries("followed")[-1]
    assert "+66.7% rows" in summary and f"| figure | `{first.run_id}` | this run |" in summary
    assert "| shape_error | 0.0" in summary


def test_a_source_that_changed_fails_and_shows_how(config_path, people, tmp_path):
    synthesize(config_path, ("name=drifting",))
    pq.write_table(people.append_column("fee", pa.array(range(300))), tmp_path / "people.parquet")
    state = synthesize(config_path, ("name=drifting",), return_state=True)
    assert state.is_failed() and '"fee"' in state.message
    assert "## DriftError" in summaries("drifting")[-1] and '"fee"' in summaries("drifting")[-1]


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


def test_progress_is_shown_now_and_then_on_both_displays(monkeypatch):
    clock, told = Clock(), []
    monkeypatch.setattr(artifacts, "time", clock)
    monkeypatch.setattr(artifacts, "create_progress_artifact", lambda percent, key, description: "id")
    monkeypatch.setattr(artifacts, "update_progress_artifact", lambda id_, percent, description: told.append(percent))
    with Shown(Silent(), "people", every_s=5.0).step("fit") as move:
        for second in range(11):
            clock.now = second
            move(second / 20, f"step {second}")
    assert told == [25.0, 50.0, 100.0]


def test_a_server_that_is_away_does_not_end_a_fit(monkeypatch, caplog):
    def away(*_, **__):
        raise httpx.ConnectError("away")

    @flow
    def fitting():
        with Shown(Silent(), "people", every_s=0.0).step("fit") as move:
            monkeypatch.setattr(artifacts, "update_progress_artifact", away)
            move(0.5, "half")
            move(0.6, "more")
        return "fitted"

    assert fitting() == "fitted" and caplog.text.count("progress is not shown any more: ConnectError") == 1


def test_a_key_is_what_prefect_allows():
    assert artifact_key("My_Table.v2", "report") == "my-table-v2-report"


def test_what_the_user_has_set_is_left_alone(monkeypatch, tmp_path):
    for name in (*QUIET_AND_OFFLINE, "PREFECT_HOME", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_SERVER_LOGGING_LEVEL", "INFO")
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    prepare_prefect(tmp_path / "prefect")
    assert os.environ["PREFECT_SERVER_LOGGING_LEVEL"] == "INFO" and os.environ["DO_NOT_TRACK"] == "0"
    assert os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert os.environ["PREFECT_HOME"] == str(tmp_path / "prefect")


@pytest.mark.parametrize("theirs", ["PREFECT_API_URL", "profile"])
def test_a_server_or_profile_of_their_own_keeps_prefects_home(monkeypatch, tmp_path, theirs):
    monkeypatch.delenv("PREFECT_HOME", raising=False)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if theirs == "profile":
        (tmp_path / ".prefect").mkdir()
        (tmp_path / ".prefect" / "profiles.toml").write_text("")
    else:
        monkeypatch.setenv(theirs, "http://localhost:1/api")
    prepare_prefect(tmp_path / "prefect")
    assert "PREFECT_HOME" not in os.environ


def command(config_path, *tokens, **environment):
    """The command in a process of its own, and in a group of its own, as a shell would start it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return subprocess.Popen(
        [sys.executable, "-m", "flows", "run", str(config_path), *tokens],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**kept, "HOME": str(config_path.parent), **environment},
        start_new_session=True,
    )


def test_the_command_is_quiet_but_for_its_progress_and_result(config_path, tmp_path):
    with command(config_path) as process:
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert [line.split()[0] for line in out.splitlines()] == ["Verdict", "Model", "Published", "Report"]
    first, *others = err.splitlines()
    steps = {"ingest", "decide", "split", "fit", "sample", "evaluate", "gate", "publish"}
    assert first.startswith("Prefect starts") and {line.split()[2] for line in others} == steps
    assert (tmp_path / "out" / "prefect").is_dir() and not (tmp_path / ".prefect").exists()


def test_ctrl_c_ends_the_command_with_one_message_and_leaves_no_server(config_path):
    with command(config_path, "--set", "generator.kind=flow_matching", "--set", "generator.budget=10m") as process:
        for line in process.stderr:
            if " fit " in line:
                break
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert "tabmint: interrupted" in err and "working folder is kept" in err and "Error" not in err
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_a_server_that_does_not_answer_is_named(config_path):
    with command(config_path, PREFECT_API_URL="http://127.0.0.1:9/api") as process:
        _, err = process.communicate()
    assert process.returncode == 2
    assert "http://127.0.0.1:9/api" in err and "--no-prefect" in err


def test_a_failed_flow_says_in_its_log_what_stays(config_path, refusing, caplog):
    with pytest.raises(RunRefusedError):
        synthesize(config_path, refusing)
    assert "the last accepted release stays current" in caplog.text
