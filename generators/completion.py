"""Rows of which some cells are known: reading what is known, and putting the drawn cells beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.encoded import BoolArray
from pipeline.errors import ConfigError, DataError
from pipeline.schema import Schema, quoted
from pipeline.source import load

Known = Sequence[str] | Mapping[str, Any] | pd.DataFrame
"""The names of columns of which all cells are known, or by column which are, bool **(n_rows,)**."""


def read_incomplete(source: str | Path | pa.Table | pd.DataFrame, schema: Schema) -> pa.Table:
    """Read some of a schema's columns in their types, in which any cell may be missing.

    Raises:
        SourceError: the records cannot be read.
        SchemaError: the table has other columns, or cells that do not fit.
    """
    loaded = load(source)
    kept = (column for column in schema.columns if column.name in loaded.table.column_names)
    nullable = tuple(column.model_copy(update={"nullable": True}) for column in kept)
    return loaded.under(schema.model_copy(update={"columns": nullable}))


def known_cells(table: pa.Table, known: Known, schema: Schema) -> dict[str, BoolArray]:
    """Return which cells are known, bool **(n_rows,)** by column.

    Raises:
        ConfigError: a known column is not in the table, or the cells of a column are not one truth value per row.
        DataError: a cell is missing that is known, in a column that is never missing.
    """
    if isinstance(known, Mapping | pd.DataFrame):
        cells = {str(name): np.asarray(mask) for name, mask in known.items()}
    else:
        cells = {name: np.ones(len(table), np.bool_) for name in known}
    for name, mask in cells.items():
        if name not in table.column_names:
            remedy = f"use columns of the table: {', '.join(quoted(table.column_names))}"
            raise ConfigError("a known column must be in the table", actual=f'"{name}"', remedy=remedy)
        if mask.dtype != np.bool_ or mask.shape != (len(table),):
            rule = f'what is known of column "{name}" must be one truth value per row'
            actual = f"{mask.dtype} of shape {mask.shape} for {len(table)} rows"
            raise ConfigError(rule, actual=actual, remedy="give a boolean for each row")
        _refuse_missing(table, name, mask, schema)
    return cells


def _refuse_missing(table: pa.Table, name: str, mask: BoolArray, schema: Schema) -> None:
    missing = table[name].is_null().to_numpy() & mask
    if missing.any() and not schema.column(name).nullable:
        rule, remedy = f'column "{name}" is declared never missing', "mark its missing cells as not known"
        raise DataError(rule, actual=f"{missing.sum()} known cells that are missing", remedy=remedy)


def put_beside(drawn: pa.Table, table: pa.Table, known: Mapping[str, BoolArray]) -> pa.Table:
    """Return the drawn table with the known cells exactly as they are in `table`."""
    for name in (name for name in drawn.column_names if name in known):
        place, kept = drawn.column_names.index(name), known[name]
        both = pa.chunked_array([table[name].combine_chunks(), drawn[name].combine_chunks()]).combine_chunks()
        rows = np.where(kept, np.arange(len(kept)), np.arange(len(kept)) + len(kept))
        drawn = drawn.set_column(place, drawn.schema.field(place), both.take(pa.array(rows)))
    return drawn
