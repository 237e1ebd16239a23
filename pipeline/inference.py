"""Infer the schema of a table, with the reason for every column's kind in plain words.

What is inferred ends up in a file, so nothing here tells a rare value: no extreme, no level, no key of the table.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import arrow_text, family
from pipeline.columns import (
    NANOSECONDS,
    Boolean,
    Categorical,
    Column,
    Constant,
    Continuous,
    Date,
    Duration,
    Identifier,
    Integer,
    Resolution,
    Text,
    Timestamp,
)
from pipeline.errors import SchemaError
from pipeline.misfits import finest, on_decimals
from pipeline.schema import Schema, refuse_repeated_names, refuse_unsupported

MIN_ROWS_FOR_KEYS = 20
"""With fewer rows, values that happen to differ are no evidence of a key or of free text."""

MIN_VALUES_FOR_STEP = 10
"""With fewer distinct values, a common divisor may be chance."""

MAX_DECIMALS = 12
"""Finer grids are not told apart from the rounding of double precision."""

WIDELY = 5
"""A level that so many rows share tells nothing about one of them: the default `protect` of the transform."""

_KEY_WORDS = frozenset({"id", "ids", "uuid", "guid", "key", "pk", "no", "nr", "number", "index", "rowid", "row"})
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def infer(table: pa.Table) -> Schema:
    """Infer the schema of `table`.

    Raises:
        SchemaError: fewer than two rows, no column, a repeated name, or a type no table may have; names every column.

    Example:
        >>> schema = infer(pa.table({"age": [31, 40, 52], "smoker": [True, None, False]}))
        >>> [(column.kind, column.nullable) for column in schema.columns]
        [('integer', False), ('boolean', True)]
    """
    refuse_repeated_names(table.column_names)
    if table.num_rows < 2:
        remedy = "give more rows; of a single one, every value would be a constant of the table"
        raise SchemaError("a schema is inferred from at least 2 rows", actual=str(table.num_rows), remedy=remedy)
    refuse_unsupported(table)
    return Schema(columns=tuple(_infer_column(name, table[name]) for name in table.column_names))


def _infer_column(name: str, values: pa.ChunkedArray) -> Column:
    base: dict[str, Any] = {"name": name, "arrow": arrow_text(values.type), "nullable": values.null_count > 0}
    distinct = pc.unique(_plain(values))
    constant = _infer_constant(base, values, distinct)
    if constant is not None:
        return constant
    match family(values.type):
        case "integer":
            return _infer_integer(base, values.cast(pa.int64()), len(distinct))
        case "string" | "dictionary":
            return _infer_string(base, _plain(values), distinct.drop_null())
        case "float" | "decimal":
            return _infer_continuous(base, values)
        case "timestamp":
            return Timestamp(**base, **_resolution(values), reason="points in time")
        case "duration":
            return Duration(**base, **_resolution(values), reason="lengths of time")
        case "date":
            return Date(**base, reason="calendar days")
        case _:
            return Boolean(**base, reason="true or false")


def _infer_constant(base: dict[str, Any], values: pa.ChunkedArray, distinct: pa.Array) -> Constant | None:
    if values.null_count == len(values):
        return Constant(**base, reason="every cell is missing")
    if values.null_count or len(distinct) > 1:
        return None
    return Constant(**base, value=_json_value(distinct[0]), reason=f"the same value in all {len(values)} rows")


def _json_value(value: pa.Scalar) -> Any:
    """Write a constant as `Constant.array` reads it."""
    kind = family(value.type)
    if kind in ("boolean", "integer", "string") or (kind == "float" and np.isfinite(value.as_py())):
        return value.as_py()
    return value.cast(pa.int64()).as_py() if kind == "duration" else value.cast(pa.string()).as_py()


def _infer_integer(base: dict[str, Any], values: pa.ChunkedArray, n_distinct: int) -> Column:
    clue = _key_clue(base, values, n_distinct)
    start = _free_start(values, base["arrow"]) if clue else None
    if start is not None:
        return Identifier(**base, start=start, reason=f"whole numbers, all different, and {clue}; new ones are issued")
    lowest = pc.min(values).as_py()
    step = _round_step(values) if n_distinct >= MIN_VALUES_FOR_STEP else 1
    grid = f", all multiples of {step}" if step > 1 else ""
    return Integer(**base, step=step, minimum=_floor(lowest), reason=f"whole numbers{grid}")


def _round_step(values: pa.ChunkedArray) -> int:
    """Return the largest of 1, 2, 5, 10, 20, ... that divides every value; another divisor could tell a rare value."""
    distinct = pc.unique(values.drop_null()).to_numpy()
    steps: list[int] = [factor * 10**power for power in range(18) for factor in (1, 2, 5)]
    return max(step for step in steps if (distinct % step == 0).all())


def _floor(lowest: float) -> int | None:
    """Return 0 where nothing lies below it: the only bound that tells nothing about a row."""
    return 0 if lowest >= 0 else None


def _key_clue(base: dict[str, Any], values: pa.ChunkedArray, n_distinct: int) -> str:
    """Say what, besides being all different, marks the column as a key; an empty text if nothing does."""
    if base["nullable"] or n_distinct < len(values) or len(values) < MIN_ROWS_FOR_KEYS:
        return ""
    if {word.lower() for word in _WORDS.findall(base["name"])} & _KEY_WORDS:
        return "the name says key"
    if pa.types.is_integer(values.type):
        steps = np.diff(values.to_numpy())
        first = values[0].as_py()
        counts = abs(int(steps[0])) == 1 and bool((steps == steps[0]).all())
        # Consecutive years look like a row counter; they are not.
        return "they count the rows" if counts and not 1500 <= first <= 2500 else ""
    return _pattern_clue(values)


def _pattern_clue(values: pa.ChunkedArray) -> str:
    if not pc.all(pc.match_substring_regex(values, r"^[^\s]*[0-9][^\s]*$")).as_py():
        return ""
    return "they have one length and hold digits" if len(pc.unique(pc.utf8_length(values))) == 1 else ""


def _free_start(keys: pa.ChunkedArray, arrow: str) -> int | None:
    """Return a round number above every key and not telling the largest, or None where the type has no room for it."""
    lowest, largest = pc.min_max(keys).as_py().values()
    start = 10 ** len(str(max(abs(lowest), abs(largest))))
    limit = 2 ** (pa.type_for_alias(arrow).bit_width - 1)
    return start if start + 10 * len(keys) < limit else None


def _infer_string(base: dict[str, Any], values: pa.ChunkedArray, distinct: pa.Array) -> Column:
    clue = _key_clue(base, values, len(distinct))
    if clue:
        return Identifier(
            **base, prefix=_free_prefix(distinct), reason=f"all different, and {clue}; new ones are issued"
        )
    present = len(values) - values.null_count
    shared = _rows_of_shared_levels(values)
    # Where levels have 5 rows on average, at least one has as many: those of a small table stay levels.
    if len(values) >= MIN_ROWS_FOR_KEYS and shared < present / 2 and len(distinct) > present / WIDELY:
        why = f"only {shared} of {present} cells hold a value that {WIDELY} rows or more share"
        return Text(**base, reason=f"{why}; replaced by a placeholder")
    return Categorical(**base, reason=f"{len(distinct)} levels in {present} cells")


def _rows_of_shared_levels(values: pa.ChunkedArray) -> int:
    rows = values.drop_null().value_counts().field("counts").to_numpy()
    return int(rows[rows >= WIDELY].sum())


def _free_prefix(keys: pa.Array) -> str:
    prefix, number = "syn-", 1
    while pc.any(pc.starts_with(keys, prefix)).as_py():
        number += 1
        prefix = f"syn{number}-"
    return prefix


def _infer_continuous(base: dict[str, Any], values: pa.ChunkedArray) -> Continuous:
    numbers = values.cast(pa.float64()).drop_null().to_numpy()
    finite = numbers[np.isfinite(numbers)]
    minimum = 0.0 if len(finite) and (numbers[~np.isnan(numbers)] >= 0).all() else None
    decimals = values.type.scale if family(values.type) == "decimal" else _decimals(values)
    grid = f", at most {decimals} decimals" if decimals is not None else ""
    return Continuous(**base, decimals=decimals, minimum=minimum, reason=f"measured numbers{grid}")


def _decimals(values: pa.ChunkedArray) -> int | None:
    """Return the coarsest decimal grid that holds every finite value, or None."""
    numbers = values.drop_null().to_numpy()
    finite = numbers[np.isfinite(numbers)]
    for decimals in range(MAX_DECIMALS + 1):
        if len(finite) == 0 or np.abs(finite.astype(np.float64)).max() >= finest(finite.dtype, decimals):
            return None  # finer than the numbers themselves: not a grid
        if on_decimals(finite[:1000], decimals).all() and on_decimals(finite, decimals).all():
            return decimals
    return None


def _resolution(values: pa.ChunkedArray) -> dict[str, Resolution]:
    """Return the coarsest resolution that holds every value."""
    unit = NANOSECONDS[values.type.unit]
    ticks = values.cast(pa.int64()).drop_null().to_numpy()
    for name, length in NANOSECONDS.items():
        if length >= unit and (ticks % (length // unit) == 0).all():
            return {"resolution": name}  # type: ignore[dict-item]
    raise AssertionError("every value is a whole number of its own unit")


def _plain(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values without a dictionary around them."""
    return values.cast(values.type.value_type) if pa.types.is_dictionary(values.type) else values
