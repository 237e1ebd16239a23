"""Constraints that no table can hold together, found before any table is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

from pipeline.constraints.constraint import BetweenColumns
from pipeline.constraints.inequality import Inequality
from pipeline.constraints.sum import Sum
from pipeline.errors import SchemaError


def refuse_contradictions(constraints: Sequence[BetweenColumns]) -> None:
    """Refuse columns that would have to lie above themselves, or be a part of themselves, or two different sums.

    Raises:
        SchemaError: names the columns.

    Example:
        >>> refuse_contradictions([Inequality(columns=("a", "b", "c")), Inequality(columns=("c", "a"))])
        Traceback (most recent call last):
            ...
        pipeline.errors.SchemaError: constraints must not go round in a circle; found "a", "b", "c", "a"; leave one \
of them out
    """
    totals = Counter(each.total for each in constraints if isinstance(each, Sum))
    twice = [name for name, count in totals.items() if count > 1]
    if twice:
        remedy = "keep one, and declare the other as a predicate"
        raise SchemaError("a column can be the total of one sum", actual=f'two of "{twice[0]}"', remedy=remedy)
    for edges in (
        [pair for each in constraints if isinstance(each, Inequality) for pair in pairwise(each.columns)],
        [(part, each.total) for each in constraints if isinstance(each, Sum) for part in each.parts],
    ):
        circle = _circle(edges)
        if circle:
            names = ", ".join(f'"{name}"' for name in circle)
            rule = "constraints must not go round in a circle"
            raise SchemaError(rule, actual=names, remedy="leave one of them out")


def leads_to(edges: Iterable[tuple[str, str]], start: str, end: str) -> list[str]:
    """Return a way from one column to another along the edges, with both ends; empty where there is none.

    Example:
        >>> leads_to([("a", "b"), ("b", "c")], "a", "c"), leads_to([("a", "b")], "b", "a")
        (['a', 'b', 'c'], [])
    """
    ways, found = [[start]], {start}
    after: Mapping[str, list[str]] = _after(edges)
    while ways:
        way = ways.pop()
        if way[-1] == end and (len(way) > 1 or start == end):
            return way
        ways += [[*way, name] for name in after.get(way[-1], []) if name not in found]
        found |= set(after.get(way[-1], []))
    return []


def _circle(edges: Sequence[tuple[str, str]]) -> list[str]:
    return next(([low, *way] for low, high in edges if (way := leads_to(edges, high, low))), [])


def _after(edges: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    after: dict[str, list[str]] = {}
    for low, high in edges:
        after.setdefault(low, []).append(high)
    return after
