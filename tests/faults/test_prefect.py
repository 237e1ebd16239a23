"""A served job whose process, or whose serving, is killed: what Prefect shows of it, and that the next run goes on."""

import os
import signal

import pytest

from pipeline.ledger import Ledger
from tests.faults.served import Served, until
from tests.flows.conftest import config, config_path, people  # noqa: F401 - fixtures

pytestmark = pytest.mark.slow
LONG = ("generator.kind=flow_matching", "generator.budget=1h")


def begin_long_run(served, **parameters):
    """Start a run that would fit for an hour, and wait until it does."""
    said = len(served.log.read_text())
    run_id = served.start_run(overrides=LONG, **parameters)
    until(lambda: served.says(" fit ", since=said), 180, "the run fits")
    return run_id


def test_a_killed_run_is_shown_as_crashed_and_the_next_one_goes_on(config_path, config):  # noqa: F811 - a fixture
    with Served(config_path) as served:
        killed = begin_long_run(served)
        waiting = served.start_run()
        os.kill(served.process_of_run(), signal.SIGKILL)
        run = served.ended(killed, 60)
        assert run["state_type"] == "CRASHED" and "SIGKILL" in run["state"]["message"]
        assert served.ended(waiting)["state_type"] == "COMPLETED"
    assert [entry.event for entry in Ledger(config.output.root, "people").entries()] == ["published"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_run_at_a_time_and_an_ended_serving_leaves_nothing(config_path, number):  # noqa: F811 - a fixture
    with Served(config_path) as served:
        first = begin_long_run(served)
        second = served.start_run()
        child = served.process_of_run()
        assert served.run(second)["state_type"] == "SCHEDULED"
        assert served.stop(number) == 0
        assert not os.path.exists(f"/proc/{child}")  # noqa: PTH110
    with Served(config_path, port=served.port) as again:
        assert again.run(first)["state_type"] == "CRASHED" and "serving" in again.run(first)["state"]["message"]
        assert not again.deployment()["paused"] and again.ended(second)["state_type"] == "COMPLETED"


def test_a_run_that_died_with_its_machine_is_found_by_its_missing_heartbeats(config_path):  # noqa: F811 - a fixture
    with Served(config_path) as served:
        lost = begin_long_run(served)
        child = served.process_of_run()
        served.process.kill()
        os.kill(child, signal.SIGKILL)
        served.process.wait()
    with Served(config_path, port=served.port) as again:
        run = again.ended(lost, 240)
        assert run["state_type"] == "CRASHED" and "No heartbeat" in run["state"]["message"]
        assert again.ended(again.start_run())["state_type"] == "COMPLETED"


def test_a_port_that_is_taken_is_named(config_path):  # noqa: F811 - a fixture
    with Served(config_path) as served:
        other = Served(config_path, port=served.port)
        assert other.process.wait(60) == 2
        assert f"port {served.port} must be free" in other.log.read_text() and "--ui-port" in other.log.read_text()
