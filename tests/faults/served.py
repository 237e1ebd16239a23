"""`tabmint serve` in a process of its own, as a shell or systemd would start it, and what Prefect's API tells of it."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

REPOSITORY = Path(__file__).parents[2]


class Served:
    """A served job. Leaving the context ends it as systemd does, if it still runs.

    Args:
        config_path: the job; everything Prefect keeps lies under its output folder.
        tokens: what else the command is given.
        port: of the API and the UI.
    """

    def __init__(self, config_path, *tokens, cron="0 2 * * *", port=None):
        self.folder, self.port = config_path.parent, port or free_port()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
        self.log = self.folder / "serve.log"
        command = [sys.executable, "-m", "flows", "serve", str(config_path), "--cron", cron]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [*command, "--ui-port", str(self.port), *tokens],
                stdout=log,
                stderr=log,
                env={**kept, "HOME": str(self.folder), "PYTHONPATH": str(REPOSITORY)},
                start_new_session=True,
            )

    def __enter__(self):
        until(lambda: self.process.poll() is not None or self.says("UI  "), 300, "tabmint serve says where the UI is")
        assert self.process.poll() is None, self.log.read_text()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self, number=signal.SIGTERM):
        """Send a signal to the whole group, as a terminal or systemd does, and return the exit code."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def api(self, path, body=None, method="POST"):
        """Ask Prefect's API; while its database is busy it answers 503, and Prefect's own client, too, asks again."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(
            f"http://127.0.0.1:{self.port}/api{path}", data, {"Content-Type": "application/json"}, method=method
        )
        for seconds in (1, 2, 4, 8, 0):
            try:
                with urlopen(request, timeout=60) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except HTTPError as error:
                if error.code != HTTPStatus.SERVICE_UNAVAILABLE or not seconds:
                    raise
                time.sleep(seconds)
        return None

    def runs(self, **state):
        """Return the runs, the earliest scheduled first; `state` filters as the API does."""
        filters = {"flow_runs": {"state": state}} if state else {}
        return self.api("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC", **filters})

    def started(self):
        """Return the runs that have begun, in the order in which they did."""
        runs = [run for run in self.runs() if run["start_time"] is not None]
        return sorted(runs, key=lambda run: run["start_time"])

    def deployment(self):
        """Return the one deployment."""
        (found,) = self.api("/deployments/filter", {})
        return found

    def start_run(self, **parameters):
        """Start a run by hand, as the UI does, and return its id."""
        body = {"parameters": parameters, "state": {"type": "SCHEDULED"}}
        return self.api(f"/deployments/{self.deployment()['id']}/create_flow_run", body)["id"]

    def run(self, run_id):
        """Return one run."""
        return self.api(f"/flow_runs/{run_id}", method="GET")

    def ended(self, run_id, timeout_s=240):
        """Wait until a run has ended, and return it."""
        until(lambda: self.run(run_id)["state_type"] in ENDS, timeout_s, f"run {run_id} ends")
        return self.run(run_id)

    def process_of_run(self):
        """Return the process that carries out the present run, None if there is none."""
        children = " ".join(map(read, Path(f"/proc/{self.process.pid}/task").glob("*/children"))).split()
        found = [int(pid) for pid in children if "flows.server" not in read(Path("/proc") / pid / "cmdline")]
        return found[0] if found else None

    def says(self, words, since=0):
        """Return whether the log holds some words, from a place in it on."""
        return words in self.log.read_text()[since:]


ENDS = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def free_port():
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, timeout_s, what):
    """Wait until a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {what}"
        time.sleep(0.3)


def read(path):
    """Return what a file of a process says, nothing if the process is gone or not ours."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
