"""A twin run with planted rows."""

import json

import pyarrow as pa
import pytest

from flows.canaries import try_canaries
from flows.cli import main
from generators import TabularGenerator


@pytest.fixture
def copying(monkeypatch):
    """A generator that returns the rows that it was given."""
    kept: dict[str, pa.Table] = {}
    learn = TabularGenerator.fit

    def fit(self, table, *args, **options):
        kept["train"] = table
        return learn(self, table, *args, **options)

    monkeypatch.setattr(TabularGenerator, "fit", fit)
    monkeypatch.setattr(TabularGenerator, "sample", lambda self, n, *, seed=0: kept["train"].slice(0, n))
    return kept


def test_a_model_that_repeats_nothing_passes_and_leaves_nothing(config_path, config, capsys):
    assert main(["canaries", str(config_path), "--number", "40", "--json"]) == 0  # columns drawn one by one
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["verdict"] in ("PASS", "REVIEW") and found["test"]["value"] < 0.5
    left = [path.name for path in config.output.root.rglob("*") if path.is_file()]
    assert left == [], left


def test_a_model_that_repeats_its_rows_fails(config_path, copying, capsys):
    assert main(["canaries", str(config_path), "--number", "40"]) == 3
    assert "FAIL" in capsys.readouterr().out
    assert copying["train"].num_rows > 240 + 40  # the planted rows were learned


def test_the_planted_rows_are_learned_beside_train_and_only_there(config, copying):
    test = try_canaries(config, n=40)
    assert test.value == 1.0 and test.verdict == "FAIL"
    assert test.parts[0].note.startswith("10 of 10")
