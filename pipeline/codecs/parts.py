"""The parts of a column: a point in time is modelled as its local date and its local time of day, all else as a whole.

Bins over the points themselves would be weeks wide, and hours drawn from them would be those of no day at all.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.codecs.axis import ticks_per_step
from pipeline.columns import NANOSECONDS, Column, Constant, Identifier, Integer, Text, Timestamp
from pipeline.errors import SchemaError
from pipeline.schema import Schema

Steps = npt.NDArray[np.int64]

_INT64_MAX = 2**63 - 1


def parts_of(schema: Schema) -> dict[str, tuple[Column, ...]]:
    """Return what stands for each modelled column in encoded form: itself, or the columns it is taken apart into.

    No part is named like another column of the table.

    Example:
        >>> seen = Timestamp(name="seen", arrow="timestamp[us]", resolution="h")
        >>> [part.name for part in parts_of(Schema(columns=(seen,)))["seen"]]
        ['seen (date)', 'seen (time of day)']
    """
    modelled = (column for column in schema.columns if not isinstance(column, Identifier | Text | Constant))
    return {column.name: _parts(column, schema.names) for column in modelled}


def _parts(column: Column, taken: Collection[str]) -> tuple[Column, ...]:
    if not _has_time_of_day(column):
        return (column,)
    names = (_unlike(f"{column.name} ({part})", taken) for part in ("date", "time of day"))
    return tuple(Integer(name=name, arrow="int64", nullable=column.nullable) for name in names)


def _has_time_of_day(column: Column) -> TypeGuard[Timestamp]:
    return isinstance(column, Timestamp) and steps_per_day(column) > 1


def _unlike(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "'"
    return name


def take_apart(column: Column, array: pa.Array) -> tuple[pa.Array, ...]:
    """Return the cells of each part: days since 1970-01-01 and steps of the resolution since midnight, in local time.

    Raises:
        SchemaError: the column's time zone is unknown.

    Example:
        >>> seen = Timestamp(name="seen", arrow="timestamp[s, tz=Europe/Oslo]", resolution="h")
        >>> day, hour = take_apart(seen, pa.array([86_400 + 3_600 * 23], seen.arrow_type))
        >>> day.to_pylist(), hour.to_pylist()
        ([2], [0])
    """
    if not _has_time_of_day(column):
        return (array,)
    missing = array.is_null().to_numpy(zero_copy_only=False)
    steps = array.cast(pa.int64()).fill_null(0).to_numpy() // ticks_per_step(column)
    days, times = np.divmod(steps, steps_per_day(column))
    carried, times = np.divmod(times + _offset(column, steps, local=False), steps_per_day(column))
    return pa.array(days + carried, mask=missing), pa.array(times, mask=missing)


def put_together(column: Column, parts: tuple[pa.Array, ...]) -> pa.Array:
    """Return the cells of the column; the first part decides where they are missing.

    A local time that the clock skips becomes the moment of its change; one that it repeats is the earlier of the two.
    So this undoes `take_apart` except for the second pass through a repeated hour.

    Raises:
        SchemaError: the column's time zone is unknown.

    Example:
        >>> seen = Timestamp(name="seen", arrow="timestamp[s, tz=Europe/Oslo]", resolution="h")
        >>> put_together(seen, (pa.array([2, None]), pa.array([0, 0]))).cast(pa.int64()).to_pylist()
        [169200, None]
    """
    if not _has_time_of_day(column):
        return parts[0]
    missing = parts[0].is_null().to_numpy(zero_copy_only=False)
    days, times = (part.fill_null(0).to_numpy() for part in parts)
    offset = _offset(column, _join(column, days, times), local=True)
    steps = _join(column, days, times - offset)
    return pa.array(steps * ticks_per_step(column), mask=missing).cast(column.arrow_type)


def _join(column: Timestamp, days: Steps, times: Steps) -> Steps:
    """Return days and steps as steps, held inside what the column's type can hold."""
    per_day, largest = steps_per_day(column), _INT64_MAX // ticks_per_step(column)
    carried, times = np.divmod(times, per_day)
    days = np.clip(days + carried, -(largest // per_day) - 1, largest // per_day)
    # Negative days count back from their end, because the beginning of the first one may lie out of reach.
    base, rest = (days + (days < 0)) * per_day, times - per_day * (days < 0)
    steps: Steps = base + np.clip(rest, -largest - np.minimum(base, 0), largest - np.maximum(base, 0))
    return steps


def _offset(column: Timestamp, steps: Steps, *, local: bool) -> Steps:
    """Return how many steps, rounded down, the local clock is ahead of UTC at instants, or at local times."""
    unit, zone, per_step = column.arrow_type.unit, column.arrow_type.tz, ticks_per_step(column)
    if zone is None:
        return np.zeros(len(steps), np.int64)
    ticks = steps * per_step
    try:
        ahead: Steps = ticks - _to_utc(ticks, unit, zone) if local else _to_local(ticks, unit, zone) - ticks
    except pa.ArrowInvalid as error:
        rule, remedy = f'column "{column.name}" needs a known time zone', 'cast it to "UTC", or mend the name'
        raise SchemaError(rule, actual=f'"{zone}"', remedy=remedy) from error
    return ahead // per_step


def _to_local(ticks: Steps, unit: str, zone: str) -> Steps:
    local: Steps = pc.local_timestamp(pa.array(ticks).cast(pa.timestamp(unit, zone))).cast(pa.int64()).to_numpy()
    return local


def _to_utc(ticks: Steps, unit: str, zone: str) -> Steps:
    local = pa.array(ticks).cast(pa.timestamp(unit))
    instants = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest")  # the end of a skipped hour
    utc: Steps = instants.cast(pa.int64()).to_numpy()
    return utc


def steps_per_day(column: Timestamp) -> int:
    """Return how many steps of a column's resolution make a day; 1 where it holds whole days."""
    return NANOSECONDS["day"] // NANOSECONDS[column.arrow_type.unit] // ticks_per_step(column)
