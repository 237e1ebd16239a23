"""The whole way of one hostile table, with the source beside it at every turn."""

from __future__ import annotations

import csv
import io
import math
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from generators import TabularGenerator
from generators.registry import generator_config
from pipeline.checks import check_table
from pipeline.errors import InputError
from pipeline.inference import infer
from pipeline.preflight import preflight
from pipeline.profile import profile_of
from pipeline.schema import Boolean, Categorical, Constant, Identifier, Schema, Text
from pipeline.sink import write_csv, write_parquet
from pipeline.source import Loaded, SourceConfig, load, read
from pipeline.split import split_table
from pipeline.transform import TableTransform
from tests.faults.hostile_tables import Hostile

NUMBERS = ("integer", "float", "decimal")


class ChangedError(AssertionError):
    """A value is not what it was in the source."""


def walk(hostile: Hostile, folder: Path) -> str:
    """Return "accepted", or the class of the error that refused the table; whatever else happens is a defect."""
    try:
        _walk(hostile, folder)
    except InputError as error:
        if not error.rule or len(str(error)) > 100_000:
            raise AssertionError(f"a message without a rule, or without an end: {str(error)[:200]}") from error
        return type(error).__name__
    return "accepted"


def _walk(hostile: Hostile, folder: Path) -> None:
    loaded = _loaded(hostile, folder)
    table = loaded.typed()
    if hostile.table is None:
        same_as_text(hostile, loaded.table, table)
    else:
        same(hostile.table, table)
    schema = infer(table)
    schema.validate_table(table)
    same(table, loaded.under(schema))
    assert Schema.model_validate_json(schema.model_dump_json()) == schema
    written_and_read(table, schema, folder)
    preflight(table, schema, target=None, folder=folder, budget_s=1)
    profile_of(table, schema)
    train = split_table(table, seed=0).train
    transform = TableTransform.fit(train, schema)
    on_support(train, transform.decode(transform.encode(train), seed=0), schema)
    generator = TabularGenerator(generator_config("independent")).fit(train, schema, seed=0)
    on_support(train, generator.sample(30, seed=1), schema)


def _loaded(hostile: Hostile, folder: Path) -> Loaded:
    if not hostile.suffix:
        return load(hostile.table)
    path = folder / f"table{hostile.suffix}"
    path.write_bytes(hostile.content)
    declared = {"encoding": hostile.encoding, "delimiter": hostile.delimiter}
    return load(SourceConfig(path=str(path), isolated=False, **declared))


def same(expected: pa.Table, found: pa.Table) -> None:
    """Refuse a table with another value, name or order; a dictionary without its unused levels is the same."""
    if expected.column_names != found.column_names:
        raise ChangedError(f"columns {expected.column_names} became {found.column_names}")
    for name in expected.column_names:
        before, after = _bits(expected[name]), _bits(found[name])
        if before != after:
            place = next((i for i, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), -1)
            raise ChangedError(
                f"{expected[name].type} row {place} of {name[:40]!r}: {before[place]!r} became {after[place]!r}"
            )


def _bits(values: pa.ChunkedArray) -> list[Any]:
    """Return the cells so that equal ones are equal values: NaN is itself, -0.0 is not 0.0, and times are integers."""
    if pa.types.is_dictionary(values.type):
        return list(values.cast(values.type.value_type).to_pylist())
    if pa.types.is_floating(values.type):
        return [None if cell is None else repr(float(cell)) for cell in values.to_pylist()]
    if pa.types.is_timestamp(values.type) or pa.types.is_date64(values.type) or pa.types.is_duration(values.type):
        per = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}[getattr(values.type, "unit", "ms")]
        zone = getattr(values.type, "tz", None)
        return [zone, *(None if cell is None else cell * per for cell in values.cast(pa.int64()).to_pylist())]
    if pa.types.is_date32(values.type):
        return [
            None,
            *(None if cell is None else cell * 86_400 * 10**9 for cell in values.cast(pa.int32()).to_pylist()),
        ]
    return list(values.to_pylist())


def same_as_text(hostile: Hostile, cells: pa.Table, typed: pa.Table) -> None:
    """Refuse a table whose cells are not those that Python's own reader finds in the file."""
    problems = [_difference(records, cells, typed) for records in _readings(hostile)]
    if all(problems):
        raise ChangedError("; or ".join(problems))


def _difference(records: list[list[str]], cells: pa.Table, typed: pa.Table) -> str:
    header, *body = [row for row in records if row] if cells.num_columns > 1 else [row or [""] for row in records]
    if cells.column_names != header:
        return f"the header {header} became {cells.column_names}"
    if len(body) != cells.num_rows:
        return f"{len(body)} rows became {cells.num_rows}"
    for place, name in enumerate(header):
        for row, cell, value in zip(body, cells[name].to_pylist(), _exactly(typed[name]), strict=True):
            if (cell or "") != row[place] or not _means(value, row[place]):
                return f"{name!r}: {row[place]!r} became {cell!r}, {value!r}"
    return ""


def _readings(hostile: Hostile) -> list[list[list[str]]]:
    """Return what Python's own reader finds with the declared delimiter, or with each that may be detected."""
    bom = next((codec for mark, codec in _BOMS if hostile.content.startswith(mark)), hostile.encoding)
    text = hostile.content.decode(bom)
    candidates = [hostile.delimiter] if hostile.delimiter else [",", ";", "\t", "|"]
    readings = []
    for delimiter in candidates:
        with suppress(csv.Error):  # it finds no table with this one
            readings.append(list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)))
    return readings


_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def _exactly(values: pa.ChunkedArray) -> list[Any]:
    if pa.types.is_timestamp(values.type):
        per = {"us": 10**3, "ns": 1}[values.type.unit]
        return [None if cell is None else ("ns", cell * per) for cell in values.cast(pa.int64()).to_pylist()]
    return list(values.to_pylist())


def _means(value: Any, text: str) -> bool:
    """Say whether a typed value is what the text says."""
    match value:
        case None:
            return text == ""
        case bool():
            return text.lower() == str(value).lower()
        case int():
            return int(text) == value
        case float():
            wanted = float(text)
            exact = not math.isfinite(value) or "." in text or "e" in text.lower() or Decimal(text) == Decimal(value)
            return repr(wanted) == repr(value) and exact and math.isinf(wanted) == ("inf" in text.lower())
        case ("ns", ticks):
            return bool(_nanoseconds(text) == ticks)
        case _:
            return str(value) == text


def _nanoseconds(text: str) -> int:
    """Return what a time says, in nanoseconds since 1970, read by numpy and by hand."""
    moment, _, offset = text.strip().replace("Z", "+00:00").partition("+")
    sign = 1
    if not offset and moment.rfind("-") > 10:
        moment, _, offset = moment.rpartition("-")
        sign = -1
    minutes = int(offset[:2]) * 60 + int(offset[-2:]) if offset else 0
    whole, _, fraction = moment.replace(" ", "T").partition(".")
    seconds = int(np.datetime64(whole, "s").astype(np.int64)) - sign * minutes * 60
    return seconds * 10**9 + int(fraction.ljust(9, "0") if fraction else 0)


def written_and_read(table: pa.Table, schema: Schema, folder: Path) -> None:
    """Refuse a table that does not come back from the files that a release holds."""
    write_parquet(table, folder / "written.parquet")
    same(table, read(folder / "written.parquet", schema=schema).table)
    write_csv(table, folder / "written.csv")
    same(table, read(SourceConfig(path=str(folder / "written.csv"), delimiter=","), schema=schema).table)


def on_support(train: pa.Table, drawn: pa.Table, schema: Schema) -> None:
    """Refuse a drawn value that its column could not hold."""
    check_table(drawn, schema)
    for column in schema.columns:
        if isinstance(column, Identifier | Text | Constant):
            continue
        before, after = train[column.name], drawn[column.name]
        if after.null_count and not before.null_count:
            raise ChangedError(f"{column.name!r}: a missing cell, and train has none")
        if isinstance(column, Categorical | Boolean):
            new = set(after.drop_null().to_pylist()) - set(before.to_pylist())
            if new:
                raise ChangedError(f"{column.name!r}: {new} is no value of train")
        else:
            _in_range(column.name, before, after)


def _in_range(name: str, before: pa.ChunkedArray, after: pa.ChunkedArray) -> None:
    kind = before.type
    if pa.types.is_floating(kind):
        wide = (values.cast(pa.float64()) for values in (before, after))
        before, after = (values.filter(pc.is_finite(values)) for values in wide)
    if pa.types.is_timestamp(before.type):
        before, after = _days(before), _days(after)
    elif pa.types.is_temporal(before.type):
        width = pa.int32() if pa.types.is_date32(before.type) else pa.int64()
        before, after = before.cast(width), after.cast(width)
    low, high = pc.min_max(before).values()
    if pa.types.is_timestamp(kind) and kind.tz is not None:  # a local day may end on the next one
        low, high = pc.subtract(low, 1), pc.add(high, 1)
    if pc.any(pc.or_(pc.less(after, low), pc.greater(after, high))).as_py():
        raise ChangedError(f"{name!r}: {pc.min_max(after)} drawn, {low} to {high} in train")


def _days(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return days of UTC: a time of day is drawn from all of a column, whatever the day."""
    per_day = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[values.type.unit] * 86_400
    ticks = values.cast(pa.int64()).to_pylist()
    return pa.chunked_array([pa.array([None if t is None else t // per_day for t in ticks], pa.int64())])
