from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.sink import write_csv, write_parquet
from pipeline.source import fingerprint, read


def lines(table: pa.Table, path: Path, *, spreadsheet_safe: bool) -> list[str]:
    write_csv(table, path, spreadsheet_safe=spreadsheet_safe)
    return path.read_text().splitlines()


@pytest.mark.parametrize("lead", ["=", "+", "-", "@", "\t"])
@pytest.mark.parametrize("arrow_type", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_formulas_in_cells_and_names_are_escaped(lead: str, arrow_type: pa.DataType, tmp_path: Path) -> None:
    table = pa.table({f"{lead}name": pa.array([f"{lead}1", f"a{lead}"]).cast(arrow_type)})
    safe = lines(table, tmp_path / "safe.csv", spreadsheet_safe=True)
    assert safe == [f'"\'{lead}name"', f'"\'{lead}1"', f'"a{lead}"']
    assert lines(table, tmp_path / "plain.csv", spreadsheet_safe=False)[1] == f'"{lead}1"'


@pytest.mark.parametrize("lead", ["\r", "\n"])
def test_leading_line_ends_are_escaped(lead: str, tmp_path: Path) -> None:
    write_csv(pa.table({"x": [f"{lead}=1"]}), tmp_path / "safe.csv", spreadsheet_safe=True)
    assert (tmp_path / "safe.csv").read_bytes() == f'"x"\n"\'{lead}=1"\n'.encode()


def test_negative_numbers_stay_numbers(tmp_path: Path) -> None:
    table = pa.table({"n": [-1, 2], "x": [-0.5, None]})
    assert lines(table, tmp_path / "safe.csv", spreadsheet_safe=True) == ['"n","x"', "-1,-0.5", "2,"]


def test_a_missing_cell_is_no_empty_text(tmp_path: Path) -> None:
    table = pa.table({"x": ["", None, "a"], "y": [1, 2, 3]})
    write_csv(table, tmp_path / "table.csv")
    assert read(tmp_path / "table.csv").table["x"].to_pylist() == ["", None, "a"]


def test_parquet_gives_back_the_same_table(tmp_path: Path) -> None:
    table = pa.table({"x": pa.array(["a", None]).dictionary_encode(), "t": pa.array([0, 1], pa.timestamp("ns", "UTC"))})
    write_parquet(table, tmp_path / "table.parquet")
    again = read(tmp_path / "table.parquet")
    assert again.table.schema.equals(table.schema)
    assert again.fingerprint == fingerprint(table)
