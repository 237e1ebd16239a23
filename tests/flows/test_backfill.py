"""Several dates in order: what is published, what is skipped, and where it stops."""

import datetime
import importlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.backfill import backfill_dates, dates_from
from flows.cli import main
from flows.settings import load_config
from flows.steps import run_steps
from pipeline.errors import ConfigError, SourceError
from pipeline.publish import current

MONDAY = datetime.date(2026, 11, 23)
DATED = ("--set", 'source.path="people-{date}.parquet"')


def day(n):
    return MONDAY + datetime.timedelta(n)


@pytest.fixture
def give(people, tmp_path):
    """Lay the source of a day, with some of the rows, a column more where that is asked for."""

    def lay(n, n_rows, *, extra=False):
        table = people.slice(0, n_rows)
        table = table.append_column("fee", pa.array(range(n_rows))) if extra else table
        pq.write_table(table, tmp_path / f"people-{day(n)}.parquet")

    return lay


@pytest.fixture
def fill(config_path, capsys):
    def command(first, last, *options):
        tokens = ["--from", str(day(first)), "--to", str(day(last)), "--no-prefect", "--json", *DATED, *options]
        code = main(["backfill", str(config_path), *tokens])
        out, err = capsys.readouterr()
        return code, json.loads(out.splitlines()[-1]), err

    return command


def statuses(told):
    return [(line["date"], line["status"]) for line in told["dates"]]


def test_each_date_is_published_from_its_own_source_and_the_same_command_again_skips_all(fill, give, config):
    for n, n_rows in enumerate((200, 240, 300)):
        give(n, n_rows)
    code, told, _ = fill(0, 2)
    assert code == 0 and statuses(told) == [(str(day(n)), "published") for n in range(3)]
    assert current(config.output.root, "people").name == told["dates"][2]["run_id"]
    code, again, _ = fill(0, 2)
    assert code == 0 and statuses(again) == [(str(day(n)), "skipped") for n in range(3)]
    assert again["dates"][1]["run_id"] == told["dates"][1]["run_id"]


def test_older_dates_do_not_become_current(fill, give, config, config_path):
    for n, n_rows in enumerate((200, 240, 300)):
        give(n, n_rows)
    newest = run_steps(load_config(config_path, (DATED[1],)), on=day(2))
    code, told, _ = fill(0, 1)
    assert code == 0 and statuses(told) == [(str(day(n)), "published") for n in range(2)]
    assert current(config.output.root, "people") == newest.folder


def test_it_stops_at_the_first_failure_and_says_what_was_not_run(fill, give):
    give(0, 200)
    give(1, 240, extra=True)
    code, told, err = fill(0, 3)
    assert code == 2 and statuses(told) == [(str(day(0)), "published"), (str(day(1)), "error")]
    assert "drift.added" in told["dates"][1]["reason"]
    assert told["not_run"] == [str(day(2)), str(day(3))]
    assert f"{day(2)}  not run" in err


def test_keep_going_runs_the_rest_and_the_worst_code_is_returned(fill, give, refusing):
    for n in (0, 2):
        give(n, 200 + n)
    code, told, _ = fill(0, 2, "--keep-going", "--set", *refusing)
    assert code == 2 and [status for _, status in statuses(told)] == ["refused", "error", "refused"]
    assert [line["exit_code"] for line in told["dates"]] == [3, 2, 3]
    assert told["dates"][0]["run_id"].startswith(str(day(0))) and told["not_run"] == []


def test_a_refused_date_ends_with_the_code_of_a_refusal(fill, give, refusing):
    give(0, 200)
    code, told, _ = fill(0, 1, "--set", *refusing)
    assert code == 3 and told["status"] == "refused" and len(told["dates"]) == 1


@pytest.mark.parametrize(("first", "last"), [(1, 0), (0, 1000)])
def test_dates_out_of_order_or_too_many_are_refused(fill, first, last):
    code, told, err = fill(first, last)
    assert code == 2 and told["error"] == "ConfigError" and "1 to 1,000 dates" in err


def test_a_thousand_dates_are_not_too_many():
    assert len(dates_from(MONDAY, day(999))) == 1000
    with pytest.raises(ConfigError):
        dates_from(MONDAY, day(1000))


def test_an_interruption_ends_it_whatever_it_looks_like():
    def run(date):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise SourceError("the server is gone") from None

    with pytest.raises(SourceError):
        list(backfill_dates(dates_from(MONDAY, day(1)), run, keep_going=True))


@pytest.mark.slow
def test_the_flow_runs_each_date_as_the_plain_steps_do(give, config_path, fill, monkeypatch):
    from prefect.testing.utilities import prefect_test_harness

    command = importlib.import_module("flows.cli.backfill")  # the package has a function of this name too
    for n in range(2):
        give(n, 200 + n)
    monkeypatch.setattr(command, "start_prefect", lambda root: None)  # the harness has started it
    with prefect_test_harness(server_startup_timeout=120):
        run = command._as_flow(config_path, (DATED[1],))
        ended = list(backfill_dates(dates_from(MONDAY, day(1)), run))
    _, told, _ = fill(0, 1)
    assert statuses(told) == [(str(day(n)), "skipped") for n in range(2)]
    assert [dated.end.run_id for dated in ended] == [line["run_id"] for line in told["dates"]]
