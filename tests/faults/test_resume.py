import os

import pytest

from tests.faults.warm import run_script

LONG = os.environ.get("TABMINT_FAULTS") == "long"
STEPS = ("ingest", "decide", "split", "fit", "sample", "evaluate", "gate", "publish")
ENDS = tuple(f"end {step}" for step in STEPS)
WITHIN = tuple(f"{place} {step}" for step in STEPS for place in ("begin", "did") if (place, step) != ("did", "fit"))
AROUND_A_FIT = ("begin fit", "did fit", "begin sample", "end publish")
KILLED_ONCE_A_NIGHT = [-9, 0, -9, 0]


@pytest.mark.slow
def test_a_job_that_is_killed_after_any_step_ends_as_one_that_never_was(tmp_path):
    check(run_script("boundaries", tmp_path, "untrained", *ENDS, *(WITHIN if LONG else ())))


@pytest.mark.slow
def test_no_step_of_training_is_made_again_once_it_is_over(tmp_path):
    found = run_script("boundaries", tmp_path, "trained", "fitted", "end fit", *(AROUND_A_FIT if LONG else ()))
    check(found)
    for interrupted in found["found"]:
        assert interrupted["trained"] == [found["n_steps"]] * 2, interrupted["place"]


def check(found):
    for interrupted in found["found"]:
        assert interrupted["status"] == KILLED_ONCE_A_NIGHT, interrupted
        assert interrupted["faults"] == [], interrupted
        assert interrupted["results"] == found["expected"], interrupted["place"]
    print(f"\n{len(found['found'])} places, two nights each: hashes equal to those of an uninterrupted job")
