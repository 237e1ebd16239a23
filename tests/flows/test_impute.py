"""`tabmint impute`, from a table with gaps to the filled files."""

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from flows.cli import main
from pipeline.errors import RefusedError
from pipeline.shareable import refuse_original_rows


@pytest.fixture
def gaps(people):
    """Forty people, of whom every third has no age and every fourth no city."""
    missing = {"age": 3, "city": 4}
    table = people.slice(0, 40)
    for name, every in missing.items():
        cells = [None if i % every == 0 else cell for i, cell in enumerate(table[name].to_pylist())]
        table = table.set_column(table.column_names.index(name), name, pa.array(cells, table[name].type))
    return table


@pytest.fixture
def here(config_path, gaps, monkeypatch):
    monkeypatch.chdir(config_path.parent)
    pq.write_table(gaps, "gaps.parquet")
    assert main(["fit", "people.parquet", "--generator", "independent", "-o", "people.model"]) == 0
    return config_path.parent


def test_one_table_and_the_bounds_are_written(here, gaps, capsys):
    capsys.readouterr()
    tokens = ["impute", "gaps.parquet", "--model", "people.model", "-o", "filled.parquet", "--intervals", "bounds.csv"]
    assert main([*tokens, "--seed", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["filled"] == {"city": 10, "age": 14, "income": 2} and facts["output"] == ["filled.parquet"]
    filled = pq.read_table("filled.parquet")
    for name in ("age", "city"):
        assert filled[name].null_count == 0
        assert filled[name].filter(gaps[name].is_valid()).equals(gaps[name].drop_null())
    bounds = pa.csv.read_csv("bounds.csv")
    assert bounds.column_names == ["age (low)", "age (high)", "income (low)", "income (high)"]
    assert bounds.num_rows == 40 and bounds["age (low)"].null_count == 40 - 14
    assert main([*tokens, "--seed", "1"]) == 0
    assert pq.read_table("filled.parquet").equals(filled)


def test_a_csv_is_read_in_the_types_of_the_model(here, gaps):
    pa.csv.write_csv(gaps, "gaps.csv")
    assert main(["impute", "gaps.csv", "--model", "people.model", "-o", "filled.parquet"]) == 0
    filled = pq.read_table("filled.parquet")
    assert filled.schema.equals(gaps.schema) and filled["age"].null_count == 0


def test_what_is_filled_is_marked_as_holding_original_rows(here):
    assert main(["impute", "gaps.parquet", "--model", "people.model", "-o", "filled.parquet"]) == 0
    with pytest.raises(RefusedError):
        refuse_original_rows("filled.parquet")


def test_every_draw_is_written_and_a_table_is_learned_on_the_spot(here, capsys):
    tokens = ["impute", "gaps.parquet", "--generator", "independent", "-o", "filled.parquet"]
    assert main([*tokens, "--multiple", "--imputations", "2", "--column", "age"]) == 0
    assert "city: 10 cells stay missing" in capsys.readouterr().out
    first, second = (pq.read_table(f"filled-{i}.parquet") for i in (1, 2))
    assert first["age"].null_count == 0 and not first["age"].equals(second["age"])
    assert not (here / "filled.parquet").exists() and not (here / "filled-3.parquet").exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--imputations", "18", "--intervals", "bounds.csv"], "19 imputations"),
        (["--multiple", "--imputations", "1"], "2 imputations"),
        (["--column", "height"], '"height"'),
        (["--intervals", "bounds.xlsx"], "bounds.xlsx"),
        (["--output", "filled.csv"], "filled.csv"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(here, capsys, extra, said):
    capsys.readouterr()
    output = [] if "--output" in extra else ["-o", "filled.parquet"]
    assert main(["impute", "gaps.parquet", "--model", "people.model", *output, *extra]) == 2
    assert said in capsys.readouterr().err and not list(here.glob("filled*"))


def test_a_model_that_is_not_there_is_refused(here, capsys):
    assert main(["impute", "gaps.parquet", "-o", "filled.parquet", "--model", "none.model"]) == 2
    assert "none.model" in capsys.readouterr().err
