"""The last check before a table leaves: it must satisfy its schema in every cell."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from pipeline.columns import Categorical, Column
from pipeline.errors import DataError
from pipeline.misfits import misfit
from pipeline.schema import Schema


def check_table(table: pa.Table, schema: Schema, *, train: pa.Table | None = None) -> None:
    """Refuse a drawn table that differs from `schema.arrow()` or breaks a rule of one of its columns, or between them.

    The rules are those of the schema: names, order, types and nullability exactly; no missing cell where none may be;
    the grid of numbers and times, bounds, declared levels, unique identifiers, constants; the declared constraints.

    Args:
        table: the drawn table.
        schema: what it must satisfy.
        train: the rows that were learned, where they are at hand: fixed combinations must be theirs, and what depends
            on other columns must follow from them as it does there.

    Raises:
        DataError: names every column that fails, and why, or every constraint that rows break, without telling a value.

    Example:
        >>> from pipeline.columns import Integer
        >>> schema = Schema(columns=(Integer(name="age", arrow="int64", minimum=0),))
        >>> check_table(pa.table({"age": [3, -1]}, schema=schema.arrow()), schema)
        Traceback (most recent call last):
            ...
        pipeline.errors.DataError: a table must satisfy its schema; found column "age": 1 value below the minimum 0, \
first in row 2; mend the table, or edit the schema
    """
    problems = [*_wrong_fields(table.schema, schema.arrow()), *_wrong_cells(table, schema)]
    problems = problems or schema.broken_constraints(table, train)
    if problems:
        remedy = "mend the table, or edit the schema"
        raise DataError("a table must satisfy its schema", actual="; ".join(problems), remedy=remedy)


def _wrong_fields(found: pa.Schema, wanted: pa.Schema) -> Iterator[str]:
    for name in wanted.names:
        if found.names.count(name) != 1:
            yield f'column "{name}" occurs {found.names.count(name)} times'
        elif not found.field(name).equals(wanted.field(name)):
            yield f'column "{name}" is declared {_field_text(found.field(name))}, not {_field_text(wanted.field(name))}'
    for name in dict.fromkeys(found.names):
        if name not in wanted.names:
            yield f'column "{name}" is not in the schema'
    if sorted(found.names) == sorted(wanted.names) and found.names != wanted.names:
        moved = next(name for name, other in zip(found.names, wanted.names, strict=True) if name != other)
        yield f'the columns are in another order, from "{moved}" on'


def _field_text(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"


def _wrong_cells(table: pa.Table, schema: Schema) -> Iterator[str]:
    for column in schema.columns:
        if table.column_names.count(column.name) == 1 and table.schema.field(column.name).type == column.arrow_type:
            problem = misfit(_strict(column), table[column.name])
            if problem:
                yield f'column "{column.name}": {problem}'


def _strict(column: Column) -> Column:
    """Return a column whose declared levels are the only ones; input may have others, and output may not."""
    return column.model_copy(update={"unseen": "refuse"}) if isinstance(column, Categorical) else column
