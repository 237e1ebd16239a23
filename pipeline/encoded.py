"""The encoded form: what passes between the transform and a generator.

Every modelled column is one or, for points in time (local date and local time of day), two token columns. A token
column holds a **token** from a finite vocabulary and, where the token is a bin, a **value**: the position inside the
bin, in [0, 1). Missing, special values (NaN, infinity), repeated values and categories are tokens without a value.
Identifiers, free text and constants are not modelled and do not occur here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int32]
FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TokenColumn:
    """The vocabulary of one token column.

    Attributes:
        name: the column's name in the table, or that of its part, as in "seen (time of day)".
        counts: int64 **(size,)**, how many train rows carry each token; drives initial biases and resampling.
        drawable: bool **(size,)**, False for the token that stands for protected rare values: to be read, never drawn.
        valued: bool **(size,)**, True for bins, the tokens that carry a value.
        coordinate: float64 **(size,)**, where the token lies on the column's own axis as a train quantile in [0, 1];
            NaN for tokens without an order (categories, missing, special values).
    """

    name: str
    counts: npt.NDArray[np.int64]
    drawable: BoolArray
    valued: BoolArray
    coordinate: FloatArray

    @property
    def size(self) -> int:
        """The number of tokens."""
        return len(self.counts)

    def to_json(self) -> dict[str, Any]:
        """Return the column as plain JSON values; NaN becomes null."""
        return {
            "name": self.name,
            "counts": self.counts.tolist(),
            "drawable": self.drawable.tolist(),
            "valued": self.valued.tolist(),
            "coordinate": [None if np.isnan(x) else float(x) for x in self.coordinate],
        }

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> TokenColumn:
        """Rebuild a column from `to_json`."""
        return cls(
            name=state["name"],
            counts=np.asarray(state["counts"], dtype=np.int64),
            drawable=np.asarray(state["drawable"], dtype=np.bool_),
            valued=np.asarray(state["valued"], dtype=np.bool_),
            coordinate=np.asarray([np.nan if x is None else x for x in state["coordinate"]], dtype=np.float64),
        )


@dataclass(frozen=True)
class Layout:
    """The token columns of a table, in table order: the only thing a generator knows about the data's form."""

    columns: tuple[TokenColumn, ...]

    @property
    def n_columns(self) -> int:
        """The number of token columns."""
        return len(self.columns)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The token columns' names, all different."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """The vocabulary size of each column."""
        return tuple(column.size for column in self.columns)

    @cached_property
    def offsets(self) -> npt.NDArray[np.int64]:
        """int64 **(n_columns,)**: where each column's tokens begin in the concatenated vocabulary."""
        return np.concatenate([[0], np.cumsum(self.sizes)[:-1]]).astype(np.int64)

    @cached_property
    def n_tokens(self) -> int:
        """The size of the concatenated vocabulary."""
        return sum(self.sizes)

    @cached_property
    def valued(self) -> tuple[int, ...]:
        """The indices of the columns that have a continuous part; `Encoded.values` has one column for each."""
        return tuple(i for i, column in enumerate(self.columns) if column.valued.any())

    def to_json(self) -> dict[str, Any]:
        """Return the layout as plain JSON values."""
        return {"columns": [column.to_json() for column in self.columns]}

    @classmethod
    def from_json(cls, state: dict[str, Any]) -> Layout:
        """Rebuild a layout from `to_json`."""
        return cls(tuple(TokenColumn.from_json(column) for column in state["columns"]))


@dataclass(frozen=True)
class Encoded:
    """A table in encoded form.

    Attributes:
        layout: the form of the columns.
        tokens: int32 **(n_rows, n_columns)**, each below its column's vocabulary size.
        values: float64 **(n_rows, len(layout.valued))**, the position inside the bin in [0, 1); 0.5 where the
            row's token carries no value.
    """

    layout: Layout
    tokens: IntArray
    values: FloatArray

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: Rows | BoolArray) -> Encoded:
        """Return the given rows, in the given order."""
        return Encoded(self.layout, self.tokens[rows], self.values[rows])

    @classmethod
    def concat(cls, parts: Sequence[Encoded]) -> Encoded:
        """Return the rows of one or more tables of the same layout, one after the other."""
        tokens = np.concatenate([part.tokens for part in parts])
        return cls(parts[0].layout, tokens, np.concatenate([part.values for part in parts]))
