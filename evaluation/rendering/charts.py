"""The report's figures: plain data in, inline SVG out.

Every figure carries a title and a description for screen readers, takes its colours from CSS classes, so that it
follows the page from light to dark, and escapes every text that it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from markupsafe import Markup

from ..measurement import Measured
from ..report import MISSING_LABEL, OTHER_LABEL, ColumnProfile, Giveaway, Series, TrainingPoint
from ..wording import number, percent, short

MAX_LEVELS = 12
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
    parts = [Markup('<path class="track" d="M8 14H312"/>')]
    if limit is not None:
        parts.append(Markup('<path class="limit" d="M{x:.1f} 2V26"/>').format(x=place(limit)))
    if measured.floor is not None:
        parts.append(Markup('<path class="floor" d="M{x:.1f} 9h10v10h-10z"/>').format(x=place(measured.floor) - 5))
    if measured.interval is not None:
        low, high = sorted(map(place, measured.interval))
        bar = Markup('<rect class="interval" x="{x:.1f}" y="11" width="{width:.1f}" height="6" rx="3"/>')
        parts.append(bar.format(x=low, width=max(high - low, 1)))
    if measured.ceiling is not None:
        diamond = Markup('<path class="ceiling" d="M{x:.1f} 6l8 8l-8 8l-8 -8z"/>')
        parts.append(diamond.format(x=place(measured.ceiling)))
    parts.append(Markup('<circle class="value" cx="{x:.1f}" cy="14" r="4"/>').format(x=place(measured.value)))
    numbers = {"value": measured.value, "floor": measured.floor, "ceiling": measured.ceiling, "gate limit": limit}
    said = ", ".join(f"{name} {number(x)}" for name, x in numbers.items() if x is not None)
    return _svg("range", (320, 28), f"{measured.metric} on its range", f"{said}; better is to the right", parts)


def column_chart(profile: ColumnProfile) -> Markup:
    """Return a column's distribution in the three tables: steps over the bins of a number, bars for levels.

    Example:
        >>> halves = Series(table="train", shares=(0.5, 0.5))
        >>> profile = ColumnProfile(
        ...     column="sex", kind="categorical", labels=("f", "m"), series=(halves,), measurements=()
        ... )
        >>> column_chart(profile).count("<rect")
        2

    """
    is_ordered = profile.kind in {"continuous", "integer", "timestamp", "date", "duration"}
    return _step_chart(profile) if is_ordered else _level_chart(profile)


def heat_map(title: str, names: Sequence[str], cells: Sequence[Sequence[float | None]], scale: float = 1.0) -> Markup:
    """Return a square map of `cells` (rows and columns are `names`); full colour is reached at plus and minus `scale`.

    **Shape** cells: `(len(names), len(names))`; None is drawn as not measured.

    Example:
        >>> heat_map("Train", ["a", "b"], [[None, 0.5], [-0.5, None]]).count("<rect")
        2

    """
    left, top, size = 112, 20, 300 / max(len(names), 1)
    label = Markup('<text class="label end" x="{}" y="{:.1f}">{} <tspan class="faint">{}</tspan></text>')
    header = Markup('<text class="label mid faint" x="{:.1f}" y="14">{}</text>')
    labels = [
        label.format(left - 5, top + (i + 0.5) * size + 3.2, short(name, 15), i + 1) for i, name in enumerate(names)
    ]
    labels += [
        header.format(left + (i + 0.5) * size, i + 1) for i in range(len(names)) if size > 18 or (i + 1) % 5 == 0
    ]
    squares = [
        _cell(left + j * size, top + i * size, size, f"{short(names[i], 32)} × {short(names[j], 32)}", cell, scale)
        for i, row in enumerate(cells)
        for j, cell in enumerate(row)
        if i != j
    ]
    return _svg("heat", (left + 302, top + 302), title, f"{len(names)} by {len(names)} columns", labels + squares)


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
    return _svg("bars", (360, 20 * len(giveaways) + 4), title, f"{len(giveaways)} columns", rows)


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
    return _svg("lines", (360, 190), "Training curve", "loss over time, on train and on validation rows", parts)


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
    return lambda x: 160.0 if left == right else 14 + 292 * (x - left) / (right - left)


def _step_chart(profile: ColumnProfile) -> Markup:
    """Draw the shares of a number's bins as steps; what has no place on its axis stands apart at the right, as bars."""
    apart = [i for i, label in enumerate(profile.labels) if label in (OTHER_LABEL, MISSING_LABEL)]
    labels = [label for label in profile.labels if label not in (OTHER_LABEL, MISSING_LABEL)]
    width = (304 - 52 * len(apart)) / max(len(labels), 1)
    top = max((max(series.shares) for series in profile.series), default=0.0) or 1.0
    parts = [_steps(series, len(labels), width, top) for series in profile.series]
    parts += [_bars_apart(profile, i, 312 - 52 * (len(apart) - place), top) for place, i in enumerate(apart)]
    if labels:
        ends = Markup(
            '<text class="label faint" x="8" y="122">{}</text><text class="label end faint" x="{:g}" y="122">{}</text>'
        )
        parts.append(ends.format(short(labels[0], 18), 8 + width * len(labels), short(labels[-1], 18)))
    scale = Markup('<path class="axis" d="M8 108.5H312"/><text class="label faint" x="8" y="9">{}</text>')
    parts.append(scale.format(percent(top)))
    return _svg("steps", (320, 126), f"Distribution of {short(profile.column)}", _said(profile), parts)


def _steps(series: Series, n_bins: int, width: float, top: float) -> Markup:
    heights = [108 - 92 * share / top for share in series.shares[:n_bins]]
    walk = "".join(f"V{y:.1f}H{8 + (i + 1) * width:.1f}" for i, y in enumerate(heights))
    return Markup('<path class="{} step" d="M8 108{}V108"/>').format(series.table, walk)


def _bars_apart(profile: ColumnProfile, index: int, left: float, top: float) -> Markup:
    """Draw one bar per table for the label at `index`."""
    bar = Markup('<rect class="{}" x="{:g}" y="{:.1f}" width="11" height="{:.1f}"/>')
    heights = [(series.table, 92 * series.shares[index] / top) for series in profile.series]
    bars = [bar.format(table, left + 13 + 13 * i, 108 - height, height) for i, (table, height) in enumerate(heights)]
    name = Markup('<text class="label mid faint" x="{:g}" y="122">{}</text>')
    return Markup("").join([*bars, name.format(left + 31, profile.labels[index].strip("()"))])


def _level_chart(profile: ColumnProfile) -> Markup:
    """Draw one row per level: a wide pale bar for train, a narrow one for synthetic inside it, a tick for holdout."""
    levels = _pooled(profile)
    top = max((max(shares.values(), default=0.0) for _, shares in levels), default=0.0) or 1.0
    rows = [_level(20.0 * i, label, shares, 158 / top) for i, (label, shares) in enumerate(levels)]
    size = (320, 20 * len(levels) + 2)
    return _svg("levels", size, f"Distribution of {short(profile.column)}", _said(profile), rows)


def _level(y: float, label: str, shares: dict[str, float], scale: float) -> Markup:
    said = ", ".join(f"{table} {percent(share)}" for table, share in shares.items())
    parts = [Markup("<g><title>{}: {}</title>").format(short(label), said)]
    parts.append(Markup('<text class="label end" x="108" y="{:g}">{}</text>').format(y + 13.5, short(label, 17)))
    for table, dy, height in (("train", 3, 14), ("synthetic", 7, 6)):
        if table in shares:
            bar = Markup('<rect class="{}" x="114" y="{:g}" width="{:.1f}" height="{}" rx="1"/>')
            parts.append(bar.format(table, y + dy, scale * shares[table], height))
    if "holdout" in shares:
        tick = Markup('<path class="holdout tick" d="M{:.1f} {:g}v16"/>')
        parts.append(tick.format(114 + scale * shares["holdout"], y + 2))
    value = Markup('<text class="label end" x="318" y="{:g}">{}</text></g>')
    parts.append(value.format(y + 13.5, percent(shares.get("synthetic", 0.0))))
    return Markup("").join(parts)


def _pooled(profile: ColumnProfile) -> list[tuple[str, dict[str, float]]]:
    """Return the levels with their share per table; of many, the largest, the sum of the others, and the missing."""
    levels: list[tuple[str, dict[str, float]]] = [
        (label, {series.table: series.shares[i] for series in profile.series}) for i, label in enumerate(profile.labels)
    ]
    if len(levels) <= MAX_LEVELS:
        return levels
    last = [level for level in levels if level[0] == MISSING_LABEL]
    plain = [level for level in levels if level[0] != MISSING_LABEL]
    plain.sort(key=lambda level: (level[0] == OTHER_LABEL, -max(level[1].values(), default=0.0)))
    n_kept = MAX_LEVELS - 1 - len(last)
    rest: dict[str, float] = {
        series.table: sum(shares[series.table] for _, shares in plain[n_kept:]) for series in profile.series
    }
    return [*plain[:n_kept], (OTHER_LABEL, rest), *last]


def _said(profile: ColumnProfile) -> str:
    tables = ", ".join(series.table for series in profile.series)
    return f"share of rows in each of {len(profile.labels)} bins or levels: {tables}"


def _cell(x: float, y: float, size: float, title: str, value: float | None, scale: float) -> Markup:
    strength = 0.0 if value is None else min(abs(value) / scale, 1.0)
    kind = "none" if value is None else "minus" if value < 0 else "plus"
    cell = Markup(
        '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" fill-opacity="{:.2f}">'
        "<title>{}: {}</title></rect>"
    )
    return cell.format(kind, x, y, size - 1, size - 1, 1 if value is None else strength, title, number(value, 2))


def _svg(kind: str, size: tuple[float, float], title: str, description: str, parts: Sequence[Markup]) -> Markup:
    head = Markup('<svg class="chart {}" viewBox="0 0 {:g} {:g}" role="img"><title>{}</title><desc>{}</desc>')
    return head.format(kind, *size, title, description) + Markup("").join(parts) + Markup("</svg>")
