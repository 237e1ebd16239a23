"""The association of pairs of columns as square maps: the cells of train, synthetic and their difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..report import PairProfile, Report
from ..wording import number, short
from .svg import figure

MAX_MAPPED = 25
SIDE, TOP, NAMES = 288.0, 40.0, 124.0
Cells = list[list[float | None]]


@dataclass(frozen=True)
class HeatMaps:
    """Three symmetric maps over the same columns; a pair that the report does not hold is None.

    **Shape** of each: `(len(names), len(names))`.
    """

    names: tuple[str, ...]
    train: Cells
    synthetic: Cells
    difference: Cells


def heat_maps_of(report: Report, limit: int = MAX_MAPPED) -> HeatMaps | None:
    """Return the association of pairs as maps, or None for fewer than two columns.

    Beyond `limit` columns it takes those of the worst pairs.
    """
    worst_first = dict.fromkeys(name for pair in report.pairs for name in (pair.first, pair.second))
    chosen = set(list(worst_first)[:limit])
    order = {column.name: i for i, column in enumerate(report.schema_columns)}
    names = tuple(sorted(chosen, key=lambda name: order.get(name, len(order))))
    if len(names) < 2:
        return None
    pairs = [pair for pair in report.pairs if {pair.first, pair.second} <= chosen]
    numbers = (
        {(p.first, p.second): p.train for p in pairs},
        {(p.first, p.second): p.synthetic for p in pairs},
        {(p.first, p.second): pair_difference(p) for p in pairs},
    )
    return HeatMaps(names, *(_square(names, found) for found in numbers))


def pair_difference(pair: PairProfile) -> float | None:
    """Return the association in synthetic minus that in train, or None where one of them is not measured."""
    return None if pair.train is None or pair.synthetic is None else pair.synthetic - pair.train


def heat_map(title: str, names: Sequence[str], cells: Sequence[Sequence[float | None]], scale: float = 1.0) -> Markup:
    """Return a square map of `cells` (rows and columns are `names`); full colour is reached at plus and minus `scale`.

    **Shape** cells: `(len(names), len(names))`; None is drawn as not measured. The rows' names stand in `heat_names`,
    a figure of the same height.

    Example:
        >>> heat_map("Train", ["a", "b"], [[None, 0.5], [-0.5, None]]).count("<rect")
        2

    """
    size = SIDE / max(len(names), 1)
    squares = [
        _cell(j * size, TOP + i * size, size, f"{short(names[i], 32)} × {short(names[j], 32)}", cell, scale)
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if i != j
    ]
    head = Markup('<text class="label name" x="0" y="14">{}</text>').format(title)
    said = f"{len(names)} by {len(names)} columns; full colour at plus and minus {scale:g}"
    return figure("heat", (SIDE + 14, TOP + SIDE), title, said, [head, *_numbers(len(names), size), *squares])


def heat_names(names: Sequence[str]) -> Markup:
    """Return the numbered names that stand beside the rows of a heat map.

    Example:
        >>> "age" in heat_names(["age", "sex"])
        True

    """
    size = SIDE / max(len(names), 1)
    label = Markup('<text class="label end" x="{:g}" y="{:.1f}">{} <tspan class="faint">{}</tspan></text>')
    rows = [
        label.format(NAMES - 8, TOP + (i + 0.5) * size + 3.5, short(name, 15), i + 1) for i, name in enumerate(names)
    ]
    return figure("heat", (NAMES, TOP + SIDE), "Names of the rows", f"{len(names)} columns", rows)


def _numbers(n_names: int, size: float) -> list[Markup]:
    """Return the columns' numbers along the top, every fifth where the cells are small."""
    header = Markup('<text class="label mid faint" x="{:.1f}" y="34">{}</text>')
    return [header.format((i + 0.5) * size, i + 1) for i in range(n_names) if size > 18 or (i + 1) % 5 == 0]


def _square(names: Sequence[str], numbers: dict[tuple[str, str], float | None]) -> Cells:
    both_ways = numbers | {(second, first): number for (first, second), number in numbers.items()}
    return [[both_ways.get((row, column)) for column in names] for row in names]


def _cell(x: float, y: float, size: float, title: str, value: float | None, scale: float) -> Markup:
    strength = 0.0 if value is None else min(abs(value) / scale, 1.0)
    kind = "none" if value is None else "minus" if value < 0 else "plus"
    cell = Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill-opacity="{:.2f}">'
        "<title>{}: {}</title></rect>"
    )
    return cell.format(kind, x, y, size - 1, size - 1, 1 if value is None else strength, title, number(value, 2))
