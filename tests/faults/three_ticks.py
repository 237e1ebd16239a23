"""Serve a small job that ticks every minute on a source that changes, and assert what became of each tick.

`python -m tests.faults.three_ticks FOLDER` works in FOLDER, which must be empty or absent, prints what was seen through
Prefect's API and in the ledger, and leaves screenshots of the Prefect UI in FOLDER/screenshots. It takes some minutes.

1. The first tick publishes; nothing changes, and the next one is skipped.
2. Rows are appended: the model goes on from the accepted one, or is fitted anew, and a new release is current.
3. A column is added: the run fails before training, and the last release stays current.
4. The column is gone again: the schedule goes on, and the tick is skipped.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.publish import current
from tests.faults.served import REPOSITORY, Served, until

NAME = "visits"
CONFIG = f"""\
name = "{NAME}"
seed = 7

[source]
path = "visits.parquet"

[generator]
kind = "flow_matching"
budget = "20s"
members = 1

[evaluation]
target = "returned"
budget_s = "60s"

[gates]
trend_error = {{ at_most = 0.1 }}
utility_gap = {{ at_most = 0.3 }}
"""
TICK_WITHIN_S = 420
SETTLES_WITHIN_MS = 4000
"""The UI keeps sockets open and polls, so that its network is never idle."""


def visits(n_rows):
    """Return the first rows of one long table."""
    rng, n_all = np.random.default_rng(0), 4000
    age = rng.integers(18, 90, n_all)
    stay = np.round(rng.gamma(2.0, 1.5 + age / 40), 1)
    columns = {
        "ward": rng.choice(["surgery", "medicine", "children"], n_all, p=[0.4, 0.45, 0.15]),
        "age": age,
        "stay_days": stay,
        "returned": rng.random(n_all) < 1 / (1 + np.exp(3 - 0.3 * stay)),
    }
    return pa.table({name: values[:n_rows] for name, values in columns.items()})


class Ticks:
    """The ticks of one served job, told apart by when they began."""

    def __init__(self, served, root):
        self._served, self._root, self._source = served, root, served.folder / "visits.parquet"

    def give(self, table):
        """Change the source in one step, as a careful producer does, between two runs."""
        until(
            lambda: not self._served.runs(type={"any_": ["RUNNING", "PENDING"]}), TICK_WITHIN_S, "no run is under way"
        )
        fresh = self._source.with_suffix(".new")
        pq.write_table(table, fresh)
        fresh.replace(self._source)

    def next(self, of):
        """Return the next tick to begin and end, and say what became of it."""
        seen = len(self._served.started())
        until(lambda: len(self._ended()) > seen, TICK_WITHIN_S, "a tick ends")
        run = self._ended()[seen]
        state, leads = run["state"], current(self._root, NAME)
        print(f"{of:<22} {run['name']}  {state['name']:<10} {state['message'] or ''}")
        print(f"{'':<22} current: {leads.name if leads else 'none'}")
        return run, leads

    def _ended(self):
        return [run for run in self._served.started() if run["end_time"] is not None]


def three_ticks(served, root):
    """Let the source change between ticks, and assert what became of each; return the runs."""
    ticks = Ticks(served, root)
    first, release = ticks.next("the first")
    assert first["state_name"] == "Completed" and release is not None
    unchanged, leads = ticks.next("unchanged")
    assert unchanged["state_name"] == "Skipped" and leads == release
    ticks.give(visits(2200))
    appended, second = ticks.next("rows appended")
    assert appended["state_name"] == "Completed" and second not in (None, release)
    ticks.give(visits(2200).append_column("fee", pa.array(np.arange(2200) % 7)))
    refused, leads = ticks.next("a new column")
    assert refused["state_name"] == "Failed" and "DriftError" in refused["state"]["message"] and leads == second
    ticks.give(visits(2200))
    back, leads = ticks.next("the column is gone")
    assert back["state_name"] == "Skipped" and leads == second
    return {"first": first, "unchanged": unchanged, "appended": appended, "refused": refused, "back": back}


def events(root):
    """Return what `tabmint runs` tells, as JSON, having shown it."""
    command = [sys.executable, "-m", "flows", "runs", NAME, "--root", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    print(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    told = subprocess.run([*command, "--json"], env=environment, check=True, capture_output=True, text=True).stdout
    (output,) = json.loads(told)["outputs"]
    return output["events"]


def summary_of(served, run):
    """Return the id of the summary that a run shows."""
    filters = {"flow_runs": {"id": {"any_": [run["id"]]}}, "artifacts": {"key": {"any_": [f"{NAME}-summary"]}}}
    (artifact,) = served.api("/artifacts/filter", filters)
    return artifact["id"]


def screenshots(served, runs, folder):
    """Photograph the UI as a person sees it: the runs, the deployment, each kind of run, and its artifacts."""
    from playwright.sync_api import sync_playwright

    folder.mkdir()
    deployment = served.deployment()["id"]
    pages = {
        "runs": "/runs",
        "deployment": f"/deployments/deployment/{deployment}",
        "run-by-hand": f"/deployments/deployment/{deployment}/run",
        "artifacts": "/artifacts",
        **{f"{name}-summary": f"/artifacts/artifact/{summary_of(served, run)}" for name, run in runs.items()},
        **{name: f"/runs/flow-run/{run['id']}" for name, run in runs.items()},
    }
    foreign = set()
    with sync_playwright() as playwright:
        options = {"executable_path": "/usr/bin/chromium", "args": ["--no-sandbox", "--disable-dev-shm-usage"]}
        browser = playwright.chromium.launch(**options)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        home = f"http://127.0.0.1:{served.port}"
        page.on("request", lambda request: request.url.startswith((home, "data:", "blob:")) or foreign.add(request.url))
        for name, path in pages.items():
            page.goto(home + path)
            page.wait_for_timeout(SETTLES_WITHIN_MS)
            if name in runs:
                page.get_by_text("Artifacts", exact=True).last.click()  # the first is in the navigation
                page.wait_for_timeout(SETTLES_WITHIN_MS)
            page.screenshot(path=folder / f"{name}.png", full_page=True)
        browser.close()
    print("asked of other hosts:", sorted(foreign) or "nothing")


def main():
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tabmint.toml").write_text(CONFIG)
    pq.write_table(visits(2000), folder / "visits.parquet")
    with Served(folder / "tabmint.toml", "--timezone", "Europe/Oslo", cron="* * * * *") as served:
        runs = three_ticks(served, folder / "out")
        screenshots(served, runs, folder / "screenshots")
    told = [event["event"] for event in events(folder / "out")][:5]
    assert told == ["published", "skipped", "published", "failed", "skipped"], told
    print(f"as it must be; screenshots in {folder / 'screenshots'}")


if __name__ == "__main__":
    main()
