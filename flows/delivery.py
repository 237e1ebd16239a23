"""Handing a published release to the declared sinks, each once."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from pipeline.delivery import DatabaseSink, SinkConfig, deliver
from pipeline.ledger import Entry, now
from pipeline.manifest import verify_release
from pipeline.publish import TABLE, current

from .decision import digest
from .job import Job
from .secrets import prefect_secret


def deliver_release(job: Job, run_id: str, folder: Path) -> str:
    """Deliver a release to every sink that has not got it yet, and return what was done, for people.

    A release that is not current goes only where each date has its own place.

    Raises:
        DeliveryError: a sink did not take it.
    """
    leads = current(job.config.output.root, job.config.name) == folder.resolve()
    got = {e.note for e in _since_rollback(job) if e.event == "delivered" and e.run_id == run_id}
    owed = [sink for sink in job.config.sinks if _note(sink) not in got and (leads or _has_dates(sink))]
    for sink in owed:
        deliver(sink, folder, pq.read_table(folder / TABLE), verify_release(folder), prefect_secret, leads=leads)
        job.output.ledger.append(Entry(event="delivered", run_id=run_id, at=now(), note=_note(sink)))
    return f"{len(owed)} of {len(job.config.sinks)} sinks were owed this release"


def _since_rollback(job: Job) -> tuple[Entry, ...]:
    """Return the ledger's entries since the last rollback, after which sinks are owed the release that stands."""
    entries = job.output.ledger.entries()
    places = [place for place, entry in enumerate(entries) if entry.event == "rolled_back"]
    return entries[places[-1] :] if places else entries


def _has_dates(sink: SinkConfig) -> bool:
    return not isinstance(sink, DatabaseSink) or sink.mode == "partition"


def _note(sink: SinkConfig) -> str:
    """Return a sink's line in the ledger: its kind and a hash, for its address may hold a password."""
    return f"{sink.kind} {digest(sink.model_dump(mode='json'))[:12]}"
