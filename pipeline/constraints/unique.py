"""Columns whose cells together name a row: no two rows have the same."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.constraints.constraint import BetweenColumns, all_present, codes_of, quoted_list
from pipeline.encoded import BoolArray


class Unique(BetweenColumns):
    """No two rows of a table hold the same in all of the columns; rows with a missing one are not compared.

    Attributes:
        columns: one or more. A key that stands for a row is better declared as an identifier, which is issued anew.

    Example:
        >>> slot = Unique(columns=("room", "hour"))
        >>> slot.broken(pa.table({"room": [1, 1, 1], "hour": [8, 9, 8]})).tolist()
        [False, False, True]
    """

    kind: Literal["unique"] = "unique"
    columns: tuple[str, ...] = Field(min_length=1)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    @property
    def text(self) -> str:
        """The columns, and that they are unique."""
        return f"unique {quoted_list(self.columns)}"

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:  # noqa: ARG002  of one table alone
        """Say which rows repeat an earlier one."""
        (codes,) = codes_of([table], self.columns)
        repeats = np.ones(len(codes), np.bool_)
        repeats[np.unique(codes, return_index=True)[1]] = False
        return repeats & all_present(table, self.columns)
