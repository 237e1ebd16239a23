"""A column that is the sum of others, computed from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import family
from pipeline.codecs.axis import Cells as AxisCells
from pipeline.codecs.axis import FloatAxis, TickAxis
from pipeline.columns import Boolean, Column, Continuous, Integer
from pipeline.constraints.constraint import Numbers, cells, numbers_of
from pipeline.constraints.distance import reach
from pipeline.constraints.step import Cells, Known, marks_of, unlike
from pipeline.constraints.sum import overflow
from pipeline.encoded import BoolArray
from pipeline.errors import UnsupportedError
from pipeline.schema import Schema


@dataclass(frozen=True)
class Total:
    """The total leaves the table, and comes back as the sum of its parts.

    Where train has totals that are missing though no part is, a stand-in says whether they are; where it has totals
    beside a missing part, which nothing ties to the others, another holds them.

    Attributes:
        total: the declared column that is replaced.
        parts: the declared columns that it is the sum of.
        there: whether the total is there, None where it always is.
        alone: the total beside a missing part, None where train has too few: it is then missing too.

    Example:
        >>> schema = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in ("cost", "rent", "food")))
        >>> total = Total.of(schema, "cost", ("rent", "food"), there=False, alone=False)
        >>> total.back({"rent": pa.array([20, 7]), "food": pa.array([10, 1])})["cost"].to_pylist()
        [30, 8]
    """

    total: Integer | Continuous
    parts: tuple[Column, ...]
    there: Boolean | None
    alone: Column | None

    @classmethod
    def fit(cls, schema: Schema, total: str, parts: tuple[str, ...], train: pa.Table, *, protect: int) -> Total:
        """Look where the totals of train are missing, and where parts are."""
        whole = ~_missing([cells(train, name) for name in parts])
        missing = cells(train, total).is_null().to_numpy(zero_copy_only=False)
        there, alone = bool((whole & missing).any()), int((~whole & ~missing).sum()) >= 3 * protect
        return cls.of(schema, total, parts, there=there, alone=alone)

    @classmethod
    def of(cls, schema: Schema, total: str, parts: Sequence[str], *, there: bool, alone: bool) -> Total:
        """Return the step, its stand-ins named after the total."""
        column = schema.column(total)
        if not isinstance(column, Integer | Continuous):
            raise TypeError(f"{column.kind} columns are no sums")
        own = column.model_copy(update={"name": unlike(f"{total} alone", schema.names), "nullable": True})
        given = Boolean(name=unlike(f"{total} is there", schema.names), arrow="bool")
        below = tuple(schema.column(name) for name in parts)
        return cls(column, below, given if there else None, own if alone else None)

    @property
    def replaced(self) -> tuple[Column, ...]:
        """The total."""
        return (self.total,)

    @property
    def reads(self) -> tuple[str, ...]:
        """The parts."""
        return tuple(part.name for part in self.parts)

    @property
    def stand_ins(self) -> tuple[Column, ...]:
        """What is needed where cells are missing; often nothing."""
        return tuple(column for column in (self.there, self.alone) if column is not None)

    def forward(self, cells: Cells) -> dict[str, pa.Array]:
        """Return whether the totals are there, and those beside a missing part."""
        total, found = cells[self.total.name], {}
        if self.there is not None:
            found[self.there.name] = total.is_valid()
        if self.alone is not None:
            tied = pa.array(~_missing([cells[name] for name in self.reads]))
            found[self.alone.name] = pc.if_else(tied, pa.scalar(None, total.type), total)
        return found

    def back(self, cells: Cells) -> dict[str, pa.Array]:
        """Return the sums."""
        parts = [cells[name] for name in self.reads]
        missing = untied = _missing(parts)
        if self.there is not None:
            missing = missing | ~cells[self.there.name].to_numpy(zero_copy_only=False)
        found = self._sum(parts, missing)
        if self.alone is not None:
            found = pc.if_else(pa.array(untied), cells[self.alone.name], found)
        return {self.total.name: found}

    def known(self, known: Known, n_rows: int) -> dict[str, BoolArray]:
        """Say where the total and all parts are known.

        Raises:
            UnsupportedError: the total is known, and a part is not.
        """
        total, *parts = marks_of(known, (self.total.name, *self.reads), n_rows)
        whole = np.logical_and.reduce([total, *parts])
        if (total & ~whole).any():
            names = " and ".join(f'"{name}"' for name in self.reads)
            rule = f'column "{self.total.name}" is computed from {names}, and can be given only with them'
            remedy = "give all of these but one beside it, or fit without the constraint between them"
            raise UnsupportedError(rule, actual=f'"{self.total.name}" without its parts', remedy=remedy)
        return {column.name: whole for column in self.stand_ins}

    def deduced(self, cells: Cells, known: Known, n_rows: int) -> dict[str, tuple[pa.Array, BoolArray]]:
        """Return, by part, its cells where they follow from a known total and all other parts, and where that is.

        Args:
            cells: the total and the parts, missing where they are not known.
            known: which are known.
            n_rows: of the table.
        """
        total, *parts = marks_of(known, (self.total.name, *self.reads), n_rows)
        found = {}
        for place, part in enumerate(self.parts):
            others = [name for name in self.reads if name != part.name]
            whole = np.logical_and.reduce([total, *(marks for i, marks in enumerate(parts) if i != place)])
            there = ~_missing([cells[self.total.name], *(cells[name] for name in others)])
            rows = whole & there & ~parts[place]
            if rows.any():
                found[part.name] = self._rest(cells, part, others, rows), rows
        return found

    def to_json(self) -> dict[str, Any]:
        """Return which columns are tied together, and how."""
        state = {"total": self.total.name, "parts": list(self.reads)}
        return {"kind": "total", **state, "there": self.there is not None, "alone": self.alone is not None}

    @classmethod
    def from_json(cls, state: dict[str, Any], schema: Schema) -> Total:
        """Rebuild a step from `to_json`.

        Raises:
            ValueError, TypeError, KeyError: the state is damaged.
        """
        return cls.of(schema, state["total"], state["parts"], there=state["there"], alone=state["alone"])

    def _sum(self, parts: list[pa.Array], missing: BoolArray) -> pa.Array:
        numbers = numbers_of([*parts, pa.array([], self.total.arrow_type)])[:-1]
        with np.errstate(invalid="ignore", over="ignore"):
            sums = np.add.reduce(numbers)
        if sums.dtype == np.int64:
            rough, (low, high) = np.add.reduce([n.astype(np.float64) for n in numbers]), reach(self.total.arrow_type)
            sums = np.where(overflow(numbers), np.where(rough > 0, high, low), sums)
        return _in_type(self.total, sums, missing)

    def _rest(self, cells: Cells, part: Column, others: list[str], rows: BoolArray) -> pa.Array:
        """Return what is left of the total without the other parts."""
        total, *numbers = numbers_of([cells[name] for name in (self.total.name, *others)])
        with np.errstate(invalid="ignore", over="ignore"):
            return _in_type(part, total - np.add.reduce(numbers), ~rows)


def _in_type(column: Column, numbers: Numbers, missing: BoolArray) -> pa.Array:
    """Return numbers in a column's type; one beyond what the type can hold becomes its largest or smallest."""
    arrow_type, special = column.arrow_type, np.zeros(len(missing), np.int8)
    if family(arrow_type) == "float":
        axis = FloatAxis(arrow_type, column.decimals if isinstance(column, Continuous) else None, grid=False)
        with np.errstate(invalid="ignore", over="ignore"):
            return axis.write(AxisCells(numbers.astype(np.float64), missing, special))
    held = np.where(missing, 0, np.clip(numbers, *reach(arrow_type)))
    return TickAxis(arrow_type, 1).write(AxisCells(held.astype(np.int64), missing, special))


def _missing(parts: list[pa.Array]) -> BoolArray:
    found: BoolArray = np.logical_or.reduce([part.is_null().to_numpy(zero_copy_only=False) for part in parts])
    return found
