"""The pages about odd rows and about the latent space run as they are printed."""

import doctest
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize(("name", "n_examples"), [("anomaly.md", 12), ("latent-space.md", 15)])
def test_the_examples_of_the_page_run_as_printed(name, n_examples):
    found = doctest.testfile(str(DOCS / name), module_relative=False, optionflags=doctest.FAIL_FAST)
    assert found.failed == 0
    assert found.attempted >= n_examples
