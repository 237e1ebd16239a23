"""A job: one config, one run id, the output it holds, and the folder it works in."""

from __future__ import annotations

import hashlib
import shutil
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pipeline.artifact import make_folder, write_json
from pipeline.errors import InputError, RefusedError
from pipeline.publish import Output, open_output

from .files import check_writable
from .progress import Display, Silent
from .settings import RunConfig


@dataclass(frozen=True)
class Job:
    """What every step is given beside references to its input.

    Attributes:
        run_id: when the job began (UTC) and eight hexadecimal digits.
        output: held by this job until it ends.
        display: shows the steps' progress.
    """

    config: RunConfig
    run_id: str
    output: Output
    display: Display = field(default_factory=Silent)

    @property
    def folder(self) -> Path:
        """Where the steps keep train, holdout, synthetic and report until the job ends."""
        return self.config.output.root / "work" / self.config.name / self.run_id

    @property
    def created(self) -> str:
        """When the job began, as ISO 8601 text in UTC."""
        return datetime.strptime(self.run_id.split("-")[0], "%Y%m%dT%H%M%S").replace(tzinfo=UTC).isoformat()


@contextmanager
def open_job(config: RunConfig, display: Display) -> Iterator[Job]:
    """Hold the output, yield a job with an empty working folder, and remove that folder at the end.

    After a failure the working folder stays, with `failure.json`, until the next run of the same name; the error's
    notes name it. Refusals and bad input are no failures: the former leave their report in quarantine.

    Raises:
        ConfigError: the output cannot be written.
        PublishError: another run holds the output.
    """
    check_writable(config.output.root)
    with open_output(config.output.root, config.name) as output:
        job = Job(config, new_run_id(config), output, display)
        shutil.rmtree(job.folder.parent, ignore_errors=True)
        make_folder(job.folder.parent)
        job.folder.mkdir(mode=0o700)
        try:
            yield job
        except (RefusedError, InputError):
            shutil.rmtree(job.folder)
            raise
        except BaseException as error:
            _keep(job.folder, error)
            raise
        shutil.rmtree(job.folder)


def new_run_id(config: RunConfig) -> str:
    """Return `YYYYMMDDTHHMMSS-xxxxxxxx`: the time in UTC, and digits that differ between configs and instants."""
    digits = hashlib.sha256(f"{config.model_dump_json()}{time.time_ns()}".encode()).hexdigest()[:8]
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{digits}"


def _keep(folder: Path, error: BaseException) -> None:
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.name} in {Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    write_json(folder / "failure.json", {"error": type(error).__name__, "message": str(error), "where": where})
    error.add_note(f"the working folder is kept until the next run: {folder}")
