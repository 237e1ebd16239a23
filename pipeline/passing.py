"""Whether cells still pass into what is declared of their column."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from pipeline.arrow_types import arrow_text, family
from pipeline.columns import (
    Boolean,
    Categorical,
    Column,
    Constant,
    Continuous,
    Date,
    Duration,
    Identifier,
    Integer,
    Text,
    Timestamp,
)
from pipeline.conform import conform
from pipeline.errors import SchemaError
from pipeline.misfits import misfit
from pipeline.schema import Schema


def misses(column: Column, values: pa.ChunkedArray) -> str:
    """Say why the values do not pass into what is declared of the column; an empty text if they do.

    Missing cells, repeated keys and new levels are no matter here.

    Example:
        >>> misses(Integer(name="age", arrow="int64", minimum=0), pa.chunked_array([[3, None, -1]]))
        'no longer is what it is declared, integer: 1 value below the minimum 0, first in row 3'
    """
    if family(values.type) == "float" and family(column.arrow_type) == "integer":
        return f"is {arrow_text(values.type)}, declared {column.arrow}"  # a text file's 3.0 is no whole number
    try:
        passed = brought(column, values)
    except SchemaError as error:
        return error.actual.removeprefix(f'column "{column.name}" ')
    if isinstance(column, Identifier | Categorical):
        return ""
    wrong = misfit(column.model_copy(update={"nullable": True}), passed)
    return f"no longer is what it is declared, {column.kind}: {wrong}" if wrong else ""


def brought(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values in the declared Arrow type.

    Raises:
        SchemaError: not all of them pass unchanged.

    Example:
        >>> brought(Integer(name="age", arrow="int8"), pa.chunked_array([[3, None]])).type
        DataType(int8)
    """
    if values.type == column.arrow_type:
        return values
    return conform(pa.table({column.name: values}), Schema(columns=(_any_of(column),)))[column.name]


def _any_of(column: Column) -> Column:
    """Return a column of the same Arrow type that allows every value of it."""
    base: dict[str, Any] = {"name": column.name, "arrow": column.arrow, "nullable": True}
    match family(column.arrow_type):
        case "integer":
            return Integer(**base)
        case "float" | "decimal":
            return Continuous(**base)
        case "boolean":
            return Boolean(**base)
        case "timestamp":
            return Timestamp(**base)
        case "duration":
            return Duration(**base)
        case "date":
            return Date(**base)
        case "null":
            return Constant(**base)
        case _:
            return Text(**base)
