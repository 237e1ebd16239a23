"""Read records from a file, a DataFrame or a database: an Arrow table and its fingerprint."""

from __future__ import annotations

import datetime
import re
from collections.abc import Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator

from pipeline.columnar import FEATHER, read_columnar, read_frame
from pipeline.config import Config
from pipeline.conform import conform
from pipeline.credentials import UNRECORDED, Secret, names_a_block, recorded_uri, resolve
from pipeline.delimited import read_delimited
from pipeline.errors import ConfigError, SourceError
from pipeline.fingerprint import fingerprint
from pipeline.isolated import read_isolated
from pipeline.levels import with_proper_levels
from pipeline.remote import fetched, is_url
from pipeline.schema import Schema, refuse_repeated_names, refuse_unsupported
from pipeline.sql import read_query
from pipeline.text_types import type_text

__all__ = ["Loaded", "Source", "SourceConfig", "fingerprint", "for_date", "load", "read", "resolved"]

_DELIMITED = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
_PARQUET = (".parquet", ".pq")
MAX_BYTES = 8 * 2**30
_DATE = re.compile(r"(?<!\$)\{date\}")  # ${date} is a variable of the environment


class SourceConfig(Config):
    """Where the records are, and how their text is written.

    Attributes:
        path: a file, a folder of Parquet files, or a pattern such as "day-*.parquet"; here, or at an fsspec URL such as
            "s3://bucket/people/". `{date}` in it stands for the run's date.
        uri: a database, "sqlite:///file.db" or "postgresql://ada:${PASSWORD}@host/name"; needs `query`. Placeholders
            are explained in `pipeline.credentials`.
        query: the SQL query whose rows are the table. `{date}` in it stands for the run's date.
        options: what the file system of a URL is opened with, such as `key`, `secret` and `endpoint_url` of s3.
        delimiter: the character between cells of a text file; None: detected among comma, semicolon, tab and bar.
        encoding: the encoding of a text file; a byte order mark in the file wins.
        null_values: what an unquoted cell of a text file holds if it is missing.
        max_bytes: the largest text, unpacked, and the largest table in memory that is read; more is taken for forged.
        isolated: read Parquet and Feather files in a process of its own, which a forged file may crash; it costs about
            a second.

    Example:
        >>> SourceConfig(path="people.csv", null_values=("", "NA")).delimiter is None
        True
    """

    # The uri and the options hold credentials: no validation error and no repr may repeat them.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    path: str | None = None
    uri: str | None = Field(default=None, repr=False)
    query: str | None = None
    options: dict[str, str] = Field(default_factory=dict, repr=False)
    delimiter: str | None = None
    encoding: str = "utf-8"
    null_values: tuple[str, ...] = ("",)
    max_bytes: int = Field(default=MAX_BYTES, ge=1)
    isolated: bool = True

    @field_validator("delimiter")
    @classmethod
    def _check_delimiter(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and (len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'):
            remedy = 'use for instance ";" or a tab'
            raise ConfigError("a delimiter is one ASCII character", actual=repr(delimiter), remedy=remedy)
        return delimiter

    def recorded(self) -> dict[str, Any]:
        """Return what may be recorded: the scheme of the uri, the last part of the path, the names of options.

        Example:
            >>> SourceConfig(uri="postgresql://ada:s3cret@host/db", query="SELECT 1").recorded()["uri"]
            'postgresql:(not recorded)'
        """
        path = Path(self.path).name if self.path else self.path
        options = dict.fromkeys(self.options, UNRECORDED)
        return {**self.model_dump(mode="json"), "uri": recorded_uri(self.uri), "path": path, "options": options}


def resolved(config: SourceConfig, secret: Secret | None = None) -> SourceConfig:
    """Return the config with the values of its placeholders, to be read at once and never recorded.

    Placeholders may stand in `uri`, `options` and, but for secret blocks, `path`: messages tell the path.

    Raises:
        ConfigError: a variable is not set, or a block cannot be had.

    Example:
        >>> import os
        >>> os.environ["EXAMPLE_FOLDER"] = "people"
        >>> resolved(SourceConfig(path="${EXAMPLE_FOLDER}/monday.csv")).path
        'people/monday.csv'
    """
    if config.path is not None and names_a_block(config.path):
        remedy = "put it into source.options, or into source.uri for a database"
        raise ConfigError("a path holds no secret", actual="a secret block in source.path", remedy=remedy)
    uri = None if config.uri is None else resolve(config.uri, secret)
    path = None if config.path is None else resolve(config.path)
    options = {name: resolve(value, secret) for name, value in config.options.items()}
    return config.model_copy(update={"uri": uri, "path": path, "options": options})


def for_date(config: SourceConfig, date: datetime.date) -> SourceConfig:
    """Return the config with the date, as ISO text, in place of every `{date}` in its path and query.

    Example:
        >>> for_date(SourceConfig(path="visits-{date}.csv"), datetime.date(2026, 11, 25)).path
        'visits-2026-11-25.csv'
    """
    texts = {"path": config.path, "query": config.query}
    dated = {name: _DATE.sub(date.isoformat(), text) for name, text in texts.items() if text is not None}
    return config.model_copy(update=dated)


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

    A file that is named by nothing but its path is trusted: it is read in this process, see `SourceConfig.isolated`.

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
    loaded = load(source)
    table = loaded.typed() if schema is None else loaded.under(schema)
    return Source(table, fingerprint(table))


@dataclass(frozen=True)
class Loaded:
    """A table as it lies in its source, before it is known what its columns are.

    Attributes:
        table: the records; the cells of a text file are text.
        is_text: whether they are.
    """

    table: pa.Table
    is_text: bool

    def typed(self) -> pa.Table:
        """Return the table with the types that the texts of a text file look like."""
        if not self.is_text:
            return self.table
        return pa.table({name: type_text(self.table[name]) for name in self.table.column_names})

    def towards(self, names: Container[str]) -> pa.Table:
        """Return the table as it lies, with types for the columns that are not among `names`, whose types are known."""
        typed = self.typed()
        columns = {name: self.table[name] if name in names else typed[name] for name in typed.column_names}
        return pa.table(columns)

    def under(self, schema: Schema) -> pa.Table:
        """Return the table in the types of `schema`.

        Raises:
            SchemaError: it does not fit.
        """
        return conform(self.table, schema)


def load(source: str | Path | SourceConfig | pd.DataFrame | pa.Table) -> Loaded:
    """Read a source once, to be typed, compared and brought to a schema afterwards.

    Raises:
        SourceError, SchemaError, ConfigError: as `read`.

    Example:
        >>> loaded = load(pa.table({"age": [36, 41]}))
        >>> loaded.is_text, loaded.typed().num_rows
        (False, 2)
    """
    loaded = _load(source)
    refuse_repeated_names(loaded.table.column_names)
    refuse_unsupported(loaded.table)
    if loaded.table.num_rows == 0 or loaded.table.num_columns == 0:
        actual = f"{loaded.table.num_rows} rows and {loaded.table.num_columns} columns"
        raise SourceError("a table needs rows and columns", actual=actual, remedy="check the source or its query")
    return replace(loaded, table=with_proper_levels(loaded.table.replace_schema_metadata(None)))


def _load(source: str | Path | SourceConfig | pd.DataFrame | pa.Table) -> Loaded:
    if isinstance(source, pa.Table):
        return Loaded(source, is_text=False)
    if isinstance(source, pd.DataFrame):
        return Loaded(read_frame(source), is_text=False)
    config = source if isinstance(source, SourceConfig) else SourceConfig(path=str(source), isolated=False)
    if config.uri is not None:
        return Loaded(_read_database(config), is_text=False)
    if config.path is None:
        raise ConfigError("a source needs a path or a uri", actual="neither", remedy="declare one of them")
    return _read_path(config.path, config)


def _read_database(config: SourceConfig) -> pa.Table:
    if config.path is not None or config.query is None or config.uri is None:
        actual = "a path too" if config.path is not None else "no query"
        raise ConfigError("a database uri needs a query, and no path", actual=actual, remedy="declare uri and query")
    return read_query(config.uri, config.query)


def _read_path(path: str, config: SourceConfig) -> Loaded:
    if path.startswith(("sqlite:", "postgres:", "postgresql:")):
        remedy = "declare it as uri, together with a query"
        raise ConfigError("a path is no database uri", actual="a uri", remedy=remedy)
    if is_url(path):
        with fetched(path, config.options) as copy:
            return _read_files(copy, config)
    if config.options:
        remedy = "leave source.options out, or declare a URL such as s3://bucket/people.parquet"
        raise ConfigError("options are for the file system of a URL", actual="a local path", remedy=remedy)
    return _read_files(path, config)


def _read_files(path: str, config: SourceConfig) -> Loaded:
    name = path.lower()
    if Path(path).is_dir() or name.endswith(_PARQUET + FEATHER):
        read_typed = read_isolated if config.isolated else read_columnar
        return Loaded(read_typed(path, config.max_bytes), is_text=False)
    if not name.endswith(_DELIMITED):
        known = ", ".join(_DELIMITED + _PARQUET + FEATHER)
        raise SourceError(f'the format of "{path}" is unknown', actual="another ending", remedy=f"use one of {known}")
    text = read_delimited(
        Path(path),
        delimiter=config.delimiter,
        encoding=config.encoding,
        null_values=config.null_values,
        max_bytes=config.max_bytes,
    )
    return Loaded(text, is_text=True)
