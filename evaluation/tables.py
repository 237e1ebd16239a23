"""The three tables of an evaluation, with the schema they share."""

from __future__ import annotations

from dataclasses import dataclass, replace

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
        published: synthetic tables of the same output that were published before, oldest first. The privacy tests judge
            all of them together with the new one; nothing else looks at them.

    Raises:
        SchemaError: a modelled column is missing from a table, or is of another type in a published one.
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
    published: tuple[pa.Table, ...] = ()

    def __post_init__(self) -> None:
        names = [column.name for column in self.modelled]
        for role in ("train", "holdout", "synthetic"):
            _require(names, getattr(self, role), role)
        for place, table in enumerate(self.published, start=1):
            _require(names, table, f"published (number {place}, oldest first)")
            self._require_types(table, place)
        if self.target is not None and self.target not in names:
            rule = "the target must be a modelled column of the schema"
            raise ConfigError(rule, actual=f'"{self.target}"', remedy="name another column, or no target")

    @property
    def modelled(self) -> tuple[Column, ...]:
        """The columns that are compared: all but identifiers, text and constants."""
        return tuple(column for column in self.schema.columns if column.kind not in UNMODELLED)

    def together(self) -> Tables:
        """Return the same with all published rows, those of the new table first, in place of the new table.

        Columns that are not modelled stay behind: what an earlier release issued in place of keys was compared with the
        keys of its own time, and may by now have been issued by the source as well.
        """
        names = [column.name for column in self.modelled]
        plain = [_decoded(table.select(names)) for table in (self.synthetic, *self.published)]
        return replace(self, synthetic=pa.concat_tables(plain), published=())

    def _require_types(self, table: pa.Table, place: int) -> None:
        for column in self.modelled:
            wanted, found = (_value_type(each.schema.field(column.name).type) for each in (self.synthetic, table))
            if wanted != found:
                rule = f'column "{column.name}" must have the same type in every published table as in the new one'
                raise SchemaError(
                    rule,
                    actual=f"{found} in published table number {place}, oldest first, and {wanted}",
                    remedy="leave out releases of another schema",
                )


def _require(names: list[str], table: pa.Table, role: str) -> None:
    absent = [f'"{name}"' for name in names if name not in table.column_names]
    if absent:
        rule = f"the {role} table needs every modelled column of the schema"
        raise SchemaError(rule, actual=f"no {', '.join(absent)}", remedy="use tables of one schema")


def _value_type(arrow: pa.DataType) -> pa.DataType:
    """Return the type of the values: two dictionaries over the same type are the same column."""
    return arrow.value_type if pa.types.is_dictionary(arrow) else arrow


def _decoded(table: pa.Table) -> pa.Table:
    """Return the table without dictionaries and without what its schema says about nulls or origin."""
    return table.cast(pa.schema([(field.name, _value_type(field.type)) for field in table.schema]))
