"""What every kind of constraint between columns can do, and the pieces that several of them share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import family
from pipeline.codecs.axis import TickAxis
from pipeline.columns import Column
from pipeline.config import Config
from pipeline.encoded import BoolArray
from pipeline.errors import SchemaError

Codes = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]
Columns = Mapping[str, Column]
"""The columns of a schema by name."""

MODELLED = ("continuous", "integer", "categorical", "boolean", "timestamp", "date", "duration")


class BetweenColumns(Config):
    """What every row of a table must satisfy. A missing cell breaks nothing: what is unknown cannot contradict.

    Attributes:
        reason: why it holds; for people, never read by the program.
    """

    fitting: ClassVar[tuple[str, ...]] = MODELLED
    """The kinds of column that it may speak of."""

    reason: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that it speaks of."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The constraint as a person would write it, with its columns quoted."""
        raise NotImplementedError

    def broken(self, table: pa.Table, train: pa.Table | None = None) -> BoolArray:
        """Say which rows of a table of the schema's types break it, bool **(n_rows,)**.

        Args:
            table: the rows to judge.
            train: rows that hold it and from which it is learned what may occur, where it does not say so itself.
        """
        raise NotImplementedError

    def check(self, columns: Columns) -> None:
        """Refuse columns that are not there or of kinds that do not fit.

        Raises:
            SchemaError: names the constraint and the column.
        """
        for name in self.names:
            if name not in columns:
                self._refuse("speaks of a column that the schema does not have", f'"{name}"', "mend its columns")
            if columns[name].kind not in self.fitting:
                rule = f"needs columns that are {', '.join(self.fitting)}"
                self._refuse(rule, f'"{name}", which is {columns[name].kind}', "leave it out, or change the kind")
        if len(set(self.names)) < len(self.names):
            self._refuse("must name each column once", ", ".join(self.names), "leave out the repeated one")
        self._check_types(columns)

    def renamed(self, names: Mapping[str, str]) -> Self:
        """Return the constraint with columns by their new names."""

        def replaced(value: Any) -> Any:
            if isinstance(value, tuple):
                return tuple(map(replaced, value))
            return names.get(value, value) if isinstance(value, str) else value

        speaking = [
            name
            for name in ("columns", "column", "determinants", "dependents", "total", "parts")
            if hasattr(self, name)
        ]
        return self.model_copy(update={name: replaced(getattr(self, name)) for name in speaking})

    def _check_types(self, columns: Columns) -> None:
        """Refuse columns whose types do not go together."""

    def _refuse(self, rule: str, actual: str, remedy: str) -> None:
        raise SchemaError(f"the constraint {self.text} {rule}", actual=actual, remedy=remedy)


def quoted_list(names: Sequence[str]) -> str:
    """Return the names in quotes, with commas.

    Example:
        >>> quoted_list(["a", "b"])
        '"a", "b"'
    """
    return ", ".join(f'"{name}"' for name in names)


def cells(table: pa.Table, name: str) -> pa.Array:
    """Return a column in one piece, without a dictionary."""
    array = table[name].combine_chunks()
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def present(array: pa.Array) -> BoolArray:
    """Say which cells can be compared: neither missing nor NaN."""
    there: BoolArray = array.is_valid().to_numpy(zero_copy_only=False)
    if family(array.type) == "float":
        there &= ~np.isnan(array.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False))
    return there


def numbers_of(arrays: Sequence[pa.Array]) -> list[Numbers]:
    """Return arrays as numbers that can be compared and added: int64 where that is exact for all, else float64.

    Exact are whole numbers, and other types where all arrays are of the same; 0 stands where a cell is missing.

    Example:
        >>> numbers_of([pa.array([1, None]), pa.array([3, 4], pa.int8())])
        [array([1, 0]), array([3, 4])]
    """
    whole = all(family(array.type) == "integer" for array in arrays)
    alike = len({array.type for array in arrays}) == 1
    if whole or (alike and family(arrays[0].type) != "float"):
        return [TickAxis(array.type, 1).read(array).numbers for array in arrays]
    return [array.cast(pa.float64()).fill_null(0).to_numpy(zero_copy_only=False) for array in arrays]


def codes_of(tables: Sequence[pa.Table], names: Sequence[str]) -> list[Codes]:
    """Return a number for each row of each table, the same for rows that hold the same in the given columns.

    Example:
        >>> rows = pa.table({"a": ["x", "y", "x", None], "b": [1, 1, 1, 2]})
        >>> codes_of([rows], ["a", "b"])[0].tolist()
        [0, 1, 0, 2]
    """
    codes = np.zeros(sum(table.num_rows for table in tables), np.int64)
    for name in names:
        column = pa.chunked_array([cells(table, name) for table in tables]).combine_chunks()
        places = column.dictionary_encode(null_encoding="encode").indices.to_numpy(zero_copy_only=False)
        codes = np.unique(codes * (int(places.max(initial=0)) + 1) + places, return_inverse=True)[1]
    return np.split(codes, np.cumsum([table.num_rows for table in tables])[:-1])


def all_present(table: pa.Table, names: Sequence[str]) -> BoolArray:
    """Say in which rows none of the given columns is missing or NaN."""
    found: BoolArray = np.logical_and.reduce([present(cells(table, name)) for name in names])
    return found


def as_marks(marks: pa.Array) -> BoolArray:
    """Return marks as an array; one that is missing counts as not set."""
    found: BoolArray = pc.fill_null(marks, False).to_numpy(zero_copy_only=False)
    return found
