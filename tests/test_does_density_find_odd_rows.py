"""The benchmark of odd rows: what it plants, what it remembers, and that it prints what it found."""

import importlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

PATH = Path(__file__).parents[1] / "benchmarks" / "does_density_find_odd_rows.py"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)
        yield importlib.import_module(PATH.stem)


def test_the_marks_are_the_cells_that_were_exchanged(benchmark):
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.integers(0, 3, 80), "b": rng.choice(["x", "y", None], 80), "c": rng.normal(size=80)})
    changed, marks = benchmark.with_exchanged_cells(rows.head(40), rows.tail(40), rng)
    assert changed.dtypes.equals(rows.dtypes)
    for i in range(40):
        found = [not benchmark.same(changed.iat[i, j], rows.iat[i, j]) for j in range(3)]
        assert found == marks[i].tolist()
        assert 1 <= sum(found) <= benchmark.N_EXCHANGED


def test_ordinary_rows_are_learned_and_the_odd_ones_are_marked(benchmark):
    p = benchmark.problem("flights", 0)
    assert len(p.train) + len(p.reference) == benchmark.MOST_TRAIN and len(p.odd) == len(p.tested)
    assert p.odd.sum() == benchmark.MOST_ODD and not p.odd[: benchmark.MOST_ORDINARY].any()
    train, tested = benchmark.features(p)
    assert len(train) == benchmark.MOST_TRAIN and np.isfinite(train).all() and np.isfinite(tested).all()


@pytest.fixture
def small(benchmark, monkeypatch):
    for name, size in (("MOST_TRAIN", 400), ("MOST_ORDINARY", 60), ("MOST_ODD", 30)):
        monkeypatch.setattr(benchmark, name, size)
    monkeypatch.setattr(benchmark, "SETTINGS", {"independent": {}})
    monkeypatch.setattr(benchmark, "generator_config", lambda kind, members, **settings: real(kind, **settings))
    real = importlib.import_module("generators").generator_config
    return benchmark


def test_what_was_measured_is_not_measured_again_and_is_printed(small, tmp_path, monkeypatch, capsys):
    output = tmp_path / "rows.jsonl"
    command = [PATH.name, "-o", str(output), "--tables", "flights", "--seeds", "0"]
    monkeypatch.setattr("sys.argv", [*command, "--methods", "kNN"])
    monkeypatch.setattr(small, "METHODS", (*small.DETECTORS, "independent"))
    small.main()
    monkeypatch.setattr("sys.argv", [*command, "--methods", "kNN", "independent"])
    small.main()
    rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["score"].split(", ")[-1] for row in rows] == ["kNN", "nats", "nats per axis", "surprise", "worst cell"]
    assert all(0 <= row["roc_auc"] <= 1 for row in rows)
    shown = capsys.readouterr().out
    assert "| roc_auc | flights | mean | mean rank |" in shown and "asked for were 5%" in shown
    assert "the first reason is an exchanged cell in" in shown and "Seeds: flights 1." in shown
