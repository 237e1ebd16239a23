"""Columns of which only the combinations occur that train has: country and city, drug and dose."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.constraints.constraint import BetweenColumns, all_present, codes_of, quoted_list
from pipeline.encoded import BoolArray


class FixedCombinations(BetweenColumns):
    """Only combinations that train has are drawn, and of those only the ones that enough rows carry.

    Attributes:
        columns: two or more.

    Example:
        >>> places = FixedCombinations(columns=("country", "city"))
        >>> train = pa.table({"country": ["no", "it"], "city": ["Oslo", "Rome"]})
        >>> places.broken(pa.table({"country": ["no", "no"], "city": ["Oslo", "Rome"]}), train).tolist()
        [False, True]
    """

    kind: Literal["fixed_combinations"] = "fixed_combinations"
    columns: tuple[str, ...] = Field(min_length=2)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    @property
    def text(self) -> str:
        """The columns, and that their combinations are fixed."""
        return f"fixed combinations of {quoted_list(self.columns)}"

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:
        """Say which rows hold a combination that train has not; none where train is not given."""
        if train is None:
            return np.zeros(table.num_rows, np.bool_)
        known, found = codes_of([train, table], self.columns)
        return ~np.isin(found, known) & all_present(table, self.columns)
