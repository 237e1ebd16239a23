"""The fingerprint of a table: what it holds, whatever it was stored in."""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import arrow_text, family
from pipeline.row_hashes import content_hashes, mixed


def fingerprint(table: pa.Table) -> str:
    """Return the sha256, in hex, of the schema and the values of `table`, in row order.

    Chunks, row groups, the order of a dictionary, and what lies beneath a missing cell do not count.

    Example:
        >>> whole = pa.table({"n": [1, 2, None]})
        >>> fingerprint(whole) == fingerprint(pa.concat_tables([whole[:1], whole[1:]]))
        True
    """
    digest = hashlib.sha256()
    for name in table.column_names:
        values = table[name]
        digest.update(f"{name}\x1f{arrow_text(values.type)}\x1f{len(values)}\x1e".encode())
        for block in _blocks(values):
            digest.update(block)
    return digest.hexdigest()


def content_fingerprint(table: pa.Table) -> str:
    """Return the sha256, in hex, of what `table` holds, whatever the order of its rows.

    A query without an order gives its rows in any; that is no change of the records. Each row counts as two 64-bit
    hashes, whose sums over all rows are what is compared: by chance, different tables agree once in 2^128.

    Example:
        >>> content_fingerprint(pa.table({"n": [1, 2]})) == content_fingerprint(pa.table({"n": [2, 1]}))
        True
        >>> swapped = pa.table({"n": [1, 2], "m": [4, 3]})
        >>> content_fingerprint(swapped) == content_fingerprint(pa.table({"n": [1, 2], "m": [3, 4]}))
        False
    """
    sums = [int(mixed(content_hashes(table, seed)).sum(dtype=np.uint64)) for seed in (0, 1)]
    fields = [f"{name}\x1f{arrow_text(table.schema.field(name).type)}" for name in table.column_names]
    return hashlib.sha256("\x1e".join([*fields, str(table.num_rows), *map(str, sums)]).encode()).hexdigest()


def _blocks(values: pa.ChunkedArray) -> list[bytes]:
    valid = np.packbits(pc.is_valid(values).to_numpy())
    return [valid.tobytes(), *_value_blocks(values)]


def _value_blocks(values: pa.ChunkedArray) -> list[bytes]:
    match family(values.type):
        case "null":
            return []
        case "string" | "dictionary" | None:
            return _text_blocks(values)
        case "boolean":
            return [np.packbits(pc.fill_null(values, False).to_numpy()).tobytes()]
        case "decimal":
            return _text_blocks(values.cast(pa.string()))
        case "float":
            numbers = pc.fill_null(values.cast(pa.float64()), 0.0).to_numpy()
            return [np.where(np.isnan(numbers), np.nan, numbers).tobytes()]  # all bit patterns of NaN are one
        case _:
            whole = values if pa.types.is_integer(values.type) else values.cast(_storage(values.type))
            return [pc.fill_null(whole, 0).to_numpy().tobytes()]


def _storage(arrow_type: pa.DataType) -> pa.DataType:
    return pa.int32() if pa.types.is_date32(arrow_type) else pa.int64()


def _text_blocks(values: pa.ChunkedArray) -> list[bytes]:
    text = pc.fill_null(values.cast(pa.large_string()), "")
    lengths = pc.binary_length(text).to_numpy()
    characters = [memoryview(chunk.buffers()[2])[_span(chunk)] for chunk in text.chunks if chunk.buffers()[2]]
    return [lengths.tobytes(), *characters]


def _span(chunk: pa.Array) -> slice:
    """Return where the chunk's characters lie in its buffer; a sliced chunk shares the buffer of the whole."""
    offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int64)
    return slice(int(offsets[chunk.offset]), int(offsets[chunk.offset + len(chunk)]))
