"""Run a job again and again, each time with a fault at the next of its system calls, until it ends without meeting one.

`python faults.py (publish|quarantine|model) (kill|once|onward) FOLDER` prints a JSON list of what was found after each
fault; its last item is the run without one. `kill` is SIGKILL before the call, `once` is ENOSPC in its place, `onward`
is ENOSPC in its place and in that of every later call. A process that forks must have one thread, hence a script.
"""

import errno
import io
import json
import os
import signal
import sys
from pathlib import Path

from pipeline.artifact import Sealed, stage, verify, write_json
from pipeline.errors import ArtifactError, PublishError
from pipeline.ledger import Inputs, Ledger, Record
from pipeline.manifest import Manifest, verify_release
from pipeline.publish import current, open_output
from pipeline.schema import Integer, Schema

CALLS = [(os, name) for name in ("open", "mkdir", "fsync", "replace", "symlink", "unlink", "rmdir")] + [(io, "open")]


def record():
    return Record(
        date="2026-01-01",
        action="refit",
        reason="",
        inputs=Inputs(data="", table_schema="", learning="", judging="", code=""),
        model="",
        scale="",
        n_train=1,
    )


def manifest(run_id, verdict="PASS"):
    return Manifest(
        name="flights",
        run_id=run_id,
        created="2026-01-01T00:00:00Z",
        verdict=verdict,
        n_rows=1,
        table_schema=Schema(columns=(Integer(name="a", arrow="int64"),)),
        seed=0,
        config={},
        versions={},
        data_sha256="",
        code_sha256="",
        record=record(),
    )


def publish(root, run_id):
    with open_output(root, "flights") as output:
        output.publish(write_release(output, run_id), manifest(run_id))


def quarantine(root, run_id):
    with open_output(root, "flights") as output:
        output.quarantine(write_release(output, run_id), manifest(run_id, "FAIL"))


def write_release(output, run_id):
    folder = output.stage(run_id)
    (folder / "synthetic.parquet").write_bytes(run_id.encode() * 10_000)
    (folder / "report.json").write_text("{}")
    return folder


def save_model(root, kind):
    with stage(root / "model") as folder:
        write_json(folder / "generator.json", {"kind": kind})
        (folder / "weights.safetensors").write_bytes(kind.encode() * 10_000)


def inject(fault, at):
    """Replace every system call by one that counts and, at the `at`-th, meets the fault."""
    count = 0

    def wrap(real):
        def call(*args, **kwargs):
            nonlocal count
            count += 1
            if count == at and fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if count == at or (count > at and fault == "onward"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call

    for module, name in CALLS:
        setattr(module, name, wrap(getattr(module, name)))
    return lambda: count >= at


def run_with_fault(job, fault, at):
    """Run `job` in a forked process and return "killed", "failed", "done despite it" or "done", if none was met."""
    child = os.fork()
    if child == 0:
        met = inject(fault, at)
        try:
            job()
        except (PublishError, OSError):
            os._exit(3)
        os._exit(4 if met() else 0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {signal.SIGKILL: "killed"}[os.WTERMSIG(status)]
    return {0: "done", 3: "failed", 4: "done despite it"}[os.WEXITSTATUS(status)]


def release_outcome(root, job, fault, at):
    publish(root, "old")
    leave_behind(root)
    status = run_with_fault(lambda: job(root, "new"), fault, at)
    found = current(root, "flights").name
    whole = all(verify_release(folder) for folder in sorted(root.glob("runs/*/*")))
    landed = (root / "runs/flights/new").exists()
    with open_output(root, "flights"):
        recovered = current(root, "flights").name
        lines = [(entry.event, entry.run_id) for entry in Ledger(root, "flights").entries()]
        stray = [path.name for path in (root / ".staging/flights").iterdir()]
    leaked = [path.name for path in root.glob("quarantine/*/*/*") if path.suffix == ".parquet"]
    publish(root, "next")
    following = verify_release(current(root, "flights")).run_id
    return {
        "status": status, "at": at, "found": found, "whole": whole, "landed": landed, "recovered": recovered,
        "stray": stray, "leaked": leaked, "next": following, "lines": lines,
    }  # fmt: skip


def leave_behind(root):
    """Leave what a run killed in the middle leaves, so that the sweep has something to do."""
    (root / ".staging/flights/killed").mkdir()
    (root / ".staging/flights/killed/synthetic.parquet").write_bytes(b"rows")
    (root / ".staging/flights/.current").symlink_to("../runs/flights/killed")


def model_outcome(root, fault, at):
    save_model(root, "old")
    status = run_with_fault(lambda: save_model(root, "new"), fault, at)
    found = kind_of(root / "model") or (kind_of(root / ".model.old") and "aside")
    save_model(root, "newest")
    stray = [path.name for path in root.iterdir() if path.name != "model"]
    return {"status": status, "found": found, "next": kind_of(root / "model"), "stray": stray}


def kind_of(folder):
    try:
        verify(folder, Sealed)
    except ArtifactError:
        return None
    return json.loads((folder / "generator.json").read_text())["kind"]


def main(scenario, fault, folder):
    outcomes = []
    while not outcomes or outcomes[-1]["status"] != "done":
        at = len(outcomes) + 1
        root = Path(folder) / str(at)
        root.mkdir()
        if scenario == "model":
            outcomes.append(model_outcome(root, fault, at))
        else:
            outcomes.append(release_outcome(root, {"publish": publish, "quarantine": quarantine}[scenario], fault, at))
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(*sys.argv[1:])
