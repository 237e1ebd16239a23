"""A step of reparametrisation: columns leave the table, and others that cannot break a constraint stand in for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from pipeline.arrow_types import family
from pipeline.codecs.axis import TickAxis
from pipeline.columns import Column
from pipeline.encoded import BoolArray

Cells = Mapping[str, pa.Array]
"""Columns of one table in one piece, by name."""
Known = Mapping[str, BoolArray]
"""Which cells of each column are known, bool **(n_rows,)**; a column that is not there is not known at all."""


class Step(Protocol):
    """The two-way translation between columns that a constraint ties together and columns that are free.

    Attributes:
        replaced: the declared columns that leave.
        reads: the declared columns that stay, or come back by an earlier step, and that `back` needs.
        stand_ins: the columns that take their place, at that of the first one replaced.
    """

    @property
    def replaced(self) -> tuple[Column, ...]:
        """The declared columns that leave."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The declared columns that are needed to bring them back."""
        ...

    @property
    def stand_ins(self) -> tuple[Column, ...]:
        """The columns that take their place."""
        ...

    def forward(self, cells: Cells) -> dict[str, pa.Array]:
        """Return the stand-ins, given the declared columns that are replaced or read."""
        ...

    def back(self, cells: Cells) -> dict[str, pa.Array]:
        """Return the replaced columns, given the stand-ins and what is read."""
        ...

    def known(self, known: Known, n_rows: int) -> dict[str, BoolArray]:
        """Say which cells of the stand-ins follow from known cells of the declared columns.

        Raises:
            UnsupportedError: known cells say something that no stand-in can carry.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """Return the fitted state as plain JSON values."""
        ...


def plain(array: pa.Array) -> list[Any]:
    """Return cells as JSON values: numbers and text as such, floats and decimals as text, times as their count.

    Example:
        >>> plain(pa.array([0.1, float("nan"), None]))
        ['0.1', 'nan', None]
    """
    if pa.types.is_dictionary(array.type):
        return [array.dictionary.to_pylist(), array.indices.to_pylist()]
    match family(array.type):
        case "float" | "decimal":
            array = array.cast(pa.string())
        case "timestamp" | "date" | "duration":
            found = TickAxis(array.type, 1).read(array)
            array = pa.array(found.numbers, mask=found.missing)
    values: list[Any] = array.to_pylist()
    return values


def from_plain(values: list[Any], arrow_type: pa.DataType) -> pa.Array:
    """Undo `plain`.

    Raises:
        ValueError, TypeError, pa.ArrowException: the values are none of the type.

    Example:
        >>> from_plain(["0.1", "nan", None], pa.float64()).to_pylist()
        [0.1, nan, None]
    """
    match family(arrow_type):
        case "float" | "decimal":
            return pa.array(values, pa.string()).cast(arrow_type)
        case "date":
            return pa.array(values, pa.int32()).cast(pa.date32()).cast(arrow_type)
        case "timestamp" | "duration":
            return pa.array(values, pa.int64()).cast(arrow_type)
        case "dictionary":
            levels, indices = values
            places = pa.array(indices, arrow_type.index_type)
            return pa.DictionaryArray.from_arrays(
                places, pa.array(levels, arrow_type.value_type), ordered=arrow_type.ordered
            )
        case _:
            return pa.array(values, arrow_type)


def unlike(name: str, taken: tuple[str, ...]) -> str:
    """Return a name that no column of the table has.

    Example:
        >>> unlike("b above a", ("a", "b above a"))
        "b above a'"
    """
    while name in taken:
        name += "'"
    return name


def marks_of(known: Known, names: Sequence[str], n_rows: int) -> list[BoolArray]:
    """Return which cells of each column are known, none of one that is not there."""
    return [known.get(name, np.zeros(n_rows, np.bool_)) for name in names]
