"""Every hostile table is refused in plain words or goes the whole way without a changed value; see `hostile_walk`."""

import os

import pyarrow as pa
import pytest

from pipeline.errors import SchemaError
from pipeline.inference import infer
from pipeline.levels import with_proper_levels
from pipeline.schema import Constant, Schema
from pipeline.sink import write_csv, write_parquet
from pipeline.source import SourceConfig, load, read
from tests.faults.hostile_tables import hostile_table, walk_all
from tests.faults.hostile_walk import same

LONGEST_S = 10
N_TABLES = 10_000 if os.environ.get("TABMINT_FAULTS") == "long" else 1_000
PARTS = 4


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_no_hostile_table_raises_an_unforeseen_error_or_changes_a_value(part, record_property):
    each = N_TABLES // PARTS
    counts = walk_all(range(part * each, (part + 1) * each))
    record_property("counts", counts.row())
    assert counts.outcomes.total() == each
    assert counts.outcomes["accepted"] > each / 3, counts.row()
    assert set(counts.outcomes) >= {"accepted", "SourceError", "SchemaError", "DataError"}
    assert counts.slowest_s < LONGEST_S


def test_the_same_number_is_the_same_hostile_table():
    assert all(hostile_table(number).content == hostile_table(number).content for number in range(20))


def text_file(folder, content):
    path = folder / "table.csv"
    path.write_bytes(content)
    return load(SourceConfig(path=str(path), delimiter=","))


@pytest.mark.parametrize("name", ["x" * 10_000, "a\0", "a\nb", "é" * 70_000])
def test_no_row_is_lost_below_a_strange_header(tmp_path, name):
    found = text_file(tmp_path, f'"{name}",b\n1,2\n3,4\n'.encode())
    assert found.table.column_names == [name, "b"]
    assert found.table["b"].to_pylist() == ["2", "4"]


def test_a_mark_in_the_first_cell_below_the_header_stays(tmp_path):
    assert text_file(tmp_path, "a,b\n\ufeff,\ufeff\n".encode()).table.to_pylist() == [{"a": "\ufeff", "b": "\ufeff"}]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_declares_its_encoding(tmp_path, encoding):
    assert text_file(tmp_path, "a,b\n1,é\n".encode(encoding)).table.to_pylist() == [{"a": "1", "b": "é"}]


def odd_levels():
    indices = pa.array([0, 1, None, 2, 3], pa.int8())
    return pa.table({"x": pa.DictionaryArray.from_arrays(indices, pa.array(["a", None, "a", "b"]), ordered=True)})


def test_a_missing_level_is_a_missing_cell_and_equal_levels_are_one(tmp_path):
    table = with_proper_levels(odd_levels())
    assert table["x"].to_pylist() == odd_levels()["x"].to_pylist()
    assert table["x"].null_count == 2
    assert table["x"].chunk(0).dictionary.to_pylist() == ["a", "b"]
    assert table.schema == odd_levels().schema
    assert infer(load(odd_levels()).table).columns[0].nullable
    write_parquet(load(odd_levels()).table, tmp_path / "written.parquet")


@pytest.mark.parametrize(
    "values",
    [
        pa.array([2**63 - 1] * 30, pa.int64()).cast(pa.duration("us")),
        pa.array([1.5] * 30, pa.float64()).cast(pa.float16()),
        pa.array([float("nan")] * 30, pa.float64()).cast(pa.float16()),
    ],
)
def test_a_constant_of_any_type_fits_the_schema_that_it_gave(values):
    table = pa.table({"x": values})
    schema = infer(table)
    assert isinstance(schema.columns[0], Constant)
    schema.validate_table(table)
    with pytest.raises(SchemaError, match="different from the constant"):
        Schema(columns=(schema.columns[0].model_copy(update={"value": 1}),)).validate_table(table)


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63), 2**60])
def test_times_that_no_release_can_hold_are_refused_when_they_are_read(seconds):
    table = pa.table({"x": pa.array([0, seconds], pa.int64()).cast(pa.timestamp("s", "UTC"))})
    with pytest.raises(SchemaError, match='column "x" holds times beyond'):
        load(table)


def test_a_csv_keeps_the_seconds_of_old_local_clocks(tmp_path):
    moments = pa.array([-62_135_596_800_000, 0, None], pa.int64()).cast(pa.timestamp("ms", "Asia/Kathmandu"))
    table = pa.table({"x": moments})
    write_csv(table, tmp_path / "x.csv")
    same(table, read(tmp_path / "x.csv", schema=infer(table)).table)
