"""The three tables of an evaluation, with the schema they share."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from pipeline.columns import Column
from pipeline.errors import ConfigError, SchemaError
from pipeline.schema import Schema

UNMODELLED = ("identifier", "text", "constant")
"""Kinds that are issued, replaced or repeated rather than learned: there is nothing about them to evaluate."""


@dataclass(frozen=True)
class Tables:
    """What is compared with what.

    Attributes:
        schema: the schema of train and holdout.
        train: the rows the generator learned from.
        holdout: original rows that nothing was learned from.
        synthetic: the rows to judge.
        target: the column that downstream models predict, or None.

    Raises:
        SchemaError: a modelled column is missing from a table.
        ConfigError: the target is not a modelled column.

    Example:
        >>> from pipeline.columns import Integer
        >>> table = pa.table({"age": [30, 40]})
        >>> schema = Schema(columns=(Integer(name="age", arrow="int64"),))
        >>> [column.name for column in Tables(schema, table, table, table).modelled]
        ['age']

    """

    schema: Schema
    train: pa.Table
    holdout: pa.Table
    synthetic: pa.Table
    target: str | None = None

    def __post_init__(self) -> None:
        names = [column.name for column in self.modelled]
        for role in ("train", "holdout", "synthetic"):
            absent = [f'"{name}"' for name in names if name not in getattr(self, role).column_names]
            if absent:
                rule = f"the {role} table needs every modelled column of the schema"
                raise SchemaError(rule, actual=f"no {', '.join(absent)}", remedy="use tables of one schema")
        if self.target is not None and self.target not in names:
            rule = "the target must be a modelled column of the schema"
            raise ConfigError(rule, actual=f'"{self.target}"', remedy="name another column, or no target")

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that are compared: all but identifiers, text and constants."""
        return tuple(column for column in self.schema.columns if column.kind not in UNMODELLED)
