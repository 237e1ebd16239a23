"""Flows over other rows with the accepted model."""

import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.flows import load_flow_from_entrypoint
from prefect.testing.utilities import prefect_test_harness

from flows.on_rows import accepted_model, impute_rows, score_rows
from flows.steps import run_steps
from pipeline.errors import ConfigError
from pipeline.shareable import holds_original_rows

pytestmark = pytest.mark.slow
DEPLOYMENTS = yaml.safe_load((Path(__file__).parents[2] / "prefect.yaml").read_text())["deployments"]
DAY = datetime.date(2026, 11, 26)


@pytest.fixture(scope="module", autouse=True)
def server():
    with prefect_test_harness(server_startup_timeout=120):
        yield


def test_rows_are_scored_and_filled_by_the_model_of_the_accepted_release(config_path, config, people):
    run_steps(config, on=DAY)
    folder = config_path.parent
    holes = people.set_column(3, "income", pa.nulls(len(people), pa.float64()))
    pq.write_table(people, folder / f"new-{DAY}.parquet")
    pq.write_table(holes, folder / f"holes-{DAY}.parquet")
    found = score_rows(
        config_path, f"{folder}/new-{{date}}.parquet", f"{folder}/scored-{{date}}.parquet",
        reference=f"{folder}/people.parquet", date=DAY,
    )  # fmt: skip
    assert found["rows"] == 300 and "threshold" in found
    assert {"nats", "odd", "why"} <= set(pq.read_schema(folder / f"scored-{DAY}.parquet").names)
    filled = impute_rows(
        config_path, f"{folder}/holes-{{date}}.parquet", f"{folder}/filled-{{date}}.parquet", date=DAY
    )  # fmt: skip
    assert filled["filled"] == {"income": 300}
    table = pq.read_table(folder / f"filled-{DAY}.parquet")
    assert table["income"].null_count == 0 and holds_original_rows(table.schema)
    with get_client(sync_client=True) as client:
        artifacts = client.request("POST", "/artifacts/filter", json={}).json()
    assert {"people-scored", "people-filled"} <= {artifact["key"] for artifact in artifacts}


def test_without_an_accepted_release_there_is_no_model(config):
    with pytest.raises(ConfigError, match='output "people" must have an accepted release'):
        accepted_model(config, None)
    release = run_steps(config)
    (folder,) = (config.output.root / "models" / "people").iterdir()
    assert accepted_model(config, None) == folder and release.folder.is_dir()
    folder.rename(Path(f"{folder}-gone"))
    with pytest.raises(ConfigError, match="needs its model"):
        accepted_model(config, None)


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: one["name"])
def test_the_deployments_in_the_repository_name_flows_and_parameters_that_there_are(deployment):
    flow = load_flow_from_entrypoint(deployment["entrypoint"])
    assert set(flow.validate_parameters(deployment["parameters"])) >= {"config_path", "timezone"}
