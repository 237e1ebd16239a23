"""The commands that look after releases, as a person types them."""

import json

import pyarrow.parquet as pq
import pytest

from flows.cli import main
from pipeline.publish import current


@pytest.fixture
def here(config_path, people, monkeypatch, capsys):
    """A folder with two releases of Monday and Tuesday and a refusal of Wednesday."""
    monkeypatch.chdir(config_path.parent)
    run = ["run", "tabmint.toml", "--no-prefect"]
    assert main([*run, "--date", "2026-11-23"]) == 0
    pq.write_table(people.slice(0, 250), config_path.parent / "people.parquet")
    assert main([*run, "--date", "2026-11-24"]) == 0
    assert main([*run, "--date", "2026-11-25", "--set", "gates.shape_error={at_most=-1.0}"]) == 3
    capsys.readouterr()
    return config_path.parent


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def run_ids(here):
    return sorted(path.name for path in (here / "out" / "runs" / "people").iterdir())


def test_runs_lists_every_event_and_marks_the_current_release(here, capsys):
    monday, tuesday = run_ids(here)
    assert main(["runs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "people"
    events = [line for line in lines if "2026-11-2" in line and ("published" in line or "refused" in line)]
    assert [monday in events[0], tuesday in events[1], "refused" in events[2]] == [True] * 3
    assert events[1].startswith("*") and not events[0].startswith("*")
    assert main(["runs", "people", "--last", "1"]) == 0
    shown = capsys.readouterr().out
    assert "2 earlier events" in shown and monday not in shown
    assert main(["runs", "--json"]) == 0
    (output,) = last_json(capsys)["outputs"]
    assert (output["name"], output["current"], len(output["events"])) == ("people", tuesday, 3)


def test_show_tells_what_was_decided_and_where_the_report_lies(here, capsys):
    monday, _ = run_ids(here)
    assert main(["show", monday[:14]]) == 0
    shown = capsys.readouterr().out
    assert f"Run        {monday}, of people" in shown and "There is no accepted release yet." in shown
    assert f"out/runs/people/{monday}/report.html" in shown and "shape_error" in shown
    assert main(["show", monday, "--json"]) == 0
    assert last_json(capsys)["events"][0]["record"]["action"] == "refit"


@pytest.mark.parametrize("run", ["2026-11", "1999"])
def test_show_asks_for_one_run(here, capsys, run):
    assert main(["show", run]) == 2
    assert "one run must be meant" in capsys.readouterr().err


def test_rollback_makes_an_earlier_release_current(here, capsys):
    monday, tuesday = run_ids(here)
    assert main(["rollback", "people", monday, "--json"]) == 0
    assert last_json(capsys)["was"] == tuesday
    assert current(here / "out", "people").name == monday
    assert main(["rollback", "people", "none"]) == 2
    assert tuesday in capsys.readouterr().err
    assert main(["rollback", "nobody", monday]) == 2
    assert '"nobody"' in capsys.readouterr().err


def test_verify_finds_a_changed_file(here, capsys):
    folder = here / "out" / "current" / "people"
    assert main(["verify", str(folder)]) == 0
    assert "verdict PASS" in capsys.readouterr().out
    (model, *_) = (here / "out" / "models" / "people").iterdir()
    assert main(["verify", str(model)]) == 0
    assert "sealed folder" in capsys.readouterr().out
    (folder / "schema.json").write_text("{}")
    assert main(["verify", str(folder)]) == 2
    assert 'changed "schema.json"' in capsys.readouterr().err
    assert main(["verify", str(here)]) == 2


def test_prune_removes_old_releases_and_what_only_they_needed(here, capsys):
    monday, tuesday = run_ids(here)
    before = sorted(here.rglob("*"))
    assert main(["prune", "people", "--keep", "1", "--dry-run", "--json"]) == 0
    foretold = last_json(capsys)
    assert foretold["runs"] == [monday] and foretold["dry_run"]
    assert sorted(here.rglob("*")) == before
    assert main(["prune", "people", "--keep", "1", "--json"]) == 0
    assert last_json(capsys) == {**foretold, "dry_run": False}
    assert run_ids(here) == [tuesday]
    assert (here / "out" / "published" / "people" / f"{monday}.parquet").is_file()
    assert [path.name for path in (here / "out" / "state" / "people").iterdir()] == [f"{tuesday}.json"]
    assert main(["show", monday]) == 0
    assert "pruned" in capsys.readouterr().out
    assert main(["prune", "people", "--keep", "0"]) == 2


def test_a_second_run_says_that_it_was_skipped_and_what_stands(here, capsys):
    run = ["run", "tabmint.toml", "--no-prefect", "--date", "2026-11-26"]
    assert main(run) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Skipped    ") and "out/runs/people/2026-11-24-" in shown
    assert main([*run, "--json"]) == 0
    assert last_json(capsys)["status"] == "skipped"
    assert main([*run, "--force", "refit"]) == 0
    assert "It was asked for." in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--date", "yesterday"], ["--force", "magic"]])
def test_a_wrong_date_or_force_is_named(here, capsys, wrong):
    assert main(["run", "tabmint.toml", "--no-prefect", *wrong]) == 2
    assert wrong[1] in capsys.readouterr().err
