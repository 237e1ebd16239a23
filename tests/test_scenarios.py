"""The examples of docs/scenarios.md run as they stand."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "scenarios.md"


def test_the_examples_run_as_they_stand():
    failures, attempted = doctest.testfile(str(PAGE), module_relative=False)
    assert failures == 0 and attempted >= 10
