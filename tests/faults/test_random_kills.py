import os

import pytest

from tests.faults.warm import run_script

N_KILLS = 200 if os.environ.get("TABMINT_FAULTS") == "long" else 20
INTERVAL = 6  # steps between two checkpoints of the job in nights.py
STEPS = {"start", "ingest", "decide", "split", "fit", "sample", "evaluate", "gate", "publish"}


@pytest.mark.slow
def test_a_job_that_is_killed_at_random_ends_as_one_that_never_was(tmp_path):
    found = run_script("random_kills", tmp_path, N_KILLS, "seed")
    print(f"\n{found['kills']} kills of {found['runs']} runs to {found['outputs']} outputs, by step {found['fell']}")
    print(f"at most {found['most_redone']} steps of training were made again after a kill")
    assert found["faults"] == []
    assert found["kills"] >= N_KILLS
    assert {night["action"] for night in found["expected"].values()} == {"refit", "warm_start"}
    assert found["interval"] == INTERVAL
    assert 0 < found["most_redone"] <= INTERVAL, "the kills hit training, and each run goes on from the last checkpoint"
    assert set(found["fell"]) <= STEPS
    assert len(found["fell"]) > 5, "kills in most steps"
