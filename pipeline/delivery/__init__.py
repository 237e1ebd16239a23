"""Deliver a published release to where others read it: a table of a PostgreSQL database, or a folder by fsspec URL.

A delivery is whole or absent, and delivering the same release twice leaves the same. One destination a module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from pipeline.credentials import Secret, resolve
from pipeline.delivery.config import DatabaseSink, FolderSink
from pipeline.delivery.database import deliver_to_database
from pipeline.delivery.folder import deliver_to_folder
from pipeline.manifest import Manifest
from pipeline.shareable import refuse_original_rows

__all__ = ["DatabaseSink", "FolderSink", "SinkConfig", "deliver", "deliver_to_database", "deliver_to_folder"]

SinkConfig = Annotated[DatabaseSink | FolderSink, Field(discriminator="kind")]


def deliver(
    sink: SinkConfig,
    folder: Path,
    table: pa.Table,
    manifest: Manifest,
    secret: Secret | None = None,
    *,
    leads: bool = False,
) -> str:
    """Write a published release to `sink`, and return where it is, in words that hold no credential.

    Args:
        sink: where to; its placeholders are resolved now.
        folder: the release's sealed folder.
        table: the release's table.
        manifest: the release's manifest.
        secret: gives what a secret block holds.
        leads: whether the release is the current one, even if one of a later date was delivered before.

    Raises:
        ConfigError: a placeholder cannot be resolved.
        DeliveryError: the sink refuses; what it held stays.
        ArtifactError: the release is damaged.
        RefusedError: a table of it holds original rows.
    """
    refuse_original_rows(folder)
    if isinstance(sink, DatabaseSink):
        date = manifest.record.date if sink.mode == "partition" else None
        deliver_to_database(table, uri=resolve(sink.uri, secret), name=sink.table, date=date)
        return f"PostgreSQL table {sink.table}"
    options = {name: resolve(value, secret) for name, value in sink.options.items()}
    return deliver_to_folder(folder, manifest, url=resolve(sink.url), options=options, leads=leads)
