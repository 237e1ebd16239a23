"""Who is told of a run that published nothing, of what, and what happens when nobody answers."""

import contextlib
import datetime
import http.server
import json
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.alert import alert, alert_of
from flows.cli import main
from flows.job import open_job
from flows.progress import Silent
from flows.results import RunRefusedError, Skipped
from flows.settings import load_config
from flows.steps import run_steps
from pipeline.errors import DriftError, PublishError, RefusedError, SourceError, TrainingError
from pipeline.ledger import Ledger

MONDAY = datetime.date(2026, 11, 23)
TOKEN = "t0ken-nobody-may-see"


class Webhook(http.server.ThreadingHTTPServer):
    """Keeps what was posted, and answers as it is told."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answering)
        self.status, self.headers, self.delay, self.got = 204, {}, threading.Event(), []
        self.delay.set()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_address[1]}/hook/{TOKEN}"


class Answering(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
        self.server.delay.wait(30)
        with contextlib.suppress(OSError):  # whoever asked may have gone
            self.send_response(self.server.status)
            for name, value in self.server.headers.items():
                self.send_header(name, value)
            self.end_headers()

    def do_GET(self):
        self.server.got.append((self.path, "GET", None))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def webhook():
    server = Webhook()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.delay.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def hooked(config_path, monkeypatch, webhook):
    """The config with the webhook's address in a variable of the environment."""
    monkeypatch.setenv("HOOK", webhook.address)

    def load(*overrides):
        return load_config(config_path, ("alert.webhook=${HOOK}", "alert.timeout_s=5", *overrides))

    return load


def end_with(config, error):
    with pytest.raises(type(error)) as caught, open_job(config, Silent(), on=MONDAY):
        raise error
    return caught.value


def notes(config):
    return [entry.note for entry in Ledger(config.output.root, config.name).entries()]


def test_a_refused_run_is_told_with_its_reasons_and_its_report(hooked, webhook, refusing):
    with pytest.raises(RunRefusedError) as refusal:
        run_steps(hooked(*refusing), on=MONDAY)
    ((path, kind, told),) = webhook.got
    assert path.endswith(TOKEN) and kind == "application/json"
    assert told == {
        "tabmint": told["tabmint"], "name": "people", "date": "2026-11-23", "run_id": refusal.value.run_id,
        "event": "refused", "message": f"RunRefusedError: {refusal.value}", "reasons": refusal.value.failures,
        "report": str(refusal.value.folder / "report.html"),
    }  # fmt: skip


def test_a_drifted_source_is_told_as_drift(hooked, webhook, people, tmp_path):
    run_steps(hooked(), on=MONDAY)
    pq.write_table(people.append_column("fee", pa.array(range(len(people)))), tmp_path / "people.parquet")
    with pytest.raises(DriftError):
        run_steps(hooked(), on=MONDAY + datetime.timedelta(1))
    ((_, _, told),) = webhook.got
    assert (told["event"], told["run_id"]) == ("drift", "") and "drift.added" in told["message"]


@pytest.mark.parametrize(
    ("error", "event", "message"),
    [
        (RefusedError("no more attempts"), "refused", "RefusedError: no more attempts"),
        (TrainingError("the loss is no number"), "failed", "TrainingError: the loss is no number"),
        (SourceError("the file is gone"), "failed", "SourceError: the file is gone"),
        (ValueError("Ada Lovelace"), "failed", "ValueError"),
    ],
)
def test_every_error_is_told_and_of_a_foreign_one_its_type_alone(hooked, webhook, error, event, message):
    assert end_with(hooked(), error) is error
    ((_, _, told),) = webhook.got
    assert (told["event"], told["message"], told["report"], told["date"]) == (event, message, None, "2026-11-23")


def test_an_output_that_another_run_holds_is_told(hooked, webhook):
    with open_job(hooked(), Silent()), pytest.raises(PublishError), open_job(hooked(), Silent()):
        pass
    assert [told["event"] for _, _, told in webhook.got] == ["failed"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
def test_what_a_person_or_the_system_ends_is_no_news(hooked, webhook, error):
    end_with(hooked(), error)
    assert webhook.got == []


def test_an_error_on_the_way_out_of_an_interruption_is_no_news(config):
    try:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ValueError("the server is gone") from None
    except ValueError as error:
        assert alert_of(config, MONDAY, error) is None


def test_success_and_a_skip_are_told_to_nobody(hooked, webhook):
    run_steps(hooked(), on=MONDAY)
    assert isinstance(run_steps(hooked(), on=MONDAY + datetime.timedelta(1)), Skipped)
    assert webhook.got == []


def test_without_a_webhook_nobody_is_told(config):
    assert alert(config, Silent(), date=MONDAY, error=ValueError()) is None


def test_a_webhook_that_does_not_answer_in_time_changes_no_outcome(hooked, webhook):
    webhook.delay.clear()
    config = hooked("alert.timeout_s=0.2")
    end_with(config, TrainingError("no"))
    assert notes(config) == ["TrainingError: no", "the alert was not delivered: TimeoutError"]


@pytest.mark.parametrize("status", [307, 302, 404, 500])
def test_a_redirect_is_not_followed_and_an_error_is_noted(hooked, webhook, status):
    webhook.status, webhook.headers = status, {"Location": f"{webhook.address}/elsewhere"}
    config = hooked()
    end_with(config, TrainingError("no"))
    assert notes(config)[1:] == [f"the alert was not delivered: the answer was {status}"]
    assert len(webhook.got) == 1


@pytest.mark.parametrize(
    ("address", "cause"),
    [
        (f"http://127.0.0.1:9/{TOKEN}", "ConnectionRefusedError"),
        (f"file:///tmp/{TOKEN}", "ConfigError: alert.webhook must be an http or https address; found another"),
        (f"http:///{TOKEN}", "ConfigError: alert.webhook must be an http or https address; found another"),
        (f"http://127.0.0.1:9 9/{TOKEN}", "InvalidURL"),
        (f"http://[{TOKEN}", "ValueError"),
    ],
)
def test_an_alert_that_cannot_be_delivered_is_noted_without_its_address(hooked, monkeypatch, address, cause):
    monkeypatch.setenv("HOOK", address)
    config = hooked()
    error = end_with(config, TrainingError("no"))
    assert notes(config) == ["TrainingError: no", f"the alert was not delivered: {cause}"]
    assert TOKEN not in "".join(error.__notes__)


def test_a_variable_that_is_not_set_changes_no_outcome(hooked, monkeypatch, refusing):
    monkeypatch.delenv("HOOK")
    config = hooked(*refusing)
    with pytest.raises(RunRefusedError) as refusal:
        run_steps(config, on=MONDAY)
    refused, undelivered = Ledger(config.output.root, config.name).entries()
    assert (refused.event, undelivered.event, undelivered.run_id) == ("refused", "failed", refusal.value.run_id)
    assert "the environment variable HOOK" in undelivered.note


def test_the_command_says_that_nobody_was_told_and_the_token_is_nowhere(
    config_path, monkeypatch, refusing, capsys, tmp_path
):
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:9/{TOKEN}")
    options = [part for override in (*refusing, "alert.webhook=${HOOK}") for part in ("--set", override)]
    assert main(["run", str(config_path), "--no-prefect", "--json", *options]) == 3
    out, err = capsys.readouterr()
    assert "the alert was not delivered: ConnectionRefusedError" in err
    written = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert TOKEN not in out + err and not any(TOKEN.encode() in content for content in written)


@pytest.mark.slow
def test_the_flow_tells_as_the_plain_steps_do(hooked, webhook, config_path, refusing):
    from prefect.testing.utilities import prefect_test_harness

    from flows.synthesize import synthesize

    with prefect_test_harness(server_startup_timeout=120), pytest.raises(RunRefusedError) as refusal:
        synthesize(config_path, ("alert.webhook=${HOOK}", *refusing), MONDAY)
    ((_, _, told),) = webhook.got
    assert (told["event"], told["run_id"]) == ("refused", refusal.value.run_id)
