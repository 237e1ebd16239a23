"""Durations as people write them: "120s", "2m", "1.5h", or a bare number of seconds."""

from __future__ import annotations

import re

SECONDS_PER_UNIT = {"": 1, "s": 1, "m": 60, "h": 3600}
PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")


def parse_seconds(text: str | float) -> float:
    """Return a duration in seconds.

    Raises:
        ValueError: the text is no positive number with one of the units s, m, h.

    Example:
        >>> parse_seconds("2m"), parse_seconds("90"), parse_seconds(1.5)
        (120.0, 90.0, 1.5)
    """
    match = PATTERN.fullmatch(str(text).strip().lower())
    seconds = float(match[1]) * SECONDS_PER_UNIT[match[2]] if match else 0.0
    if seconds <= 0:
        raise ValueError(f'a duration is a positive number with a unit, such as "120s", "2m" or "1h"; found {text!r}')
    return seconds
