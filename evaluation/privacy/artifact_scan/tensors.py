"""Train columns in tensors: as they are, and rescaled or recoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from ...statistics import FloatArray, IntArray
from .columns import FEWEST_VALUES, SAME_VALUES, SHORTEST_RUN, has_order, has_run, has_spacing, has_values, longest
from .content import Tensor
from .train_values import TrainColumn

Matrix = npt.NDArray[np.float64]
Kind = Literal["run", "values", "order"]
COARSE = ("BF16", "F16")
"""Types with less than 12 significant bits, in which numbers are equal by chance too often to compare sets of them."""


@dataclass(frozen=True)
class StoredColumn:
    """A column as a tensor of one element type can hold it.

    Attributes:
        column: the column; its codes are those of the values that the type tells apart.
        numbers: the distinct numbers as stored, sorted.

    """

    column: TrainColumn
    numbers: FloatArray

    def look_up(self, values: FloatArray) -> IntArray:
        """Return the codes of numbers, -1 for those that are no value of the column."""
        at = np.searchsorted(self.numbers, values).clip(max=len(self.numbers) - 1)
        return np.where(self.numbers[at] == values, at, -1)


def stored_columns(columns: Sequence[TrainColumn], dtype: str) -> list[StoredColumn]:
    """Return the columns of numbers as a tensor of that type holds them."""
    found = []
    for column in columns:
        if column.numbers is not None and np.isfinite(column.numbers).any():
            stored = _as(column.numbers, dtype)
            known = np.isfinite(stored)
            distinct, inverse = np.unique(stored[known], return_inverse=True)
            codes = np.full(len(stored), -1, np.int64)
            codes[known] = inverse
            same = TrainColumn(column.name, codes, {}, np.bincount(inverse), column.numbers)
            found.append(StoredColumn(same, distinct))
    return found


def search_tensor(
    tensor: Tensor, columns: Sequence[TrainColumn], stored: Sequence[StoredColumn], protect: int
) -> Iterator[tuple[str, Kind]]:
    """Yield the columns that are in a tensor, read along its last axis and across it, and how they were recognised."""
    shape = tensor.values.shape
    matrix = tensor.values.reshape(-1, shape[-1]) if len(shape) > 1 else tensor.values.reshape(1, -1)
    found: dict[str, Kind] = {}
    if _worth_it(matrix, stored):
        for each in stored:
            codes = each.look_up(matrix.ravel()).reshape(matrix.shape)
            if has_run(codes.ravel(), each.column) or has_run(codes.T.ravel(), each.column):
                found[each.column.name] = "run"
            elif tensor.dtype not in COARSE and any(has_values(x, each.column, protect) for x in _crowded(codes)):
                found[each.column.name] = "values"
    for column in columns:
        if column.name not in found and _has_recoded(matrix, column):
            found[column.name] = "order"
    yield from found.items()


def _worth_it(matrix: Matrix, stored: Sequence[StoredColumn]) -> bool:
    """Return whether enough of the numbers are values of any column: those of weights hardly ever are."""
    if not stored:
        return False
    known = np.isin(matrix, np.concatenate([each.numbers for each in stored]))
    in_a_row = max(longest(known.ravel()), longest(known.T.ravel()))
    return in_a_row >= SHORTEST_RUN or any(True for _ in _crowded(np.where(known, 0, -1)))


def _crowded(codes: IntArray) -> Iterator[IntArray]:
    """Yield the rows, the columns and the whole of a matrix in which nearly every number is a value."""
    for lines in (codes, codes.T, codes.reshape(1, -1)):
        if lines.shape[1] >= FEWEST_VALUES:
            yield from lines[(lines >= 0).mean(axis=1) >= SAME_VALUES]


def _has_recoded(matrix: Matrix, column: TrainColumn) -> bool:
    return any(
        has_order(line, column) or has_spacing(line, column)
        for lines in (matrix, matrix.T, matrix.reshape(1, -1))
        if lines.shape[1] in (len(column.codes), len(column.present))
        for line in lines
    )


def _as(numbers: FloatArray, dtype: str) -> FloatArray:
    """Round numbers as a tensor's type does."""
    with np.errstate(over="ignore"):  # beyond the type's range a number is infinite, and no longer a value to look for
        if dtype == "BF16":
            return _upper_half(numbers.astype(np.float32)).astype(np.float64)
        floats = {"F32": np.float32, "F16": np.float16}
        return numbers.astype(floats.get(dtype, np.float64)).astype(np.float64)


def _upper_half(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Round to the nearest number that the upper 16 bits can say, ties to even."""
    bits = numbers.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(numbers), np.float32("nan"), rounded.view(np.float32))
