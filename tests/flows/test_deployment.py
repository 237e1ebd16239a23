"""Deployments in Prefect's API: what is created, what is refused, and what a run makes of its schedule."""

import asyncio
import datetime
from zoneinfo import ZoneInfo

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterDeploymentId
from prefect.concurrency.sync import concurrency
from prefect.context import refresh_global_settings_context
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.states import Pending, Scheduled

from flows.deployment import ZOMBIES, deploy_config, deployment_of, mark_zombies, next_start, timetable
from flows.environment import QUIET_AND_OFFLINE, use_server
from flows.server import local_server
from flows.synthesize import device, synthesize
from pipeline.errors import ConfigError
from tests.faults.served import free_port, until

pytestmark = pytest.mark.slow
OSLO = "Europe/Oslo"


@pytest.fixture(scope="module", autouse=True)
def server(tmp_path_factory):
    """A server as `tabmint serve` starts one: that of prefect's test harness has no scheduler."""
    home = tmp_path_factory.mktemp("prefect")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**QUIET_AND_OFFLINE, "PREFECT_HOME": str(home), "PREFECT_API_URL": ""}.items():
            patch.setenv(name, value)
        patch.delenv("PREFECT_API_URL")
        with local_server(home, free_port()) as address:
            use_server(address)
            yield address
    refresh_global_settings_context()


@pytest.fixture
def client():
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def deployed(config_path):
    """The id of a deployment that starts when somebody starts it."""
    return deployment_of(config_path, (), None, OSLO).apply()


@pytest.fixture
def pool(client):
    if not any(found.name == "here" for found in client.read_work_pools()):
        client.create_work_pool(WorkPoolCreate(name="here", type="process"))
    return "here"


def runs_of(client, deployment_id):
    filters = FlowRunFilter(deployment_id=FlowRunFilterDeploymentId(any_=[deployment_id]))
    return client.read_flow_runs(flow_run_filter=filters)


def test_a_cron_deployment_really_creates_scheduled_runs(client, config_path):
    nightly = timetable("30 1 * * *", OSLO)
    deployment_id = deployment_of(config_path, ("name=nightly",), nightly, OSLO).apply()
    until(lambda: runs_of(client, deployment_id), 120, "the scheduler creates runs (not with sqlalchemy 2.1 or later)")
    starts = sorted(run.expected_start_time for run in runs_of(client, deployment_id))
    assert starts[0] == asyncio.run(next_start(nightly))
    assert {(start.astimezone(ZoneInfo(OSLO)).hour, start.minute) for start in starts} == {(1, 30)}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"date": "the 5th"}, "date"),
        ({"force": "again"}, "force"),
        ({"config_path": 3}, "config_path"),
        ({"overrides": "seed=1"}, "overrides"),
    ],
)
def test_the_api_refuses_a_wrong_parameter(client, deployed, given, rule):
    with pytest.raises(PrefectHTTPStatusError) as refused:
        client.create_flow_run_from_deployment(deployed, parameters=given)
    assert refused.value.response.status_code == 409 and rule in refused.value.response.text


def test_the_parameters_are_described_in_the_ui(client, deployed):
    schema = client.read_deployment(deployed).parameter_openapi_schema
    assert set(schema["properties"]) == {"config_path", "overrides", "date", "force", "timezone", "device_limit"}
    assert all(setting["description"] for setting in schema["properties"].values())
    assert schema["properties"]["force"]["anyOf"][0]["enum"] == ["refit", "warm_start", "sample"]
    assert schema["required"] == ["config_path"]


def carried_out(client, deployed, start, **parameters):
    """Carry out one run of a deployment here, as its process does, and return the release."""
    run = client.create_flow_run_from_deployment(deployed, parameters=parameters, state=Scheduled(scheduled_time=start))
    return run_flow(synthesize, flow_run=run, parameters=synthesize.validate_parameters(run.parameters)), run


def test_a_run_belongs_to_the_date_of_its_scheduled_start_where_the_schedule_is(client, deployed):
    late_evening = datetime.datetime(2026, 3, 5, 23, 30, tzinfo=datetime.UTC)
    release, run = carried_out(client, deployed, late_evening)
    assert release.date == datetime.date(2026, 3, 6), "half past midnight in Oslo"
    assert client.read_flow_run(run.id).name == "people 2026-03-06"


def test_a_date_that_is_given_is_taken(client, deployed):
    start = datetime.datetime(2026, 3, 5, 12, tzinfo=datetime.UTC)
    release, _ = carried_out(client, deployed, start, date="2026-02-01", force="refit")
    assert release.date == datetime.date(2026, 2, 1)


def test_a_second_run_of_a_deployment_waits(client, deployed):
    first, second = (client.create_flow_run_from_deployment(deployed) for _ in range(2))
    assert client.set_flow_run_state(first.id, Pending()).state.is_pending()
    refused = client.set_flow_run_state(second.id, Pending())
    assert refused.status.value == "REJECT" and refused.state.name == "AwaitingConcurrencySlot"


def test_a_deployment_for_a_pool_is_created_and_updated(client, config_path, pool):
    settings = {"pool": pool, "timezone": OSLO, "device_limit": "tabmint-cpu"}
    name = deploy_config(config_path, ("name=pooled",), cron=None, **settings)
    assert deploy_config(config_path, ("name=pooled",), cron="0 2 * * *", **settings) == name == "synthesize/pooled"
    found = client.read_deployment_by_name(name)
    assert found.work_pool_name == pool and [s.schedule.cron for s in found.schedules] == ["0 2 * * *"]
    assert found.parameters["device_limit"] == "tabmint-cpu" and found.parameters["config_path"] == str(config_path)
    assert found.job_variables["env"] == {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
    assert client.read_global_concurrency_limit_by_name("tabmint-cpu").limit == 1


def test_a_pool_that_is_missing_or_of_another_type_is_named(client, config_path):
    settings = {"cron": None, "timezone": OSLO, "device_limit": None}
    with pytest.raises(ConfigError, match="prefect work-pool create nowhere --type process"):
        deploy_config(config_path, (), pool="nowhere", **settings)
    client.create_work_pool(WorkPoolCreate(name="containers", type="docker"))
    with pytest.raises(ConfigError, match='type process; found "docker"'):
        deploy_config(config_path, (), pool="containers", **settings)


@pytest.mark.parametrize(
    ("cron", "timezone", "rule"),
    [
        ("0 2 * *", OSLO, "cron"),
        ("0 25 * * *", OSLO, "cron"),
        ("0 2 * * *", "Mars", "time zone"),
        ("@daily", "", "zone"),
    ],
)
def test_a_schedule_that_is_none_is_refused(cron, timezone, rule):
    with pytest.raises(ConfigError, match=rule):
        timetable(cron, timezone)


def test_zombies_are_looked_for_by_one_automation(client):
    mark_zombies()
    mark_zombies()
    assert len(client.read_automations_by_name(ZOMBIES)) == 1


def test_a_device_limit_that_is_missing_is_no_limit_of_none(client):
    with pytest.raises(Exception, match="absent"), device("absent"):
        pytest.fail("a fit began without its limit")


def test_fits_on_a_device_take_turns(client):
    client.upsert_global_concurrency_limit_by_name("one-gpu", limit=1)
    with device("one-gpu"), pytest.raises(TimeoutError), concurrency("one-gpu", strict=True, timeout_seconds=2):
        pytest.fail("two fits at once")
    with concurrency("one-gpu", strict=True, timeout_seconds=60):
        assert client.read_global_concurrency_limit_by_name("one-gpu").active_slots == 1
