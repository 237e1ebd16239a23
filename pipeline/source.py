"""Read records from a file, a DataFrame or a database: an Arrow table and its fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator

from pipeline.columnar import read_feather, read_frame, read_parquet
from pipeline.config import Config
from pipeline.conform import conform
from pipeline.delimited import read_delimited
from pipeline.errors import ConfigError, SourceError
from pipeline.fingerprint import fingerprint
from pipeline.schema import Schema, refuse_repeated_names, refuse_unsupported
from pipeline.sql import read_query
from pipeline.text_types import type_text

__all__ = ["Source", "SourceConfig", "fingerprint", "read"]

_DELIMITED = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_PARQUET = (".parquet", ".pq")
_FEATHER = (".feather", ".arrow", ".ipc")


class SourceConfig(Config):
    """Where the records are, and how their text is written.

    Attributes:
        path: a file, a folder of Parquet files, or a pattern such as "day-*.parquet".
        uri: a database, "sqlite:///file.db" or "postgresql://user:password@host/name"; needs `query`.
        query: the SQL query whose rows are the table.
        delimiter: the character between cells of a text file; None: detected among comma, semicolon, tab and bar.
        encoding: the encoding of a text file; a byte order mark in the file wins.
        null_values: what an unquoted cell of a text file holds if it is missing.

    Example:
        >>> SourceConfig(path="people.csv", null_values=("", "NA")).delimiter is None
        True
    """

    # The uri holds credentials: no validation error and no repr may repeat it.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    path: str | None = None
    uri: str | None = Field(default=None, repr=False)
    query: str | None = None
    delimiter: str | None = None
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'):
            remedy = 'use for instance ";" or a tab'
            raise ConfigError("a delimiter is one ASCII character", actual=repr(delimiter), remedy=remedy)
        return delimiter


@dataclass(frozen=True)
class Source:
    """A table and what identifies its content.

    Attributes:
        table: the records.
        fingerprint: the sha256, in hex, of schema and values; the same whatever the table was stored in.
    """

    table: pa.Table
    fingerprint: str


def read(source: str | Path | SourceConfig | pd.DataFrame | pa.Table, *, schema: Schema | None = None) -> Source:
    """Read a table, and bring it to the types of `schema` where one is given.

    Raises:
        SourceError: the records cannot be read.
        SchemaError: a column name is used twice, a column is of a type that no table may have, or the table does not
            fit `schema`.
        ConfigError: the source is not declared as one.

    Example:
        >>> frame = pd.DataFrame({"age": [36, 41], "smoker": [True, False]})
        >>> read(frame).table.schema
        age: int64
        smoker: bool
    """
    table = _load(source, typed=schema is None)
    refuse_repeated_names(table.column_names)
    refuse_unsupported(table)
    if table.num_rows == 0 or table.num_columns == 0:
        actual = f"{table.num_rows} rows and {table.num_columns} columns"
        raise SourceError("a table needs rows and columns", actual=actual, remedy="check the source or its query")
    table = table.replace_schema_metadata(None)
    if schema is not None:
        table = conform(table, schema)
    return Source(table, fingerprint(table))


def _load(source: str | Path | SourceConfig | pd.DataFrame | pa.Table, *, typed: bool) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pd.DataFrame):
        return read_frame(source)
    config = source if isinstance(source, SourceConfig) else SourceConfig(path=str(source))
    if config.uri is not None:
        return _read_database(config)
    if config.path is None:
        raise ConfigError("a source needs a path or a uri", actual="neither", remedy="declare one of them")
    return _read_path(config.path, config, typed=typed)


def _read_database(config: SourceConfig) -> pa.Table:
    if config.path is not None or config.query is None or config.uri is None:
        actual = "a path too" if config.path is not None else "no query"
        raise ConfigError("a database uri needs a query, and no path", actual=actual, remedy="declare uri and query")
    return read_query(config.uri, config.query)


def _read_path(path: str, config: SourceConfig, *, typed: bool) -> pa.Table:
    if "://" in path or path.startswith("sqlite:"):
        remedy = "declare it as uri, together with a query"
        raise ConfigError("a path is no database uri", actual="a uri", remedy=remedy)
    name = path.lower()
    if Path(path).is_dir() or name.endswith(_PARQUET):
        return read_parquet(path)
    if name.endswith(_FEATHER):
        return read_feather(path)
    if not name.endswith(_DELIMITED):
        known = ", ".join(_DELIMITED + _PARQUET + _FEATHER)
        raise SourceError(f'the format of "{path}" is unknown', actual="another ending", remedy=f"use one of {known}")
    text = read_delimited(
        Path(path), delimiter=config.delimiter, encoding=config.encoding, null_values=config.null_values
    )
    return pa.table({name: type_text(text[name]) for name in text.column_names}) if typed else text
