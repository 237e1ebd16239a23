"""One figure of the report as inline SVG: named, described, and coloured by the page's style sheet alone."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup


def figure(kind: str, size: tuple[float, float], title: str, description: str, parts: Sequence[Markup]) -> Markup:
    """Return the parts as one picture of `size` (width and height in its own units), with words for a screen reader.

    Example:
        >>> figure("range", (320, 28), "A < B", "value 1", [])[-49:]
        Markup('<title>A &lt; B</title><desc>value 1</desc></svg>')

    """
    head = Markup('<svg class="chart {}" viewBox="0 0 {:g} {:g}" role="img"><title>{}</title><desc>{}</desc>')
    return head.format(kind, *size, title, description) + Markup("").join(parts) + Markup("</svg>")
