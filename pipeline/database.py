"""A connection to a database through ADBC, and its errors without what they must not tell."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.credentials import mask, uri_secrets
from pipeline.errors import DeliveryError, SourceError, TabmintError

Failure = type[SourceError] | type[DeliveryError]

# user:password@host:port/name?setting=value; what is not plain must be percent-encoded, so that no part is mistaken for
# another and every secret can be found and left out of the messages.
_HOST = r"(\[[\w:.%]+\]|[\w.%-]*)(:\d*)?"
_POSTGRES = re.compile(
    rf"postgres(ql)?://([\w.~!$&'()*+,;=:%-]*@)?{_HOST}(,{_HOST})*(/[\w.~%-]*)?(\?[\w.~/&=%+,:-]*)?", re.ASCII
)

_DATA_EXCEPTIONS = "22"
"""The class of SQLSTATE whose messages quote a cell: `invalid input syntax for type integer: "Ada"`."""


def is_postgresql(uri: str) -> bool:
    """Return whether `uri` names a PostgreSQL database.

    Example:
        >>> is_postgresql("postgresql://host/db"), is_postgresql("sqlite:file.db")
        (True, False)
    """
    return uri.partition(":")[0].lower() in ("postgresql", "postgres")


def connect(uri: str, failure: Failure) -> Any:
    """Return an ADBC connection to a PostgreSQL or SQLite database; it commits only when told to.

    Raises:
        SourceError, DeliveryError: as `failure` says; the scheme is unknown, the uri malformed, the driver not
            installed or the database not reached. The message tells nothing of `uri`.

    Example:
        >>> with connect("sqlite::memory:", SourceError) as connection:
        ...     connection.adbc_get_info()["vendor_name"]
        'SQLite'
    """
    if is_postgresql(uri):
        driver, target = "adbc_driver_postgresql", _well_formed(uri, failure)
    elif uri.partition(":")[0].lower() == "sqlite":
        driver, target = "adbc_driver_sqlite", _sqlite_file(uri)
    else:
        remedy = 'use "sqlite:///file.db" or "postgresql://..."'
        raise failure("a database uri must begin with sqlite: or postgresql:", actual="another", remedy=remedy)
    try:
        dbapi = importlib.import_module(f"{driver}.dbapi")
    except ImportError as error:
        remedy = 'install it: pip install "tabmint[db]"'
        raise failure(f"this database needs the driver {driver}", actual="none", remedy=remedy) from error
    with database_errors(failure, "the database cannot be reached", uri):
        return dbapi.connect(target)


@contextmanager
def database_errors(failure: Failure, rule: str, uri: str) -> Iterator[None]:
    """Raise whatever a driver raises as `failure`, with nothing of `uri` and no cell in its message.

    Example:
        >>> with database_errors(SourceError, "the query fails", "postgresql://ada:s3cret@host/db"):
        ...     raise RuntimeError("s3cret is wrong")
        Traceback (most recent call last):
        pipeline.errors.SourceError: the query fails; found *** is wrong; check the uri, the credentials, and the \
query or table
    """
    try:
        yield
    except TabmintError:
        raise
    except Exception as error:  # noqa: BLE001 - each driver raises what it likes, and its text may hold the password
        remedy = "check the uri, the credentials, and the query or table"
        raise failure(rule, actual=_told(error, uri), remedy=remedy) from None


def _told(error: Exception, uri: str) -> str:
    """Return the first line of the driver's message; the others may quote rows."""
    text = str(error).strip().partition("\n")[0]
    if (getattr(error, "sqlstate", None) or "").startswith(_DATA_EXCEPTIONS):
        text = re.sub(r'"[^"]*("|$)', '"***"', text)
    return mask(text, uri_secrets(uri))


def _well_formed(uri: str, failure: Failure) -> str:
    if not _POSTGRES.fullmatch(uri):
        remedy = 'write "postgresql://user:password@host:port/name", with % codes for @ : / and spaces within its parts'
        raise failure("the database uri must be well-formed", actual="another form", remedy=remedy)
    return uri


def _sqlite_file(uri: str) -> str:
    """Return the file of "sqlite:file.db", "sqlite:///file.db" (relative) or "sqlite:////folder/file.db"."""
    rest = uri.partition(":")[2]
    return rest.removeprefix("///") if rest.startswith("///") else rest
