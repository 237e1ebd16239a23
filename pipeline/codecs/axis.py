"""The axis of a numeric column: how the cells of an Arrow type become plain numbers, exactly, and come back.

Where the column lies on a grid (integers, decimals, timestamps, dates, durations) the numbers are int64 steps of it, so
that nothing is lost beyond 2^53; otherwise they are float64.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.arrow_types import family
from pipeline.columns import NANOSECONDS, Continuous, Date, Duration, Integer, Timestamp
from pipeline.encoded import BoolArray

NumericColumn = Continuous | Integer | Timestamp | Date | Duration
Numbers = npt.NDArray[np.int64 | np.float64]

SPECIAL = (np.nan, np.inf, -np.inf)
"""The values that lie on no axis; `Cells.special` counts them from 1."""


@dataclass(frozen=True)
class Cells:
    """The cells of a numeric column.

    Attributes:
        numbers: int64 or float64 **(n_rows,)**, 0 where the cell is missing or special.
        missing: bool **(n_rows,)**.
        special: int8 **(n_rows,)**: 0, or 1 + the place in `SPECIAL`.
    """

    numbers: Numbers
    missing: BoolArray
    special: npt.NDArray[np.int8]

    @property
    def finite(self) -> BoolArray:
        """Which cells hold an ordinary number."""
        ordinary: BoolArray = self.special == 0
        return ordinary & ~self.missing


class Axis(Protocol):
    """The two-way translation between cells and numbers."""

    @property
    def grid(self) -> bool:
        """Whether the numbers are int64 steps of a grid, rather than float64."""
        ...

    def read(self, array: pa.Array) -> Cells:
        """Return the numbers of an array; a value off the grid goes to a neighbouring step."""
        ...

    def write(self, cells: Cells) -> pa.Array:
        """Return the array, of the column's own Arrow type."""
        ...


def axis_of(column: NumericColumn, array: pa.Array) -> Axis:
    """Return the axis of a column whose train cells are `array`.

    Example:
        >>> axis = axis_of(Continuous(name="price", arrow="float64", decimals=2), pa.array([0.29, 1.5]))
        >>> axis.read(pa.array([0.29, 1.5])).numbers.tolist()
        [29, 150]
    """
    if not isinstance(column, Continuous) or family(column.arrow_type) == "decimal":
        return TickAxis(column.arrow_type, ticks_per_step(column))
    axis = FloatAxis(column.arrow_type, column.decimals, grid=False)
    largest = np.abs(axis.read(array).numbers).max(initial=0.0)
    return FloatAxis(column.arrow_type, column.decimals, grid=bool(largest < axis.reach))


def axis_from_json(column: NumericColumn, grid: bool) -> Axis:
    """Return the axis that `axis_of` chose at fit."""
    if not isinstance(column, Continuous) or family(column.arrow_type) == "decimal":
        return TickAxis(column.arrow_type, ticks_per_step(column))
    return FloatAxis(column.arrow_type, column.decimals, grid)


def ticks_per_step(column: NumericColumn) -> int:
    """Return how many units of the Arrow type make one step of the declared resolution.

    Example:
        >>> ticks_per_step(Timestamp(name="seen", arrow="timestamp[ms]", resolution="s"))
        1000
    """
    match column:
        case Integer(step=step):
            return step
        case Timestamp(resolution=resolution) | Duration(resolution=resolution):
            return max(NANOSECONDS[resolution] // NANOSECONDS[column.arrow_type.unit], 1)
        case Continuous(decimals=int(decimals)):
            return int(10 ** (column.arrow_type.scale - decimals))
        case _:
            return 1


@dataclass(frozen=True)
class TickAxis:
    """Types that are whole numbers of a unit inside: integers, decimals, timestamps, dates, durations."""

    arrow_type: pa.DataType
    step: int
    grid = True

    def read(self, array: pa.Array) -> Cells:
        """Return the cells as whole steps."""
        missing = array.is_null().to_numpy(zero_copy_only=False)
        ticks = self._to_ticks(array).fill_null(0).to_numpy(zero_copy_only=False)
        return Cells(ticks // self.step, missing, np.zeros(len(array), np.int8))

    def write(self, cells: Cells) -> pa.Array:
        """Return the steps as an array of the column's type."""
        ticks = pa.array(cells.numbers * self.step, pa.int64(), mask=cells.missing)
        if family(self.arrow_type) == "decimal":
            scaled = ticks.cast(pa.decimal128(19, 0)).view(pa.decimal128(19, self.arrow_type.scale))
            return scaled.cast(self.arrow_type)
        return (ticks.cast(pa.int32()).cast(pa.date32()) if self._is_date else ticks).cast(self.arrow_type)

    def _to_ticks(self, array: pa.Array) -> pa.Array:
        if family(self.arrow_type) == "decimal":
            array = array.view(pa.decimal128(self.arrow_type.precision, 0))  # the same digits without the point
        elif self._is_date:
            array = array.cast(pa.date32()).cast(pa.int32())
        return array.cast(pa.int64())

    @property
    def _is_date(self) -> bool:
        return family(self.arrow_type) == "date"


@dataclass(frozen=True)
class FloatAxis:
    """Floats: int64 multiples of 10^-decimals where all of train is small enough for that, else float64.

    Negative zero is read as zero.
    """

    arrow_type: pa.DataType
    decimals: int | None
    grid: bool

    @property
    def reach(self) -> float:
        """Below this size a float is exactly the nearest one to a multiple of 10^-decimals."""
        return 0.0 if self.decimals is None else 2.0**53 / 10.0**self.decimals

    def read(self, array: pa.Array) -> Cells:
        """Return the cells as float64, or as steps."""
        missing = array.is_null().to_numpy(zero_copy_only=False)
        floats = array.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float64)
        special = (np.isnan(floats) + 2 * np.isposinf(floats) + 3 * np.isneginf(floats)).astype(np.int8)
        floats = np.where(special == 0, floats, 0.0) + 0.0  # -0.0 + 0.0 is 0.0
        return Cells(self._to_steps(floats) if self.grid else floats, missing, special)

    def write(self, cells: Cells) -> pa.Array:
        """Return the numbers as an array of the column's type."""
        floats = self._to_floats(cells.numbers)
        for code, value in enumerate(SPECIAL, start=1):
            floats[cells.special == code] = value
        return pa.array(floats.astype(self.arrow_type.to_pandas_dtype()), self.arrow_type, mask=cells.missing)

    def _to_steps(self, floats: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        steps = np.rint(np.clip(floats, -self.reach, self.reach) * 10.0 ** (self.decimals or 0))
        return steps.astype(np.int64)

    def _to_floats(self, numbers: Numbers) -> npt.NDArray[np.float64]:
        if self.grid:
            return numbers.astype(np.float64) / 10.0 ** (self.decimals or 0)
        if self.decimals is None:
            return numbers.astype(np.float64)
        small = np.abs(numbers) < self.reach  # a larger float lies on the grid as it is
        return np.where(small, np.round(np.where(small, numbers, 0.0), self.decimals), numbers).astype(np.float64)
