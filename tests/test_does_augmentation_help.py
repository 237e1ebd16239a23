"""The study of augmentation: its tables, its memory of finished cells, and that it prints what it found."""

import importlib
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from evaluation.utility.advice import Comparison
from evaluation.utility.augmentation import REAL, Trial
from evaluation.utility.resampling import unchanged
from generators import TabularGenerator
from pipeline.inference import infer

PATH = Path(__file__).parents[1] / "benchmarks" / "does_augmentation_help.py"


@pytest.fixture(scope="module")
def study():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)
        yield importlib.import_module(PATH.stem)


def toy():
    rng = np.random.default_rng(0)
    ill = rng.random(300) < 0.3
    return pa.table({"dose": rng.normal(ill * 2.0), "town": rng.choice(["a", "b"], 300), "ill": ill})


def test_the_shipped_table_has_a_rare_class_and_nothing_that_is_known_later(study):
    table = study.flights()
    share = table["late"].to_pandas().mean()
    assert 0.05 < share < 0.15 and not set(table.column_names) & set(study.KNOWN_LATER)


def test_a_finished_cell_is_remembered_and_a_broken_line_is_not(study, tmp_path):
    path, calls = tmp_path / "results.jsonl", []

    def tried():
        calls.append(1)
        yield Trial(0, "vae", "boosted trees", {"f1": 0.5})

    first = study.Results(path).of({"table": "toy"}, tried)
    with path.open("a") as file:
        file.write('{"cell": {"table": "other"}, "tri')
    results = study.Results(path)
    assert results.of({"table": "toy"}, tried) == first and len(calls) == 1
    results.of({"table": "other"}, tried)
    assert len(calls) == 2 and study.Results(path).of({"table": "other"}, tried) == first and len(calls) == 2


def test_it_runs_and_prints_and_goes_on_where_it_was(study, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(study, "TABLES", {"toy": (toy, "ill"), "again": (toy, "ill")})
    monkeypatch.setattr(study, "augmenters", lambda *_: {"vae": lambda known, wanted, seed: known.filter(known["ill"])})
    monkeypatch.setattr(
        study, "remedies", lambda: {REAL: unchanged, "SMOTE": unchanged}
    )  # the others have tests of their own
    path = tmp_path / "results.jsonl"
    tokens = ["--families", "vae", "--splits", "2", "--budget", "1s", "--rows", "150", "--results", str(path)]
    study.main([*tokens, "--tables", "toy"])
    cells = [json.loads(line)["cell"] for line in path.read_text().splitlines() if line]
    assert [cell["remedy"] for cell in cells] == [REAL, "SMOTE", "vae"] * 2
    alone = capsys.readouterr().out
    assert (
        "### toy" in alone and "\nvae: " in alone and "### Mean over 1 tables" in alone and "### Minus SMOTE" in alone
    )
    study.main(tokens)
    both = capsys.readouterr().out
    assert len([line for line in path.read_text().splitlines() if line]) == 2 * len(cells)
    assert both.startswith(alone[: alone.index("### Mean")]) and "### Mean over 2 tables" in both


def test_a_family_is_fitted_once_a_split_and_draws_what_classes_lack(study, monkeypatch):
    fits, fit = [], TabularGenerator.fit
    monkeypatch.setattr(TabularGenerator, "fit", lambda *given, **named: fits.append(1) or fit(*given, **named))
    plan = study.Fit(budget_s=None, steps=60, members=1)
    drawing = study.augmenters(["flow_matching", "vae"], infer(toy()), "ill", plan, [0.0, 1.0])
    assert list(drawing) == ["flow_matching", "flow_matching, guidance 1", "vae"]
    tables = [augment(toy(), {True: 50}, 0) for augment in drawing.values()]
    assert len(fits) == 2 and all(table["ill"].to_pylist() == [True] * 50 for table in tables)
    assert not tables[0].equals(tables[1])
    drawing["vae"](toy(), {True: 50}, 1)
    assert len(fits) == 3, "another split, another fit"


def test_the_mean_over_tables_takes_them_for_a_sample(study):
    gains = [Comparison("vae", "boosted trees", "f1", 0.5, gain, (gain - 0.05, gain + 0.05)) for gain in (0.1, 0.0)]
    assert study.mean_cell(gains) == "+0.050 [−0.585, +0.685] (1▲ 0▼)"
    assert study.mean_cell(gains[:1]) == "+0.100 (1▲ 0▼)"


def test_a_lead_is_the_mean_over_learners_and_splits(study):
    found = [Trial(0, name, learner, {"f1": f1}) for name, learner, f1 in
             (("vae", "a", 0.5), ("vae", "b", 0.7), ("SMOTE", "a", 0.5), ("SMOTE", "b", 0.6))]  # fmt: skip
    assert study.lead(found, "vae", "SMOTE", "f1") == pytest.approx(0.05)
