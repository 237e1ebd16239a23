"""Bounds of a column that its kind does not declare itself, such as the dates of a study."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.constraints.constraint import BetweenColumns, Columns, as_marks, cells, present
from pipeline.encoded import BoolArray
from pipeline.errors import SchemaError

Bound = int | float | str


class Range(BetweenColumns):
    """The cells of a column lie between two bounds, which may themselves occur.

    Attributes:
        column: a number, a point in time or a duration.
        minimum: the lower bound; dates, points in time and decimals as text, durations in units of their type.
        maximum: the upper bound.

    Example:
        >>> study = Range(column="seen", minimum="2024-01-01")
        >>> table = pa.table({"seen": pa.array(["2023-12-31", "2024-01-01"]).cast(pa.date32())})
        >>> study.text, study.broken(table).tolist()
        ('2024-01-01 <= "seen"', [True, False])
    """

    fitting: ClassVar[tuple[str, ...]] = ("integer", "continuous", "timestamp", "date", "duration")

    kind: Literal["range"] = "range"
    column: str
    minimum: Bound | None = None
    maximum: Bound | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The column."""
        return (self.column,)

    @property
    def text(self) -> str:
        """The column between its bounds."""
        low = "" if self.minimum is None else f"{self.minimum} <= "
        high = "" if self.maximum is None else f" <= {self.maximum}"
        return f'{low}"{self.column}"{high}'

    def _check_types(self, columns: Columns) -> None:
        if self.minimum is None and self.maximum is None:
            self._refuse("needs a bound", "none", "give minimum or maximum")
        arrow_type = columns[self.column].arrow_type
        try:
            low, high = (None if b is None else scalar(b, arrow_type) for b in (self.minimum, self.maximum))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise SchemaError(
                f"the bounds of the constraint {self.text} must fit {columns[self.column].arrow}",
                actual=str(error)[:200],
                remedy='write dates as "2024-02-29", points in time as "2024-02-29 08:30:00"',
            ) from error
        if low is not None and high is not None and pc.greater(low, high).as_py():
            self._refuse("has its minimum above its maximum", f"{self.minimum} and {self.maximum}", "swap them")

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:  # noqa: ARG002  says it all itself
        """Say which cells lie outside."""
        array = cells(table, self.column)
        wrong = np.zeros(len(array), np.bool_)
        for bound, outside in ((self.minimum, pc.less), (self.maximum, pc.greater)):
            if bound is not None:
                wrong |= as_marks(outside(array, scalar(bound, array.type)))
        return wrong & present(array)


def scalar(value: Bound, arrow_type: pa.DataType) -> pa.Scalar:
    """Return a bound in a column's type; a point in time without an offset is local time in the column's zone.

    Example:
        >>> scalar("2024-02-29", pa.date32()).as_py().isoformat()
        '2024-02-29'
    """
    if isinstance(value, str) and pa.types.is_timestamp(arrow_type) and arrow_type.tz is not None:
        try:
            local = pa.array([value]).cast(pa.timestamp(arrow_type.unit))
            return pc.assume_timezone(local, arrow_type.tz)[0]
        except pa.ArrowInvalid:  # the text has an offset of its own
            return pa.array([value]).cast(arrow_type)[0]
    if pa.types.is_decimal(arrow_type):
        value = str(value)
    return pa.array([value]).cast(arrow_type)[0] if isinstance(value, str) else pa.scalar(value, arrow_type)
