"""A number or a point in time that lies above others, as its distance from the highest of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import family
from pipeline.columns import Column
from pipeline.constraints.constraint import Numbers, cells, numbers_of, present
from pipeline.constraints.distance import Distance, Ordered, distance_to
from pipeline.constraints.step import Cells, Known, marks_of, unlike
from pipeline.encoded import BoolArray
from pipeline.errors import UnsupportedError
from pipeline.schema import Schema


@dataclass(frozen=True)
class Gap:
    """The first stand-in is the distance from the highest lower cell that is there, and so the cell is never below it.

    Where all lower cells are missing nothing bounds the cell; a second stand-in then holds it as it is.

    Attributes:
        high: the declared column that is replaced.
        lows: the declared columns that it lies above.
        strict: whether it is never equal to one of them.
        gap: the distance; missing where the cell or all lower ones are.
        alone: the second stand-in, None where train has too few rows that need it: their cells are drawn missing.

    Example:
        >>> from pipeline.columns import Integer
        >>> schema = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in ("low", "high")))
        >>> gap = Gap.of(schema, "high", ("low",), strict=False, alone=False)
        >>> found = gap.forward({"low": pa.array([3, 5]), "high": pa.array([4, 9])})
        >>> {name: array.to_pylist() for name, array in found.items()}
        {'high above low': [1, 4]}
        >>> gap.back({"low": pa.array([7, 8]), **found})["high"].to_pylist()
        [8, 12]
    """

    high: Ordered
    lows: tuple[Column, ...]
    strict: bool
    gap: Column
    alone: Column | None

    @classmethod
    def fit(
        cls, schema: Schema, high: str, lows: tuple[str, ...], train: pa.Table, *, strict: bool, protect: int
    ) -> Gap:
        """Look whether train has enough rows without a lower cell that more than its protected extremes are left."""
        column = {name: cells(train, name) for name in (high, *lows)}
        n_alone = int((present(column[high]) & ~np.logical_or.reduce([present(column[name]) for name in lows])).sum())
        return cls.of(schema, high, lows, strict=strict, alone=n_alone >= 3 * protect)

    @classmethod
    def of(cls, schema: Schema, high: str, lows: Sequence[str], *, strict: bool, alone: bool) -> Gap:
        """Return the step, its stand-ins named after the columns."""
        column, below = schema.column(high), tuple(schema.column(name) for name in lows)
        if not isinstance(column, Ordered):
            raise TypeError(f"{column.kind} columns have no order")
        name = unlike(f"{high} above {' and '.join(lows)}", schema.names)
        unbounded = all(low.nullable or family(low.arrow_type) == "float" for low in below)  # NaN bounds nothing
        gap = distance_to(column, strict=strict).column(name, nullable=column.nullable or unbounded)
        own = column.model_copy(update={"name": unlike(f"{high} alone", schema.names), "nullable": True})
        return cls(column, below, strict, gap, own if alone else None)

    @property
    def replaced(self) -> tuple[Column, ...]:
        """The high column."""
        return (self.high,)

    @property
    def reads(self) -> tuple[str, ...]:
        """The lower columns."""
        return tuple(low.name for low in self.lows)

    @property
    def stand_ins(self) -> tuple[Column, ...]:
        """The gap, and the second stand-in if there is one."""
        return (self.gap,) if self.alone is None else (self.gap, self.alone)

    @cached_property
    def _distance(self) -> Distance:
        return distance_to(self.high, strict=self.strict)

    def forward(self, cells: Cells) -> dict[str, pa.Array]:
        """Return the distances, and the cells that nothing bounds."""
        high, (base, bounded) = cells[self.high.name], self._base(cells)
        missing = ~bounded | high.is_null().to_numpy(zero_copy_only=False)
        found = {self.gap.name: self._distance.between(base, high, missing)}
        if self.alone is not None:
            found[self.alone.name] = pc.if_else(pa.array(bounded), pa.scalar(None, high.type), high)
        return found

    def back(self, cells: Cells) -> dict[str, pa.Array]:
        """Return the cells at their distances."""
        gap, (base, bounded) = cells[self.gap.name], self._base(cells)
        missing = ~bounded | gap.is_null().to_numpy(zero_copy_only=False)
        found = self._distance.above(base, gap, missing)
        if self.alone is not None:
            found = pc.if_else(pa.array(bounded), found, cells[self.alone.name])
        return {self.high.name: found}

    def known(self, known: Known, n_rows: int) -> dict[str, BoolArray]:
        """Say where the cell and all lower ones are known.

        Raises:
            UnsupportedError: the cell is known, and a lower one is not.
        """
        high, *below = marks_of(known, (self.high.name, *self.reads), n_rows)
        whole = np.logical_and.reduce([high, *below])
        if (high & ~whole).any():
            names = " and ".join(f'"{name}"' for name in self.reads)
            rule = f'column "{self.high.name}" is learned as its distance from {names}, and can be given only with it'
            remedy = f"give {names} too, or fit without the constraint between them"
            raise UnsupportedError(rule, actual=f'"{self.high.name}" alone', remedy=remedy)
        return {column.name: whole for column in self.stand_ins}

    def to_json(self) -> dict[str, Any]:
        """Return which columns are tied together, and how."""
        state = {"high": self.high.name, "lows": list(self.reads), "strict": self.strict}
        return {"kind": "gap", **state, "alone": self.alone is not None}

    @classmethod
    def from_json(cls, state: dict[str, Any], schema: Schema) -> Gap:
        """Rebuild a step from `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the state is damaged.
        """
        return cls.of(schema, state["high"], state["lows"], strict=state["strict"], alone=state["alone"])

    def _base(self, cells: Cells) -> tuple[Numbers, BoolArray]:
        """Return the highest lower cell of each row, 0 where none is there, and whether one is."""
        arrays = [cells[name] for name in self.reads]
        numbers = numbers_of([*arrays, cells.get(self.high.name, pa.array([], self.high.arrow_type))])[:-1]
        there = [present(array) for array in arrays]
        base, bounded = numbers[0], there[0]
        for number, is_there in zip(numbers[1:], there[1:], strict=True):
            base = np.where(is_there & (~bounded | (number > base)), number, base)
            bounded = bounded | is_there
        return np.where(bounded, base, np.zeros(1, base.dtype)), bounded
