"""Read the result of a SQL query through ADBC: SQLite built in, PostgreSQL with the `db` extra."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import MAX_DECIMAL_DIGITS
from pipeline.database import connect, database_errors, is_postgresql
from pipeline.errors import SourceError
from pipeline.schema import refuse_repeated_names

SQLITE_ROWS_LOOKED_AT = 65_536
"""SQLite types values, not columns: the driver takes a column's type from the rows of its first batch."""

_INTERVAL = np.dtype([("months", "<i4"), ("days", "<i4"), ("nanoseconds", "<i8")])
_DAY_US = 86_400_000_000


def read_query(uri: str, query: str) -> pa.Table:
    """Return the rows of `query`. No message tells anything of `uri` but its scheme.

    Raises:
        SourceError: the scheme is unknown, the driver is not installed, or the database refuses.

    Example:
        >>> read_query("sqlite::memory:", "SELECT 1 AS n").to_pylist()
        [{'n': 1}]
    """
    table = _fetch(connect(uri, SourceError), query, uri)
    refuse_repeated_names(table.column_names)
    return pa.table({name: _plain(name, table[name]) for name in table.column_names}) if table.num_columns else table


def _fetch(connection: Any, query: str, uri: str) -> pa.Table:
    with database_errors(SourceError, "the query fails", uri), connection, connection.cursor() as cursor:
        if not is_postgresql(uri):
            cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(SQLITE_ROWS_LOOKED_AT)})
        cursor.execute(query)
        return cursor.fetch_arrow_table()


def _plain(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return what PostgreSQL has and a table has not, NUMERIC and INTERVAL, as the type that is nearest."""
    if isinstance(values.type, pa.OpaqueType) and values.type.type_name == "numeric":
        return _plain_numbers(values.cast(pa.string()))
    if values.type == pa.month_day_nano_interval():
        return pa.chunked_array([_duration(name, chunk) for chunk in values.chunks], pa.duration("us"))
    return values


def _plain_numbers(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return NUMERIC, which arrives as text, as a decimal, or as float64 where it does not fit."""
    scale = pc.max(pc.utf8_length(pc.replace_substring_regex(text, r"^[^.]*\.?", ""))).as_py() or 0
    try:
        return text.cast(pa.decimal128(MAX_DECIMAL_DIGITS, min(scale, MAX_DECIMAL_DIGITS)))
    except pa.ArrowException:  # more than 18 digits, or NaN
        return text.cast(pa.float64())


def _duration(name: str, intervals: pa.Array) -> pa.Array:
    """Return intervals as durations, a day taken as 24 hours; a month has no length of its own."""
    missing = np.asarray(intervals.is_null())
    parts = np.frombuffer(intervals.buffers()[1], _INTERVAL)[intervals.offset :][: len(intervals)]
    if (parts["months"][~missing] != 0).any():
        remedy = "compute the days between two dates in the query instead"
        raise SourceError(f'an interval of months has no fixed length, as in column "{name}"', remedy=remedy)
    microseconds = parts["days"].astype(np.int64) * _DAY_US + parts["nanoseconds"] // 1_000
    return pa.array(microseconds, pa.int64(), mask=missing).cast(pa.duration("us"))
