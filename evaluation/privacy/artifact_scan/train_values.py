"""The train table as codes, so that its values can be looked up in a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ...statistics import FloatArray, IntArray
from .content import token


@dataclass(frozen=True)
class TrainColumn:
    """One column of train.

    Attributes:
        name: its name.
        codes: int64 **(n_rows,)**: places among the sorted distinct values, -1 for missing.
        places: from a token to the code of the value that may be written so.
        counts: int64 **(n_values,)**: how many rows carry each value.
        numbers: float64 **(n_rows,)**, NaN for missing; times count in their own unit; None for text.

    """

    name: str
    codes: IntArray
    places: dict[str, int]
    counts: IntArray
    numbers: FloatArray | None

    @property
    def present(self) -> IntArray:
        """The rows whose cell is not missing."""
        return np.flatnonzero(self.codes >= 0)

    def look_up(self, tokens: list[str]) -> IntArray:
        """Return the codes of tokens, -1 for those that are no value of the column."""
        return np.array([self.places.get(each, -1) for each in tokens], dtype=np.int64)


def train_column(name: str, cells: pa.ChunkedArray) -> TrainColumn:
    """Take a column apart.

    Example:
        >>> column = train_column("age", pa.chunked_array([[39, None, 27, 39]]))
        >>> column.codes, column.counts, column.look_up([token("27.0"), token("28")])
        (array([ 1, -1,  0,  1]), array([1, 2]), array([ 0, -1]))

    """
    plain = cells.cast(cells.type.value_type) if pa.types.is_dictionary(cells.type) else cells
    encoded = plain.combine_chunks().dictionary_encode()
    values = encoded.dictionary
    rank = np.empty(len(values) + 1, np.int64)
    rank[np.asarray(_sorted(values), np.int64)] = np.arange(len(values))
    rank[-1] = -1  # where missing, index -1, looks itself up
    codes = rank[encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)]
    places = {written: int(rank[i]) for i, value in enumerate(values) for written in _written(value)}
    counts = np.bincount(codes[codes >= 0], minlength=len(values))
    return TrainColumn(name, codes, places, counts, _numbers(plain))


def _sorted(values: pa.Array) -> list[int]:
    scalars = values.to_pylist()
    return sorted(range(len(scalars)), key=lambda i: (scalars[i] != scalars[i], scalars[i]))  # NaN comes last


def _written(value: pa.Scalar) -> list[str]:
    """Return the tokens under which a file may hold a value: as text, and for times as a count too."""
    if not pa.types.is_temporal(value.type):
        return [token(value.as_py())]
    count = value.cast(pa.int32() if pa.types.is_date32(value.type) else pa.int64()).as_py()
    text = [] if pa.types.is_duration(value.type) else [token(value.cast(pa.string()).as_py())]
    return [*text, token(count)]


def _numbers(cells: pa.ChunkedArray) -> FloatArray | None:
    if pa.types.is_string(cells.type) or pa.types.is_large_string(cells.type) or pa.types.is_null(cells.type):
        return None
    if pa.types.is_temporal(cells.type):
        cells = cells.cast(pa.int32() if pa.types.is_date32(cells.type) else pa.int64())
    if pa.types.is_boolean(cells.type):
        cells = cells.cast(pa.int8())
    return np.asarray(cells.cast(pa.float64(), safe=False).fill_null(np.nan).to_numpy(), np.float64)
