"""Reading what a job or a command is given, with everything refused that can be known to be wrong before training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from evaluation.tables import Tables
from pipeline.columns import undeclared
from pipeline.errors import ConfigError, SchemaError
from pipeline.inference import infer
from pipeline.preflight import PREDICTABLE
from pipeline.schema import Schema, quoted
from pipeline.shareable import refuse_original_rows
from pipeline.source import Loaded, Source, SourceConfig, load, read


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


def read_tables(
    *,
    train: str,
    holdout: str,
    synthetic: str,
    target: str | None,
    schema_path: Path | None,
    learned: Schema | None = None,
) -> Tables:
    """Read the three tables of an evaluation under one schema.

    It is the declared one, which they must keep; or else that of the model; or else inferred from train and holdout
    together. The last two were made of some rows and promise nothing about others: a value that they do not allow is
    read, and measured.

    Args:
        train: where the rows are that the synthetic table was learned from.
        holdout: where original rows are that nothing was learned from.
        synthetic: where the table to judge is.
        target: the column that downstream models predict.
        schema_path: of the declared schema.
        learned: the schema of a model that is to score the rows of all three tables.

    Raises:
        SourceError: a table cannot be read.
        SchemaError: a table has not the columns of the schema or of the model, or breaks the declared schema.
        ConfigError: the target is no column that can be predicted.
        RefusedError: the synthetic table says of itself that it holds original rows.
    """
    refuse_original_rows(synthetic)
    found = {role: load(path) for role, path in (("train", train), ("holdout", holdout), ("synthetic", synthetic))}
    if learned is not None:
        remedy = "name the model that was fitted to these columns, or leave --model out"
        _under(found, loosened(learned), "the model", remedy)
    if schema_path is not None:
        schema = Schema.read_file(schema_path)
        tables = _under(found, schema, "the schema", "mend the table, or edit the schema")
    else:
        guessed = learned or _common_schema(found["train"], found["holdout"])
        tables = _under(found, loosened(guessed), "the other tables", "mend it, or declare the columns with --schema")
        schema = _with_missing_cells(guessed, list(tables.values()))
    check_target(schema, target)
    return Tables(schema=schema, target=target, **tables)


def loosened(schema: Schema) -> Schema:
    """Return a schema of the same columns and types that promises nothing about values and has no constraint.

    Example:
        >>> from pipeline.columns import Integer
        >>> loosened(Schema(columns=(Integer(name="age", arrow="int64", minimum=0),))).columns[0].minimum is None
        True
    """
    return schema.model_copy(update={"columns": tuple(map(undeclared, schema.columns)), "constraints": ()})


def _under(found: Mapping[str, Loaded], schema: Schema, what: str, remedy: str) -> dict[str, pa.Table]:
    """Return each table in the types of a schema; the message says which one does not fit."""
    unconstrained = schema.model_copy(update={"constraints": ()})
    tables = {}
    for role, loaded in found.items():
        try:  # whether the synthetic table holds the constraints, a gate judges
            tables[role] = loaded.under(unconstrained if role == "synthetic" else schema)
        except SchemaError as error:
            raise SchemaError(f"the {role} table must fit {what}", actual=error.actual, remedy=remedy) from error
    return tables


def _with_missing_cells(schema: Schema, tables: Sequence[pa.Table]) -> Schema:
    """Return the schema with every column nullable that lacks a cell in some table, so that this is measured."""
    lacking = {name for table in tables for name in table.column_names if table[name].null_count}
    columns = (c.model_copy(update={"nullable": c.nullable or c.name in lacking}) for c in schema.columns)
    return schema.model_copy(update={"columns": tuple(columns)})


def _common_schema(*originals: Loaded) -> Schema:
    try:
        return infer(pa.concat_tables([loaded.typed() for loaded in originals], promote_options="permissive"))
    except pa.ArrowException as error:
        remedy = "declare the columns in a schema file and name it with --schema"
        raise SchemaError("train and holdout need the same columns", actual=str(error), remedy=remedy) from error
