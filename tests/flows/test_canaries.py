"""A twin run with planted rows."""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from flows.canaries import try_canaries
from flows.cli import main
from flows.job import open_job
from flows.progress import Silent
from generators import TabularGenerator
from pipeline.errors import InputError, PublishError, TrainingError


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


def left_of(config):
    return sorted(config.output.root.rglob("*"))


def test_a_model_that_repeats_nothing_passes_and_leaves_nothing(config_path, config, capsys):
    assert main(["canaries", str(config_path), "--number", "40", "--json"]) == 0  # columns drawn one by one
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["verdict"] in ("PASS", "REVIEW") and found["test"]["value"] < 0.5
    assert left_of(config) == []


def test_a_model_that_repeats_its_rows_fails(config_path, copying, capsys):
    assert main(["canaries", str(config_path), "--number", "40"]) == 3
    assert "FAIL" in capsys.readouterr().out
    assert copying["train"].num_rows > 240 + 40  # the planted rows were learned


def test_the_planted_rows_are_learned_beside_train_and_only_there(config, copying):
    test = try_canaries(config, n=40)
    assert test.value == 1.0 and test.verdict == "FAIL"
    assert test.parts[0].note.startswith("10 of 10")


@pytest.mark.parametrize(
    "error", [TrainingError("no", actual="nan", remedy="none"), OSError("disk"), KeyboardInterrupt()]
)
def test_a_twin_that_fails_or_is_interrupted_leaves_nothing(config, monkeypatch, error):
    seen = []

    def fit(self, *args, **options):
        seen.extend(path for path in left_of(config) if path.suffix == ".parquet")
        raise error

    monkeypatch.setattr(TabularGenerator, "fit", fit)
    with pytest.raises(type(error)) as raised:
        try_canaries(config, n=40)
    assert seen  # there were rows to remove
    assert left_of(config) == []
    assert not any("kept" in note for note in getattr(raised.value, "__notes__", ()))


def test_a_twin_with_bad_input_leaves_nothing(config):
    Path(config.source.path).unlink()
    with pytest.raises(InputError):
        try_canaries(config, n=40)
    assert left_of(config) == []


def test_a_twin_that_is_under_way_is_left_alone(config):
    apart = config.output.model_copy(update={"root": config.output.root / f".canaries-{config.name}"})
    with open_job(config.model_copy(update={"output": apart}), Silent()) as job:
        with pytest.raises(PublishError):
            try_canaries(config, n=40)
        assert job.folder.is_dir()
