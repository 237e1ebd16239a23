"""Read a delimited text file (CSV, TSV, gzip'd or not) as a table of nothing but text."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal

import pyarrow as pa
import pyarrow.csv

from pipeline.errors import SourceError
from pipeline.schema import refuse_repeated_names

DELIMITERS = ",;\t|"
"""The delimiters that are recognised; others must be declared."""

SAMPLE_CHARACTERS = 65_536
MAX_RATIO, HARMLESS_BYTES = 100, 64 * 2**20
"""How much a gzip file may grow; a smaller result may be of any ratio."""

BLOCK_BYTES = 64 * 2**20  # one cell must fit into a block
_BOMS = (  # the mark of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_delimited(
    path: Path, *, delimiter: str | None, encoding: str, null_values: tuple[str, ...], max_bytes: int
) -> pa.Table:
    r"""Read a delimited file; every column is a string column.

    A cell is missing if it stands unquoted and is one of `null_values`; a quoted cell is always text.

    Raises:
        SourceError: the file is missing, empty, damaged, in another encoding or ragged; the message names the line. Or
            it has more than `max_bytes`, unpacked, or is a gzip file that grows more than a hundredfold.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder) / "people.csv"
        ...     _ = path.write_text('name,age\nAda,36\n"",\n')
        ...     read_delimited(path, delimiter=None, encoding="utf-8", null_values=("",), max_bytes=99).to_pylist()
        [{'name': 'Ada', 'age': '36'}, {'name': '', 'age': None}]
    """
    data = _utf8(_bytes(path, max_bytes), path, encoding)
    sample = data[: 4 * SAMPLE_CHARACTERS].decode(errors="ignore")[:SAMPLE_CHARACTERS]
    if not sample.strip():
        raise SourceError(f'"{path}" is empty', actual=f"{len(data)} bytes", remedy="check what writes the file")
    delimiter = delimiter or _detect_delimiter(sample)
    names, n_bytes = _header(data, path, delimiter)
    ragged: list[int] = []
    body = memoryview(data)[n_bytes:]
    if bytes(body[:3]) == codecs.BOM_UTF8:  # of the first cell; Arrow takes one away
        body = memoryview(codecs.BOM_UTF8 + body)
    table = _parse(body, path, names, delimiter, null_values, ragged) if body else None
    if ragged:
        raise _ragged(data, path, names, delimiter)
    if table is None or table.num_rows == 0:
        raise SourceError(f'"{path}" has a header but no rows', remedy="check what writes the file")
    return table


def _bytes(path: Path, max_bytes: int) -> bytes:
    if path.exists() and not path.is_file():
        raise SourceError(f'"{path}" cannot be read', actual="no plain file", remedy="name a file")
    try:
        with path.open("rb") as file:
            if file.peek(2)[:2] == b"\x1f\x8b":
                return _unpacked(file, path, max_bytes)
            _refuse_larger(path, path.stat().st_size, max_bytes)
            return file.read()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        remedy = "copy or write it again; it may have been cut off"
        raise SourceError(f'"{path}" is a damaged gzip file', actual=str(error), remedy=remedy) from error
    except OSError as error:
        raise SourceError(f'"{path}" cannot be read', actual=str(error.strerror), remedy="check the path") from error


def _unpacked(file: BinaryIO, path: Path, max_bytes: int) -> bytes:
    """Unpack a gzip file bit by bit, for what it will grow to is written nowhere that can be believed."""
    most = min(max_bytes, max(HARMLESS_BYTES, MAX_RATIO * path.stat().st_size))
    parts, size_bytes = [], 0
    with gzip.GzipFile(fileobj=file) as packed:
        while part := packed.read(2**20):
            parts.append(part)
            size_bytes += len(part)
            if size_bytes > most:
                rule = f"a gzip file grows at most {MAX_RATIO}-fold, and to {max_bytes:,} bytes (source.max_bytes)"
                remedy = "unpack it yourself if it is no forgery, or raise the limit"
                raise SourceError(rule, actual=f'"{path}", which grows to more than {most:,} bytes', remedy=remedy)
    return b"".join(parts)


def _refuse_larger(path: Path, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        rule, remedy = f"a text file has at most {max_bytes:,} bytes (source.max_bytes)", "raise the limit"
        raise SourceError(rule, actual=f'"{path}", which has more', remedy=remedy)


def _utf8(data: bytes, path: Path, encoding: str) -> bytes:
    """Return the text as UTF-8 without a byte order mark; such a mark declares the encoding by itself."""
    encoding = next((name for bom, name in _BOMS if data.startswith(bom)), encoding)
    try:
        return data.decode(encoding).encode()
    except LookupError as error:
        remedy = 'use a name that Python knows, for instance "utf-8" or "latin-1"'
        raise SourceError("the encoding is unknown", actual=f'"{encoding}"', remedy=remedy) from error
    except UnicodeError as error:
        line = data.count(b"\n", 0, error.start) + 1 if isinstance(error, UnicodeDecodeError) else "?"
        remedy = 'declare the encoding, for instance encoding="latin-1" or "cp1252"'
        rule = f'"{path}" is not {encoding} text'
        raise SourceError(rule, actual=f"other bytes in line {line}", remedy=remedy) from None


def _records(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _detect_delimiter(sample: str) -> str:
    """Return the delimiter that cuts the most records alike, and of those the one that cuts the most cells."""
    return max(DELIMITERS, key=lambda delimiter: _agreement(sample, delimiter))


def _agreement(sample: str, delimiter: str) -> tuple[bool, int]:
    try:
        widths = [len(record) for record in _records(sample, delimiter) if record]
    except csv.Error:
        return False, 0
    cut = len(sample) == SAMPLE_CHARACTERS  # then the sample may end within its last record
    complete = widths[:-1] if cut and len(widths) > 1 else widths
    return len(set(complete)) == 1 and widths[0] > 1, widths[0]


def _header(data: bytes, path: Path, delimiter: str) -> tuple[list[str], int]:
    """Return the names and how many bytes they take: Arrow, told to skip a long header, skips a row with it."""
    taken: list[str] = []

    def lines() -> Iterator[str]:
        for line in io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline=""):
            taken.append(line)
            yield line

    try:
        names = next(csv.reader(lines(), delimiter=delimiter))
    except (csv.Error, TypeError) as error:
        remedy = "declare a delimiter of one character, and check the header"
        raise SourceError(f'the header of "{path}" cannot be read', actual=str(error), remedy=remedy) from error
    blank = [i for i, name in enumerate(names, start=1) if not name.strip()]
    if blank or not names:
        actual = f"none in place {blank[0]}" if blank else "a blank line"
        remedy = "begin the file with a header line, and leave out a nameless index column"
        raise SourceError(f'every column of "{path}" needs a name', actual=actual, remedy=remedy)
    refuse_repeated_names(names)
    return names, sum(len(line.encode()) for line in taken)


def _parse(
    body: memoryview, path: Path, names: list[str], delimiter: str, null_values: tuple[str, ...], ragged: list[int]
) -> pa.Table:
    def note(row: pyarrow.csv.InvalidRow) -> Literal["skip"]:
        ragged.append(row.actual_columns)
        return "skip"

    try:
        return pyarrow.csv.read_csv(
            pa.BufferReader(pa.py_buffer(body)),
            pyarrow.csv.ReadOptions(column_names=names, block_size=BLOCK_BYTES),
            pyarrow.csv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                ignore_empty_lines=len(names) > 1,  # in a single column, an empty line is a missing cell
                invalid_row_handler=note,
            ),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=null_values,
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowException, ValueError) as error:
        actual, remedy = str(error).partition("\n")[0], "mend the file; a cell may be too long or not end"
        raise SourceError(f'"{path}" cannot be read as delimited text', actual=actual, remedy=remedy) from None


def _ragged(data: bytes, path: Path, names: list[str], delimiter: str) -> SourceError:
    reader = csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)
    actual = "rows of other lengths"
    try:
        for record in reader:
            if record and len(record) != len(names):
                actual = f"{len(record)} in the row that ends in line {reader.line_num}"
                break
    except csv.Error:
        actual = f"a cell that does not end, near line {reader.line_num}"
    rule = f'every row of "{path}" needs {len(names)} cells, as its header has'
    return SourceError(rule, actual=actual, remedy="quote cells that hold the delimiter, or declare the delimiter")
