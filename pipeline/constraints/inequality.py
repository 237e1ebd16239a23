"""Numbers or points in time that ascend from column to column: admitted <= discharged, low < middle < high."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.constraints.constraint import BetweenColumns, Columns, cells, numbers_of, present
from pipeline.encoded import BoolArray


class Inequality(BetweenColumns):
    """The cells of a row ascend in the order of the columns; between two that are there, missing ones are passed over.

    Attributes:
        columns: two or more, the lowest first: all numbers, or all points in time or durations of one type.
        strict: whether neighbours must differ.

    Example:
        >>> stay = Inequality(columns=("came", "left"))
        >>> stay.text, stay.broken(pa.table({"came": [1, 2, None], "left": [1, 0, 0]})).tolist()
        ('"came" <= "left"', [False, True, False])
    """

    fitting: ClassVar[tuple[str, ...]] = ("integer", "continuous", "timestamp", "date", "duration")

    kind: Literal["inequality"] = "inequality"
    columns: tuple[str, ...] = Field(min_length=2)
    strict: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, the lowest first."""
        return self.columns

    @property
    def text(self) -> str:
        """The columns with the sign between them."""
        return (" < " if self.strict else " <= ").join(f'"{name}"' for name in self.columns)

    def _check_types(self, columns: Columns) -> None:
        declared = [columns[name] for name in self.columns]
        if {column.kind for column in declared} <= {"integer", "continuous"}:
            return
        types = [column.arrow for column in declared]
        if len(set(types)) > 1:
            self._refuse("compares numbers, or columns of one type", ", ".join(types), "cast them to one type")

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:  # noqa: ARG002  says it all itself
        """Say in which rows a cell lies below, or where strict on, the highest one before it."""
        arrays = [cells(table, name) for name in self.columns]
        numbers, there = numbers_of(arrays), [present(array) for array in arrays]
        highest, any_there, wrong = numbers[0], there[0], np.zeros(table.num_rows, np.bool_)
        for number, is_there in zip(numbers[1:], there[1:], strict=True):
            below = number <= highest if self.strict else number < highest
            wrong |= any_there & is_there & below
            highest = np.where(is_there & (~any_there | (number > highest)), number, highest)
            any_there = any_there | is_there
        return wrong
