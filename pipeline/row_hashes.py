"""64-bit hashes of rows and cells by their content: the same wherever, and in whatever order, a table is stored."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from pipeline.seeds import substream

Hashes = npt.NDArray[np.uint64]


def content_hashes(table: pa.Table, seed: int) -> Hashes:
    """Return uint64 **(n_rows,)** of the rows' content; equal for equal rows, and the order of columns does not matter.

    Example:
        >>> table = pa.table({"a": [1, 2, 1], "b": ["x", "x", "x"]})
        >>> first, second, third = content_hashes(table, seed=0)
        >>> bool(first == third), bool(first == second)
        (True, False)
    """
    content = np.zeros(len(table), np.uint64)
    for name in table.column_names:  # a sum, so that the order of columns does not matter
        content += mixed(cell_hashes(table[name]) ^ np.uint64(substream(seed, "split", name)))
    return content


def cell_hashes(column: pa.ChunkedArray) -> Hashes:
    """Return uint64 **(n_rows,)** of the cells' values; equal for equal text, numbers and times of any width."""
    plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    if pa.types.is_floating(plain.type):
        floats = plain.cast(pa.float64()).fill_null(0).to_numpy() + 0.0  # one zero only
        bits = np.where(np.isnan(floats), np.nan, floats).view(np.uint64)
    elif pa.types.is_integer(plain.type) or pa.types.is_temporal(plain.type):
        bits = _whole(plain).astype(np.uint64)
    else:
        bits = _text_hashes(plain)
    missing: Hashes = plain.is_null().to_numpy().astype(np.uint64)
    return mixed(bits) + missing


def _whole(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    whole = column.cast(pa.int32()) if pa.types.is_date32(column.type) else column
    numbers: npt.NDArray[np.int64] = whole.cast(pa.int64(), safe=False).fill_null(0).to_numpy()
    return numbers


def _text_hashes(column: pa.ChunkedArray) -> Hashes:
    """Hash each distinct text once."""
    text = column.cast(pa.string()).combine_chunks().dictionary_encode()
    distinct = text.dictionary.to_numpy(zero_copy_only=False).astype(object)
    hashes = np.append(pd.util.hash_array(distinct, categorize=False), np.uint64(0))  # -1, missing, reads the last
    return np.asarray(hashes[text.indices.fill_null(-1).to_numpy(zero_copy_only=False)], np.uint64)


def mixed(bits: Hashes) -> Hashes:
    """Spread the bits evenly: splitmix64's finaliser (Steele, Lea & Flood 2014, doi:10.1145/2660193.2660195)."""
    mixed = bits + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
