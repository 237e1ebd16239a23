"""The schema after a change of the source that was not refused."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pyarrow as pa

from pipeline.arrow_types import family
from pipeline.codecs.unmodelled import refuse_issuable_keys
from pipeline.columns import Categorical, Column, Constant, Identifier
from pipeline.constraints import Constraint
from pipeline.drift_rules import Change, ChangeKind
from pipeline.errors import DataError
from pipeline.inference import WIDELY, infer
from pipeline.profile import level_counts
from pipeline.schema import Schema


def evolve(schema: Schema, table: pa.Table, changes: Iterable[Change]) -> Schema:
    """Return the schema with every change laid in that is not refused; what did not change keeps its declaration.

    Added columns are inferred and come last, in table order; dropped ones go; renamed ones keep their declaration;
    retyped ones, constants with missing cells and keys that repeat are inferred anew; where cells are missing they may
    be. Where only declared levels may occur, they grow by the new ones that 5 rows or more carry; the text of a rarer
    one must not stand in a schema, so a column that has such takes unseen levels as rare from then on. Constraints
    stay, with the columns' new names, but for those that speak of a dropped column.

    Args:
        schema: of the last accepted release.
        table: the source as it was read, without a schema.
        changes: what `compare` found.

    Raises:
        SchemaError: a column that is new or retyped cannot be inferred.

    Example:
        >>> from pipeline.columns import Integer
        >>> change = Change(kind="added", column="fee", detail="", rule="accept")
        >>> old = Schema(columns=(Integer(name="age", arrow="int64"),))
        >>> evolve(old, pa.table({"fee": [1.5, 2.5], "age": [31, 40]}), [change]).names
        ('age', 'fee')
    """
    laid_in = [change for change in changes if change.rule != "refuse"]
    renamed = {change.was: change.column for change in laid_in if change.kind == "renamed"}
    dropped = _names(laid_in, "dropped")
    kept = [
        column.model_copy(update={"name": renamed.get(column.name, column.name)})
        for column in schema.columns
        if column.name not in dropped
    ]
    evolved = [_evolved(column, table, [c.kind for c in laid_in if c.column == column.name]) for column in kept]
    added = [name for name in table.column_names if name in _names(laid_in, "added") - set(schema.names)]
    columns = (*evolved, *(_inferred(table, name) for name in added))
    return Schema(columns=columns, constraints=_carried_over(schema.constraints, renamed, dropped))


def with_free_keys(schema: Schema, table: pa.Table) -> Schema:
    """Return the schema with a new start or prefix for keys where those of `table` have grown into the ones it issues.

    Example:
        >>> keys = Schema(columns=(Identifier(name="id", arrow="int64", start=100),))
        >>> with_free_keys(keys, pa.table({"id": range(40, 140)})).columns[0].start
        1000
    """
    return schema.model_copy(update={"columns": tuple(_freed(column, table) for column in schema.columns)})


def _freed(column: Column, table: pa.Table) -> Column:
    if not isinstance(column, Identifier):
        return column
    try:
        refuse_issuable_keys(column, table[column.name].combine_chunks())
    except DataError:
        free = _inferred(table, column.name)
        if isinstance(free, Identifier):
            return column.model_copy(update={"start": free.start, "prefix": free.prefix})
    return column


def _carried_over(
    constraints: Iterable[Constraint], renamed: Mapping[str | None, str], dropped: set[str]
) -> tuple[Constraint, ...]:
    named = {was: name for was, name in renamed.items() if was is not None}
    return tuple(constraint.renamed(named) for constraint in constraints if not dropped & set(constraint.names))


def _names(changes: list[Change], kind: ChangeKind) -> set[str]:
    return {change.column for change in changes if change.kind == kind}


def _inferred(table: pa.Table, name: str) -> Column:
    return infer(table.select([name])).columns[0]


def _evolved(column: Column, table: pa.Table, kinds: list[ChangeKind]) -> Column:
    if "retyped" in kinds or "repeated_keys" in kinds or ("nulls" in kinds and isinstance(column, Constant)):
        return _inferred(table, column.name)
    if "nulls" in kinds:
        column = column.model_copy(update={"nullable": True})
    if "levels" in kinds and isinstance(column, Categorical) and column.unseen == "refuse":
        return _with_levels(column, table[column.name])
    return column


def _with_levels(column: Categorical, values: pa.ChunkedArray) -> Column:
    levels, counts = level_counts(values)
    known = {str(level) for level in column.levels or ()}
    new = sorted((level, int(n_rows)) for level, n_rows in zip(levels, counts, strict=True) if level not in known)
    wide = [int(level) if family(column.arrow_type) == "integer" else level for level, n in new if n >= WIDELY]
    unseen = "refuse" if len(wide) == len(new) else "rare"
    extended = None if column.levels is None else (*column.levels, *wide)
    return column.model_copy(update={"levels": extended, "unseen": unseen})
