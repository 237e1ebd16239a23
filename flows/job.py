"""A job: one config, one date, the output it holds, and the folder it works in."""

from __future__ import annotations

import errno
import shutil
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from pipeline.artifact import make_folder, write_json
from pipeline.errors import InputError, PreflightError, PublishError, RefusedError
from pipeline.ledger import Action, Entry, now
from pipeline.publish import Output, open_output
from pipeline.seeds import substream

from .alert import alert, named
from .files import check_writable
from .progress import Display, Silent
from .results import RunRefusedError
from .settings import RunConfig

FAILURE = "failure.json"
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Job:
    """What every step is given beside references to its input.

    Attributes:
        date: the partition that the run belongs to.
        seed: of everything but the split; a dated run derives it from the root seed and its date, so that nights differ
            and each replays exactly. The split keeps the root seed, so that a row stays on its side.
        began: when the job began, in UTC.
        output: held by this job until it ends.
        display: shows the steps' progress.
        forced: what the run must do, None where it decides for itself.
    """

    config: RunConfig
    date: date
    seed: int
    began: datetime
    output: Output
    display: Display = field(default_factory=Silent)
    forced: Action | None = None

    @property
    def folder(self) -> Path:
        """Where the steps keep what they make until the job ends; a killed job's is where the next one goes on."""
        return self.config.output.root / "work" / self.config.name / self.date.isoformat()

    @property
    def models(self) -> Path:
        """Where the models of this output lie, each in a folder named by its key."""
        return self.config.output.root / "models" / self.config.name

    @property
    def state(self) -> Path:
        """Where the job keeps what later runs compare with; it is private and never published."""
        return self.config.output.root / "state" / self.config.name

    @property
    def created(self) -> str:
        """When the job began, as ISO 8601 text in UTC."""
        return self.began.isoformat(timespec="seconds")


@contextmanager
def open_job(
    config: RunConfig, display: Display, *, on: date | None = None, forced: Action | None = None, resumed: bool = True
) -> Iterator[Job]:
    """Hold the output, yield a job with its working folder, and remove that folder at the end.

    A run without a date belongs to today's and takes the root seed as it is. After a failure the working folder stays
    for the next run of the same date, which goes on from it; the error's notes name it. Refusals and bad input leave
    none, nor does a job that is not to be `resumed`: the first leave their report in quarantine. The ledger gets a line
    for each end that a step does not write. Whoever the config names is told of every end but success and an
    interruption.

    Raises:
        ConfigError: the output cannot be written.
        PublishError: another run holds the output.
    """
    began = datetime.now(UTC)
    with _held(config, display, on or began.date()) as output:
        seed = config.seed if on is None else substream(config.seed, "date", on.isoformat())
        job = Job(config, on or began.date(), seed, began, output, display, forced)
        _prepare(job)
        try:
            with _exhaustion_named():
                yield job
        except RefusedError as error:
            if not isinstance(error, RunRefusedError):
                _enter(job, error, named(error))
            shutil.rmtree(job.folder)
            _tell(job, error)
            raise
        except BaseException as error:
            _enter(job, error, named(error))
            if isinstance(error, InputError) or not resumed:
                shutil.rmtree(job.folder)
            else:
                _keep(job.folder, error)
            _tell(job, error)
            raise
        shutil.rmtree(job.folder)


@contextmanager
def _exhaustion_named() -> Iterator[None]:
    """Turn the end of the memory or of the disk, wherever it is met, into a sentence that says what helps."""
    try:
        yield
    except MemoryError as error:
        remedy = "give it more memory, or fewer rows or columns"
        raise PreflightError("a job must fit into memory", actual="none left", remedy=remedy) from error
    except OSError as error:
        if error.errno not in NO_ROOM:
            raise
        remedy = "make room, or choose another output.root, and run it again: it goes on where it was"
        raise PublishError("a job needs room on its disk", actual=str(error.strerror), remedy=remedy) from error


@contextmanager
def _held(config: RunConfig, display: Display, day: date) -> Iterator[Output]:
    """Hold the output; where that cannot be, whoever is to be told is told."""
    with ExitStack() as stack:
        try:
            check_writable(config.output.root)
            output = stack.enter_context(open_output(config.output.root, config.name))
        except Exception as error:
            alert(config, display, date=day, error=error)
            raise
        yield output


def _prepare(job: Job) -> None:
    """Make the folders that hold original rows, for nobody else to read, and remove those of other dates."""
    for folder in (job.folder.parent, job.state):
        make_folder(folder)
        folder.chmod(0o700)
    for other in job.folder.parent.iterdir():
        if other != job.folder:
            shutil.rmtree(other)
    job.folder.mkdir(mode=0o700, exist_ok=True)
    (job.folder / FAILURE).unlink(missing_ok=True)


def _enter(job: Job, error: BaseException, note: str) -> None:
    """Write a failure into the ledger; where the disk refuses that too, the error says so."""
    run_id = error.run_id if isinstance(error, RunRefusedError) else ""
    entry = Entry(event="failed", run_id=run_id, at=now(), began=job.created, note=note)
    try:
        job.output.ledger.append(entry)
    except OSError as second:
        error.add_note(f"the ledger has no line of this failure: {second}")


def _tell(job: Job, error: BaseException) -> None:
    """Tell whom the config names of the error; an alert that was not delivered leaves a line in the ledger."""
    trouble = alert(job.config, job.display, date=job.date, error=error)
    if trouble is not None:
        _enter(job, error, trouble)


def _keep(folder: Path, error: BaseException) -> None:
    """Note in the working folder what happened; where the disk refuses that, the error says so."""
    frames = traceback.extract_tb(error.__traceback__)
    where = [f"{frame.name} in {Path(frame.filename).name}:{frame.lineno}" for frame in frames]
    error.add_note(f"the working folder is kept until the next run: {folder}")
    try:
        write_json(folder / FAILURE, {"error": type(error).__name__, "message": str(error), "where": where})
    except OSError as second:
        error.add_note(f"it does not say what happened: {second}")
