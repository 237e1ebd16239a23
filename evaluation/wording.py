"""How numbers and names are put before a person."""

from __future__ import annotations


def number(value: float | None, digits: int | None = None) -> str:
    """Return `value` with `digits` decimals (three, or four below 0.01), grouped and whole from 100 on; "–" for None.

    Example:
        >>> number(0.8), number(0.0041), number(-0.00004), number(32561), number(None)
        ('0.800', '0.0041', '0.0000', '32,561', '–')
        >>> number(1e-9), number(0.0)  # a p-value is never 0
        ('<0.0001', '0.000')

    """
    if value is None:
        return "–"
    if digits is None and 0 < value < 0.00005:
        return "<0.0001"
    decimals = digits if digits is not None else 4 if 0 < abs(value) < 0.01 else 3
    text = f"{value:,.0f}" if abs(value) >= 100 and digits is None else f"{value:,.{decimals}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def percent(share: float) -> str:
    """Return a share in per cent.

    Example:
        >>> percent(0.0123), percent(0.5)
        ('1.2 %', '50.0 %')

    """
    return f"{100 * share:.1f} %"


def duration(seconds: float | None) -> str:
    """Return a time in seconds as a person says it.

    Example:
        >>> duration(7.25), duration(125), duration(None)
        ('7.2 s', '2 min 5 s', '–')

    """
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def visible(text: str) -> str:
    r"""Return `text` with characters that a screen would hide or obey (controls, text direction) written as codes.

    Example:
        >>> visible("a\x00b\u202ec")
        'a⟨U+0000⟩b⟨U+202E⟩c'

    """
    return "".join(char if char.isprintable() or char in _HARMLESS else f"⟨U+{ord(char):04X}⟩" for char in text)


def short(text: str, limit: int = 48) -> str:
    """Return `text` made visible and, if longer than `limit` characters, clipped in its middle, so that both ends stay.

    Example:
        >>> short("a_rather_long_name", 9), short("age")
        ('a_ra…name', 'age')

    """
    if len(text) > limit:
        text = f"{text[: limit // 2]}…{text[len(text) - (limit - 1) // 2 :]}"
    return visible(text)


_HARMLESS = frozenset("\n\t\u200d\u00a0\u202f\u3000")
