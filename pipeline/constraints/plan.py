"""Which constraints are kept by reparametrisation, and by which steps; all others are kept by drawing rows anew."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.arrow_types import family
from pipeline.constraints import Constraint
from pipeline.constraints.contradictions import leads_to
from pipeline.constraints.fixed_combinations import FixedCombinations
from pipeline.constraints.functional_dependence import FunctionalDependence
from pipeline.constraints.gap import Gap
from pipeline.constraints.inequality import Inequality
from pipeline.constraints.joint import Joint
from pipeline.constraints.one_hot import OneHot
from pipeline.constraints.step import Step
from pipeline.constraints.sum import Sum
from pipeline.constraints.total import Total
from pipeline.schema import Schema


def steps_for(schema: Schema, train: pa.Table, *, protect: int) -> tuple[Step, ...]:
    """Return the steps that keep the schema's constraints, in an order in which each finds what it reads.

    Each column is replaced by one step at most: one that ties combinations together comes first, then inequalities and
    sums in their declared order. What can no longer be reparametrised stays as it is, and is kept by drawing anew.

    Raises:
        DataError: enough rows carry none of the combinations of some columns.

    Example:
        >>> from pipeline.columns import Integer
        >>> columns = tuple(Integer(name=name, arrow="int64") for name in ("a", "b", "c"))
        >>> schema = Schema(columns=columns, constraints=(Inequality(columns=("a", "b", "c")),))
        >>> [step.stand_ins[0].name for step in steps_for(schema, schema.arrow().empty_table(), protect=5)]
        ['b above a', 'c above a and b']
    """
    steps: list[Step] = [Joint.fit(schema, group, train, protect=protect) for group in _groups(schema)]
    for high, lows, strict in _inequalities(schema):
        if _is_free(steps, high, lows) and _one_type(schema, high, lows):
            steps.append(Gap.fit(schema, high, lows, train, strict=strict, protect=protect))
    for constraint in schema.constraints:
        if isinstance(constraint, Sum) and _is_free(steps, constraint.total, constraint.parts):
            steps.append(Total.fit(schema, constraint.total, constraint.parts, train, protect=protect))
    return _in_order(steps)


def is_kept_by(constraint: Constraint, steps: Sequence[Step]) -> bool:
    """Say whether steps keep a constraint whatever is drawn."""
    replaced = {column.name: step for step in steps for column in step.replaced}
    match constraint:
        case FixedCombinations() | FunctionalDependence() | OneHot():
            return True
        case Inequality(columns=columns, strict=strict):
            above = [(replaced.get(high), columns[:place]) for place, high in enumerate(columns[1:], start=1)]
            return all(
                isinstance(step, Gap) and set(lows) <= set(step.reads) and step.strict >= strict for step, lows in above
            )
        case Sum(total=total):
            return isinstance(replaced.get(total), Total)
        case _:
            return False


def step_from_json(state: dict[str, Any], schema: Schema) -> Step:
    """Rebuild a step from its `to_json`.

    Raises:
        ValueError, TypeError, KeyError: the state is damaged.
    """
    kinds: dict[str, type[Joint | Gap | Total]] = {"joint": Joint, "gap": Gap, "total": Total}
    return kinds[state["kind"]].from_json(state, schema)


def _groups(schema: Schema) -> list[tuple[str, ...]]:
    """Return the columns that are tied together by combinations, in table order; groups that share one are one."""
    tying = (c for c in schema.constraints if isinstance(c, FixedCombinations | FunctionalDependence | OneHot))
    groups: list[set[str]] = []
    for constraint in tying:
        touching = [group for group in groups if group & set(constraint.names)]
        groups = [group for group in groups if group not in touching]
        groups.append(set(constraint.names).union(*touching))
    return [tuple(name for name in schema.names if name in group) for group in groups]


def _inequalities(schema: Schema) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Return each column that lies above others with all of them, and whether it is strictly above all."""
    above: dict[str, tuple[list[str], bool]] = {}
    for constraint in (c for c in schema.constraints if isinstance(c, Inequality)):
        for place, high in enumerate(constraint.columns[1:], start=1):
            lows, strict = above.get(high, ([], True))
            new = [name for name in constraint.columns[:place] if name not in lows]
            above[high] = [*lows, *new], strict and constraint.strict
    return ((high, tuple(lows), strict) for high, (lows, strict) in above.items())


def _is_free(steps: Sequence[Step], replaced: str, reads: Sequence[str]) -> bool:
    """Say whether a column is not replaced yet, and none that it would be read from hangs on it."""
    taken = [column.name for step in steps for column in step.replaced]
    edges = [(name, column.name) for step in steps for column in step.replaced for name in step.reads]
    return replaced not in taken and not any(leads_to(edges, replaced, name) for name in reads)


def _one_type(schema: Schema, high: str, lows: Sequence[str]) -> bool:
    """Say whether distances are exact: between whole numbers, within one type, or to a float."""
    types = [schema.column(name).arrow_type for name in (high, *lows)]
    whole = all(family(each) == "integer" for each in types)
    return whole or len(set(types)) == 1 or family(types[0]) == "float"


def _in_order(steps: list[Step]) -> tuple[Step, ...]:
    ordered: list[Step] = []
    while steps:
        waiting = {column.name for step in steps for column in step.replaced}
        ready = [step for step in steps if not waiting & set(step.reads)]
        ordered += ready
        steps = [step for step in steps if step not in ready]
    return tuple(ordered)
