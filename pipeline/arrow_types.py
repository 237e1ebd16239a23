"""The Arrow types a table may have, as text and as families of kinds that behave alike."""

from __future__ import annotations

import re
from collections.abc import Callable

import pyarrow as pa
import pyarrow.types as pt

from pipeline.errors import SchemaError

MAX_DECIMAL_DIGITS = 18
"""A decimal of up to 18 digits, taken without its point, fits int64: no digit is ever lost."""

_PARAMETRIC: tuple[tuple[re.Pattern[str], Callable[..., pa.DataType]], ...] = (
    (re.compile(r"timestamp\[(s|ms|us|ns)(?:, tz=(\S+))?\]"), lambda unit, tz: pa.timestamp(unit, tz)),
    (re.compile(r"duration\[(s|ms|us|ns)\]"), pa.duration),
    (re.compile(r"decimal128\((\d+), ?(-?\d+)\)"), lambda digits, scale: pa.decimal128(int(digits), int(scale))),
    (
        re.compile(r"dictionary<values=(\w+), indices=(\w+?)(?:, ordered=([01]))?>"),
        lambda values, indices, ordered: pa.dictionary(
            pa.type_for_alias(indices), pa.type_for_alias(values), ordered == "1"
        ),
    ),
)

_FAMILIES: tuple[tuple[str, Callable[[pa.DataType], bool]], ...] = (
    ("null", pt.is_null),
    ("boolean", pt.is_boolean),
    ("integer", pt.is_integer),
    ("float", pt.is_floating),
    ("decimal", lambda t: pt.is_decimal128(t) and t.precision <= MAX_DECIMAL_DIGITS and t.scale >= 0),
    ("string", lambda t: pt.is_string(t) or pt.is_large_string(t)),
    ("dictionary", lambda t: pt.is_dictionary(t) and (pt.is_string(t.value_type) or pt.is_large_string(t.value_type))),
    ("timestamp", pt.is_timestamp),
    ("date", pt.is_date),
    ("duration", pt.is_duration),
)

FAMILIES = tuple(name for name, _ in _FAMILIES)
"""The families of types that behave alike: all that a table may have."""

_REMEDIES: tuple[tuple[Callable[[pa.DataType], bool], str], ...] = (
    (pt.is_nested, "give each nested field a column of its own, or drop the column"),
    (pt.is_dictionary, "cast the column to its value type"),
    (pt.is_decimal, f"cast the column to float64 or to a decimal128 of at most {MAX_DECIMAL_DIGITS} digits"),
    (pt.is_time, "cast the column to a duration since midnight"),
    (lambda t: pt.is_binary(t) or pt.is_large_binary(t) or pt.is_fixed_size_binary(t), "decode it to text, or drop it"),
)


def parse_arrow_type(text: str) -> pa.DataType:
    """Return the Arrow type that `text` names, in the notation of `str(pa.DataType)`.

    Raises:
        SchemaError: the text names no type that a table may have.

    Example:
        >>> parse_arrow_type("decimal128(10, 2)")
        Decimal128Type(decimal128(10, 2))
        >>> parse_arrow_type("dictionary<values=string, indices=int32>").value_type
        DataType(string)
    """
    try:
        return _parsed(text)
    except (ValueError, pa.ArrowException) as error:
        remedy = 'write it as pyarrow prints it, for instance "int64", "string" or "timestamp[us, tz=UTC]"'
        raise SchemaError("a column's Arrow type is unknown", actual=f'"{text}"', remedy=remedy) from error


def _parsed(text: str) -> pa.DataType:
    for pattern, build in _PARAMETRIC:
        if match := pattern.fullmatch(text.strip()):
            return build(*match.groups())
    return pa.type_for_alias(text.strip())


def arrow_text(arrow_type: pa.DataType) -> str:
    """Return the one text by which a schema file names an Arrow type; `parse_arrow_type` reads it back.

    Example:
        >>> arrow_text(pa.dictionary(pa.int32(), pa.string()))
        'dictionary<values=string, indices=int32>'
    """
    return str(arrow_type).replace(", ordered=0>", ">")


def family(arrow_type: pa.DataType) -> str | None:
    """Return the family of a supported type, or None for a type that no table may have.

    Example:
        >>> family(pa.large_string()), family(pa.list_(pa.int8()))
        ('string', None)
    """
    return next((name for name, holds in _FAMILIES if holds(arrow_type)), None)


def remedy_for(arrow_type: pa.DataType) -> str:
    """Return what a person can do about a column of an unsupported type.

    Example:
        >>> remedy_for(pa.binary())
        'decode it to text, or drop it'
    """
    return next((remedy for holds, remedy in _REMEDIES if holds(arrow_type)), "cast or drop the column")
