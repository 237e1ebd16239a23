"""Write a table for others to read: Parquet, or CSV that is safe to open in a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from pipeline.arrow_types import family

FORMULA_LEADS = "=+-@\t\r\n"
"""A spreadsheet takes a cell that begins with one of these for a formula (OWASP, "CSV Injection")."""


def write_parquet(table: pa.Table, path: str | Path) -> None:
    """Write a table as one Parquet file; `read` gives back the same table.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_parquet(pa.table({"n": [1, None]}), f"{folder}/n.parquet")
        ...     pyarrow.parquet.read_table(f"{folder}/n.parquet")["n"].to_pylist()
        [1, None]
    """
    pyarrow.parquet.write_table(table, path, compression="zstd")


def write_csv(table: pa.Table, path: str | Path, *, spreadsheet_safe: bool = False) -> None:
    """Write a table as UTF-8 CSV: text is quoted, a missing cell is empty and not quoted, an empty text is "".

    Times that have a zone are written in UTC: before 1900 local clocks were off by seconds, and no offset can say so.

    Arguments:
        table: the table.
        path: where to write it.
        spreadsheet_safe: put an apostrophe before names and texts that a spreadsheet would take for a formula; this
            changes them, so `read` gives them back with the apostrophe.

    Example:
        >>> import tempfile
        >>> table = pa.table({"note": ["=1+1", "", None], "n": [-1, 0, 1]})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_csv(table, f"{folder}/n.csv", spreadsheet_safe=True)
        ...     print(Path(f"{folder}/n.csv").read_text())
        "note","n"
        "'=1+1",-1
        "",0
        ,1
        <BLANKLINE>
    """
    columns = [_plain(table[i]) for i in range(table.num_columns)]
    names = table.column_names
    if spreadsheet_safe:
        columns = [_escape(values) if family(values.type) == "string" else values for values in columns]
        names = _escape(pa.array(names, pa.string())).to_pylist()
    pyarrow.csv.write_csv(pa.table(columns, names=names), path)


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the words of a dictionary, the moments of times with a zone in UTC, and all else as it is."""
    if pa.types.is_timestamp(values.type) and values.type.tz is not None:
        return values.cast(pa.timestamp(values.type.unit, "UTC"))
    return values.cast(values.type.value_type) if family(values.type) == "dictionary" else values


def _escape(texts: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    return pc.replace_substring_regex(texts, f"^([{FORMULA_LEADS}])".replace("+-", "+\\-"), r"'\1")
