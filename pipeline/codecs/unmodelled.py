"""The columns that no generator sees: identifiers, free text and constants. Their cells are issued, never copied."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.columns import Constant, Identifier, Text
from pipeline.errors import DataError

Unmodelled = Identifier | Text | Constant

HEADROOM = 10**12
"""How many keys after the first must be free: more than any table will have rows."""


def issue(column: Unmodelled, n_rows: int) -> pa.Array:
    """Return `n_rows` cells of an unmodelled column: new keys, the placeholder, or the constant.

    Raises:
        DataError: a key does not fit the column's Arrow type.

    Example:
        >>> issue(Identifier(name="id", arrow="string", prefix="p-", start=7), 2).to_pylist()
        ['p-7', 'p-8']
    """
    match column:
        case Identifier():
            return _keys(column, n_rows)
        case Text():
            return pa.array([column.placeholder]).cast(column.arrow_type).take(pa.array(np.zeros(n_rows, np.int32)))
        case Constant():
            return column.array(1).take(pa.array(np.zeros(n_rows, np.int32)))


def _keys(column: Identifier, n_rows: int) -> pa.Array:
    numbers = pa.array(np.arange(column.start, column.start + n_rows, dtype=np.int64))
    try:
        if pa.types.is_integer(column.arrow_type):
            return numbers.cast(column.arrow_type)
        keys = pc.binary_join_element_wise(column.prefix, numbers.cast(pa.string()), "")
        return keys.cast(column.arrow_type) if not pa.types.is_dictionary(column.arrow_type) else _indexed(keys, column)
    except pa.ArrowInvalid as error:
        rule = f'keys of column "{column.name}" must fit {column.arrow}'
        actual, remedy = f"{n_rows} keys from {column.start} on", "declare a wider type, or a lower start"
        raise DataError(rule, actual=actual, remedy=remedy) from error


def _indexed(keys: pa.Array, column: Identifier) -> pa.Array:
    """Return unique keys as a dictionary array of the column's own type."""
    arrow_type = column.arrow_type
    indices = pa.array(np.arange(len(keys))).cast(arrow_type.index_type)
    return pa.DictionaryArray.from_arrays(indices, keys.cast(arrow_type.value_type), ordered=arrow_type.ordered)


def refuse_issuable_keys(column: Identifier, array: pa.Array) -> None:
    """Refuse a column of which a train key could be issued again.

    Raises:
        DataError: one of the train keys is among those that `issue` would return.

    Example:
        >>> refuse_issuable_keys(Identifier(name="id", arrow="int64", start=100), pa.array([3, 140]))
        Traceback (most recent call last):
            ...
        pipeline.errors.DataError: new keys of column "id" must differ from those of the table; found 1 key of the \
table among those to be issued; declare another prefix or a start above all keys
    """
    clashes = pc.sum(_issuable(column, array)).as_py() or 0
    if clashes:
        raise DataError(
            f'new keys of column "{column.name}" must differ from those of the table',
            actual=f"{clashes} key{'s' if clashes > 1 else ''} of the table among those to be issued",
            remedy="declare another prefix or a start above all keys",
        )


def _issuable(column: Identifier, array: pa.Array) -> pa.Array:
    if pa.types.is_integer(array.type):
        numbers = array.cast(pa.decimal128(20, 0))
    else:
        text = array.cast(pa.large_string()) if not pa.types.is_dictionary(array.type) else array.dictionary_decode()
        issued = text.filter(pc.starts_with(text, column.prefix))
        digits = pc.utf8_slice_codeunits(issued, len(column.prefix))
        digits = digits.filter(pc.match_substring_regex(digits, r"^(0|-?[1-9][0-9]{0,18})$"))
        numbers = digits.cast(pa.decimal128(20, 0))
    first = pa.scalar(column.start, pa.decimal128(20, 0))
    return pc.and_(pc.greater_equal(numbers, first), pc.less(numbers, pa.scalar(column.start + HEADROOM, first.type)))
