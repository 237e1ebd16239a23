"""Hard tables. Each is a function that returns one; `ACCEPTED` go all the way through, `REFUSED` are refused.

Accepted: `infer` gives a schema that the table fits, and a generator can learn it. Refused: `infer` says why not.
Every accepted table has a few hundred rows, and the same ones at every call.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal

import numpy as np
import pyarrow as pa

N_ROWS = 300
ROWS = np.arange(N_ROWS)


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


def _some_missing(values: list[object]) -> list[object]:
    return [None if i % 7 == 3 else value for i, value in enumerate(values)]


def one_column() -> pa.Table:
    return pa.table({"x": _rng().normal(size=N_ROWS)})


def every_kind() -> pa.Table:
    rng = _rng()
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    minutes = rng.integers(0, 500_000, N_ROWS).tolist()
    return pa.table(
        {
            "customer_id": [f"C-{i:05d}" for i in ROWS],
            "weight": np.round(rng.normal(70, 12, N_ROWS), 1),
            "visits": rng.poisson(3, N_ROWS),
            "city": rng.choice(["Rome", "Oslo", "Lima"], N_ROWS),
            "smoker": rng.random(N_ROWS) < 0.3,
            "seen": pa.array([start + dt.timedelta(minutes=m) for m in minutes], pa.timestamp("us", "UTC")),
            "born": pa.array([dt.date(1950, 1, 1) + dt.timedelta(days=m // 50) for m in minutes]),
            "stay": pa.array([dt.timedelta(hours=m % 90) for m in minutes], pa.duration("s")),
            "note": [f"row {i} was seen by the nurse on duty" for i in ROWS],
            "site": ["north"] * N_ROWS,
        }
    )


def every_kind_with_missing_cells() -> pa.Table:
    table = every_kind().drop_columns(["customer_id", "site"])
    return pa.table(
        {name: pa.array(_some_missing(table[name].to_pylist()), table[name].type) for name in table.column_names}
    )


def constant_column() -> pa.Table:
    return pa.table({"x": ROWS % 9, "same": [3.5] * N_ROWS, "day": [dt.date(2024, 2, 29)] * N_ROWS})


def all_null_column() -> pa.Table:
    return pa.table({"x": ROWS % 9, "untyped": pa.nulls(N_ROWS), "typed": pa.nulls(N_ROWS, pa.timestamp("us", "UTC"))})


def mostly_missing() -> pa.Table:
    return pa.table({"x": ROWS % 9, "rarely": pa.array([1.5 if i % 100 == 0 else None for i in ROWS], pa.float64())})


def ten_thousand_levels() -> pa.Table:
    codes = _rng().permutation(np.repeat(np.arange(10_000), 2))
    return pa.table({"level": [f"level-{code}" for code in codes], "x": codes % 7})


def one_rare_level() -> pa.Table:
    return pa.table({"diagnosis": ["common"] * (N_ROWS - 1) + ["unique disease of one person"], "x": ROWS % 5})


def int64_extremes() -> pa.Table:
    whole = np.where(ROWS % 3 == 0, 2**63 - 1, np.where(ROWS % 3 == 1, -(2**63), ROWS % 50))
    return pa.table({"x": pa.array(whole.tolist(), pa.int64())})


def whole_numbers_above_2_53() -> pa.Table:
    return pa.table({"x": pa.array((2**53 + 2 * (ROWS % 40) + 1).tolist(), pa.int64()), "y": ROWS % 3})


def narrow_types() -> pa.Table:
    rng = _rng()
    return pa.table(
        {
            "int8": pa.array(rng.integers(-128, 128, N_ROWS), pa.int8()),
            "uint8": pa.array(rng.integers(0, 256, N_ROWS), pa.uint8()),
            "int16": pa.array(rng.integers(-(2**15), 2**15, N_ROWS), pa.int16()),
            "uint64": pa.array(rng.integers(0, 1000, N_ROWS), pa.uint64()),
            "half": pa.array(rng.normal(size=N_ROWS).astype(np.float16), pa.float16()),
            "single": pa.array(np.round(rng.normal(size=N_ROWS), 2), pa.float32()),
            "large_string": pa.array(rng.choice(["a", "b"], N_ROWS), pa.large_string()),
            "milliseconds": pa.array(rng.integers(0, 10**12, N_ROWS), pa.timestamp("ms")),
            "date64": pa.array(rng.integers(0, 20_000, N_ROWS) * 86_400_000, pa.date64()),
        }
    )


def huge_floats() -> pa.Table:
    return pa.table({"x": np.where(ROWS % 2 == 0, 1e300, -1e300) * _rng().random(N_ROWS), "tiny": 5e-324 * (ROWS % 9)})


def nan_and_infinity() -> pa.Table:
    numbers = _rng().normal(size=N_ROWS)
    numbers[::5], numbers[1::5], numbers[2::5] = np.nan, np.inf, -np.inf
    return pa.table({"x": pa.array([None if i % 10 == 9 else x for i, x in enumerate(numbers.tolist())], pa.float64())})


def decimals() -> pa.Table:
    cents = _rng().integers(-10_000, 10_000, N_ROWS).tolist()
    amounts = [Decimal(cent).scaleb(-2) for cent in cents]
    widest = [Decimal(cent * 10**13 + 7).scaleb(-9) for cent in cents]
    return pa.table(
        {"amount": pa.array(amounts, pa.decimal128(10, 2)), "widest": pa.array(widest, pa.decimal128(18, 9))}
    )


def time_zones() -> pa.Table:
    hours = pa.array((ROWS * 3_600_000_000).tolist())
    zones = {
        "utc": "UTC",
        "berlin": "Europe/Berlin",
        "offset": "+05:30",
        "naive": None,
    }  # over the change of the clocks
    return pa.table(
        {name: hours.cast(pa.timestamp("us")).cast(pa.timestamp("us", zone)) for name, zone in zones.items()}
    )


def far_dates() -> pa.Table:
    days = [dt.date(1, 1, 1), dt.date(1582, 10, 15), dt.date(1970, 1, 1), dt.date(9999, 12, 31)]
    return pa.table({"day": [days[i % 4] for i in ROWS], "x": ROWS % 3})


def dictionaries() -> pa.Table:
    codes = pa.array([None if i % 9 == 0 else i % 3 for i in ROWS], pa.int16())
    return pa.table(
        {
            "city": pa.DictionaryArray.from_arrays(codes, pa.array(["Rome", "Oslo", "Lima"])),
            "with_unused_level": pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b", "c", "never"])),
        }
    )


def hostile_text() -> pa.Table:
    words = [
        "🙂",
        "<script>alert(1)</script>",
        "=CMD()",
        "+1",
        "-1",
        "@x",
        "a,b",
        'q"q',
        "two\nlines",
        "\ttab",
        "",
        " ",
        "é",
        "e\u0301",
    ]
    return pa.table(
        {
            "<script>alert(1)</script>": [words[i % len(words)] for i in ROWS],
            "=CMD()": ROWS % 4,
            "🙂": ROWS % 2 == 0,
            'a "quoted", name': pa.array(_some_missing([words[i % 3] for i in ROWS])),
        }
    )


def names_that_look_alike() -> pa.Table:
    names = ["a", "A", "a ", " a", "é", "e\u0301", "a.1"]
    return pa.table([pa.array((ROWS + i) % 5) for i in range(len(names))], names=names)


def words_that_look_missing() -> pa.Table:
    words = ["NA", "None", "null", "nan", "", "0", "00123", None]
    return pa.table({"code": pa.array([words[i % len(words)] for i in ROWS]), "x": ROWS % 3})


def keys_of_every_sort() -> pa.Table:
    return pa.table(
        {
            "order_id": pa.array((10**15 + 7 * ROWS).tolist()),
            "uuid": [f"{i * 2654435761 % 2**32:08x}-0000-4000-8000-{i:012x}" for i in ROWS],
            "syn_key": [f"syn-{i}" for i in ROWS],  # looks like one that would be issued
            "x": ROWS % 3,
        }
    )


def one_row() -> pa.Table:
    return pa.table({"x": [1.5], "name": ["Ada"]})


def no_rows() -> pa.Table:
    return pa.table({"x": pa.array([], pa.float64())})


def no_columns() -> pa.Table:
    return pa.table({})


def nested() -> pa.Table:
    return pa.table({"x": ROWS, "list": [[1, 2]] * N_ROWS, "struct": [{"a": 1}] * N_ROWS})


def binary() -> pa.Table:
    return pa.table({"photo": [b"\x00\xff"] * N_ROWS})


def time_of_day() -> pa.Table:
    return pa.table({"opens": [dt.time(9, 30)] * N_ROWS})


def uint64_above_int64() -> pa.Table:
    return pa.table({"hash": pa.array([2**63 + i for i in range(N_ROWS)], pa.uint64())})


def wide_decimal() -> pa.Table:
    return pa.table({"amount": pa.array([Decimal(i) for i in range(N_ROWS)], pa.decimal128(38, 2))})


def repeated_names() -> pa.Table:
    return pa.table([pa.array(ROWS), pa.array(ROWS)], names=["x", "x"])


ACCEPTED: tuple[Callable[[], pa.Table], ...] = (
    one_column,
    every_kind,
    every_kind_with_missing_cells,
    constant_column,
    all_null_column,
    mostly_missing,
    ten_thousand_levels,
    one_rare_level,
    int64_extremes,
    whole_numbers_above_2_53,
    narrow_types,
    huge_floats,
    nan_and_infinity,
    decimals,
    time_zones,
    far_dates,
    dictionaries,
    hostile_text,
    names_that_look_alike,
    words_that_look_missing,
    keys_of_every_sort,
)

REFUSED: tuple[Callable[[], pa.Table], ...] = (
    one_row,
    no_rows,
    no_columns,
    nested,
    binary,
    time_of_day,
    uint64_above_int64,
    wide_decimal,
    repeated_names,
)
