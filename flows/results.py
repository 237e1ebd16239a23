"""What the steps of a job return: references to files and facts about them, never a table."""

from __future__ import annotations

import datetime
from pathlib import Path

from evaluation.report import Report, SourceDrift, Verdict
from pipeline.config import Config
from pipeline.errors import RefusedError
from pipeline.ledger import Action, Inputs
from pipeline.split import Boundary

from .references import Reference


class Ingested(Config):
    """The whole table, its schema, the fingerprint of its content, and how it differs from the last accepted one.

    Attributes:
        changes: a sentence for each change that the rules let through.
        drift: how far each column's distribution lies from then, worst first.
        drifted: whether one lies further than the declared tolerance.
        warnings: what preflight found worth saying.
    """

    table: Reference
    schema_file: Reference
    data_sha256: str
    n_rows: int
    changes: tuple[str, ...] = ()
    drift: tuple[SourceDrift, ...] = ()
    drifted: bool = False
    warnings: tuple[str, ...] = ()


class Plan(Config):
    """What the run does, under which id.

    Attributes:
        action: what is done about the model.
        reason: why, as a sentence.
        inputs: what the run depends on.
        base: the key of the accepted model that is drawn from or gone on from, None for a fit from the beginning.
        warm_starts: how many in a row this run's model has behind it.
    """

    run_id: str
    action: Action
    reason: str
    inputs: Inputs
    base: str | None = None
    warm_starts: int = 0


class Parts(Config):
    """The rows to learn from, the rows that nothing learned may touch, and what later splits must keep of this one."""

    train: Reference
    holdout: Reference
    boundary: Boundary


class Fitted(Config):
    """A fitted generator under its key; `reused` where it was fitted before, and `fit_s` is then 0."""

    model: Reference
    reused: bool
    fit_s: float

    @property
    def key(self) -> str:
        """Under which the model lies among those of its output."""
        return self.model.path.name


class Sampled(Config):
    """The synthetic table, and how long it took to draw."""

    synthetic: Reference
    sample_s: float


class Release(Config):
    """An accepted run.

    Attributes:
        run_id: of the run.
        date: its partition.
        action: what was done about its model.
        reason: why.
        folder: where the release lies.
        n_passed: how many gates it passed.
        reviews: a sentence for each gate that a person must look at; none where the verdict is PASS.
        reused_model: whether its model was an earlier run's.
    """

    run_id: str
    date: datetime.date
    action: Action
    reason: str
    folder: Path
    n_passed: int
    reviews: tuple[str, ...] = ()
    reused_model: bool

    @property
    def verdict(self) -> Verdict:
        """PASS or REVIEW."""
        return "REVIEW" if self.reviews else "PASS"


class Skipped(Config):
    """A run that had nothing to do: the release that stands, and why.

    `folder` is None where that release has been pruned.
    """

    run_id: str
    date: datetime.date
    folder: Path | None
    reason: str


class RunRefusedError(RefusedError):
    """A gate refused the run: nothing was published, and the report is in quarantine.

    Attributes:
        run_id: of the run.
        verdict: FAIL, or REVIEW where the configuration refuses that too.
        failures: a sentence for each gate that failed or, with REVIEW, that a person must look at.
        folder: where the report lies.
    """

    def __init__(self, report: Report, folder: Path) -> None:
        self.run_id, self.verdict, self.folder = report.run.run_id, report.verdict, folder
        self.failures = report.failures() or report.reviews()
        what = "failed" if report.verdict == "FAIL" else "ask for a review, which this configuration refuses"
        actual = f"{len(self.failures)} of {len(report.judged())} gates {what}"
        super().__init__("every gate must pass", actual=actual, remedy=f"read {folder / 'report.html'}")
