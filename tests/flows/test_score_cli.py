"""`tabmint score` end to end: rows in, the same rows out with their nats, a mark and the reasons."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from generators import TabularGenerator
from pipeline.source import read


@pytest.fixture
def here(config_path, monkeypatch):
    monkeypatch.chdir(config_path.parent)
    assert main(["fit", "people.parquet", "--generator", "independent", "-o", "people.model"]) == 0
    table = read("people.parquet").table
    pq.write_table(table.slice(0, 120), "reference.parquet")
    odd = table.slice(120, 3).set_column(2, "age", pa.array([30, 900, 40]))
    pq.write_table(odd, "new.parquet")
    return config_path.parent


SCORE = ["score", "people.model", "new.parquet", "-o", "scored.parquet"]


def last_json(capsys):
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_rows_come_back_as_they_were_with_scores_beside_them(here, capsys):
    assert main([*SCORE, "--reference", "reference.parquet", "--false-alarms", "0.02", "--explain", "2", "--json"]) == 0
    told, scored, new = last_json(capsys), pq.read_table("scored.parquet"), pq.read_table("new.parquet")
    assert scored.select(new.column_names).equals(new)
    assert scored.column_names[len(new.column_names) :] == ["nats", "outside", "odd", "why"]
    assert scored["odd"].to_pylist() == [False, True, False] and scored["outside"].to_pylist() == [0, 1, 0]
    assert scored["why"][1].as_py().startswith("age = 900 (1 in ")
    density = TabularGenerator.load("people.model").log_density(new.slice(0, 1)).values
    assert scored["nats"][0].as_py() == pytest.approx(-density[0])
    assert told["odd"] == 1 and told["threshold"]["n_reference"] == 120 and told["threshold"]["n_alarms"] <= 1
    assert told["oddest"][0]["row"] == 2 and len(told["oddest"][0]["why"]) == 2 and told["kind"] == "encoded_space"


def test_without_reference_rows_nothing_is_called_odd(here, capsys):
    assert main(SCORE) == 0
    out = capsys.readouterr().out
    assert "Oddest     row 2" in out and "Alarms" not in out
    assert pq.read_table("scored.parquet").column_names[-2:] == ["nats", "outside"]


def test_a_person_is_told_the_threshold_and_how_often_it_is_wrong(here, capsys):
    assert main([*SCORE, "--reference", "reference.parquet"]) == 0
    out = capsys.readouterr().out
    assert "of 120 reference rows lie above it; of all ordinary rows 0.00% to" in out and "Odd        1 rows" in out


def test_on_the_axis_other_scores_come_out(here):
    assert main(SCORE) == 0
    flat = pq.read_table("scored.parquet")["nats"].to_pylist()
    assert main([*SCORE, "--per", "axis"]) == 0
    assert pq.read_table("scored.parquet")["nats"].to_pylist() != flat


def test_a_row_may_be_judged_by_its_oddest_cell(here, capsys):
    assert main([*SCORE, "--by", "cell", "--reference", "reference.parquet", "--json"]) == 0
    scored, told = pq.read_table("scored.parquet"), last_json(capsys)
    assert scored.column_names[-4:] == ["nats", "cell_nats", "outside", "odd"]
    assert scored["odd"].to_pylist() == [False, True, False]
    assert told["oddest"][0]["nats"] == scored["cell_nats"][1].as_py() > told["threshold"]["nats"]


def test_a_text_file_comes_back_as_text(here):
    (here / "new.csv").write_text("sex,city,age,income\nf,Oslo,0030,3000.10\nm,Paris,31,\n")
    assert main(["score", "people.model", "new.csv", "-o", "scored.csv"]) == 0
    lines = (here / "scored.csv").read_text().splitlines()
    assert lines[0].replace('"', "") == "sex,city,age,income,nats,outside" and "0030" in lines[1]
    assert lines[2].rstrip().endswith(",1")


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([*SCORE, "--false-alarms", "0.1"], "needs --reference"),
        ([*SCORE, "--reference", "new.parquet"], "needs 99 reference rows; found 3"),
        (["score", "people.model", "new.parquet", "-o", "scored.xlsx"], ".csv or .parquet"),
        (["score", "people.model", "taken.parquet", "-o", "scored.csv"], 'a column "nats"'),
        (["score", "people.model", "short.parquet", "-o", "scored.csv"], 'no "age"'),
    ],
)
def test_bad_input_is_refused_in_a_line(here, capsys, tokens, said):
    new = pq.read_table("new.parquet")
    pq.write_table(new.append_column("nats", pa.array([1.0] * 3)), "taken.parquet")
    pq.write_table(new.drop_columns(["age"]), "short.parquet")
    assert main(tokens) == 2
    assert said in capsys.readouterr().err
