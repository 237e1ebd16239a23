"""A column's distribution in the three tables as a figure: plain data in, inline SVG out."""

from __future__ import annotations

from markupsafe import Markup

from ..report import MISSING_LABEL, OTHER_LABEL, ColumnProfile, Series
from ..wording import percent, short
from .svg import figure

MAX_LEVELS = 12
SMALLEST_REACH = 0.02
"""The scale of quantile plots: differences below it are those of chance in tables of some hundred rows."""


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


def quantile_chart(profile: ColumnProfile) -> Markup:
    """Return how far the quantiles of holdout and synthetic are from train's: the line of zero is train itself.

    It is the quantile plot with its diagonal laid flat (a worm plot): van Buuren and Fredriks 2001,
    doi:10.1002/sim.746.

    Example:
        >>> from evaluation.report import Quantiles
        >>> worm = Quantiles(table="synthetic", shifts=(0.01,) * 19)
        >>> profile = ColumnProfile(
        ...     column="age", kind="integer", labels=(), series=(), measurements=(), quantiles=(worm,)
        ... )
        >>> quantile_chart(profile).count("<polyline")
        1

    """
    largest = max((abs(shift) for one in profile.quantiles for shift in one.shifts), default=0.0)
    reach = max(largest, SMALLEST_REACH)
    parts = [Markup('<path class="axis" d="M8 32.5H312"/>')]
    for one in profile.quantiles:
        step = 304 / (len(one.shifts) + 1)
        points = " ".join(f"{8 + step * (i + 1):.1f},{32 - 26 * x / reach:.1f}" for i, x in enumerate(one.shifts))
        parts.append(Markup('<polyline class="line {}" points="{}"/>').format(one.table, points))
    scale = Markup(
        '<text class="label faint" x="8" y="9">+{0}</text><text class="label faint" x="8" y="74">−{0}</text>'
    )
    name = Markup('<text class="label end faint" x="312" y="74">quantiles 5 % to 95 %, from train’s</text>')
    parts += [scale.format(percent(reach)), name]
    said = ", ".join(f"{one.table} at most {percent(max(map(abs, one.shifts)))}" for one in profile.quantiles)
    return figure(
        "quantiles", (320, 78), f"Quantiles of {short(profile.column)}", f"distance from train: {said}", parts
    )


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
    return figure("steps", (320, 126), f"Distribution of {short(profile.column)}", _said(profile), parts)


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
    return figure("levels", size, f"Distribution of {short(profile.column)}", _said(profile), rows)


def _level(y: float, label: str, shares: dict[str, float], scale: float) -> Markup:
    said = ", ".join(f"{table} {percent(share)}" for table, share in shares.items())
    parts = [Markup("<g><title>{}: {}</title>").format(short(label), said)]
    parts.append(Markup('<text class="label end" x="108" y="{:g}">{}</text>').format(y + 13.5, short(label, 15)))
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
