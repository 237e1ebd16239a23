"""Bring a table to the types that its schema has pinned, where that loses nothing."""

from __future__ import annotations

import pyarrow as pa

from pipeline.arrow_types import arrow_text, family
from pipeline.errors import SchemaError
from pipeline.schema import Schema
from pipeline.text_types import parse_text, unparsed_rows

_ALIKE = (frozenset({"integer", "float", "decimal"}), frozenset({"string", "dictionary"}))
"""Families between which a value may pass if it stays exactly what it is."""


def conform(table: pa.Table, schema: Schema) -> pa.Table:
    """Return `table` with the columns, the order and the types of `schema`.

    Arguments:
        table: the table as it was read.
        schema: what it must become; text is parsed, other types only pass where every value stays what it is.

    Raises:
        SchemaError: names every column that does not fit, with the number of a row, and never a value.

    Example:
        >>> from pipeline.schema import Integer
        >>> schema = Schema(columns=(Integer(name="age", arrow="int8"),))
        >>> conform(pa.table({"age": ["36", "41"]}), schema)["age"].type
        DataType(int8)
    """
    extra = [name for name in table.column_names if name not in schema.names]
    table = table.select([name for name in schema.names if name in table.column_names] + extra)
    problems: list[str] = []
    for i, name in enumerate(table.column_names):
        if name in schema.names:
            try:
                converted = _convert(table[name], schema.column(name).arrow_type)
                table = table.set_column(i, name, converted)
            except pa.ArrowException:
                problems.append(f'column "{name}" {_why(table[name], schema.column(name).arrow_type)}')
    if problems:
        rule, remedy = "the table does not fit its schema", "mend the table, or edit the schema"
        raise SchemaError(rule, actual="; ".join(problems), remedy=remedy)
    schema.validate_table(table)
    return table


def _convert(values: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    if values.type == wanted:
        return values
    if family(values.type) == "string" and family(wanted) not in _ALIKE[1]:
        encoded = values.combine_chunks().dictionary_encode()
        return pa.chunked_array([parse_text(encoded.dictionary, wanted).take(encoded.indices)])
    if not _may_pass(family(values.type), family(wanted)):
        raise pa.ArrowInvalid("the types are of different families")
    return values.cast(wanted)


def _may_pass(given: str | None, wanted: str | None) -> bool:
    return given in (wanted, "null") or any({given, wanted} <= alike for alike in _ALIKE)


def _why(values: pa.ChunkedArray, wanted: pa.DataType) -> str:
    if family(values.type) == "string":
        rows = unparsed_rows(values, wanted)
        return f"must be {arrow_text(wanted)}, and in {len(rows)} rows is not, first in row {rows[0] + 1}"
    return f"is {arrow_text(values.type)}, declared {arrow_text(wanted)}, and its values do not all pass unchanged"
