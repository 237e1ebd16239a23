"""Tables that must not leave: a mark in the schema of a table that holds original rows, and what refuses it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet

from .columnar import FEATHER, files_of
from .errors import RefusedError
from .remote import fetched, is_url

MARK = b"tabmint.holds_original_rows"
"""The key in the metadata of an Arrow schema, which Parquet and Arrow files keep; CSV has no place for it."""


def not_shareable(table: pa.Table) -> pa.Table:
    """Return the table with the mark that it holds original rows.

    Example:
        >>> holds_original_rows(not_shareable(pa.table({"n": [1]})).schema)
        True
    """
    return table.replace_schema_metadata({**(table.schema.metadata or {}), MARK: b"true"})


def holds_original_rows(schema: pa.Schema) -> bool:
    """Return whether a table of this schema carries the mark."""
    return MARK in (schema.metadata or {})


def refuse_original_rows(path: str | Path) -> None:
    """Refuse a file, folder, pattern or URL with a Parquet or Arrow file that carries the mark.

    What is not there, or is no such file, carries none.

    Raises:
        RefusedError: one does.
        SourceError, ConfigError: the URL cannot be read.

    Example:
        >>> pyarrow.parquet.write_table(not_shareable(pa.table({"n": [1]})), "augmented.parquet")
        >>> refuse_original_rows("augmented.parquet")
        Traceback (most recent call last):
        pipeline.errors.RefusedError: a table that holds original rows is not shared; found "augmented.parquet"; share \
synthetic rows alone
    """
    if is_url(str(path)):
        with fetched(str(path), {}) as copy:
            refuse_original_rows(copy)
        return
    for file in files_of(str(path)):
        if holds_original_rows(_schema_of(file)):
            rule, remedy = "a table that holds original rows is not shared", "share synthetic rows alone"
            raise RefusedError(rule, actual=f'"{file}"', remedy=remedy)


def _schema_of(file: str) -> pa.Schema:
    """Return the schema that a file tells, an empty one where it tells none."""
    try:
        if file.lower().endswith(FEATHER):
            with pyarrow.ipc.open_file(file) as reader:
                return reader.schema
        return pyarrow.parquet.read_schema(file)
    except (OSError, pa.ArrowException):
        return pa.schema([])
