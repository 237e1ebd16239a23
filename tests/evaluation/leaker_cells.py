"""Cells as numbers and back, and tables with other cells, for the leakers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.columns import Boolean, Categorical, Column, Continuous, Date, Duration, Integer, Timestamp
from pipeline.schema import Schema

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

NUMERIC = (Continuous, Integer, Timestamp, Date, Duration)


def numeric(schema: Schema) -> list[Column]:
    """Return the columns whose values have an order and a distance."""
    return [column for column in schema.columns if isinstance(column, NUMERIC)]


def categorical(schema: Schema) -> list[Column]:
    """Return the columns of levels."""
    return [column for column in schema.columns if isinstance(column, Categorical | Boolean)]


def numbers(cells: pa.ChunkedArray) -> Floats:
    """Return the cells as float64, NaN where missing."""
    if pa.types.is_temporal(cells.type):
        cells = cells.cast(pa.int32() if pa.types.is_date32(cells.type) else pa.int64())
    return np.asarray(cells.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy())


def step_of(column: Column, cells: pa.ChunkedArray) -> float:
    """Return the smallest step of a numeric column: that of its grid, or 1 % of the standard deviation without one."""
    if isinstance(column, Integer):
        return float(column.step)
    if isinstance(column, Continuous):
        known = numbers(cells)
        return 0.01 * float(np.nanstd(known)) if column.decimals is None else 10.0**-column.decimals
    return 1.0


def with_numbers(table: pa.Table, schema: Schema, change: Callable[[str, Floats], Floats]) -> pa.Table:
    """Return the table with changed numbers, on their column's grid and inside its bounds; missing cells stay."""
    for column in numeric(schema):
        old = numbers(table[column.name])
        new = change(column.name, old)
        table = with_cells(table, column.name, cells_of(column, np.where(np.isnan(new), old, new)))
    return table


def cells_of(column: Column, values: Floats) -> pa.Array:
    """Return numbers as cells of the column, on its grid and inside its bounds; NaN is missing."""
    missing = np.isnan(values)
    if isinstance(column, Integer | Continuous):
        values = values.clip(column.minimum, column.maximum)
    if isinstance(column, Continuous):
        rounded = values if column.decimals is None else values.round(column.decimals)
        return pa.array(rounded, pa.float64(), mask=missing).cast(column.arrow_type, safe=False)
    step = column.step if isinstance(column, Integer) else 1
    whole = step * np.where(missing, 0.0, values / step).round().astype(np.int64)
    if pa.types.is_date32(column.arrow_type):
        return pa.array(whole.astype(np.int32), pa.int32(), mask=missing).cast(column.arrow_type)
    return pa.array(whole, pa.int64(), mask=missing).cast(column.arrow_type)


def with_cells(table: pa.Table, name: str, cells: pa.Array | pa.ChunkedArray) -> pa.Table:
    """Return the table with another column of that name."""
    return table.set_column(table.column_names.index(name), table.schema.field(name), cells)


def written(table: pa.Table, name: str, rows: Rows, cells: pa.Array) -> pa.Table:
    """Return the table with `cells` at `rows` of one column."""
    places = np.arange(table.num_rows)
    places[rows] = table.num_rows + np.arange(len(rows))
    return with_cells(table, name, pa.chunked_array([*table[name].chunks, cells], table[name].type).take(places))


def mean_of_known(values: Floats, otherwise: Floats) -> Floats:
    """Return the mean over the last axis of what is known."""
    known = ~np.isnan(values)
    total = np.where(known, values, 0.0).sum(axis=-1)
    return np.divide(total, known.sum(axis=-1), out=otherwise.copy(), where=known.any(axis=-1))
