"""What keeps the values of one column from fitting what the schema declares of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import arrow_text, family
from pipeline.columns import (
    NANOSECONDS,
    Categorical,
    Column,
    Constant,
    Continuous,
    Duration,
    Identifier,
    Integer,
    Timestamp,
)

INT64_MAX = 2**63 - 1


def misfit(column: Column, values: pa.ChunkedArray) -> str:
    """Say why `values` do not fit `column`, without telling a value; an empty text if they do.

    Example:
        >>> misfit(Integer(name="n", arrow="int64", step=5), pa.chunked_array([[5, 10, 11]]))
        '1 value off the step 5, first in row 3'
    """
    if values.type != column.arrow_type:
        return f"is {arrow_text(values.type)}, declared {column.arrow}"
    problems = (_count(marks, words) for marks, words in _marked(column, values))
    return ", and ".join(problem for problem in problems if problem)


def misfit_rows(column: Column, values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Say which cells of the column's type do not fit `column`.

    Example:
        >>> misfit_rows(Integer(name="n", arrow="int64", maximum=5), pa.chunked_array([[5, 10]])).tolist()
        [False, True]
    """
    found = np.zeros(len(values), np.bool_)
    for marks, _ in _marked(column, values):
        found |= pc.fill_null(marks, False).to_numpy()
    return found


def _count(marks: pa.ChunkedArray, words: str) -> str:
    """Say how many rows are marked and which is the first; a missing mark counts as unmarked."""
    rows = np.flatnonzero(pc.fill_null(marks, False).to_numpy())
    if len(rows) == 0:
        return ""
    return f"{len(rows)} value{'s' if len(rows) > 1 else ''} {words}, first in row {rows[0] + 1}"


def _marked(column: Column, values: pa.ChunkedArray) -> Iterator[tuple[pa.ChunkedArray, str]]:
    """Yield, for every rule of the column, the rows that break it and the rule's words."""
    if not column.nullable:
        yield pc.is_null(values), "missing, declared never missing"
    match column:
        case Continuous():
            yield from _out_of_bounds(values.cast(pa.float64()), column.minimum, column.maximum)
            if column.decimals is not None:
                yield _off_decimals(values, column.decimals), f"with more than {column.decimals} decimals"
        case Integer():
            yield from _marked_integer(column, values)
        case Categorical(levels=levels, unseen="refuse") if levels is not None:
            known = pc.is_in(values.cast(_plain(values.type)), pa.array(levels, _plain(values.type)))
            yield pc.and_(pc.invert(known), pc.is_valid(values)), "at a level that is not declared"
        case Timestamp() | Duration():
            per_step = NANOSECONDS[column.resolution] // NANOSECONDS[values.type.unit]
            yield _off_step(values.cast(pa.int64()), per_step), f"finer than the resolution {column.resolution}"
        case Identifier():
            yield _repeated(values), "repeating a key"
        case Constant():
            yield _different(column, values), "different from the constant"


def _marked_integer(column: Integer, values: pa.ChunkedArray) -> Iterator[tuple[pa.ChunkedArray, str]]:
    if values.type == pa.uint64():
        yield pc.greater(values, pa.scalar(INT64_MAX, pa.uint64())), "above 2^63-1 (cast the column to text)"
        values = pc.min_element_wise(values, pa.scalar(INT64_MAX, pa.uint64()), skip_nulls=False)
    whole = values.cast(pa.int64())
    yield from _out_of_bounds(whole, column.minimum, column.maximum)
    yield _off_step(whole, column.step), f"off the step {column.step}"


def _out_of_bounds(
    values: pa.ChunkedArray, minimum: float | None, maximum: float | None
) -> Iterator[tuple[pa.ChunkedArray, str]]:
    if minimum is not None:
        yield pc.less(values, minimum), f"below the minimum {minimum}"
    if maximum is not None:
        yield pc.greater(values, maximum), f"above the maximum {maximum}"


def _off_step(values: pa.ChunkedArray, step: int) -> pa.ChunkedArray:
    whole = pc.multiply(pc.divide(values, max(step, 1)), max(step, 1))  # Arrow's division of integers truncates
    return pc.not_equal(values, whole)


def _off_decimals(values: pa.ChunkedArray, decimals: int) -> pa.ChunkedArray:
    if family(values.type) == "decimal":
        return pc.not_equal(values, pc.round(values, decimals))
    numbers = values.to_numpy()  # a missing cell becomes NaN, and NaN is on every grid
    return pa.chunked_array([~on_decimals(numbers, decimals)])


def on_decimals(numbers: npt.NDArray[np.floating], decimals: int) -> npt.NDArray[np.bool_]:
    """Say which numbers are a multiple of 10^-decimals, as exactly as their type can say; NaN and infinity are.

    Example:
        >>> on_decimals(np.array([0.1, 0.25, np.inf]), 1).tolist()
        [True, False, True]
    """
    wide = numbers.astype(np.float64)
    # Where the grid is finer than the numbers themselves, every number is on it, and rounding could overflow.
    coarse = np.abs(wide) < finest(numbers.dtype, decimals)
    rounded = np.round(np.where(coarse, wide, 0.0), decimals).astype(numbers.dtype)
    on_grid: npt.NDArray[np.bool_] = ~coarse | (rounded == numbers)
    return on_grid


def finest(dtype: np.dtype[Any], decimals: int) -> float:
    """Return the size from which numbers of `dtype` lie further apart than 10^-decimals.

    Example:
        >>> finest(np.dtype(np.float64), 0) == 2.0**53
        True
    """
    return float(2.0 ** (np.finfo(dtype).nmant + 1) / 10.0**decimals)


def _repeated(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Mark every row that repeats the key of an earlier one."""
    codes = values.cast(_plain(values.type)).combine_chunks().dictionary_encode()
    indices = pc.fill_null(codes.indices, -1).to_numpy(zero_copy_only=False)
    _, first_rows = np.unique(indices, return_index=True)
    repeats = np.ones(len(indices), dtype=np.bool_)
    repeats[first_rows] = False
    return pa.chunked_array([repeats & (indices >= 0)])


def _different(column: Constant, values: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.value is None:
        return pc.is_valid(values)
    plain = _plain(values.type)
    expected = column.array(1).cast(plain)
    if plain == pa.float16():  # which Arrow does not compare
        values, expected, plain = values.cast(pa.float64()), expected.cast(pa.float64()), pa.float64()
    expected = expected[0]
    same = pc.equal(values.cast(plain), expected)
    not_a_number = family(plain) == "float" and np.isnan(expected.as_py())
    return pc.invert(pc.or_(same, pc.is_nan(values)) if not_a_number else same)


def _plain(arrow_type: pa.DataType) -> pa.DataType:
    """Return the type of the values, without a dictionary around them."""
    return arrow_type.value_type if family(arrow_type) == "dictionary" else arrow_type
