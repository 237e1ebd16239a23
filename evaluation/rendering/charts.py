"""The report's figures: plain data in, inline SVG out.

Every figure carries a title and a description for screen readers, takes its colours from CSS classes, so that it
follows the page from light to dark, and escapes every text that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from ..measurement import Interval, Measured
from ..report import Giveaway, TestPart, TrainingPoint
from ..wording import number, short
from .svg import figure

MAX_POINTS = 240
Point = tuple[float, float]


def range_chart(measured: Measured, limit: float | None = None) -> Markup:
    """Return a metric's number between its floor and its ceiling; better is always to the right.

    A disc is the value, a bar its 95 % interval, a square the floor, a diamond the ceiling, a dashed line the limit.

    Example:
        >>> auc = Measured(metric="c2st_auc", family="detection", value=0.6, best=0.5, worst=1, n_rows=100)
        >>> "<circle" in range_chart(auc, limit=0.8)
        True

    """
    place = _axis(measured, limit)
    parts = [Markup('<path class="track" d="M2 11H198"/>')]
    if limit is not None:
        parts.append(Markup('<path class="limit" d="M{x:.1f} 1V21"/>').format(x=place(limit)))
    if measured.floor is not None:
        parts.append(Markup('<path class="floor" d="M{x:.1f} 6.5h9v9h-9z"/>').format(x=place(measured.floor) - 4.5))
    if measured.interval is not None:
        low, high = sorted(map(place, measured.interval))
        bar = Markup('<rect class="interval" x="{x:.1f}" y="8" width="{width:.1f}" height="6" rx="3"/>')
        parts.append(bar.format(x=low, width=max(high - low, 1)))
    if measured.ceiling is not None:
        diamond = Markup('<path class="ceiling" d="M{x:.1f} 4l7 7l-7 7l-7 -7z"/>')
        parts.append(diamond.format(x=place(measured.ceiling)))
    parts.append(Markup('<circle class="value" cx="{x:.1f}" cy="11" r="4"/>').format(x=place(measured.value)))
    numbers = {"value": measured.value, "floor": measured.floor, "ceiling": measured.ceiling, "gate limit": limit}
    said = ", ".join(f"{name} {number(x)}" for name, x in numbers.items() if x is not None)
    title = f"{short(measured.metric)} on its range"
    return figure("range", (200, 22), title, f"{said}; better is to the right", parts)


def part_chart(part: TestPart, scale: Interval) -> Markup:
    """Return one part of a privacy test, value and interval, on the `scale` that all parts of its statistic share.

    Example:
        >>> attack = TestPart(subject="nearest", statistic="AUC", value=0.5, interval=(0.4, 0.6), verdict="PASS")
        >>> part_chart(attack, (0.4, 0.8)).count("<rect")
        1

    """
    low, high = scale

    def place(x: float) -> float:
        return 6 + 108 * (0.5 if high == low else (x - low) / (high - low))

    parts = [Markup('<path class="track" d="M2 8H118"/>')]
    if part.interval is not None:
        left, right = map(place, part.interval)
        bar = Markup('<rect class="interval" x="{:.1f}" y="5" width="{:.1f}" height="6" rx="3"/>')
        parts.append(bar.format(left, max(right - left, 1)))
    parts.append(Markup('<circle class="value" cx="{:.1f}" cy="8" r="3.5"/>').format(place(part.value)))
    said = f"value {number(part.value)} on a scale from {number(low)} to {number(high)}"
    return figure("part", (120, 16), f"{short(part.statistic)} of {short(part.subject)}", said, parts)


def bar_chart(giveaways: Sequence[Giveaway], title: str) -> Markup:
    """Return one bar per column, in the given order.

    Example:
        >>> "age" in bar_chart([Giveaway(column="age", importance=0.1)], "Giveaways")
        True

    """
    longest = max((abs(one.importance) for one in giveaways), default=0.0) or 1.0
    row = Markup(
        '<text class="label end" x="128" y="{y_text}">{name}</text>'
        '<rect class="synthetic" x="136" y="{y}" width="{width:.1f}" height="11" rx="1.5"/>'
        '<text class="label" x="{x_value:.1f}" y="{y_text}">{value}</text>'
    )
    rows = []
    for i, one in enumerate(giveaways):
        width, y = max(one.importance, 0.0) / longest * 180 + 1, 20 * i + 4
        values = {"name": short(one.column, 20), "value": number(one.importance)}
        rows.append(row.format(y=y, y_text=y + 9.5, width=width, x_value=142 + width, **values))
    return figure("bars", (360, 20 * len(giveaways) + 4), title, f"{len(giveaways)} columns", rows)


def line_chart(points: Sequence[TrainingPoint]) -> Markup:
    """Return the loss on train and on validation rows over the training time, with a ring at the best validation loss.

    The loss axis leaves out the first tenth of the training, whose fall would flatten the rest.

    Example:
        >>> points = [TrainingPoint(step=s, elapsed_s=s, train_loss=9 / s, validation_loss=None) for s in (1, 2, 3)]
        >>> line_chart(points).count("<polyline")
        1

    """
    train = _finite([(point.elapsed_s, point.train_loss) for point in points])
    validation = _finite([(p.elapsed_s, p.validation_loss) for p in points if p.validation_loss is not None])
    last = max((x for x, _ in train + validation), default=0.0)
    settled = [y for x, y in train + validation if x >= last / 10]
    if not settled:
        return Markup("")
    frame = _Frame(last or 1.0, min(settled), max(settled))
    parts = [frame.grid(), frame.curve("train", _thinned(train)), frame.curve("validation", _thinned(validation))]
    if validation:
        x, y = frame.place(*min(validation, key=lambda point: point[1]))
        parts.append(Markup('<circle class="best" cx="{:.1f}" cy="{:.1f}" r="4"/>').format(x, y))
    return figure("lines", (360, 190), "Training curve", "loss over time, on train and on validation rows", parts)


def _finite(points: Sequence[Point]) -> list[Point]:
    return [point for point in points if all(map(math.isfinite, point))]


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Return at most `MAX_POINTS` points, evenly chosen, always with the last."""
    stride = math.ceil(len(points) / MAX_POINTS) or 1
    return points[::-1][::stride][::-1]


class _Frame:
    """The plot area of a line chart: data coordinates to the picture's."""

    def __init__(self, x_max: float, low: float, high: float) -> None:
        margin = (high - low) * 0.06 or 1.0
        self.x_max, self.low, self.high = x_max, low - margin, high + margin

    def place(self, x: float, y: float) -> tuple[float, float]:
        up = (min(max(y, self.low), self.high) - self.low) / (self.high - self.low)
        return 44 + 306 * x / self.x_max, 160 - 150 * up

    def curve(self, name: str, points: Sequence[Point]) -> Markup:
        if not points:
            return Markup("")
        text = " ".join("{:.1f},{:.1f}".format(*self.place(x, y)) for x, y in points if y <= self.high)
        return Markup('<polyline class="line {}" points="{}"/>').format(name, text)

    def grid(self) -> Markup:
        level = Markup(
            '<path class="grid" d="M44 {y:.1f}H350"/><text class="label end" x="39" y="{y_text:.1f}">{loss}</text>'
        )
        heights = [self.low + part * (self.high - self.low) for part in (0.05, 0.35, 0.65, 0.95)]
        lines = [level.format(y=(y := self.place(0, h)[1]), y_text=y + 3, loss=f"{h:.3g}") for h in heights]
        time = Markup('<text class="label {anchor}" x="{x:.1f}" y="177">{text}</text>')
        ticks = [("start", 0.0, "0"), ("mid", 0.5, f"{self.x_max / 2:.0f}"), ("end", 1.0, f"{self.x_max:.0f} s")]
        lines += [time.format(anchor=a, x=44 + 306 * part, text=text) for a, part, text in ticks]
        return Markup("").join(lines)


def _axis(measured: Measured, limit: float | None) -> Callable[[float], float]:
    """Return the map from the metric's numbers to the picture, worst at the left, over all that is to be drawn."""
    worst = measured.worst if measured.floor is None else measured.floor
    best = measured.best if measured.ceiling is None else measured.ceiling
    numbers = [measured.value, worst, best, *(measured.interval or ()), *([] if limit is None else [limit])]
    low, high = min(numbers), max(numbers)
    left, right = (high, low) if measured.best < measured.worst else (low, high)
    return lambda x: 100.0 if left == right else 10 + 180 * (x - left) / (right - left)
