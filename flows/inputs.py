"""Reading what a job or a command is given, with everything refused that can be known to be wrong before training."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from evaluation.tables import Tables
from pipeline.errors import ConfigError, SchemaError
from pipeline.inference import infer
from pipeline.preflight import PREDICTABLE
from pipeline.schema import Schema, quoted
from pipeline.shareable import refuse_original_rows
from pipeline.source import Source, SourceConfig, read


def read_with_schema(source: str | Path | SourceConfig, schema_path: Path | None = None) -> tuple[Schema, Source]:
    """Read a table under its declared schema, or infer one.

    Raises:
        SourceError: the table cannot be read.
        SchemaError: the schema file is malformed, or the table does not fit it; the columns are named.
    """
    if schema_path is not None:
        schema = Schema.read_file(schema_path)
        found = read(source, schema=schema)
    else:
        found = read(source)
        schema = infer(found.table)
    schema.validate_table(found.table)
    return schema, found


def check_target(schema: Schema, target: str | None) -> None:
    """Refuse a target that the table does not have, or that a downstream model cannot predict.

    Raises:
        ConfigError: says which columns could be the target.

    Example:
        >>> from pipeline.columns import Integer
        >>> check_target(Schema(columns=(Integer(name="age", arrow="int64"),)), "income")
        Traceback (most recent call last):
        pipeline.errors.ConfigError: the target must be a column that can be predicted; found "income"; use one of "age"
    """
    candidates = target_candidates(schema)
    if target is not None and target not in candidates:
        remedy = f"use one of {', '.join(quoted(candidates))}" if candidates else "leave the target out"
        raise ConfigError("the target must be a column that can be predicted", actual=f'"{target}"', remedy=remedy)


def target_candidates(schema: Schema) -> list[str]:
    """Return the names of the columns that a downstream model could predict."""
    return [column.name for column in schema.columns if column.kind in PREDICTABLE]


def read_tables(*, train: str, holdout: str, synthetic: str, target: str | None, schema_path: Path | None) -> Tables:
    """Read the three tables of an evaluation under one schema, declared or inferred from train and holdout together.

    Raises:
        SourceError: a table cannot be read.
        SchemaError: the tables have not the same columns.
        ConfigError: the target is no column that can be predicted.
        RefusedError: the synthetic table says of itself that it holds original rows.
    """
    refuse_original_rows(synthetic)
    schema = Schema.read_file(schema_path) if schema_path else _common_schema(train, holdout)
    check_target(schema, target)
    known, unseen = (read(path, schema=schema).table for path in (train, holdout))
    columns = schema.model_copy(update={"constraints": ()})  # whether the synthetic table holds them, a gate judges
    drawn = read(synthetic, schema=columns).table
    for original in (known, unseen):
        schema.validate_table(original)
    return Tables(schema=schema, train=known, holdout=unseen, synthetic=drawn, target=target)


def _common_schema(train: str, holdout: str) -> Schema:
    tables = [read(path).table for path in (train, holdout)]
    try:
        return infer(pa.concat_tables(tables, promote_options="permissive"))
    except pa.ArrowException as error:
        remedy = "declare the columns in a schema file and name it with --schema"
        raise SchemaError("train and holdout need the same columns", actual=str(error), remedy=remedy) from error
