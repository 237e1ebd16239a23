"""How far one cell lies above another, as a column that can be learned: whole steps, floats, or local time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from pipeline.arrow_types import family
from pipeline.codecs.axis import Cells, FloatAxis, TickAxis, ticks_per_step
from pipeline.codecs.parts import put_together, steps_per_day, take_apart
from pipeline.columns import Column, Continuous, Date, Duration, Integer, Timestamp
from pipeline.constraints.constraint import Numbers
from pipeline.encoded import BoolArray

Ordered = Integer | Continuous | Timestamp | Date | Duration


class Distance(Protocol):
    """The two-way translation between a cell above a base and its distance from it."""

    def column(self, name: str, *, nullable: bool) -> Column:
        """Return the column that distances are cells of."""
        ...

    def between(self, base: Numbers, high: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the distances.

        Args:
            base: int64 or float64 **(n_rows,)**, in units of the type.
            high: the cells above.
            missing: where there is no distance.
        """
        ...

    def above(self, base: Numbers, distance: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the cells at the distances, in the grid and the reach of the column above."""
        ...


def distance_to(column: Ordered, *, strict: bool) -> Distance:
    """Return what measures how far cells of `column` lie above others; `strict`: never at the same place."""
    if isinstance(column, Timestamp) and steps_per_day(column) > 1:
        return LocalTime(column)
    return (
        Floats(column)
        if isinstance(column, Continuous) and family(column.arrow_type) == "float"
        else Steps(column, strict)
    )


@dataclass(frozen=True)
class Steps:
    """Whole steps of the grid of the column above, from the first one that its base allows.

    Example:
        >>> steps = Steps(Integer(name="paid", arrow="int16", step=5), strict=False)
        >>> distance = steps.between(np.array([3, 10]), pa.array([10, 10], pa.int16()), np.zeros(2, bool))
        >>> distance.to_pylist(), steps.above(np.array([3, 10]), distance, np.zeros(2, bool)).to_pylist()
        ([1, 0], [10, 10])
    """

    high: Ordered
    strict: bool

    def column(self, name: str, *, nullable: bool) -> Column:
        """Return a column of whole numbers."""
        return Integer(name=name, arrow="int64", nullable=nullable)

    def between(self, base: Numbers, high: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the steps."""
        steps = TickAxis(high.type, ticks_per_step(self.high)).read(high).numbers
        return pa.array(np.where(missing, 0, steps - self._first(base)), mask=missing)

    def above(self, base: Numbers, distance: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the cells; one beyond what the type can hold becomes the largest that it can."""
        first, per_step = self._first(base), ticks_per_step(self.high)
        low, high = (end // per_step for end in reach(self.high.arrow_type))
        found = first + distance.fill_null(0).to_numpy(zero_copy_only=False)
        found = np.clip(np.where(found < first, high, found), low, high)  # a sum beyond int64 comes out below
        cells = Cells(np.where(missing, 0, found), missing, np.zeros(len(found), np.int8))
        return TickAxis(self.high.arrow_type, per_step).write(cells)

    def _first(self, base: Numbers) -> Numbers:
        per_step = ticks_per_step(self.high)
        first: Numbers = base // per_step + 1 if self.strict else -(-base // per_step)
        return first


@dataclass(frozen=True)
class Floats:
    """The difference, to as many decimals as the column above has."""

    high: Continuous

    def column(self, name: str, *, nullable: bool) -> Column:
        """Return a column of floats."""
        return Continuous(name=name, arrow="double", nullable=nullable, decimals=self.high.decimals)

    def between(self, base: Numbers, high: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the differences."""
        axis = FloatAxis(pa.float64(), self.high.decimals, grid=False)
        with np.errstate(invalid="ignore", over="ignore"):  # between infinities, and between the largest floats
            found = high.cast(pa.float64()).fill_null(0).to_numpy() - base
        return axis.write(Cells(found, missing, np.zeros(len(found), np.int8)))

    def above(self, base: Numbers, distance: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the sums."""
        axis = FloatAxis(self.high.arrow_type, self.high.decimals, grid=False)
        with np.errstate(invalid="ignore", over="ignore"):
            found = base + distance.fill_null(0).to_numpy(zero_copy_only=False)
            return axis.write(Cells(found, missing, np.zeros(len(found), np.int8)))


@dataclass(frozen=True)
class LocalTime:
    """Days between the local dates, and a time: that of the day itself, but on the same day the time that has passed.

    Distances of weeks, counted in minutes, would be learned in bins of days, and cells drawn from them would lie at
    hours of no day at all. The two are one point in time, days after 1970-01-01, so that they are modelled as such.
    """

    high: Timestamp

    def column(self, name: str, *, nullable: bool) -> Column:
        """Return a column of points in time without a zone."""
        arrow = f"timestamp[{self.high.arrow_type.unit}]"
        return Timestamp(name=name, arrow=arrow, nullable=nullable, resolution=self.high.resolution)

    def between(self, base: Numbers, high: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the days and times as points in time."""
        low_days, low_times = self._local(pa.array(base).cast(high.type))
        days, times = self._local(high)
        gone = np.maximum(days - low_days, 0)
        times = np.where(
            gone > 0, times, np.maximum(times - low_times, 0)
        )  # a clock set back goes through an hour twice
        ticks = (gone * steps_per_day(self.high) + times) * ticks_per_step(self.high)
        return pa.array(np.where(missing, 0, ticks), mask=missing).cast(pa.timestamp(high.type.unit))

    def above(self, base: Numbers, distance: pa.Array, missing: BoolArray) -> pa.Array:
        """Return the points in time."""
        ticks = distance.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        gone, times = np.divmod(ticks // ticks_per_step(self.high), steps_per_day(self.high))
        days, low_times = self._local(pa.array(base).cast(self.high.arrow_type))
        times = np.where(gone > 0, times, low_times + times)
        parts = (pa.array(days + gone, mask=missing), pa.array(times, mask=missing))
        return put_together(self.high, parts)

    def _local(self, array: pa.Array) -> tuple[Numbers, Numbers]:
        days, times = (part.fill_null(0).to_numpy(zero_copy_only=False) for part in take_apart(self.high, array))
        return days, times


def reach(arrow_type: pa.DataType) -> tuple[int, int]:
    """Return the smallest and the largest count of units that a type can hold.

    Example:
        >>> reach(pa.int8()), reach(pa.decimal128(3, 1))
        ((-128, 127), (-999, 999))
    """
    match family(arrow_type):
        case "integer":
            limits = np.iinfo(arrow_type.to_pandas_dtype())
            return int(limits.min), min(int(limits.max), 2**63 - 1)
        case "decimal":
            return 1 - 10**arrow_type.precision, 10**arrow_type.precision - 1
        case "date":
            return -(2**31), 2**31 - 1
        case _:
            return -(2**63), 2**63 - 1
