"""`tabmint augment`: original rows first, synthetic ones of the rare class after them, and a mark that is respected."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.augmentation import wanted_counts
from flows.cli import app, main
from generators import FlowMatchingConfig, TabularGenerator, TrainingConfig
from pipeline.errors import ConfigError
from pipeline.shareable import holds_original_rows

QUICK = FlowMatchingConfig(members=1, width=16, depth=1, training=TrainingConfig(steps=2, n_validations=1))


@pytest.fixture
def visits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    n = 300
    table = pa.table(
        {
            "patient": [f"p{i:05d}" for i in range(n)],
            "age": rng.integers(18, 90, n),
            "ward": pa.array(rng.choice(["icu", "burns", "eyes"], n, p=[0.1, 0.2, 0.7])).dictionary_encode(),
            "fever": np.round(rng.normal(38, 1, n), 1),
            "back": rng.random(n) < 0.2,
        }
    )
    pq.write_table(table, "visits.parquet")
    return table


@pytest.fixture
def model(visits):
    TabularGenerator(QUICK).fit(visits).save("visits.model")
    return visits


def augment(*tokens, target="ward", output="more.parquet"):
    return main(["augment", "visits.parquet", "--target", target, "-o", output, "--json", *tokens])


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_original_rows_come_first_and_the_rest_makes_up_what_classes_lack(model, capsys):
    assert augment("--model", "visits.model") == 0
    written = pq.read_table("more.parquet")
    assert written.slice(0, 300).drop_columns("synthetic").to_pylist() == model.to_pylist()
    counts = written["ward"].to_pandas().value_counts()
    assert set(counts) == {counts["eyes"]}, "all classes are as frequent as the most frequent one"
    assert written["synthetic"].to_pylist() == [False] * 300 + [True] * (written.num_rows - 300)
    assert not set(written["patient"][300:].to_pylist()) & set(model["patient"].to_pylist())
    assert holds_original_rows(written.schema)
    facts = last_json(capsys)
    assert facts["shareable"] is False and facts["classes"]["eyes"]["synthetic"] == 0


def test_counts_a_truth_value_and_a_mark_of_ones_own(model, capsys):
    assert augment("--model", "visits.model", "--counts", "true=100", "--mark", "made", target="back") == 0
    written = pq.read_table("more.parquet").to_pandas()
    assert written.back.sum() == 100 and written[written.made].back.all()
    assert last_json(capsys)["classes"]["true"]["original"] == int(model["back"].to_pandas().sum())


def test_synthetic_rows_alone_carry_no_mark_and_no_original_row(model, capsys):
    assert augment("--model", "visits.model", "--ratio", "0.5", "--synthetic-only", output="more.csv") == 0
    written = pd.read_csv("more.csv")
    assert list(written.columns) == model.column_names and set(written.ward) <= {"icu", "burns"}
    facts = last_json(capsys)
    assert facts["shareable"] is True
    assert len(written) == sum(each["synthetic"] for each in facts["classes"].values())


def test_the_same_seed_writes_the_same(model):
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert augment("--model", "visits.model", "--seed", seed, output=f"{name}.parquet") == 0
    a, b, c = (pq.read_table(f"{name}.parquet") for name in "abc")
    assert a.equals(b) and not a.equals(c)


def test_a_generator_is_fitted_where_no_model_is_given(visits, capsys):
    tokens = ["augment", "visits.parquet", "--target", "ward", "-o", "more.parquet", "--ratio", "0.4"]
    assert main([*tokens, "--generator", "vae", "--budget", "1s"]) == 0
    shown = capsys.readouterr().out
    assert "Not shareable: it holds original rows." in shown and re.search(r"Learned in \d+ of \d+ steps", shown)
    assert pq.read_metadata("more.parquet").num_rows > 300


def test_a_model_that_was_fitted_on_a_frame_serves_too(visits):
    frame = visits.drop_columns("ward").to_pandas()
    TabularGenerator(QUICK).fit(frame).save("frame.model")
    pq.write_table(visits.drop_columns("ward"), "visits.parquet")
    assert augment("--model", "frame.model", target="back") == 0
    assert pq.read_table("more.parquet").num_columns == 5


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ({"output": "more.csv"}, "written as Parquet"),
        ({"output": "none/more.parquet"}, "existing folder"),
        ({"target": "age"}, "must be a class"),
        ({"target": "fever"}, "must be a class"),
        ({"target": "nothing"}, "a column of the table"),
        ({"tokens": ["--mark", "age"]}, "free name"),
        ({"tokens": ["--counts", "icu"]}, "class=rows"),
        ({"tokens": ["--counts", "icu=1"]}, "no row is removed"),
        ({"tokens": ["--counts", "eyes=0"]}, "no row is removed"),
        ({"tokens": ["--ratio", "0.01"]}, "above that of the rarest"),
        ({"tokens": ["--generator", "independent"]}, "how columns go together"),
        ({"tokens": ["--advise"]}, "writes nothing"),
    ],
)
def test_what_makes_no_sense_is_refused_before_training(visits, capsys, monkeypatch, tokens, words):
    monkeypatch.setattr(TabularGenerator, "fit", lambda *_, **__: pytest.fail("it was trained"))
    assert augment(*tokens.pop("tokens", ()), **tokens) == 2
    assert words in capsys.readouterr().err


def test_rows_without_a_class_and_classes_of_few_rows_are_refused(visits, capsys):
    wards = visits["ward"].to_pylist()
    for ward, words in ((None, "every row needs a class"), ("attic", "at least 5 rows")):
        changed = visits.set_column(2, "ward", pa.array([ward, *wards[1:]]))
        pq.write_table(changed, "visits.parquet")
        assert augment() == 2
        assert words in capsys.readouterr().err


def test_an_output_is_needed_but_for_the_advice(visits, capsys):
    assert main(["augment", "visits.parquet", "--target", "ward"]) == 2
    assert "needs a file" in capsys.readouterr().err


def test_an_augmented_table_is_not_judged_as_synthetic(model, capsys):
    assert augment("--model", "visits.model") == 0
    tables = ["--train", "visits.parquet", "--holdout", "visits.parquet", "--synthetic", "more.parquet"]
    assert main(["evaluate", *tables, "-o", "report"]) == 3
    assert "holds original rows" in capsys.readouterr().out and not Path("report").exists()


@pytest.mark.slow
def test_the_advice_is_a_table_and_a_sentence(visits, capsys):
    tokens = ["--advise", "--generator", "vae", "--budget", "1s", "--splits", "2", "--measure", "f1"]
    assert main(["augment", "visits.parquet", "--target", "back", *tokens]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("| learner | remedy | PR-AUC") and sum("| vae |" in line for line in lines) == 3
    assert lines[-1].startswith("Do not use synthetic rows: ") and "F1, tuned" in lines[-1], "the classes are noise"
    assert not list(Path.cwd().glob("more*"))


DOCS = (Path(__file__).parents[2] / "docs" / "augmentation.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("line", re.findall(r"tabmint (augment [^\n#]*)", DOCS))
def test_the_commands_of_the_docs_are_understood(line):
    command, bound, _ = app.parse_args(shlex.split(line))
    assert command is app["augment"].default_command and bound.arguments["target"] in ("readmitted", "ward")


@pytest.mark.slow
def test_the_python_lines_of_the_docs_run():
    (code,) = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    rng = np.random.default_rng(0)
    y = np.arange(200) < 30
    names: dict[str, object] = {"X": rng.normal(y[:, None], 1.0, (200, 3)), "y": y}
    exec(compile(code.replace("budget_s=30", "budget_s=2"), "augmentation.md", "exec"), names)
    assert names["model"].predict_proba(names["X"]).shape == (200, 2)
    assert names["model"]["more"].sampling_strategy_ == {True: 55}


@pytest.mark.parametrize("assignments", [["ill"], ["ill=x"], ["healthy=3"], ["ill=3", "ill=4"], ["=3"]])
def test_a_count_that_is_none_is_refused(assignments):
    with pytest.raises(ConfigError, match="class=rows"):
        wanted_counts(assignments, {"ill": 1, "well": 2})
