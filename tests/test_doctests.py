"""Every example in a docstring of the four packages is run."""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGES = ("pipeline", "generators", "evaluation", "flows")
ROOT = Path(__file__).parents[1]
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for package in PACKAGES
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__main__.py"  # importing it would run the command line
)


def examples(module):
    return [test for test in doctest.DocTestFinder(exclude_empty=True).find(module) if test.examples]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run_as_written(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # examples may write files
    report: list[str] = []
    runner = doctest.DocTestRunner()
    for test in examples(importlib.import_module(name)):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_has_examples(package):
    modules = [importlib.import_module(name) for name in MODULES if name.split(".")[0] == package]
    assert any(examples(module) for module in modules)
