"""One figure over all releases as a small line chart, each release with the mark of its verdict."""

from __future__ import annotations

from itertools import groupby

from markupsafe import Markup

from ..measurement import Interval
from ..report import Verdict
from ..wording import number, short
from .since import Trend
from .svg import figure
from .view import amount

WIDTH, HEIGHT = 280.0, 104.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 272.0, 14.0, 78.0
MANY = 25
Point = tuple[float, float]


def trend_chart(trend: Trend) -> Markup:
    """Return the chart; a circle is a release that passed, a diamond one for review, a cross one that was refused.

    A ring marks this release, a bar its interval. Where a figure was not measured the line is broken.

    Example:
        >>> chart = trend_chart(Trend("Rows", (90.0, 100.0), ("PASS", "REVIEW"), "2026-11-24"))
        >>> chart.count('class="mark pass"'), chart.count('class="mark review"')
        (1, 1)

    """
    known = [*(value for value in trend.values if value is not None), *(trend.interval or ())]
    low, high = min(known), max(known)
    points = [_place(i, value, len(trend.values), low, high) for i, value in enumerate(trend.values)]
    size = 2.4 if len(points) > MANY else 3.4
    parts = [_grid(text, _height(value, low, high)) for value, text in _told_apart(low, high).items()]
    parts += [_line(list(run)) for there, run in groupby(points, key=lambda point: point is not None) if there]
    parts += [mark(verdict, p, size) for verdict, p in zip(trend.verdicts, points, strict=True) if p is not None]
    if points[-1] is not None:
        parts.append(Markup('<circle class="ring" cx="{:.1f}" cy="{:.1f}" r="7"/>').format(*points[-1]))
        parts.insert(0, _bar(points[-1][0], trend.interval, low, high))
    parts.append(_dates(trend.first))
    return figure("trend", (WIDTH, HEIGHT), f"{short(trend.title)} over time", _said(trend), parts)


def mark(verdict: Verdict, at: Point, size: float) -> Markup:
    """Return the mark of a verdict, told apart by its form as well as by its colour.

    Example:
        >>> mark("FAIL", (10, 10), 3)
        Markup('<path class="mark fail" d="M7.0 7.0l6 6m0 -6l-6 6"/>')

    """
    x, y = at
    if verdict == "PASS":
        return Markup('<circle class="mark pass" cx="{:.1f}" cy="{:.1f}" r="{:g}"/>').format(x, y, size)
    if verdict == "REVIEW":
        reach = 1.35 * size
        diamond = Markup('<path class="mark review" d="M{:.1f} {:.1f}l{r:g} {r:g}l-{r:g} {r:g}l-{r:g} -{r:g}z"/>')
        return diamond.format(x, y - reach, r=reach)
    cross = Markup('<path class="mark fail" d="M{:.1f} {:.1f}l{s:g} {s:g}m0 -{s:g}l-{s:g} {s:g}"/>')
    return cross.format(x - size, y - size, s=2 * size)


def _place(i: int, value: float | None, n: int, low: float, high: float) -> Point | None:
    return None if value is None else (LEFT + 10 + (RIGHT - LEFT - 18) * i / max(n - 1, 1), _height(value, low, high))


def _height(value: float, low: float, high: float) -> float:
    return (TOP + BOTTOM) / 2 if high == low else BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)


def _bar(x: float, interval: Interval | None, low: float, high: float) -> Markup:
    if interval is None:
        return Markup("")
    bottom, top = (_height(end, low, high) for end in interval)
    bar = Markup('<rect class="interval" x="{:.1f}" y="{:.1f}" width="6" height="{:.1f}" rx="3"/>')
    return bar.format(x - 3, top, max(bottom - top, 1.0))


def _told_apart(low: float, high: float) -> dict[float, str]:
    """Return both ends of the scale as text, with as many decimals as it takes to see that they differ."""
    texts = ([number(x, digits) if digits else amount(x) for x in (low, high)] for digits in (0, 5, 6, 7, 8))
    found = next((pair for pair in texts if pair[0] != pair[1]), [f"{low:.2e}", f"{high:.2e}"])
    return {high: amount(high)} if low == high else dict(zip((low, high), found, strict=True))


def _grid(text: str, y: float) -> Markup:
    level = Markup('<path class="grid" d="M{:g} {y:.1f}H{:g}"/><text class="label end" x="{:g}" y="{:.1f}">{}</text>')
    return level.format(LEFT, RIGHT, LEFT - 5, y + 4, text, y=y)


def _line(points: list[Point | None]) -> Markup:
    text = " ".join("{:.1f},{:.1f}".format(*point) for point in points if point is not None)
    return Markup('<polyline class="line over-time" points="{}"/>').format(text)


def _dates(first: str) -> Markup:
    ends = Markup(
        '<text class="label faint" x="{:g}" y="99">{}</text><text class="label faint end" x="{:g}" y="99">now</text>'
    )
    return ends.format(LEFT, first, RIGHT)


def _said(trend: Trend) -> str:
    known = [value for value in trend.values if value is not None]
    now = "not measured" if trend.values[-1] is None else number(trend.values[-1])
    counts = {verdict: trend.verdicts.count(verdict) for verdict in dict.fromkeys(trend.verdicts)}
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in counts.items())
    ends = f"between {number(min(known))} and {number(max(known))}"
    return f"{len(trend.values)} releases since {trend.first} ({verdicts}), {ends}, now {now}"
