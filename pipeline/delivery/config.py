"""Where a release is delivered to, as a config declares it."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import ConfigDict, Field, field_validator

from pipeline.config import Config
from pipeline.credentials import (
    UNRECORDED,
    names_a_block,
    recorded_uri,
    refuse_literal_options,
    refuse_literal_password,
)
from pipeline.errors import ConfigError
from pipeline.remote import is_url, refuse_unusable_url

_TABLE = re.compile(r"(?:[A-Za-z_][A-Za-z0-9_$]{0,62}\.)?[A-Za-z_][A-Za-z0-9_$]{0,62}")


class DatabaseSink(Config):
    """A table of a PostgreSQL database.

    Attributes:
        uri: "postgresql://ada:${PASSWORD}@host/name", or `${DATABASE_URL}`; a password is always a placeholder.
        table: the table, or schema.table, written as the database has it: upper case is kept.
        mode: "replace": the table holds the rows of this release; "partition": a column `run_date` is added, and only
            the rows of this release's date are replaced.

    Example:
        >>> DatabaseSink(kind="postgresql", uri="${DATABASE_URL}", table="analytics.visits").mode
        'replace'
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["postgresql"]
    uri: str = Field(repr=False)
    table: str
    mode: Literal["replace", "partition"] = "replace"

    @field_validator("uri")
    @classmethod
    def _check_uri(cls, uri: str) -> str:
        return refuse_literal_password(uri)

    @field_validator("table")
    @classmethod
    def _check_table(cls, table: str) -> str:
        if not _TABLE.fullmatch(table):
            rule = "a table is named by letters, digits and _, at most 63, with its schema and a dot before it or not"
            raise ConfigError(rule, actual=ascii(table[:130]), remedy='such as "analytics.visits"')
        return table

    def recorded(self) -> dict[str, Any]:
        """Return what may be recorded: of the uri nothing but its scheme.

        Example:
            >>> DatabaseSink(kind="postgresql", uri="postgresql://ada@host/db", table="visits").recorded()["uri"]
            'postgresql:(not recorded)'
        """
        return {**self.model_dump(mode="json"), "uri": recorded_uri(self.uri)}


class FolderSink(Config):
    """A folder, here or at an fsspec URL: each release lies in `<url>/<name>/<run id>/`, and `current.json` names one.

    Attributes:
        url: "s3://bucket/synthetic", "gs://bucket/synthetic" or the path of a local folder.
        options: what the file system of a URL is opened with; credentials among them are placeholders.

    Example:
        >>> FolderSink(kind="folder", url="s3://bucket/synthetic", options={"secret": "${S3_SECRET}"})
        FolderSink(kind='folder', url='s3://bucket/synthetic')
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    kind: Literal["folder"]
    url: str
    options: dict[str, str] = Field(default_factory=dict, repr=False)

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if names_a_block(url):
            raise ConfigError("a folder's URL holds no secret", actual="a secret block", remedy="put it into options")
        return refuse_unusable_url(url) if is_url(url) else url

    @field_validator("options")
    @classmethod
    def _check_options(cls, options: dict[str, str]) -> dict[str, str]:
        return dict(refuse_literal_options(options))

    def recorded(self) -> dict[str, Any]:
        """Return what may be recorded: of the URL its last part, of the options their names.

        Example:
            >>> FolderSink(kind="folder", url="s3://bucket/synthetic").recorded()["url"]
            'synthetic'
        """
        last = self.url.rstrip("/").rpartition("/")[2]
        return {"kind": self.kind, "url": last, "options": dict.fromkeys(self.options, UNRECORDED)}
