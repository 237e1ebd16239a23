"""Conditions and margins as a command is given them: texts such as "age>=60", and a TOML file of shares."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    from generators import Range

_CONDITION = re.compile(r"(?P<name>.+?)(?P<compare>>=|<=|=)(?P<value>.*)", re.DOTALL)


def parse_conditions(texts: Sequence[str]) -> dict[str, str | list[str] | Range]:
    """Return the condition of each column; values stay text, which is read as the column's type later.

    Raises:
        ConfigError: a text is no condition, or a column has both values and bounds, or a bound twice.

    Example:
        >>> parse_conditions(["origin=JFK", "month>=6", "carrier=AA", "month<=8", "carrier=UA"])
        {'origin': 'JFK', 'month': Range(low='6', high='8'), 'carrier': ['AA', 'UA']}
    """
    values: dict[str, list[str]] = {}
    bounds: dict[str, dict[str, str]] = {}
    for text in texts:
        name, compare, value = _parts(text)
        if compare == "=":
            values.setdefault(name, []).append(value)
        elif compare in bounds.setdefault(name, {}):
            raise ConfigError(f'a column has one bound "{compare}"', actual=repr(text), remedy="leave one of them out")
        else:
            bounds[name][compare] = value
    both = values.keys() & bounds.keys()
    if both:
        rule = "a column has values or bounds"
        raise ConfigError(rule, actual=f"both for {', '.join(sorted(both))}", remedy="leave one of them out")
    return {name: _condition(values.get(name), bounds.get(name)) for name in dict.fromkeys(map(_name, texts))}


def read_margins(path: Path) -> dict[str, dict[str, float]]:
    """Return shares by value by column from a TOML file, one table for each column.

    Raises:
        ConfigError: the file cannot be read, or holds something else.

    Example:
        >>> _ = Path("shares.toml").write_text("sex = {f = 1, m = 1}")
        >>> read_margins(Path("shares.toml"))
        {'sex': {'f': 1.0, 'm': 1.0}}
    """
    remedy = "write a table for each column, such as [sex] with the lines f = 0.5 and m = 0.5"
    try:
        state: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f'margins must be a TOML file that can be read: "{path}"', actual=str(error)) from error
    for column, shares in state.items():
        numbers = shares.values() if isinstance(shares, dict) else [None]
        if not all(isinstance(share, int | float) and not isinstance(share, bool) for share in numbers):
            raise ConfigError(f'the margin of "{column}" must be shares by value', actual=repr(shares), remedy=remedy)
    if not state:
        raise ConfigError("margins must name a column", actual=f'none in "{path}"', remedy=remedy)
    return {column: {value: float(share) for value, share in shares.items()} for column, shares in state.items()}


def parse_changes(texts: Sequence[str]) -> dict[str, str]:
    """Return the new value of each column, as text.

    Raises:
        ConfigError: a text has no "=", or a column is given twice.

    Example:
        >>> parse_changes(["smoker=true"])
        {'smoker': 'true'}
    """
    changes: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name in changes:
            rule = "a change reads column=value, and a column has one"
            raise ConfigError(rule, actual=repr(text), remedy="such as --change origin=JFK")
        changes[name] = value
    return changes


def _parts(text: str) -> tuple[str, str, str]:
    match = _CONDITION.fullmatch(text)
    if match is None:
        rule = "a condition reads column=value, column>=value or column<=value"
        raise ConfigError(rule, actual=repr(text), remedy="such as --condition origin=JFK")
    return match["name"], match["compare"], match["value"]


def _name(text: str) -> str:
    return _parts(text)[0]


def _condition(values: list[str] | None, bounds: dict[str, str] | None) -> str | list[str] | Range:
    from generators import Range

    if values is None:
        bounds = bounds or {}
        return Range(bounds.get(">="), bounds.get("<="))
    return values[0] if len(values) == 1 else values
