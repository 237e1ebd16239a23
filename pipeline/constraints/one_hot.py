"""Columns of which one is set: the twenty flags of a category, spread over as many columns."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.arrow_types import family
from pipeline.constraints.constraint import BetweenColumns, Columns, cells, quoted_list
from pipeline.encoded import BoolArray


class OneHot(BetweenColumns):
    """Exactly one of the columns is true, or 1, and the others are false, or 0.

    Attributes:
        columns: two or more, boolean or whole numbers.
        none: whether a row may also have none of them set.

    Example:
        >>> colour = OneHot(columns=("red", "blue"))
        >>> colour.broken(pa.table({"red": [1, 0, 1], "blue": [0, 0, 1]})).tolist()
        [False, True, True]
    """

    fitting: ClassVar[tuple[str, ...]] = ("boolean", "integer", "categorical")

    kind: Literal["one_hot"] = "one_hot"
    columns: tuple[str, ...] = Field(min_length=2)
    none: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return self.columns

    @property
    def text(self) -> str:
        """How many of which are set."""
        return f"{'at most' if self.none else 'exactly'} one of {quoted_list(self.columns)}"

    def _check_types(self, columns: Columns) -> None:
        for name in self.columns:
            if family(columns[name].arrow_type) not in ("boolean", "integer"):
                actual = f'"{name}", which is {columns[name].arrow}'
                self._refuse("needs columns of booleans or whole numbers", actual, "cast them")

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:  # noqa: ARG002  says it all itself
        """Say which rows have several set, or none and none missing, or a number other than 0 and 1."""
        flags = np.stack([cells(table, name).cast(pa.int64()).fill_null(-1).to_numpy() for name in self.columns])
        n_set, n_missing = (flags == 1).sum(axis=0), (flags == -1).sum(axis=0)
        foreign = ~np.isin(flags, (0, 1)).all(axis=0) & (n_missing == 0)
        lacking = (n_set == 0) & (n_missing == 0) & (not self.none)
        wrong: BoolArray = foreign | lacking | (n_set > 1)
        return wrong
