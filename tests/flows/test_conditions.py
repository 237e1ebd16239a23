"""Conditions, margins and changes as commands take them, up to the tables that come of them."""

import pyarrow.parquet as pq
import pytest

from flows.cli import main
from flows.conditions import parse_changes, parse_conditions, read_margins
from generators import TabularGenerator, generator_config
from pipeline.errors import ConfigError
from pipeline.shareable import holds_original_rows
from tests.generators.tables import people


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "model"
    TabularGenerator(generator_config("independent")).fit(people()).save(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["origin"], "column=value, column>=value or column<=value; found 'origin'"),
        (["month>=6", "month>=7"], "one bound \">=\"; found 'month>=7'"),
        (["month>=6", "month=7"], "values or bounds; found both for month"),
    ],
)
def test_a_text_that_is_no_condition_is_refused(texts, words):
    with pytest.raises(ConfigError, match=words):
        parse_conditions(texts)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sex", "must be a TOML file"),
        ("sex = 1", 'the margin of "sex" must be shares by value; found 1'),
        ('sex = {f = "half"}', 'the margin of "sex" must be shares'),
        ("", "must name a column"),
    ],
)
def test_a_file_without_shares_is_refused(tmp_path, text, words):
    (tmp_path / "shares.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_margins(tmp_path / "shares.toml")


def test_a_change_needs_a_value_and_a_column_has_one():
    for texts in (["sex"], ["sex=f", "sex=m"]):
        with pytest.raises(ConfigError, match="column=value, and a column has one"):
            parse_changes(texts)


def test_rows_are_drawn_under_bounds_and_values(model, tmp_path):
    output = tmp_path / "drawn.parquet"
    command = ["sample", model, "--rows", "50", "-o", str(output), "--condition", "age>=30", "--condition", "age<=40"]
    assert main([*command, "--condition", "city=Oslo", "--condition", "city=Rome"]) == 0
    drawn = pq.read_table(output)
    assert all(30 <= age <= 40 for age in drawn["age"].to_pylist())
    assert set(drawn["city"].to_pylist()) == {"Oslo", "Rome"} and not holds_original_rows(drawn.schema)


def test_rows_are_drawn_with_margins(model, tmp_path):
    (tmp_path / "shares.toml").write_text("city = {Oslo = 1, Rome = 3}\nsmoker = {true = 1, false = 1}")
    output = tmp_path / "drawn.parquet"
    assert main(["sample", model, "--rows", "80", "-o", str(output), "--margins", str(tmp_path / "shares.toml")]) == 0
    drawn = pq.read_table(output)
    assert drawn["city"].to_pylist().count("Rome") == 60 and drawn["smoker"].to_pylist().count(True) == 40


def test_only_one_way_to_say_what_is_wanted(model, tmp_path, capsys):
    command = ["sample", model, "--rows", "5", "-o", str(tmp_path / "drawn.csv"), "--rebalance", "city"]
    assert main([*command, "--condition", "age>=30"]) == 2
    assert "--condition and --rebalance cannot be given together" in capsys.readouterr().err


def test_a_what_if_table_is_written_and_marked(model, tmp_path, capsys):
    pq.write_table(people(4), tmp_path / "rows.parquet")
    output = tmp_path / "others.parquet"
    command = ["what-if", model, str(tmp_path / "rows.parquet"), "--change", "smoker=true", "--redraw", "age", "income"]
    assert main([*command, "--draws", "3", "-o", str(output)]) == 0
    assert "12 rows" in capsys.readouterr().out
    table = pq.read_table(output)
    assert table["smoker"].to_pylist() == [True] * 12 and holds_original_rows(table.schema)
    assert table["city"].to_pylist() == [city for city in people(4)["city"].to_pylist() for _ in range(3)]
    assert main([*command, "-o", str(tmp_path / "others.csv")]) == 2
    assert "must not be shared" in capsys.readouterr().err
