from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.checks import check_table
from pipeline.codecs.axis import ticks_per_step
from pipeline.codecs.parts import parts_of, put_together, take_apart
from pipeline.columns import Categorical, Date, Timestamp
from pipeline.encoded import Encoded
from pipeline.errors import DataError, SchemaError
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.transform import TableTransform

INT64 = st.integers(-(2**63) + 1, 2**63 - 1)
THIS_CENTURY_S = st.integers(0, 4_000_000_000)
FAR_FUTURE_S = st.integers(4_000_000_000, 2**62 // 10**6)
FLIGHTS = Path(__file__).parents[2] / "examples" / "flights.parquet"


def timestamp(arrow: str, resolution: Any = "ns", *, nullable: bool = True) -> Timestamp:
    return Timestamp(name="seen", arrow=arrow, resolution=resolution, nullable=nullable)


def oslo(*local: int, fold: int = 0) -> dt.datetime:
    return dt.datetime(*local, fold=fold, tzinfo=ZoneInfo("Europe/Oslo"))  # type: ignore[misc, arg-type]


STEADY = [
    timestamp("timestamp[ns]"),
    timestamp("timestamp[us]", "min"),
    timestamp("timestamp[s]", "h"),
    timestamp("timestamp[ms]", "day"),
]


@pytest.mark.parametrize("column", STEADY, ids=lambda column: column.arrow)
def test_without_a_zone_every_point_in_time_comes_back(column: Timestamp) -> None:
    @given(st.lists(st.none() | INT64, max_size=20))
    @settings(max_examples=60, deadline=None)
    def check(ticks: list[int | None]) -> None:
        step = ticks_per_step(column)
        steps = [None if tick is None else int(math.copysign(1, tick)) * (abs(tick) // step) * step for tick in ticks]
        array = pa.array(steps, pa.int64()).cast(column.arrow_type)
        assert put_together(column, take_apart(column, array)).equals(array)

    check()


ZONES = ["UTC", "+05:30", "Europe/Oslo", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("unit", "resolution"), [("us", "h"), ("ms", "min"), ("s", "s")])
def test_only_the_second_pass_through_a_repeated_hour_is_lost(zone: str, unit: str, resolution: str) -> None:
    column = timestamp(f"timestamp[{unit}, tz={zone}]", resolution)
    per_s = {"s": 1, "ms": 10**3, "us": 10**6}[unit]
    whole_s = {"h": 3600, "min": 60, "s": 1}[resolution]

    @given(st.lists(THIS_CENTURY_S | FAR_FUTURE_S, min_size=1, max_size=30))
    @settings(max_examples=40, deadline=None)
    def check(seconds: list[int]) -> None:
        ticks = np.array(seconds) // whole_s * whole_s * per_s
        array = pa.array(ticks).cast(column.arrow_type)
        back = put_together(column, take_apart(column, array))
        assert [part.to_pylist() for part in take_apart(column, back)] == [
            part.to_pylist() for part in take_apart(column, array)
        ]
        lost_s = (ticks - back.cast(pa.int64()).to_numpy()) // per_s
        assert set(lost_s.tolist()) <= {0, 1800, 3600}

    check()


@pytest.mark.parametrize("zone", ["Europe/Oslo", "-11:00", "Pacific/Kiritimati"])
@pytest.mark.parametrize("unit", ["s", "ns"])
@given(days=st.lists(INT64, min_size=1, max_size=20), time=st.integers(0, 86_399))
@settings(max_examples=40, deadline=None)
def test_any_date_and_time_of_day_stay_inside_the_type_and_on_its_grid(
    zone: str, unit: str, days: list[int], time: int
) -> None:
    column = timestamp(f"timestamp[{unit}, tz={zone}]", "s")
    day_ticks = 86_400 * ticks_per_step(column)
    reach = 2**63 - 1 if unit == "ns" else 2**39  # time zones are only defined within some 32,000 years
    within = pa.array([int(math.fmod(day, reach)) // day_ticks for day in days])
    back = put_together(column, (within, pa.array([time] * len(days))))
    ticks = back.cast(pa.int64()).to_numpy()
    assert (ticks % ticks_per_step(column) == 0).all()
    assert (np.abs(ticks // day_ticks - within.to_numpy()) <= 1).all()  # nothing wraps around


def test_the_parts_are_the_local_calendar_and_clock() -> None:
    column = timestamp("timestamp[us, tz=Europe/Oslo]", "min")
    array = pa.array([oslo(2024, 7, 1, 0, 30), None], column.arrow_type)
    day, minute = take_apart(column, array)
    assert day.cast(pa.int32()).cast(pa.date32()).to_pylist() == [dt.date(2024, 7, 1), None]
    assert minute.to_pylist() == [30, None]


def test_a_skipped_local_time_is_the_end_of_the_gap_and_a_repeated_one_the_earlier() -> None:
    column = timestamp("timestamp[s, tz=Europe/Oslo]", "s")
    spring, autumn = ((dt.date(2024, month, day) - dt.date(1970, 1, 1)).days for month, day in ((3, 31), (10, 27)))
    half_past_two = 9000
    back = put_together(column, (pa.array([spring, autumn]), pa.array([half_past_two] * 2)))
    wanted = pa.array([oslo(2024, 3, 31, 3, 0), oslo(2024, 10, 27, 2, 30, fold=0)], column.arrow_type)
    assert back.equals(wanted)


def test_parts_are_never_named_like_a_column_of_the_table() -> None:
    text = [Categorical(name=f"seen (date){mark}", arrow="string") for mark in ("", "'")]
    other = Timestamp(name="seen (date)''", arrow="timestamp[s]")
    parts = parts_of(Schema(columns=(*text, timestamp("timestamp[s]", "s"), other)))
    names = [part.name for of_column in parts.values() for part in of_column]
    assert len(set(names)) == len(names) == 6
    assert not {part.name for part in parts["seen"]} & set(parts)


def test_days_and_dates_are_one_part() -> None:
    for column in (timestamp("timestamp[us]", "day"), Date(name="seen", arrow="date32[day]")):
        assert parts_of(Schema(columns=(column,))) == {"seen": (column,)}


def test_an_unknown_time_zone_is_refused() -> None:
    column = timestamp("timestamp[s, tz=Mars/Olympus]", "s")
    with pytest.raises(SchemaError, match=r'"seen" needs a known time zone; found "Mars/Olympus"'):
        take_apart(column, pa.array([0], column.arrow_type))


def visits(n_rows: int = 600) -> pa.Table:
    """Return visits between 9 and 17 h over a year; one in five is missing."""
    rng = np.random.default_rng(0)
    start = oslo(2024, 1, 1)
    days, minutes = rng.integers(0, 366, n_rows), rng.integers(9 * 60, 17 * 60, n_rows)
    seen = [
        None if i % 5 == 0 else start + dt.timedelta(days=int(day), minutes=int(minute))
        for i, (day, minute) in enumerate(zip(days, minutes, strict=True))
    ]
    return pa.table({"seen": pa.array(seen, pa.timestamp("us", "Europe/Oslo"))})


@pytest.fixture(scope="module")
def transform() -> TableTransform:
    return TableTransform.fit(visits(), infer(visits()))


def shuffled(encoded: Encoded) -> Encoded:
    """Return the rows with every token column shuffled on its own, as if nothing hung together."""
    rng = np.random.default_rng(1)
    orders = [rng.permutation(len(encoded)) for _ in range(encoded.layout.n_columns)]
    tokens = np.column_stack([encoded.tokens[order, i] for i, order in enumerate(orders)])
    values = [encoded.values[orders[i], place] for place, i in enumerate(encoded.layout.valued)]
    return Encoded(encoded.layout, tokens, np.column_stack(values))


def test_drawn_rows_keep_the_hours_of_the_day(transform: TableTransform) -> None:
    drawn = transform.decode(shuffled(transform.encode(visits())), seed=0)
    check_table(drawn, transform.schema)
    hours = np.bincount(pc.hour(drawn["seen"].drop_null()).to_numpy(), minlength=24)
    assert hours[9:17].min() > 30
    assert hours[9:17].sum() == hours.sum()


def test_the_date_decides_whether_a_drawn_point_in_time_is_missing(transform: TableTransform) -> None:
    encoded = shuffled(transform.encode(visits()))
    missing = encoded.tokens == 0
    assert (missing[:, 1] & ~missing[:, 0]).sum() > 50
    drawn = transform.decode(encoded, seed=0)["seen"]
    assert drawn.is_null().to_numpy().tolist() == missing[:, 0].tolist()
    alone = drawn.filter(pa.array(missing[:, 1] & ~missing[:, 0]))
    assert len(pc.unique(pc.hour(alone))) > 4  # drawn anew from all times, not one in place of all


def test_a_condition_on_a_point_in_time_fixes_both_parts(transform: TableTransform) -> None:
    seen = next(cell for cell in visits()["seen"].to_pylist() if cell is not None and cell.month == 5)
    known = transform.encode_value("seen", seen)
    assert list(known) == [0, 1]
    tokens = np.array([[token for token, _ in known.values()]], np.int32)
    values = np.array([[known[i][1] for i in transform.layout.valued]])
    assert transform.decode(Encoded(transform.layout, tokens, values), seed=0)["seen"].to_pylist() == [seen]
    assert {token for token, _ in transform.encode_value("seen", None).values()} == {0}


def test_a_condition_that_the_clock_repeats_is_refused() -> None:
    hours = [oslo(2024, 10, 27, hour) for hour in (2, 3)] * 5
    night = pa.table({"seen": pa.array(hours, pa.timestamp("s", "Europe/Oslo"))})
    transform = TableTransform.fit(night, infer(night))
    assert len(transform.encode_value("seen", oslo(2024, 10, 27, 2, fold=0))) == 2
    with pytest.raises(DataError, match='"seen" must be a value that can be drawn'):
        transform.encode_value("seen", oslo(2024, 10, 27, 2, fold=1))


def test_no_flight_leaves_at_night() -> None:
    flights = pq.read_table(FLIGHTS, columns=["time_hour", "distance"])
    transform = TableTransform.fit(flights, infer(flights))
    encoded = transform.encode(flights)
    assert transform.decode(encoded, seed=0)["time_hour"].equals(flights["time_hour"])
    tables = flights, transform.decode(shuffled(encoded), seed=0)
    wanted, found = (np.bincount(pc.hour(table["time_hour"]).to_numpy(), minlength=24) for table in tables)
    assert wanted[:5].sum() == found[:5].sum() == 0
    assert np.abs(found - wanted).sum() < 0.01 * len(flights)
