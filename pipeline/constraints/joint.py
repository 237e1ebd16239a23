"""Columns of which only some combinations occur, as one categorical column of these combinations."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.codecs.categorical import in_order
from pipeline.columns import Categorical, Column
from pipeline.constraints.constraint import Codes, codes_of, quoted_list
from pipeline.constraints.step import Cells, Known, from_plain, marks_of, plain, unlike
from pipeline.encoded import BoolArray
from pipeline.errors import DataError
from pipeline.schema import Schema


@dataclass(frozen=True)
class Joint:
    """The stand-in counts the combinations that at least `protect` train rows carry; all others are one rare level.

    So what is drawn is a combination that train has, and one that is nobody's own. This keeps fixed combinations,
    functional dependences, for which it is the determinants that must be carried by enough rows, and one-hot groups.

    Attributes:
        columns: the declared columns.
        levels: a row for each kept combination, sorted.
        stand_in: the column of their numbers.

    Example:
        >>> schema = Schema(columns=tuple(Categorical(name=name, arrow="string") for name in ("country", "city")))
        >>> train = pa.table({"country": ["no"] * 9 + ["it"] * 6, "city": ["Oslo"] * 8 + ["Lom"] + ["Rome"] * 6})
        >>> joint = Joint.fit(schema, ("country", "city"), train, protect=5)
        >>> joint.levels.to_pydict()
        {'country': ['it', 'no'], 'city': ['Rome', 'Oslo']}
        >>> cells = {name: train[name].combine_chunks() for name in train.column_names}
        >>> joint.forward(cells)["country, city"].to_pylist()[7:10]
        [1, -1, 0]
    """

    columns: tuple[Column, ...]
    levels: pa.Table
    stand_in: Categorical

    @classmethod
    def fit(cls, schema: Schema, names: tuple[str, ...], train: pa.Table, *, protect: int) -> Joint:
        """Learn which combinations enough rows of train carry.

        Raises:
            DataError: none is.
        """
        columns = tuple(schema.column(name) for name in names)
        (codes,) = codes_of([train], names)
        _, first, counts = np.unique(codes, return_index=True, return_counts=True)
        rows = train.select(names).take(pa.array(first[counts >= protect]))
        if not len(rows):
            rule = f"columns {quoted_list(names)} need a combination carried by at least {protect} rows"
            actual = f"{len(counts)} combinations, the largest of {counts.max(initial=0)} rows"
            raise DataError(rule, actual=actual, remedy="lower `protect`, or leave the constraint out")
        arrays = [_with_own_levels(column, rows[column.name].combine_chunks()) for column in columns]
        keys = [
            [None if c is None else str(c) for c in row] for row in zip(*(a.to_pylist() for a in arrays), strict=True)
        ]
        order = pa.array(sorted(range(len(keys)), key=lambda row: json.dumps(keys[row])), pa.int64())
        levels = pa.table([array.take(order) for array in arrays], names=list(names))
        return cls(columns, levels, _stand_in(names, len(levels), schema))

    @property
    def replaced(self) -> tuple[Column, ...]:
        """The declared columns."""
        return self.columns

    @property
    def reads(self) -> tuple[str, ...]:
        """Nothing."""
        return ()

    @property
    def stand_ins(self) -> tuple[Column, ...]:
        """The column of the combinations' numbers."""
        return (self.stand_in,)

    @cached_property
    def _names(self) -> list[str]:
        return [column.name for column in self.columns]

    def forward(self, cells: Cells) -> dict[str, pa.Array]:
        """Return the number of each row's combination, -1 for one that is not kept."""
        codes, found = codes_of([self.levels, pa.table({name: cells[name] for name in self._names})], self._names)
        places = np.full(int(max(codes.max(), found.max(initial=0))) + 1, -1, np.int32)
        places[codes] = np.arange(len(codes))
        return {self.stand_in.name: pa.array(places[found])}

    def back(self, cells: Cells) -> dict[str, pa.Array]:
        """Return the combinations."""
        return {name: self.levels[name].take(cells[self.stand_in.name]).combine_chunks() for name in self._names}

    def known(self, known: Known, n_rows: int) -> dict[str, BoolArray]:
        """Say where all of the columns are known; where only some are, `fitting` says what may be drawn."""
        return {self.stand_in.name: np.logical_and.reduce(marks_of(known, self._names, n_rows))}

    def fitting(self, cells: Cells) -> tuple[Codes, list[Codes]]:
        """Return for each row which of several sets of combinations agree with its cells, and these sets.

        Args:
            cells: some of the columns.

        Returns:
            int64 **(n_rows,)**, places in the sets; and for each set the numbers of its combinations, maybe none.
        """
        names = list(cells)
        levels, found = codes_of([self.levels, pa.table(dict(cells))], names)
        patterns, places = np.unique(found, return_inverse=True)
        return places, [np.flatnonzero(levels == pattern) for pattern in patterns]

    def to_json(self) -> dict[str, Any]:
        """Return the kept combinations, column by column."""
        return {"kind": "joint", "levels": {name: plain(self.levels[name].combine_chunks()) for name in self._names}}

    @classmethod
    def from_json(cls, state: dict[str, Any], schema: Schema) -> Joint:
        """Rebuild a step from `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the state is damaged.
        """
        columns = tuple(schema.column(name) for name in sorted(state["levels"], key=schema.names.index))
        levels = pa.table({c.name: from_plain(state["levels"][c.name], c.arrow_type) for c in columns})
        return cls(columns, levels, _stand_in(tuple(levels.column_names), len(levels), schema))


def _stand_in(names: tuple[str, ...], n_levels: int, schema: Schema) -> Categorical:
    name = unlike(", ".join(names), schema.names)
    return Categorical(name=name, arrow="int32", levels=tuple(range(n_levels)))


def _with_own_levels(column: Column, array: pa.Array) -> pa.Array:
    """Return a dictionary array without levels that occur in none of its cells."""
    if not pa.types.is_dictionary(array.type) or not isinstance(column, Categorical):
        return array
    levels = in_order(array.dictionary_decode().unique().drop_null(), column, array)
    indices = pc.index_in(array.dictionary_decode(), levels).cast(array.type.index_type)
    return pa.DictionaryArray.from_arrays(indices, levels, ordered=array.type.ordered)
