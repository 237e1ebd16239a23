"""Telling somebody that a run published nothing though it should have: one JSON object, posted to a declared address.

The address may hold a token. It is resolved when it is used, and stands in no message, record or exception.
"""

from __future__ import annotations

import datetime
from http.client import HTTPMessage
from importlib.metadata import version
from typing import IO, Literal
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from pipeline.config import Config
from pipeline.credentials import resolve
from pipeline.errors import ConfigError, DriftError, RefusedError, TabmintError

from .interruption import is_interrupt
from .progress import Display
from .results import RunRefusedError
from .secrets import prefect_secret
from .settings import RunConfig

AlertEvent = Literal["refused", "drift", "failed"]


class Alert(Config):
    """What is posted. It names no host, and holds no value of the source.

    Attributes:
        tabmint: the version that ran.
        name: of the output.
        date: the partition that the run belongs to.
        run_id: empty for a run that ended before it had one.
        event: "refused": a gate failed; "drift": the source changed in a way that the rules refuse; "failed": any other
            error.
        message: what happened; of an error that is not tabmint's own, its type alone.
        reasons: a sentence for each gate that failed.
        report: the quarantined report, where there is one.
    """

    tabmint: str
    name: str
    date: datetime.date
    run_id: str
    event: AlertEvent
    message: str
    reasons: tuple[str, ...] = ()
    report: str | None = None


def alert_of(config: RunConfig, date: datetime.date, error: BaseException) -> Alert | None:
    """Return what is to be told of an error that ends a run, None where a person or the system ended it.

    Example:
        >>> config = RunConfig(name="people", source={"path": "people.parquet"})
        >>> monday = datetime.date(2026, 11, 23)
        >>> alert_of(config, monday, DriftError('column "fee" is new')).event
        'drift'
        >>> alert_of(config, monday, KeyError("Ada Lovelace")).message
        'KeyError'
    """
    if not isinstance(error, Exception) or is_interrupt(error):
        return None
    refused = error if isinstance(error, RunRefusedError) else None
    return Alert(
        tabmint=version("tabmint"),
        name=config.name,
        date=date,
        run_id="" if refused is None else refused.run_id,
        event=_event(error),
        message=named(error),
        reasons=() if refused is None else tuple(refused.failures),
        report=None if refused is None else str(refused.folder / "report.html"),
    )


def named(error: BaseException) -> str:
    """Return what may be told and recorded of an error: our own messages tell no value and no credential, others may.

    Example:
        >>> named(ConfigError("a job needs a name")), named(ValueError("Ada Lovelace"))
        ('ConfigError: a job needs a name', 'ValueError')
    """
    return f"{type(error).__name__}: {error}" if isinstance(error, TabmintError) else type(error).__name__


def alert(config: RunConfig, display: Display, *, date: datetime.date, error: BaseException) -> str | None:
    """Tell whom the config names of the error that ends a run; never raises, for the run ends as it ended.

    Returns:
        What kept the alert from being delivered, without the address; None where it was, or nobody is to be told.
    """
    told = None if config.alert.webhook is None else alert_of(config, date, error)
    if told is None:
        return None
    with display.step("alert") as move:
        trouble = _delivered(config, told)
        move(1.0, trouble or f"told of: {told.event}")
    return trouble


def _delivered(config: RunConfig, told: Alert) -> str | None:
    try:
        _post(resolve(config.alert.webhook or "", prefect_secret), told, config.alert.timeout_s)
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not hide the error that is being told
        return f"the alert was not delivered: {_cause(error)}"
    return None


def _post(address: str, told: Alert, timeout_s: float) -> None:
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError("alert.webhook must be an http or https address", actual="another")
    headers = {"Content-Type": "application/json", "User-Agent": "tabmint"}
    request = Request(address, told.model_dump_json().encode(), headers, method="POST")  # noqa: S310 - checked above
    with build_opener(_NoRedirects).open(request, timeout=timeout_s):
        pass  # any answer below 300 will do


class _NoRedirects(HTTPRedirectHandler):
    """Takes a redirect for an error: what is told goes to the declared address or nowhere."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nothing."""


def _event(error: Exception) -> AlertEvent:
    match error:
        case RefusedError():
            return "refused"
        case DriftError():
            return "drift"
        case _:
            return "failed"


def _cause(error: Exception) -> str:
    """Return why, in words that cannot hold the address."""
    if isinstance(error, HTTPError):
        return f"the answer was {error.code}"
    if isinstance(error, URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    return named(error)
