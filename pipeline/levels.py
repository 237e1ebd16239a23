"""Dictionary columns whose levels are what they should be: never missing, and no two alike."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def with_proper_levels(table: pa.Table) -> pa.Table:
    """Return the table with a missing cell wherever the level itself is missing, and with equal levels made one.

    Arrow allows both, and then counts no cell of a missing level as missing; Parquet cannot hold it.

    Example:
        >>> column = pa.DictionaryArray.from_arrays([0, 1], pa.array(["a", None]))
        >>> column.null_count, with_proper_levels(pa.table({"x": column}))["x"].null_count
        (0, 1)
    """
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type) and any(map(_is_odd, table[place].chunks)):
            chunks = [_mended(chunk) for chunk in table[place].chunks]
            table = table.set_column(place, field, pa.chunked_array(chunks, field.type))
    return table


def _is_odd(chunk: pa.DictionaryArray) -> bool:
    return bool(chunk.dictionary.null_count) or len(pc.unique(chunk.dictionary)) < len(chunk.dictionary)


def _mended(chunk: pa.DictionaryArray) -> pa.DictionaryArray:
    levels = pc.unique(chunk.dictionary.drop_null())
    places = pc.index_in(chunk.dictionary, levels).cast(chunk.type.index_type)
    return pa.DictionaryArray.from_arrays(places.take(chunk.indices), levels, ordered=chunk.type.ordered)
