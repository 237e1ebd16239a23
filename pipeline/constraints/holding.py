"""Constraints that hold in every row of a table and would not by chance: for a person to declare, or not."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, permutations

import pyarrow as pa

from pipeline.constraints import Constraint
from pipeline.constraints.constraint import cells
from pipeline.constraints.functional_dependence import FunctionalDependence
from pipeline.constraints.inequality import Inequality
from pipeline.constraints.one_hot import OneHot
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng

FEWEST_ROWS = 100
LOOKED_AT_FIRST = 2_000
BY_CHANCE = 0.05
"""What breaks in fewer rows once columns are shuffled says little."""


def holding(table: pa.Table, schema: Schema) -> list[Constraint]:
    """Return inequalities, functional dependences and one-hot groups that hold in all rows and not by chance.

    That is, in a table whose columns are shuffled on their own, at least 5 % of the rows break them. What holds in
    these rows need not hold in the next ones: this is a question to a person. It looks at pairs of columns, and at
    groups of flags whose names begin alike; of columns that decide each other it names one direction.

    Example:
        >>> import numpy as np
        >>> from pipeline.inference import infer
        >>> low = np.random.default_rng(0).integers(0, 50, 200)
        >>> table = pa.table({"low": low, "high": low + 7 * (low % 3)})
        >>> [constraint.text for constraint in holding(table, infer(table))]
        ['"low" <= "high"']
    """
    if table.num_rows < FEWEST_ROWS:
        return []
    first, rng = table.slice(0, LOOKED_AT_FIRST), numpy_rng(0, "holding")
    shuffled = pa.table({name: first[name].take(pa.array(rng.permutation(len(first)))) for name in first.column_names})
    found = (
        constraint
        for constraint in _candidates(table, schema)
        if not constraint.broken(first).any()
        and constraint.broken(shuffled).mean() >= BY_CHANCE
        and not constraint.broken(table).any()
    )
    return _one_direction(found)


def _candidates(table: pa.Table, schema: Schema) -> Iterator[Constraint]:
    kinds = {kind: [c for c in schema.columns if c.kind == kind] for kind in {c.kind for c in schema.columns}}
    for kind in ("integer", "continuous", "timestamp", "date"):
        for low, high in permutations(kinds.get(kind, ()), 2):
            if low.arrow == high.arrow:
                yield Inequality(columns=(low.name, high.name))
    named = [column.name for column in kinds.get("categorical", ())]
    for determinant, dependent in permutations(named, 2):
        yield FunctionalDependence(determinants=(determinant,), dependents=(dependent,))
    flags = [c.name for c in schema.columns if c.kind == "boolean" or _is_flag(table, c.name, c.kind)]
    for _, group in groupby(sorted(flags, key=_stem), key=_stem):
        names = tuple(group)
        if len(names) > 2:
            yield OneHot(columns=names)


def _is_flag(table: pa.Table, name: str, kind: str) -> bool:
    if kind != "integer":
        return False
    met = cells(table, name).unique().drop_null().to_pylist()
    return set(met) == {0, 1}


def _stem(name: str) -> str:
    """Return what a name begins with, before its last part: that of "colour_red" is "colour"."""
    return name.replace(" ", "_").rpartition("_")[0]


def _one_direction(found: Iterator[Constraint]) -> list[Constraint]:
    kept: list[Constraint] = []
    for constraint in found:
        if not any(set(constraint.names) == set(other.names) for other in kept):
            kept.append(constraint)
    return kept
