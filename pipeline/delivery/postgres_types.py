"""What each column of a table is in PostgreSQL: its type there, and the Arrow type that is sent."""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from pipeline.arrow_types import arrow_text
from pipeline.errors import DeliveryError

MAX_NAME_BYTES = 63
"""PostgreSQL cuts longer names off, and says so only in a notice."""

_TYPES: tuple[tuple[Callable[[pa.DataType], bool], str, pa.DataType], ...] = (
    (pt.is_boolean, "boolean", pa.bool_()),
    (lambda t: t in (pa.int8(), pa.int16(), pa.uint8()), "smallint", pa.int16()),
    (lambda t: t in (pa.int32(), pa.uint16()), "integer", pa.int32()),
    (lambda t: t in (pa.int64(), pa.uint32(), pa.uint64()), "bigint", pa.int64()),  # no table has more than 2^63 - 1
    (lambda t: t in (pa.float16(), pa.float32()), "real", pa.float32()),
    (pt.is_float64, "double precision", pa.float64()),
    (lambda t: pt.is_string(t) or pt.is_large_string(t) or pt.is_dictionary(t), "text", pa.string()),
    (pt.is_null, "text", pa.string()),
    (pt.is_date, "date", pa.date32()),
    (lambda t: pt.is_timestamp(t) and t.tz is None, "timestamp without time zone", pa.timestamp("us")),
    (pt.is_timestamp, "timestamp with time zone", pa.timestamp("us", "UTC")),
    (pt.is_duration, "interval", pa.duration("us")),
)


def postgres_type(arrow_type: pa.DataType) -> str:
    """Return the type of a column in PostgreSQL, as `format_type` writes it.

    Example:
        >>> postgres_type(pa.decimal128(10, 2)), postgres_type(pa.uint32()), postgres_type(pa.duration("s"))
        ('numeric(10,2)', 'bigint', 'interval')
    """
    return _sent_as(arrow_type)[0]


def sendable(table: pa.Table) -> pa.Table:
    """Return `table` with the types in which its columns are sent; no value changes.

    Raises:
        DeliveryError: a column has a longer name than PostgreSQL allows, or holds what PostgreSQL cannot: instants
            finer than a microsecond, or the character NUL; names it.

    Example:
        >>> sendable(pa.table({"n": pa.array([1], pa.uint8())})).schema
        n: int16
    """
    long = [name for name in table.column_names if len(name.encode()) > MAX_NAME_BYTES]
    if long:
        rule = f"a column's name has at most {MAX_NAME_BYTES} bytes in PostgreSQL"
        raise DeliveryError(rule, actual=", ".join(f'"{name}"' for name in long), remedy="rename it in the source")
    return pa.table({name: _sendable(name, table[name]) for name in table.column_names})


def _sendable(name: str, values: pa.ChunkedArray) -> pa.ChunkedArray:
    try:
        sent = values.cast(_sent_as(values.type)[1])
        return _without_nul(name, sent) if pt.is_string(sent.type) else sent
    except pa.ArrowException:  # its text quotes the value
        rule = f'column "{name}" must hold what PostgreSQL can: instants and durations in whole microseconds'
        remedy = "cast the column in the source"
        raise DeliveryError(rule, actual=f"other values of {arrow_text(values.type)}", remedy=remedy) from None


def _without_nul(name: str, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    if pc.any(pc.match_substring(texts, "\0")).as_py():
        remedy = "replace it in the source"
        raise DeliveryError(f'column "{name}" must hold no NUL character', actual="at least one", remedy=remedy)
    return texts


def _sent_as(arrow_type: pa.DataType) -> tuple[str, pa.DataType]:
    if pt.is_decimal128(arrow_type):
        return f"numeric({arrow_type.precision},{arrow_type.scale})", arrow_type
    found = next(((text, sent) for holds, text, sent in _TYPES if holds(arrow_type)), None)
    if found is None:
        raise DeliveryError("PostgreSQL must have a type for every column", actual=arrow_text(arrow_type))
    return found
