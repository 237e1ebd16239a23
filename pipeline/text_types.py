"""Give text its type: from what all of it looks like, or from what a schema has pinned.

Nothing is guessed that cannot be undone: a column is a number, a truth value, a date or a time only if every cell of it
is written as one, so codes with leading zeros, numbers beyond int64 and mixed columns stay text.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import family

_INTEGER = r"^[ \t]*-?(0|[1-9][0-9]*)[ \t]*$"
_FLOAT = r"^[ \t]*-?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*$"
_NOT_FINITE = r"(?i)^[ \t]*(nan|-?inf|-?infinity)[ \t]*$"
_BOOLEAN = r"(?i)^(true|false)$"
_YEAR = r"^([1-9][0-9]{3}|0[1-9][0-9]{2}|00[1-9][0-9]|000[1-9])"  # Python's calendar has no year 0
_DATE = _YEAR + r"-[0-9]{2}-[0-9]{2}$"
_TIMESTAMP = _YEAR + r"-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
_OFFSET = r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
_NANOSECONDS = r"\.[0-9]{7,9}([^0-9]|$)"

EXACT_BELOW = 2**53
"""Whole numbers from here on are not all doubles."""


def type_text(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of text as int64, float64, bool, date32, timestamp or, where it is none of them, unchanged.

    An empty string is missing in every type but text. Times with an offset become UTC; the unit is us, or ns where more
    than six digits are written.

    Example:
        >>> type_text(pa.chunked_array([["7", None, "9007199254740993"]])).type
        DataType(int64)
        >>> type_text(pa.chunked_array([["00123", "42"]])).type
        DataType(string)
    """
    encoded = values.combine_chunks().dictionary_encode()  # each distinct text is looked at once
    words = encoded.dictionary
    arrow_type = _looks_like(words.filter(pc.not_equal(words, "")))
    if arrow_type is None:
        return values
    try:
        parsed = parse_text(words, arrow_type)
    except pa.ArrowException:  # written as one, but out of range: 10^30, 2023-02-30
        return values
    if pa.types.is_floating(arrow_type) and _damaged(words, parsed):
        return values
    return pa.chunked_array([parsed.take(encoded.indices)])


def _looks_like(words: pa.Array) -> pa.DataType | None:
    if len(words) == 0:
        return None
    if _all(words, _INTEGER):
        return pa.int64()
    if _all(words, f"{_FLOAT}|{_NOT_FINITE}") and not _all(words, _NOT_FINITE):
        return pa.float64()
    if _all(words, _BOOLEAN):
        return pa.bool_()
    if _all(words, _DATE):
        return pa.date32()
    unit = "ns" if pc.any(pc.match_substring_regex(words, _NANOSECONDS)).as_py() else "us"
    if _all(words, _TIMESTAMP + "$"):
        return pa.timestamp(unit)
    return pa.timestamp(unit, "UTC") if _all(words, _TIMESTAMP + _OFFSET) else None


def _all(words: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(words, pattern)).as_py())


def _damaged(words: pa.Array, numbers: pa.Array) -> bool:
    """Say whether a double cannot hold what was written: a whole number of 2^53 or more, or one that overflows."""
    sizes = np.abs(numbers.to_numpy(zero_copy_only=False))
    whole = pc.match_substring_regex(words, _INTEGER).to_numpy(zero_copy_only=False)
    finite = pc.match_substring_regex(words, _FLOAT).to_numpy(zero_copy_only=False)
    return bool((whole & (sizes >= EXACT_BELOW)).any() or (finite & np.isinf(sizes)).any())


def parse_text(words: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    """Return the words as values of `arrow_type`.

    Raises:
        pa.ArrowException: a word is not written as such a value.

    Example:
        >>> parse_text(pa.array(["TRUE", "false", None]), pa.bool_()).to_pylist()
        [True, False, None]
    """
    kind = family(arrow_type)
    if kind in ("string", "dictionary"):
        return words.cast(arrow_type)
    parse = _PARSERS.get(kind or "", _parse_directly)
    blank = pc.equal(words, "")
    return parse(pc.if_else(blank, pa.scalar(None, words.type), pc.ascii_trim_whitespace(words)), arrow_type)


def _parse_directly(words: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    return words.cast(arrow_type)


def _parse_null(words: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    if words.null_count < len(words):
        raise pa.ArrowInvalid("every cell must be missing")
    return pa.nulls(len(words), arrow_type)


def _parse_boolean(words: pa.Array, _: pa.DataType) -> pa.Array:
    if not _all(words, _BOOLEAN) and words.null_count < len(words):
        raise pa.ArrowInvalid("a truth value is written true or false")
    return pc.equal(pc.ascii_lower(words), "true")


def _parse_date(words: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    return words.cast(pa.date32()).cast(arrow_type)


def _parse_duration(words: pa.Array, arrow_type: pa.DataType) -> pa.Array:
    return words.cast(pa.int64()).cast(arrow_type)


_PARSERS: dict[str, Callable[[pa.Array, pa.DataType], pa.Array]] = {
    "null": _parse_null,
    "boolean": _parse_boolean,
    "date": _parse_date,
    "duration": _parse_duration,
}


def unparsed_rows(values: pa.ChunkedArray, arrow_type: pa.DataType) -> npt.NDArray[np.int64]:
    """Return the rows, counted from 0, whose text is not a value of `arrow_type`.

    Example:
        >>> unparsed_rows(pa.chunked_array([["1", "x", None, "x"]]), pa.int64()).tolist()
        [1, 3]
    """
    encoded = values.combine_chunks().dictionary_encode()
    words = encoded.dictionary
    wrong = np.array([not _parses(words.slice(i, 1), arrow_type) for i in range(len(words))] + [False])
    return np.flatnonzero(wrong[pc.fill_null(encoded.indices, len(words)).to_numpy(zero_copy_only=False)])


def _parses(word: pa.Array, arrow_type: pa.DataType) -> bool:
    try:
        parse_text(word, arrow_type)
    except pa.ArrowException:
        return False
    return True
