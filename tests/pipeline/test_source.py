from __future__ import annotations

import datetime as dt
import gzip
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import ConfigError, InputError, SchemaError, SourceError
from pipeline.inference import infer
from pipeline.schema import Integer, Schema
from pipeline.sink import write_csv, write_parquet
from pipeline.source import SourceConfig, fingerprint, read
from tests import zoo


@pytest.fixture
def csv(tmp_path: Path) -> Callable[..., pa.Table]:
    """Read a CSV file of the given text."""

    def read_text(text: str | bytes, **config: Any) -> pa.Table:
        path = tmp_path / "table.csv"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read(SourceConfig(path=str(path), **config)).table

    return read_text


def column(cells: list[str], tmp_path: Path) -> pa.ChunkedArray:
    path = tmp_path / "column.csv"
    path.write_text("x,y\n" + "".join(f"{cell},1\n" for cell in cells))
    return read(path).table["x"]


@pytest.mark.parametrize(
    ("cells", "arrow_type", "values"),
    [
        (["1", "-20", ""], pa.int64(), [1, -20, None]),
        ([" 1", "2 "], pa.int64(), [1, 2]),
        (["9223372036854775807", "-9223372036854775808"], pa.int64(), [2**63 - 1, -(2**63)]),
        (["9007199254740993"], pa.int64(), [2**53 + 1]),
        (["9223372036854775808"], pa.string(), ["9223372036854775808"]),
        (["00123", "42"], pa.string(), ["00123", "42"]),
        (["+49", "1"], pa.string(), ["+49", "1"]),
        (["1.5", "2", ".5", "-1e-3"], pa.float64(), [1.5, 2.0, 0.5, -0.001]),
        (["1.5", "inf", "-Infinity"], pa.float64(), [1.5, float("inf"), float("-inf")]),
        (["inf", "nan"], pa.string(), ["inf", "nan"]),
        (["0.5", "9007199254740993"], pa.string(), ["0.5", "9007199254740993"]),
        (["0.5", "1e400"], pa.string(), ["0.5", "1e400"]),
        (["1", "NA"], pa.string(), ["1", "NA"]),
        (["None", "null", ""], pa.string(), ["None", "null", None]),
        (["1", "x"], pa.string(), ["1", "x"]),
        (["1", ""], pa.int64(), [1, None]),
        (["1", '""'], pa.int64(), [1, None]),
        (["a", '""', ""], pa.string(), ["a", "", None]),
        (["True", "FALSE", "true"], pa.bool_(), [True, False, True]),
        (["true", "1"], pa.string(), ["true", "1"]),
        (["2024-02-29", "0001-01-01"], pa.date32(), [dt.date(2024, 2, 29), dt.date(1, 1, 1)]),
        (["2023-02-29"], pa.string(), ["2023-02-29"]),
        (["0000-01-01"], pa.string(), ["0000-01-01"]),
        (["2024-01-01 10:00", "2024-01-01T10:00:01.5"], pa.timestamp("us"), None),
        (["2024-01-01 10:00:00.123456789"], pa.timestamp("ns"), None),
        (["2024-01-01 10:00+02:00", "2024-01-01T08:00:00Z"], pa.timestamp("us", "UTC"), None),
        (["2024-01-01 10:00Z", "2024-01-01 10:00"], pa.string(), None),
        (["", ""], pa.string(), [None, None]),
    ],
)
def test_text_gets_the_type_that_all_of_it_has(
    cells: list[str], arrow_type: pa.DataType, values: list[object] | None, tmp_path: Path
) -> None:
    found = column(cells, tmp_path)
    assert found.type == arrow_type
    if values is not None:
        assert found.to_pylist() == values


def test_times_with_an_offset_become_utc(tmp_path: Path) -> None:
    found = column(["2024-01-01 10:00+02:00", "2024-01-01T08:00:00Z"], tmp_path).to_pylist()
    assert found == [dt.datetime(2024, 1, 1, 8, tzinfo=dt.UTC)] * 2


def test_missing_words_are_declared(csv: Callable[..., pa.Table]) -> None:
    text = 'x,y\n1,NA\n?,"NA"\n3,b\n'
    assert csv(text)["y"].to_pylist() == ["NA", "NA", "b"]
    table = csv(text, null_values=("", "NA", "?"))
    assert table.to_pydict() == {"x": [1, None, 3], "y": [None, "NA", "b"]}


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_detected(delimiter: str, csv: Callable[..., pa.Table]) -> None:
    rows = [["a", "b", "c"], ["1", "2", '"one, two; three|\t"'], ["3", "4", '"two\nlines"']]
    table = csv("\n".join(delimiter.join(row) for row in rows))
    assert table.to_pydict() == {"a": [1, 3], "b": [2, 4], "c": ["one, two; three|\t", "two\nlines"]}


def test_a_delimiter_that_cuts_unequally_is_none(csv: Callable[..., pa.Table]) -> None:
    assert csv("size (s;m;l),n\ns,1\n").column_names == ["size (s;m;l)", "n"]


def test_another_delimiter_is_declared(csv: Callable[..., pa.Table]) -> None:
    assert csv("a:b\n1:2\n", delimiter=":").to_pydict() == {"a": [1], "b": [2]}


@pytest.mark.parametrize("delimiter", ["", ",,", '"', "\n", "é"])
def test_a_delimiter_is_one_plain_character(delimiter: str) -> None:
    with pytest.raises(ConfigError, match="one ASCII character"):
        SourceConfig(path="x.csv", delimiter=delimiter)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_sort_and_quoted_newlines(newline: str, csv: Callable[..., pa.Table]) -> None:
    table = csv(newline.join(["a,b", '"two\nlines",1', '"a ""quote""",2']))
    assert table.to_pydict() == {"a": ["two\nlines", 'a "quote"'], "b": [1, 2]}


def test_a_quoted_newline_may_lie_on_the_end_of_a_block(
    csv: Callable[..., pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.delimited.BLOCK_BYTES", 64)
    cells = [f"{'x' * i}\n\n\n" for i in range(20)]
    assert csv("a,b\n" + "".join(f'"{cell}",1\n' for cell in cells))["a"].to_pylist() == cells


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_declares_the_encoding(encoding: str, csv: Callable[..., pa.Table]) -> None:
    assert csv("näme,🙂\né,1\n".encode(encoding)).to_pydict() == {"näme": ["é"], "🙂": [1]}


def test_another_encoding_is_declared(csv: Callable[..., pa.Table]) -> None:
    data = "name,x\nfirst,1\nJosé,2\n".encode("latin-1")
    assert csv(data, encoding="latin-1")["name"].to_pylist() == ["first", "José"]
    with pytest.raises(SourceError, match=r'not utf-8 text; found other bytes in line 3; .*encoding="latin-1"'):
        csv(data)
    with pytest.raises(SourceError, match="encoding is unknown"):
        csv(data, encoding="klingon")


def test_a_single_column_keeps_its_missing_cells(csv: Callable[..., pa.Table]) -> None:
    assert csv("x\n1\n\n3\n")["x"].to_pylist() == [1, None, 3]


def test_gzip_is_read_and_a_damaged_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "table.csv.gz"
    path.write_bytes(gzip.compress(b"x\n1\n2\n"))
    assert read(path).table["x"].to_pylist() == [1, 2]
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="damaged gzip"):
        read(path)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", SourceError, "is empty"),
        ("\n\n", SourceError, "is empty"),
        ("a,b\n", SourceError, "a header but no rows"),
        ("a,a\n1,2\n", SchemaError, '"a" more than once'),
        (",a\n1,2\n", SourceError, "none in place 1"),
        ("\na,b\n1,2\n", SourceError, "a blank line"),
        ("a,b\n1,2\n1,2,3\n", SourceError, "needs 2 cells, as its header has; found 3 in the row that ends in line 3"),
        ('a,b\n"x\ny",2\n1\n', SourceError, "found 1 in the row that ends in line 4"),
    ],
)
def test_a_file_that_is_no_table_is_refused(
    text: str, error: type[InputError], message: str, csv: Callable[..., pa.Table]
) -> None:
    with pytest.raises(error, match=message) as refused:
        csv(text)
    assert refused.value.remedy


def test_a_ragged_row_is_not_shown(csv: Callable[..., pa.Table]) -> None:
    with pytest.raises(SourceError) as refused:
        csv("a,b\n1,2\nsecret,2,3\n")
    assert "secret" not in str(refused.value)


_HOSTILE = st.text(st.sampled_from("\",;\t|\n\r\x00'a1.-\ufeff é🙂\u2028"), max_size=60)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(_HOSTILE | st.text(max_size=60) | st.binary(max_size=60), st.sampled_from([None, ",", "|"]))
def test_hostile_text_is_a_table_or_an_input_error(
    csv: Callable[..., pa.Table], text: str | bytes, delimiter: str | None
) -> None:
    try:
        data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        table = csv(data, delimiter=delimiter)
    except InputError:
        return
    assert table.num_rows > 0


_CELLS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(_CELLS, _CELLS), min_size=1, max_size=8))
def test_any_text_survives_csv_when_its_type_is_pinned(
    tmp_path: Path, rows: list[tuple[str | None, str | None]]
) -> None:
    table = pa.table(
        {name: pa.array(cells, pa.string()) for name, cells in zip("ab", zip(*rows, strict=True), strict=True)}
    )
    columns = [{"kind": "categorical", "name": name, "arrow": "string", "nullable": True} for name in "ab"]
    write_csv(table, tmp_path / "text.csv")
    again = read(SourceConfig(path=str(tmp_path / "text.csv"), delimiter=","), schema=Schema(columns=columns)).table
    assert again.to_pydict() == table.to_pydict()


@pytest.mark.parametrize("build", zoo.ACCEPTED, ids=lambda build: build.__name__)
def test_a_hard_table_is_the_same_from_every_file(build: Callable[[], pa.Table], tmp_path: Path) -> None:
    table = build()
    schema = infer(table)
    write_csv(table, tmp_path / "table.csv")
    write_parquet(table, tmp_path / "table.parquet")
    pyarrow.feather.write_feather(table, str(tmp_path / "table.feather"))
    sources = [read(tmp_path / f"table.{ending}", schema=schema) for ending in ("csv", "parquet", "feather")]
    assert {source.fingerprint for source in sources} == {fingerprint(table)}
    assert all(source.table.schema.equals(table.schema) for source in sources)


def test_a_pinned_schema_types_text_and_orders_columns(csv: Callable[..., pa.Table], tmp_path: Path) -> None:
    columns = [
        {"kind": "categorical", "name": "code", "arrow": "dictionary<values=string, indices=int8>"},
        {"kind": "continuous", "name": "amount", "arrow": "decimal128(9, 2)"},
        {"kind": "integer", "name": "n", "arrow": "int8", "nullable": True},
        {"kind": "duration", "name": "stay", "arrow": "duration[s]"},
    ]
    csv("n,amount,code,stay\n1,1.50,7,60\n,2,8,61\n")
    table = read(tmp_path / "table.csv", schema=Schema(columns=columns)).table
    assert table.to_pydict() == {
        "code": ["7", "8"],
        "amount": [Decimal("1.50"), Decimal("2.00")],
        "n": [1, None],
        "stay": [dt.timedelta(minutes=1), dt.timedelta(seconds=61)],
    }


def test_text_that_does_not_fit_names_every_column_and_a_row(csv: Callable[..., pa.Table], tmp_path: Path) -> None:
    csv("n,flag,x\n1,true,a\ntwo,yes,b\nthree,false,c\n")
    columns = [
        {"kind": "integer", "name": "n", "arrow": "int64"},
        {"kind": "boolean", "name": "flag", "arrow": "bool"},
        {"kind": "categorical", "name": "x", "arrow": "string"},
    ]
    with pytest.raises(SchemaError) as refused:
        read(tmp_path / "table.csv", schema=Schema(columns=columns))
    message = str(refused.value)
    assert 'column "n" must be int64, and in 2 rows is not, first in row 2' in message
    assert 'column "flag" must be bool, and in 1 rows is not, first in row 2' in message
    assert not any(value in message for value in ("two", "three", "yes", '"x"'))


def test_a_table_passes_to_its_pinned_types_only_without_loss() -> None:
    schema = Schema(columns=(Integer(name="n", arrow="int64"),))
    assert read(pa.table({"n": [1.0, 2.0]}), schema=schema).table["n"].to_pylist() == [1, 2]
    for values in (pa.array([1.5]), pa.array([True]), pa.array([dt.date(2024, 1, 1)])):
        with pytest.raises(SchemaError, match=f'column "n" is {values.type}'.replace("[", r"\[")):
            read(pa.table({"n": values}), schema=schema)
    with pytest.raises(SchemaError, match='"m" is not in the schema'):
        read(pa.table({"n": [1], "m": [2]}), schema=schema)


def test_parquet_is_read_from_a_file_a_folder_and_a_pattern(tmp_path: Path) -> None:
    for day in (2, 1):
        write_parquet(pa.table({"n": [day, day]}), tmp_path / f"day-{day}.parquet")
    assert read(tmp_path / "day-1.parquet").table["n"].to_pylist() == [1, 1]
    assert read(tmp_path).table["n"].to_pylist() == [1, 1, 2, 2]
    assert read(str(tmp_path / "day-*.parquet")).table["n"].to_pylist() == [1, 1, 2, 2]
    write_parquet(pa.table({"m": [1]}), tmp_path / "day-3.parquet")
    with pytest.raises(SourceError, match="the same columns and types"):
        read(tmp_path)


def test_hive_folders_are_columns_of_a_folder_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "site=north").mkdir()
    write_parquet(pa.table({"n": [1]}), tmp_path / "site=north" / "part.parquet")
    assert read(tmp_path).table.to_pydict() == {"n": [1], "site": ["north"]}
    assert read(tmp_path / "site=north" / "part.parquet").table.column_names == ["n"]


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("broken.parquet", "broken.arrow", "table.xlsx"):
        (tmp_path / name).write_bytes(b"PAR1 nothing")
        with pytest.raises(SourceError, match=name):
            read(tmp_path / name)
    for name in ("absent.csv", "absent.parquet", "absent-*.parquet", "absent.arrow", "empty"):
        with pytest.raises(SourceError, match=r"absent|empty"):
            read(str(tmp_path / name))
    with pytest.raises(SourceError, match="rows and columns; found 0 rows"):
        read(zoo.no_rows())


def test_a_source_is_a_path_or_a_database() -> None:
    for config in (SourceConfig(), SourceConfig(uri="sqlite:x"), SourceConfig(uri="sqlite:x", query="q", path="p")):
        with pytest.raises(ConfigError):
            read(config)
    with pytest.raises(ConfigError) as refused:
        read("postgresql://ada:s3cret@host/db")
    assert "s3cret" not in str(refused.value)


def test_a_frame_becomes_a_table_without_its_index() -> None:
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "x": [0.5, None, 1.5],
            "name": ["Ada", None, ""],
            "city": pd.Categorical(["Rome", "Oslo", "Rome"]),
            "seen": pd.to_datetime(["2024-01-01", None, "2024-01-02"], utc=True),
            "maybe": pd.array([1, None, 3], dtype="Int16"),
            "day": [dt.date(2024, 1, 1), None, dt.date(2024, 1, 2)],
        },
        index=[7, 8, 9],
    )
    table = read(frame).table
    assert table.column_names == list(frame.columns)
    kinds = ["int64", "double", "string", "dictionary<values=string, indices=int8, ordered=0>"]
    assert [str(field.type) for field in table.schema][:4] == kinds
    assert table["name"].to_pylist() == ["Ada", None, ""]
    assert table["maybe"].to_pylist() == [1, None, 3]
    assert table["day"].to_pylist() == [dt.date(2024, 1, 1), None, dt.date(2024, 1, 2)]
    assert table.schema.metadata is None


def test_a_frame_with_mixed_columns_or_odd_names_is_refused() -> None:
    mixed = {"a": [1, "secret"], "b": ["x", 2], "c": [2**70, 1], "ok": [1, 2]}
    with pytest.raises(SchemaError) as refused:
        read(pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in mixed.items()}))
    assert all(f'column "{name}"' in str(refused.value) for name in "abc")
    assert '"ok"' not in str(refused.value)
    assert "secret" not in str(refused.value)
    with pytest.raises(SchemaError, match="names must be text; found 0, 1"):
        read(pd.DataFrame([[1, 2]]))
    with pytest.raises(SchemaError, match='"a" more than once'):
        read(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_the_fingerprint_is_of_the_content_alone() -> None:
    table = zoo.every_kind_with_missing_cells()
    expected = fingerprint(table)
    assert fingerprint(pa.concat_tables([table[:10], table[10:11], table[11:]])) == expected
    assert fingerprint(pa.concat_tables([table, table])[len(table) :]) == expected
    assert fingerprint(table.replace_schema_metadata({"a": "b"})) == expected


def test_the_order_of_a_dictionary_does_not_count() -> None:
    first = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["a", "b"]))
    second = pa.DictionaryArray.from_arrays(pa.array([1, 0, None]), pa.array(["b", "a"]))
    assert fingerprint(pa.table({"x": first})) == fingerprint(pa.table({"x": second}))


def test_what_lies_beneath_a_missing_cell_does_not_count() -> None:
    tables = []
    for beneath in (7, 8):
        values = pa.array([1, beneath])
        tables.append(
            pa.table({"x": pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), values.buffers()[1]])})
        )
    assert fingerprint(tables[0]) == fingerprint(tables[1])


def test_slices_and_bit_patterns_do_not_count() -> None:
    texts = pa.array(["before", "a", "b", "after"], pa.large_string())
    assert fingerprint(pa.table({"x": texts[1:3]})) == fingerprint(
        pa.table({"x": pa.array(["a", "b"], pa.large_string())})
    )
    nans = [
        pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(bytes(6) + end)])
        for end in (b"\xf8\x7f", b"\xf8\xff")
    ]
    assert fingerprint(pa.table({"x": nans[0]})) == fingerprint(pa.table({"x": nans[1]}))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"x": [1, 2]}, {"x": [2, 1]}),
        ({"x": [1, 2]}, {"y": [1, 2]}),
        ({"x": [1, 2]}, {"x": [1.0, 2.0]}),
        ({"x": [2**53, None]}, {"x": [2**53 + 1, None]}),
        ({"x": ["", "a"]}, {"x": [None, "a"]}),
        ({"x": ["ab", "c"]}, {"x": ["a", "bc"]}),
        ({"x": [0, 1]}, {"x": [None, 1]}),
        ({"x": [1], "y": [2]}, {"y": [2], "x": [1]}),
        ({"x": [float("nan"), 1.0]}, {"x": [None, 1.0]}),
    ],
)
def test_every_difference_counts(one: dict[str, list[Any]], other: dict[str, list[Any]]) -> None:
    assert fingerprint(pa.table(one)) != fingerprint(pa.table(other))


def test_columns_that_no_table_may_have_are_named_before_anything_is_read_from_them():
    nested = pa.table({"age": [1, 2], "tags": [["a"], ["b"]], "photo": pa.array([b"x", b"y"])})
    with pytest.raises(SchemaError, match=r'"tags".*"photo"'):
        read(nested)
