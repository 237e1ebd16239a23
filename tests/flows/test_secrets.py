"""Prefect's secret blocks, saved in and read from a real server that lives as long as these tests."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from flows.secrets import prefect_secret
from pipeline.credentials import resolve
from pipeline.errors import ConfigError

CANARY = "p@ss:w/rd%# canary"


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Start a Prefect server with an empty database."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def save(name: str, value: object) -> None:
    from prefect.blocks.system import Secret

    Secret(value=value).save(name, overwrite=True, _sync=True)


@pytest.mark.slow
def test_a_secret_block_is_read_outside_and_inside_a_flow(server: None, caplog: pytest.LogCaptureFixture) -> None:
    from prefect import flow

    save("warehouse", CANARY)
    found: list[str] = []

    @flow
    def use() -> None:
        found.append(resolve("${secret:warehouse}", prefect_secret))

    with caplog.at_level(logging.DEBUG):
        use()
        found.append(resolve("postgresql://ada:${secret:warehouse}@host/db", prefect_secret))
    assert found == [CANARY, "postgresql://ada:p%40ss%3Aw%2Frd%25%23%20canary@host/db"]
    assert "canary" not in caplog.text


@pytest.mark.slow
def test_a_missing_block_is_named_with_the_way_to_save_it(server: None) -> None:
    with pytest.raises(ConfigError, match=r'the secret block "nowhere" must exist.*\.save\("nowhere"\)'):
        prefect_secret("nowhere")


@pytest.mark.slow
def test_a_block_that_holds_no_text_is_refused_and_not_told(server: None) -> None:
    save("settings", {"password": CANARY})
    with pytest.raises(ConfigError, match='the secret block "settings" must hold text; found dict') as refused:
        prefect_secret("settings")
    assert "canary" not in str(refused.value)


@pytest.mark.slow
def test_without_an_api_the_message_says_what_to_do() -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}),
        pytest.raises(
            ConfigError, match=r'a Prefect API must answer for the secret block "warehouse".*PREFECT_API_URL'
        ),
    ):
        prefect_secret("warehouse")


def test_prefect_is_imported_only_for_a_secret_block() -> None:
    script = """
import os, sys
from flows.secrets import prefect_secret
from pipeline.credentials import resolve
os.environ["NAME"] = "value"
assert resolve("${NAME}", prefect_secret) == "value"
assert "prefect" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True)
