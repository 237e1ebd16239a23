"""Read the result of a SQL query through ADBC: SQLite built in, PostgreSQL with the `db` extra."""

from __future__ import annotations

import importlib
import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrow_types import MAX_DECIMAL_DIGITS
from pipeline.errors import SourceError

SQLITE_ROWS_LOOKED_AT = 65_536
"""SQLite types values, not columns: the driver takes a column's type from the rows of its first batch."""

# user:password@host:port/name?setting=value; what is not plain must be percent-encoded, so that no part is mistaken for
# another and every secret can be found and left out of the messages.
_POSTGRES = re.compile(
    r"postgres(ql)?://([\w.~!$&'()*+,;=:%-]*@)?[\w.\[\]:,%-]*(/[\w.~%-]*)?(\?[\w.~/&=%+,:-]*)?", re.ASCII
)


def read_query(uri: str, query: str) -> pa.Table:
    """Return the rows of `query`. No message tells anything of `uri` but its scheme.

    Raises:
        SourceError: the scheme is unknown, the driver is not installed, or the database refuses.

    Example:
        >>> read_query("sqlite::memory:", "SELECT 1 AS n").to_pylist()
        [{'n': 1}]
    """
    scheme = uri.partition(":")[0].lower()
    if scheme == "sqlite":
        driver, target = "adbc_driver_sqlite", _sqlite_file(uri)
    elif scheme in ("postgresql", "postgres"):
        driver, target = "adbc_driver_postgresql", uri
        _refuse_malformed(uri)
    else:
        remedy = 'use "sqlite:///file.db" or "postgresql://..."'
        raise SourceError("a database uri must begin with sqlite: or postgresql:", actual="another", remedy=remedy)
    table = _fetch(_connect(driver, target, uri), query, uri, sqlite=scheme == "sqlite")
    return pa.table({name: _plain_numbers(table[name]) for name in table.column_names}) if table.num_columns else table


def _refuse_malformed(uri: str) -> None:
    if not _POSTGRES.fullmatch(uri):
        remedy = 'write "postgresql://user:password@host:port/name", with % codes for @ : / and spaces within its parts'
        raise SourceError("the database uri must be well-formed", actual="another form", remedy=remedy)


def _sqlite_file(uri: str) -> str:
    """Return the file of "sqlite:file.db", "sqlite:///file.db" (relative) or "sqlite:////folder/file.db"."""
    rest = uri.partition(":")[2]
    return rest.removeprefix("///") if rest.startswith("///") else rest


def _connect(driver: str, target: str, uri: str) -> Any:
    try:
        dbapi = importlib.import_module(f"{driver}.dbapi")
    except ImportError as error:
        remedy = 'install it: pip install "tabmint[db]"'
        raise SourceError(f"this database needs the driver {driver}", actual="none", remedy=remedy) from error
    try:
        return dbapi.connect(target)
    except Exception as error:  # noqa: BLE001 - each driver raises what it likes, and its text may hold the password
        raise _database_error("the database cannot be reached", error, uri) from None


def _fetch(connection: Any, query: str, uri: str, *, sqlite: bool) -> pa.Table:
    try:
        with connection, connection.cursor() as cursor:
            if sqlite:
                cursor.adbc_statement.set_options(**{"adbc.sqlite.query.batch_rows": str(SQLITE_ROWS_LOOKED_AT)})
            cursor.execute(query)
            return cursor.fetch_arrow_table()
    except Exception as error:  # noqa: BLE001 - as above
        raise _database_error("the query fails", error, uri) from None


def _database_error(rule: str, error: Exception, uri: str) -> SourceError:
    text = str(error).strip().partition("\n")[0]
    for secret in sorted(_secrets(uri), key=len, reverse=True):
        text = text.replace(secret, "***")
    return SourceError(rule, actual=text, remedy="check the uri, the credentials and the query")


def _secrets(uri: str) -> set[str]:
    """Return every part of `uri` that a message must not repeat."""
    parts = urlsplit(uri)
    secrets = {uri, parts.netloc.rpartition("@")[0], parts.username or "", parts.password or "", parts.query}
    secrets |= {value for _, value in parse_qsl(parts.query)}
    return {text for secret in secrets for text in (secret, unquote(secret)) if text}


def _plain_numbers(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return PostgreSQL's NUMERIC, which arrives as opaque text, as a decimal, or as float64 where it does not fit."""
    if not isinstance(values.type, pa.OpaqueType) or values.type.type_name != "numeric":
        return values
    text = values.cast(pa.string())
    scale = pc.max(pc.utf8_length(pc.replace_substring_regex(text, r"^[^.]*\.?", ""))).as_py() or 0
    try:
        return text.cast(pa.decimal128(MAX_DECIMAL_DIGITS, min(scale, MAX_DECIMAL_DIGITS)))
    except pa.ArrowException:  # more than 18 digits, or NaN
        return text.cast(pa.float64())
