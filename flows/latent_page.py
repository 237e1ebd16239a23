"""The latent space as a page: which units are used, and a figure of what each of them does to the columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from evaluation.rendering.svg import figure
from evaluation.wording import number, percent, short, visible

if TYPE_CHECKING:
    import numpy as np

    from generators.latent import Response, Traversal, Usage

MOST_FIGURES, MOST_LEVELS = 4, 4
LEAST_STRENGTH = 0.05
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 260.0, 132.0, 38.0, 248.0, 10.0, 110.0

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{{ facts.name }}: latent space</title>
<style>
:root { color-scheme: light dark; --paper: #fcfcfa; --ink: #1d2125; --soft: #565e66; --rule: #dcddd8;
  --line: #0068a8; --l0: #0068a8; --l1: #c65102; --l2: #00664f; --l3: #8a6d00; --others: #9aa1a8; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e7e8e6; --soft: #a3aab1;
  --rule: #31373c; --line: #6db8ea; --l0: #6db8ea; --l1: #f0955a; --l2: #57c2a4; --l3: #d9b53c; --others: #6b737b; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 74rem; padding: 0 1rem;
  background: var(--paper); color: var(--ink); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--rule); padding: .3rem .9rem .3rem 0; text-align: left; }
.idle { color: var(--soft); }
.row { display: flex; flex-wrap: wrap; gap: 1rem 2rem; }
figure { margin: 0; width: 260px; }
figcaption { font-size: 13px; color: var(--soft); }
h2 { margin: 2.2rem 0 .3rem; font-size: 20px; } h3 { margin: .4rem 0 0; font-size: 15px; overflow-wrap: anywhere; }
.chart { display: block; width: 260px; height: 132px; }
.chart .grid { stroke: var(--rule); } .chart .line { fill: none; stroke: var(--line); stroke-width: 2; }
.chart .label { font: 11px system-ui, sans-serif; fill: var(--soft); } .chart .end { text-anchor: end; }
.chart .area { stroke: var(--paper); stroke-width: 1; }
{% for i in range(4) %}.chart .l{{ i }} { fill: var(--l{{ i }}); } b.l{{ i }} { color: var(--l{{ i }}); }
{% endfor %}.chart .others { fill: var(--others); } b.others { color: var(--others); }
</style>
</head>
<body>
<h1>{{ facts.name }}: latent space</h1>
<p><strong>{{ usage.verdict }}</strong></p>
<p>{{ "{:,}".format(usage.n_rows) }} {{ facts.rows }} were encoded
{%- if facts.n_members > 1 %} by member {{ facts.member }} of {{ facts.n_members }}, each of which has a latent space
of its own{% endif %}. The nats of a unit are the mean divergence of its posterior from the prior: an upper bound of
what it says about a row. It is active where its posterior mean differs between rows with a variance above 0.01.</p>
<div class="wide"><table>
<thead><tr><th scope="col">unit</th><th scope="col">nats</th><th scope="col">variance of the mean</th>
<th scope="col">state</th><th scope="col">moves most</th></tr></thead>
<tbody>
{% for unit in units %}<tr{% if not unit.active %} class="idle"{% endif %}><td>{{ unit.number }}</td>
<td>{{ number(unit.nats, 3) }}</td><td>{{ number(unit.spread, 3) }}</td><td>{{ unit.state }}</td>
<td>{{ moved.get(unit.number, "") }}</td></tr>
{% endfor %}</tbody>
</table></div>
{% for card in cards %}
<h2>Unit {{ card.unit }}: {{ number(card.nats, 2) }} nats</h2>
<p>From {{ number(card.low, 2) }} to {{ number(card.high, 2) }}, between which 95 % of the rows lie, with all other
units as they are.{% if not card.drawn %} No column changes by more than {{ percent(least) }}.{% endif %}</p>
<div class="row">
{% for drawn in card.drawn %}
<figure><h3>{{ drawn.title }}</h3>{{ drawn.chart }}
<figcaption>{% for part in drawn.caption %}{% if part.mark %}<b class="{{ part.mark }}">■</b> {% endif %}
{{- part.text }}{% if not loop.last %}<br>{% endif %}{% endfor %}</figcaption></figure>
{% endfor %}
</div>
{% endfor %}
<p class="idle">A column with an order is drawn as the mean train quantile of its cells, any other as the shares of its
levels. Every cell was drawn by the decoder, at each step from the same random numbers.</p>
</body>
</html>
"""


@dataclass(frozen=True)
class Said:
    """A line of a caption, with the mark that it explains."""

    text: str
    mark: str = ""


@dataclass(frozen=True)
class Drawn:
    """A figure of what one column does."""

    title: str
    chart: Markup
    caption: tuple[Said, ...]


def page(facts: dict[str, Any], usage: Usage, traversals: tuple[Traversal, ...]) -> str:
    """Return the page: self-contained, without a script, every text escaped.

    Args:
        facts: `name` of the model, `rows` in words, `member` and `n_members`.
        usage: of the units.
        traversals: of the active ones.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, finalize=_spelled_out)
    units = {unit.number: unit for unit in usage.units}
    cards = [_card(traversal, units[traversal.unit].nats) for traversal in traversals]
    return environment.from_string(TEMPLATE).render(
        facts=facts,
        usage=usage,
        units=(*usage.active, *(unit for unit in usage.units if not unit.active)),
        moved={traversal.unit: moved(traversal) for traversal in traversals},
        cards=cards,
        least=LEAST_STRENGTH,
        number=number,
        percent=percent,
    )


def moved(traversal: Traversal) -> str:
    """Return the columns that a unit moves most, in words."""
    strong = [response for response in traversal.responses if response.strength >= LEAST_STRENGTH]
    return ", ".join(short(response.column, 30) for response in strong[:3]) or "no column by much"


def chart_of(response: Response) -> Drawn:
    """Return the figure of one column: a line over the unit's values, or areas of shares.

    Example:
        >>> import numpy as np
        >>> from generators.latent import Response
        >>> drawn = chart_of(Response("age", 0.5, np.array([0.2, 0.7]), ("24", "58"), {}))
        >>> drawn.caption[0].text
        'from 24 to 58, mean train quantile 20.0 % to 70.0 %'
    """
    draw = _shares if response.quantiles is None else _line
    parts, caption = draw(response)
    title = short(response.column, 40)
    said = "; ".join(part.text for part in caption)
    return Drawn(title, figure("response", (WIDTH, HEIGHT), title, said, parts), tuple(caption))


def _card(traversal: Traversal, nats: float) -> dict[str, Any]:
    strong = [response for response in traversal.responses if response.strength >= LEAST_STRENGTH][:MOST_FIGURES]
    ends = {"low": float(traversal.at[0]), "high": float(traversal.at[-1])}
    return {"unit": traversal.unit, "nats": nats, **ends, "drawn": [chart_of(response) for response in strong]}


def _line(response: Response) -> tuple[list[Markup], list[Said]]:
    quantiles, ends = response.quantiles, response.ends
    assert quantiles is not None and ends is not None
    points = " ".join(f"{x:.1f},{_height(y):.1f}" for x, y in zip(_places(len(quantiles)), quantiles, strict=True))
    parts = [*_grid(), Markup('<polyline class="line" points="{}"/>').format(points)]
    said = f"from {short(ends[0], 20)} to {short(ends[1], 20)}, "
    said += f"mean train quantile {percent(quantiles[0])} to {percent(quantiles[-1])}"
    return parts, [Said(said), *(Said(_change(level, share)) for level, share in response.shares.items())]


def _shares(response: Response) -> tuple[list[Markup], list[Said]]:
    parts, caption = list(_grid()), []
    for mark, name, low, high in _stacked(response.shares):
        there = list(zip(_places(len(low)), high, strict=True))
        back = list(zip(_places(len(low)), low, strict=True))[::-1]
        points = " ".join(f"{x:.1f},{_height(y):.1f}" for x, y in there + back)
        parts.append(Markup('<polygon class="area {}" points="{}"/>').format(mark, points))
        caption.append(Said(_change(name, high - low), mark))
    return parts, caption


def _stacked(shares: dict[str, np.ndarray]) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Yield mark, name, lower and upper edge of the largest levels, and of all others together."""
    largest = sorted(shares, key=lambda level: -float(shares[level].max()))
    layers = {level: shares[level] for level in largest[:MOST_LEVELS]}
    rest = largest[MOST_LEVELS:]
    base = 0 * shares[largest[0]]
    for i, (level, share) in enumerate(layers.items()):
        yield f"l{i}", level, base, base + share
        base = base + share
    if rest:
        yield "others", f"{len(rest)} others", base, base + sum(shares[level] for level in rest)


def _change(level: str, share: np.ndarray) -> str:
    return f"{short(level, 24)} {percent(share[0])} to {percent(share[-1])}"


def _grid() -> Iterator[Markup]:
    for share in (0.0, 0.5, 1.0):
        y = _height(share)
        yield Markup('<path class="grid" d="M{:g} {:.1f}H{:g}"/>').format(LEFT, y, RIGHT)
        yield Markup('<text class="label end" x="{:g}" y="{:.1f}">{}</text>').format(LEFT - 5, y + 4, f"{share:.0%}")
    yield Markup('<text class="label" x="{:g}" y="126">low</text>').format(LEFT)
    yield Markup('<text class="label end" x="{:g}" y="126">high</text>').format(RIGHT)


def _places(n: int) -> list[float]:
    return [LEFT + (RIGHT - LEFT) * i / (n - 1) for i in range(n)]


def _height(share: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * float(share)


def _spelled_out(value: object) -> object:
    return visible(value) if type(value) is str else value
