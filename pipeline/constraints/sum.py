"""A column that is the sum of others: total = rent + food + rest."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.arrow_types import family
from pipeline.columns import Column, Continuous
from pipeline.constraints.constraint import (
    BetweenColumns,
    Columns,
    Numbers,
    all_present,
    cells,
    numbers_of,
    quoted_list,
)
from pipeline.encoded import BoolArray


class Sum(BetweenColumns):
    """The total is the sum of its parts: exactly for whole numbers and decimals, up to rounding for floats.

    Attributes:
        total: whole numbers, decimals of the parts' type, or floats.
        parts: two or more.
        decimals: to how many decimals a total of floats is rounded; None: it is not, and differs by no more than the
            type of the floats makes inevitable.

    Example:
        >>> cost = Sum(total="cost", parts=("rent", "food"))
        >>> table = pa.table({"cost": [30, 31], "rent": [20, 20], "food": [10, 10]})
        >>> cost.text, cost.broken(table).tolist()
        ('"cost" = "rent" + "food"', [False, True])
    """

    fitting: ClassVar[tuple[str, ...]] = ("integer", "continuous")

    kind: Literal["sum"] = "sum"
    total: str
    parts: tuple[str, ...] = Field(min_length=2)
    decimals: int | None = Field(default=None, ge=0, le=18)

    @property
    def names(self) -> tuple[str, ...]:
        """The total, then its parts."""
        return (self.total, *self.parts)

    @property
    def text(self) -> str:
        """The equation."""
        return f'"{self.total}" = ' + " + ".join(f'"{part}"' for part in self.parts)

    def _check_types(self, columns: Columns) -> None:
        types = [columns[name].arrow_type for name in self.names]
        whole = all(family(each) == "integer" for each in types)
        if not (whole or family(types[0]) == "float" or len(set(types)) == 1):
            remedy = "cast the total to float64, or all to one type"
            self._refuse("adds exactly only within one type", ", ".join(map(str, types)), remedy)
        total, *parts = (columns[name] for name in self.names)
        if isinstance(total, Continuous) and total.decimals is not None and self.decimals is None:
            finer = [part.name for part in parts if _decimals(part) > total.decimals]
            if finer:
                actual = f"{quoted_list(finer)} with more decimals than the total's {total.decimals}"
                self._refuse("must say to how many decimals it is rounded", actual, "declare its decimals")

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:  # noqa: ARG002  says it all itself
        """Say in which rows the total differs from the sum of its parts."""
        arrays = [cells(table, name) for name in self.names]
        total, *parts = numbers_of(arrays)
        known = all_present(table, self.names)
        if total.dtype == np.int64:
            wrong: BoolArray = known & (overflow(parts) | (total != np.add.reduce(parts)))
            return wrong
        coarsest = max(float(np.finfo(_float_type(array.type)).eps) for array in arrays)
        size = np.abs(total) + np.add.reduce([np.abs(part) for part in parts])
        with np.errstate(invalid="ignore"):  # infinities of both signs
            gap = np.abs(total - np.add.reduce(parts))
        rounding = 0.0 if self.decimals is None else 0.5 * 10.0**-self.decimals
        apart: BoolArray = known & np.isfinite(size) & (gap > rounding + 4 * len(parts) * coarsest * size)
        return apart


def overflow(parts: list[Numbers]) -> BoolArray:
    """Say in which rows the sum of whole numbers leaves int64."""
    large: BoolArray = np.abs(np.add.reduce([part.astype(np.float64) for part in parts])) >= 2.0**62
    return large


def _float_type(arrow_type: pa.DataType) -> type:
    return arrow_type.to_pandas_dtype() if family(arrow_type) == "float" else np.float64


def _decimals(column: Column) -> float:
    """Return how many decimals the numbers of a column may have."""
    if not isinstance(column, Continuous):
        return 0
    return np.inf if column.decimals is None else column.decimals
