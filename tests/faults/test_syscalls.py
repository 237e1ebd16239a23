import os
import shutil
import subprocess
import sys
from collections import Counter

import pytest

from tests.faults.warm import run_script

LONG = os.environ.get("TABMINT_FAULTS") == "long"
EVERY = 1 if LONG else 10
SCENARIOS = ("publish", "quarantine", "append", "roll_back", "prune")
BEFORE = [["published", "r1"], ["published", "r2"], ["refused", "q1"], ["refused", "q2"]]
ADDED = {
    "publish": [[], [["published", "new"]]],
    "quarantine": [[], [["refused", "new"]]],
    "append": [[], [["skipped", "new"]]],
    "roll_back": [[], [["rolled_back", "r1"]]],
    "prune": [[], [["pruned", "r1"]], [["pruned", "r1"], ["pruned", "q1"]]],
}
CURRENT = {"publish": "new", "roll_back": "r1"}


def refusal_to_trace():
    """Return why strace cannot put faults into a process of ours here, None where it can."""
    if sys.platform != "linux" or shutil.which("strace") is None:
        return "strace is not installed"
    command = ["strace", "-o", os.devnull, "-e", "inject=fsync:error=EIO", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return tried.stderr.strip() or "strace failed" if tried.returncode else None


REFUSAL = refusal_to_trace()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(REFUSAL is not None, reason=f"{REFUSAL}; test_publish.py puts faults into Python's calls"),
]


@pytest.mark.parametrize("fault", ["kill", "ENOSPC", "EIO"])
@pytest.mark.parametrize("scenario", SCENARIOS if LONG else SCENARIOS[:1])
def test_an_output_survives_a_fault_at_every_system_call(tmp_path, scenario, fault):
    outcomes = run_script("syscall_faults", scenario, fault, tmp_path, EVERY)
    assert {"openat", "write", "fsync", "rename", "unlink"} <= {outcome["call"] for outcome in outcomes}
    tables = outcomes[0]["tables"]
    for outcome in outcomes:
        assert outcome["status"] in allowed(scenario, fault, outcome), outcome
        assert outcome["whole"] and outcome["stray"] == [], outcome
        check_ledger(scenario, outcome)
        assert {run_id: outcome["tables"][run_id] for run_id in ("r1", "r2")} == {
            run_id: tables[run_id] for run_id in ("r1", "r2")
        }, "what was published is still there for privacy tests"
        assert outcome["next"] == "new", "the next run publishes"
    if scenario in CURRENT:
        assert {outcome["found"] for outcome in outcomes} == {"r2", CURRENT[scenario]}, "on both sides"
    print(f"\n{scenario}, {fault}: {len(outcomes)} faults at {dict(Counter(o['call'] for o in outcomes))}")


def allowed(scenario, fault, outcome):
    """Return the exit codes that are right; an error that meets the clearing up after all is done is no failure."""
    if fault == "kill":
        return {-9}
    is_done = outcome["lines"] == BEFORE + ADDED[scenario][-1] and outcome["found"] == outcome["leads"]
    return {0, 3, 4} if is_done else {3, 4}


def check_ledger(scenario, outcome):
    assert outcome["lines"][: len(BEFORE)] == BEFORE, outcome
    added = outcome["lines"][len(BEFORE) :]
    assert added in ADDED[scenario], outcome
    assert outcome["landed"] == (added != [] and scenario in {"publish", "quarantine"}), outcome
    assert outcome["leads"] == outcome["accepted"] == (CURRENT.get(scenario, "r2") if added else "r2"), outcome
    assert outcome["found"] in {"r2", outcome["leads"]}, outcome


def test_strace_sees_each_step_on_the_disk_before_the_next(tmp_path):
    stage, ledger = ".staging/flights", "ledger/.flights.jsonl.new"
    calls = run_script("syscall_faults", "trace", tmp_path)
    seen = [f"{call} {path}" for call, path in calls if call != "openat"]
    assert [call for i, call in enumerate(seen) if i == 0 or call != seen[i - 1]] == [
        f"mkdir {stage}/new",
        f"write {stage}/new/synthetic.csv",
        f"write {stage}/new/synthetic.parquet",
        f"write {stage}/new/report.json",
        f"write {stage}/new/manifest.json",
        f"fsync {stage}/new/synthetic.parquet",
        f"fsync {stage}/new/synthetic.csv",
        f"fsync {stage}/new/report.json",
        f"fsync {stage}/new/manifest.json",
        f"fsync {stage}/new",
        "rename runs/flights/new",
        "fsync runs/flights",
        f"fsync {stage}",
        f"write {ledger}",
        f"fsync {ledger}",
        "rename ledger/flights.jsonl",
        "fsync ledger",
        f"symlink {stage}/.current",
        f"fsync {stage}",
        "rename current/flights",
        "fsync current",
        f"fsync {stage}",
    ]
