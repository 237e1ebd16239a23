"""Deliver a table to PostgreSQL in one transaction: readers see what was there before, or all of what is new."""

from __future__ import annotations

import datetime
from typing import Any

import pyarrow as pa

from pipeline.database import connect, database_errors, is_postgresql
from pipeline.delivery.postgres_types import postgres_type, sendable
from pipeline.errors import DeliveryError

DATE_COLUMN = "run_date"
LOCK_TIMEOUT = "5min"
"""How long to wait for another session that holds the table's rows or structure."""

_COLUMNS = """
SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""


def deliver_to_database(table: pa.Table, *, uri: str, name: str, date: datetime.date | None = None) -> None:
    """Make `table` the content of the table `name`, or the content for one date.

    The table is created where it is absent. Where it is there it stays, with its grants, views, indexes and
    constraints: its rows are deleted and the new ones copied in, and both are committed together. Of two deliveries at
    once the second waits. Categories are delivered as text, durations as intervals.

    Args:
        table: the rows.
        uri: the database, with its placeholders resolved.
        name: the table, or schema.table.
        date: replace only the rows whose column `run_date`, which is added, is this date; None: replace all rows.

    Raises:
        DeliveryError: the database refuses, or its table has other columns; what it held stays.

    Example:
        >>> deliver_to_database(pa.table({"n": [1]}), uri="sqlite:people.db", name="people")
        Traceback (most recent call last):
        pipeline.errors.DeliveryError: a table is delivered to PostgreSQL only; found another database; use \
"postgresql://..."
    """
    if not is_postgresql(uri):
        remedy = 'use "postgresql://..."'
        raise DeliveryError("a table is delivered to PostgreSQL only", actual="another database", remedy=remedy)
    rows = sendable(table if date is None else _with_date(table, date))
    columns = {field.name: postgres_type(field.type) for field in rows.schema}
    with (
        connect(uri, DeliveryError) as connection,
        database_errors(DeliveryError, f"{name} cannot be written", uri),
        connection.cursor() as cursor,
    ):
        _prepare(cursor, name, columns)
        _delete(cursor, name, date)
        schema, _, bare = name.rpartition(".")
        cursor.adbc_ingest(bare, rows, mode="append", db_schema_name=schema or None)
        connection.commit()


def _with_date(table: pa.Table, date: datetime.date) -> pa.Table:
    if DATE_COLUMN in table.column_names:
        remedy = 'rename the column, or deliver with mode = "replace"'
        raise DeliveryError(f'the column "{DATE_COLUMN}" is added', actual="one in the table", remedy=remedy)
    return table.append_column(DATE_COLUMN, pa.repeat(pa.scalar(date, pa.date32()), table.num_rows))


def _prepare(cursor: Any, name: str, columns: dict[str, str]) -> None:
    """Wait for deliveries of the same table, and create it or refuse one that has other columns."""
    cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'")
    bare = name.rpartition(".")[2]  # the same table has the same lock, named with its schema or without
    cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))::text", (f"tabmint {bare}",))
    cursor.fetchall()
    cursor.execute(_COLUMNS, (_quoted(name),))
    there = dict(cursor.fetchall())
    if not there:
        declared = ", ".join(f"{_quoted_part(column)} {kind}" for column, kind in columns.items())
        cursor.execute(f"CREATE TABLE {_quoted(name)} ({declared})")
    elif there != columns:
        remedy = "alter or rename that table, or deliver to another"
        rule = f"the table {name} must have the columns of the release"
        raise DeliveryError(rule, actual="; ".join(_differences(there, columns)), remedy=remedy)


def _differences(there: dict[str, str], wanted: dict[str, str]) -> list[str]:
    """Say how the columns of an existing table differ, in the order of the release.

    Example:
        >>> _differences({"age": "bigint", "note": "text"}, {"age": "integer", "name": "text"})
        ['column "age" is bigint and not integer', 'column "name" (text) is missing', 'column "note" is one too many']
    """
    missing = [f'column "{name}" ({wanted[name]}) is missing' for name in wanted if name not in there]
    retyped = [
        f'column "{name}" is {there[name]} and not {wanted[name]}'
        for name in wanted
        if there.get(name, wanted[name]) != wanted[name]
    ]
    return [*retyped, *missing, *(f'column "{name}" is one too many' for name in there if name not in wanted)]


def _delete(cursor: Any, name: str, date: datetime.date | None) -> None:
    """Delete what the new rows replace. TRUNCATE would show an empty table to readers that began before."""
    if date is None:
        cursor.execute(f"DELETE FROM {_quoted(name)}")  # noqa: S608 - a quoted identifier that the config has checked
    else:
        cursor.execute(f"DELETE FROM {_quoted(name)} WHERE {DATE_COLUMN} = $1", (date,))  # noqa: S608 - as above


def _quoted(name: str) -> str:
    return ".".join(_quoted_part(part) for part in name.split("."))


def _quoted_part(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
