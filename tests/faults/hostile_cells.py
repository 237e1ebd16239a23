"""Columns that tables should not have, and do: odd types, limits of types, and texts that look like something else."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa

Rng = np.random.Generator

DENORMAL = 5e-324
NEAR_2_53 = (2**53 - 1, 2**53, 2**53 + 1, 2**53 + 2)
ZONES = ("UTC", "Europe/Oslo", "America/Los_Angeles", "Asia/Kathmandu", "+05:45", "-00:30", "Pacific/Apia")
UNITS = ("s", "ms", "us", "ns")

TEXTS = (
    "", " ", "\t", "NA", "N/A", "None", "null", "NULL", "nan", "NaN", "-", "#N/A", "true", "True", "FALSE", "yes",
    "0", "-0", "00123", "1e5", "1_000", "1,000", "0x1F", "+1", "-1", "1.", ".5", "1e400",
    "inf", "-Infinity", "Infinity",
    "9007199254740993", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "1" * 400, "٣", "１２",
    "2024-02-29", "2023-02-30", "0000-01-01", "9999-12-31", "2024-01-01T00:00:00Z", "2024-13-01", "24:00:00",
    "=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", "\r=1", "a\x00b", "\x00", "a\r\nb", "a\nb", "a\rb", "\n",
    '"', '""', 'a"b', '"a', "'", "a,b", "a;b", "a\tb", "a|b", ",", ";;", "\ufeff", "\ufeffa", "e\u0301", "é",
    "\u202eabc", "נתונים", "👩‍👩‍👧", "\u200b", "\u2028", "\x85", "\x1f", "\x1e", "\x0b\x0c",
    "<script>alert(1)</script>",
    "{{7*7}}", "%s%n", "../../etc/passwd", "C:\\con", "\\N", "\ud7ff", "\U0010ffff", "ß", "İ", "ı", "ﬀ",
    "x" * 10_000, "é" * 5_000,
)  # fmt: skip

NAMES = (
    "a", "A", "id", "key", " ", "", "a b", " a", "a ", "a\n", "a\r\nb", "a,b",
    'a"b', '"', "a\x00b", "=1+1", "../a", "/etc",
    "C:\\a", "é", "e\u0301", "\u202ea", "\ufeff", "\ufeffa", "1", "0.5", "None", "nan", "null",
    "a (date)", "a (time of day)",
    "<b>", "{{a}}", "x" * 10_000, "a.b", "__proto__", "index", "count", "\u200b", "\t", "a;b", "a|b", "a\x1fb", "kind",
)  # fmt: skip


def pick(rng: Rng, values: Sequence[Any], n: int) -> list[Any]:
    """Return `n` of the values, some more often than others."""
    weights = rng.dirichlet(np.full(len(values), rng.choice([0.05, 0.5, 5.0])))
    return [values[i] for i in rng.choice(len(values), n, p=weights)]


def with_nulls(rng: Rng, values: list[Any]) -> list[Any]:
    share = rng.choice([0.0, 0.0, 0.0, 0.05, 0.05, 0.3, 0.3, 0.98])
    return [None if lost else value for value, lost in zip(values, rng.random(len(values)) < share, strict=True)]


def _few(rng: Rng, pool: Sequence[Any], n: int) -> list[Any]:
    chosen = [pool[i] for i in rng.choice(len(pool), min(len(pool), int(rng.integers(1, 9))), replace=False)]
    return pick(rng, chosen, n)


def floats(rng: Rng, n: int) -> pa.Array:
    kind = rng.choice(["f2", "f4", "f8"], p=[0.15, 0.25, 0.6])
    limits = np.finfo(kind)
    odd = [np.nan, np.inf, -np.inf, 0.0, -0.0, limits.max, limits.min, limits.smallest_subnormal, 1.0, 0.1, *NEAR_2_53]
    ordinary = rng.normal(size=n) * 10.0 ** rng.integers(-3, 4)
    odd_cells = rng.random(n) < rng.choice([0.02, 0.5, 1.0])
    with np.errstate(over="ignore"):
        values = np.where(odd_cells, _few(rng, odd, n), ordinary).astype(kind)
    return pa.array(with_nulls(rng, list(values)), pa.from_numpy_dtype(np.dtype(kind)))


def rounded(rng: Rng, n: int) -> pa.Array:
    values = np.round(rng.normal(size=n) * 10.0 ** rng.integers(0, 12), int(rng.integers(0, 9)))
    return pa.array(with_nulls(rng, values.tolist()), pa.float64())


def integers(rng: Rng, n: int) -> pa.Array:
    arrow_type = pa.type_for_alias(str(rng.choice(["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"])))
    bits, signed = arrow_type.bit_width, pa.types.is_signed_integer(arrow_type)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    pool = [low, low + 1, high, high - 1, 0, 1, 7, *(number for number in NEAR_2_53 if number <= high)]
    return pa.array(with_nulls(rng, _few(rng, pool, n)), arrow_type)


def wide_integers(rng: Rng, n: int) -> pa.Array:
    pool = rng.integers(-(2**63), 2**63 - 1, n, dtype=np.int64, endpoint=True)
    return pa.array(with_nulls(rng, pool.tolist()), pa.int64())


def unsigned(rng: Rng, n: int) -> pa.Array:
    pool = [0, 1, 2**53 + 1, 2**63 - 1, *([2**63, 2**64 - 1] if rng.random() < 0.2 else [])]
    return pa.array(with_nulls(rng, _few(rng, pool, n)), pa.uint64())


def stepped(rng: Rng, n: int) -> pa.Array:
    step = int(rng.choice([1, 5, 10, 1000, 10**15]))
    return pa.array(with_nulls(rng, (rng.integers(-50, 50, n) * step).tolist()), pa.int64())


def decimals(rng: Rng, n: int) -> pa.Array:
    digits = int(rng.choice([1, 5, 17, 18, 18, 19, 38], p=[0.2, 0.2, 0.2, 0.1, 0.2, 0.05, 0.05]))
    scale = int(rng.choice([0, 1, digits, digits, 0, 1, -2] if digits < 38 else [0, 10]))
    largest = 10**digits - 1
    numbers = [*(0, 1, -1, largest, -largest), *rng.integers(-9, 9, 5).tolist()]
    pool = [Decimal(f"{number}E{-scale}") for number in numbers if abs(number) <= largest]
    exact = pa.array(with_nulls(rng, _few(rng, [format(number, "f") for number in pool], n)), pa.string())
    return exact.cast(pa.decimal128(digits, scale))


def timestamps(rng: Rng, n: int) -> pa.Array:
    unit, zone = str(rng.choice(UNITS)), rng.choice([None, *ZONES])
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    year_1, year_9999 = -62_135_596_800 * per_second, 253_402_300_799 * per_second
    limits = [2**63 - 1, -(2**63), -(2**63) + 1] if rng.random() < 0.3 else []
    bounded = [max(-(2**63) + 1, year_1), min(2**63 - 1, year_9999)]
    clock = [dt.datetime(2024, 3, 31, hour, 30, tzinfo=dt.UTC).timestamp() for hour in range(4)]
    pool = [0, -1, 1, *bounded, *limits, *(int(moment) * per_second for moment in clock)]
    ordinary = (rng.integers(0, 2 * 10**9, n) * per_second).tolist()
    values = ordinary if rng.random() < 0.4 else _few(rng, pool, n)
    return pa.array(with_nulls(rng, values), pa.int64()).cast(pa.timestamp(unit, zone))


def dates(rng: Rng, n: int) -> pa.Array:
    pool = [0, -1, -719_162, 2_932_896, *([2**31 - 1, -(2**31)] if rng.random() < 0.3 else []), 11_016]
    days = pa.array(with_nulls(rng, _few(rng, pool, n)), pa.int32())
    if rng.random() < 0.5:
        return days.cast(pa.date32())
    return pa.array([None if d is None else d * 86_400_000 for d in days.to_pylist()], pa.int64()).cast(pa.date64())


def durations(rng: Rng, n: int) -> pa.Array:
    pool = [0, 1, -1, 3600, 86_400_000, 2**63 - 1, -(2**63), 2**53 + 1]
    return pa.array(with_nulls(rng, _few(rng, pool, n)), pa.int64()).cast(pa.duration(str(rng.choice(UNITS))))


def booleans(rng: Rng, n: int) -> pa.Array:
    return pa.array(with_nulls(rng, _few(rng, [True, False], n)), pa.bool_())


def texts(rng: Rng, n: int) -> pa.Array:
    arrow_type = pa.string() if rng.random() < 0.7 else pa.large_string()
    return pa.array(with_nulls(rng, _few(rng, TEXTS, n)), arrow_type)


def many_texts(rng: Rng, n: int) -> pa.Array:
    return pa.array(with_nulls(rng, [f"{rng.choice(TEXTS[:60])}{i}" for i in range(n)]), pa.string())


def levels(rng: Rng, n: int) -> pa.Array:
    """Return a dictionary column with levels that no row has, a level that occurs twice, or missing levels."""
    pool = [TEXTS[i] for i in rng.choice(len(TEXTS), 6, replace=False)]
    pool += [pool[0]] * int(rng.random() < 0.2) + [None] * int(rng.random() < 0.2)
    index_type = pa.type_for_alias(str(rng.choice(["int8", "int16", "int32", "int64", "uint8"])))
    indices = pa.array(with_nulls(rng, rng.integers(0, rng.integers(1, len(pool)), n).tolist()), index_type)
    ordered = bool(rng.random() < 0.3)
    return pa.DictionaryArray.from_arrays(indices, pa.array(pool, pa.string()), ordered=ordered)


def number_levels(rng: Rng, n: int) -> pa.Array:
    return pa.array(_few(rng, [1, 2, 3], n), pa.int64()).dictionary_encode()


def nulls(rng: Rng, n: int) -> pa.Array:
    return pa.nulls(n, rng.choice(np.array([pa.null(), pa.string(), pa.float64(), pa.date32()], object)))


def constant(rng: Rng, n: int) -> pa.Array:
    source = COLUMNS[int(rng.integers(0, 10))](rng, 1)
    return pa.concat_arrays([source] * n) if n else source[:0]


def one_value_and_nulls(rng: Rng, n: int) -> pa.Array:
    column = constant(rng, n)
    return column.take(pa.array([i if rng.random() < 0.5 else None for i in range(n)], pa.int64()))


def ordinary(rng: Rng, n: int) -> pa.Array:
    return pa.array(rng.choice(["a", "b"], n), pa.string())


def counter(rng: Rng, n: int) -> pa.Array:
    start = int(rng.choice([0, 1, 2**63 - 1 - n, -n]))
    return pa.array(range(start, start + n), pa.int64())


def nested(rng: Rng, n: int) -> pa.Array:
    pool: list[Any] = [
        pa.array([[1, 2]] * n, pa.list_(pa.int64())),
        pa.array([{"a": 1}] * n, pa.struct([("a", pa.int64())])),
        pa.array([[("a", 1)]] * n, pa.map_(pa.string(), pa.int64())),
        pa.array([b"\x00\xff"] * n, pa.binary()),
        pa.array([dt.time(1, 2)] * n, pa.time64("us")),
    ]
    return pool[int(rng.integers(len(pool)))]


COLUMNS: tuple[Callable[[Rng, int], pa.Array], ...] = (
    floats, rounded, integers, wide_integers, unsigned, stepped, timestamps, dates, durations, booleans,
    decimals, texts, many_texts, levels, nulls, constant, one_value_and_nulls, counter,
)  # fmt: skip
RARELY = (number_levels, nested)
