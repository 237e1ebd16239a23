"""The table that a comparison ends with, and the rule that chooses from it."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from evaluation.report import Verdict
from pipeline.config import Config

from .references import Reference

RULE = (
    "A family that fails a gate is out. Of the others, PASS comes before REVIEW, then the smallest detector AUC"
    " (c2st_auc). Families whose AUC lies within the 95 % interval of the smallest are tied, and the one that took the"
    " fewest seconds to fit and sample wins. Where all fail, none does."
)


class Row(Config):
    """One family: its verdict, figures and cost.

    Attributes:
        kind: of the generator.
        verdict: of its report; FAIL where it could not be fitted, or where its files hold rows of train.
        failed: names of the gates that failed.
        reasons: a sentence for each gate that failed or that a person must look at, or what else went wrong.
        figures: overall measured values by metric; what was not measured is left out.
        intervals: their 95 % intervals, of those that have one.
        fit_s: seconds of training.
        sample_s: seconds of drawing the table.
        n_drawn: rows of the table that was drawn.
        nats: the mean surprise of holdout rows; None where the family has no density.
        density: what kind of density that is of.
        latent_size: units of the latent vector that a row is encoded into; 0 where there is none.
        active_units: how many of them differ between rows; of a mixture, in its least used member.
        latent_nats: what the vector says about a row, at most; of a mixture, in the member where that is least.
        size_bytes: of the model's folder.
        n_parameters: of the model.
        report: where the report lies, seen from the table; None where there is none.
    """

    kind: str
    verdict: Verdict
    failed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    figures: dict[str, float] = Field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)
    fit_s: float = 0.0
    sample_s: float = 0.0
    n_drawn: int = 0
    nats: float | None = None
    density: Literal["exact", "lower_bound", "encoded_space"] | None = None
    latent_size: int = 0
    active_units: int = 0
    latent_nats: float = 0.0
    size_bytes: int = 0
    n_parameters: int = 0
    report: str | None = None

    @property
    def auc(self) -> float:
        """The detector's AUC; infinite where it was not measured, so that what was measured comes first."""
        return self.figures.get("c2st_auc", math.inf)

    @property
    def c2st_interval(self) -> tuple[float, float] | None:
        """The interval of the detector's AUC."""
        return self.intervals.get("c2st_auc")

    @property
    def rows_per_s(self) -> float:
        """How fast rows are drawn."""
        return self.n_drawn / self.sample_s if self.sample_s > 0 else 0.0

    @property
    def seconds(self) -> float:
        """What it took to fit and to sample."""
        return self.fit_s + self.sample_s


class Advice(Config):
    """What a comparison says about one purpose.

    Attributes:
        purpose: its name.
        families: those that serve it best and cannot be told apart by these runs; none where nothing is said.
        words: the same for people, with the figures that it follows from.
    """

    purpose: str
    families: tuple[str, ...] = ()
    words: str


class Judged(Config):
    """A row, the report that it was made from, and the nats of holdout rows, the same for all families."""

    row: Row
    report: Reference | None = None
    held_out: tuple[float, ...] = ()


class Comparison(Config):
    """Everything that `comparison.json` says: the table, who won, and why."""

    name: str
    id: str
    date: datetime.date
    seed: int
    budget_s: float
    n_train: int
    n_holdout: int
    rows: tuple[Row, ...]
    winner: str | None
    reason: str
    rule: str
    advice: tuple[Advice, ...] = ()
    folder: Path


def choose(rows: Sequence[Row]) -> tuple[str | None, str]:
    """Return the kind that wins by the rule, None where all fail, and why, as a sentence.

    Example:
        >>> interval = {"c2st_auc": (0.58, 0.62)}
        >>> slow = Row(kind="ddpm", verdict="PASS", figures={"c2st_auc": 0.60}, intervals=interval, sample_s=9)
        >>> fast = Row(kind="vae", verdict="PASS", figures={"c2st_auc": 0.61}, sample_s=1)
        >>> choose([slow, fast])
        ('vae', 'vae is the fastest of those with a detector AUC of at most 0.62, where the interval of the best ends.')
    """
    standing = [row for row in rows if row.verdict != "FAIL"]
    if not standing:
        return None, "Every family fails a gate."
    peers = [row for row in standing if row.verdict == "PASS"] or standing
    best = min(peers, key=lambda row: row.auc)
    limit = best.c2st_interval[1] if best.c2st_interval else best.auc
    tied = sorted((row for row in peers if row.auc <= limit), key=lambda row: row.seconds)
    return tied[0].kind, _because(tied, len(peers), limit)


def _because(tied: Sequence[Row], n_peers: int, limit: float) -> str:
    winner = tied[0]
    if n_peers == 1:
        return f"{winner.kind} is the only one with the verdict {winner.verdict}."
    if math.isinf(limit):
        return f"{winner.kind} is the fastest with the verdict {winner.verdict}; no detector AUC was measured."
    if len(tied) == 1:
        return (
            f"{winner.kind} has the smallest detector AUC of those with the verdict {winner.verdict}, {winner.auc:.4g}."
        )
    where = f"a detector AUC of at most {limit:.4g}, where the interval of the best ends"
    return f"{winner.kind} is the fastest of those with {where}."


def cells(row: Row) -> dict[str, str]:
    """Return a row as texts by heading, for people."""
    interval = "" if row.c2st_interval is None else " [{:.3f}, {:.3f}]".format(*row.c2st_interval)
    return {
        "family": row.kind,
        "verdict": row.verdict,
        "gates failed": ", ".join(row.failed) or ("" if row.report else "not judged"),
        "detector AUC": "-" if math.isinf(row.auc) else f"{row.auc:.3f}{interval}",
        "shape": _figure(row, "shape_error"),
        "trend": _figure(row, "trend_error"),
        "utility gap": _figure(row, "utility_gap"),
        "copies": _figure(row, "exact_copies"),
        "nearer to train": _figure(row, "dcr_share"),
        "membership AUC": _figure(row, "membership_auc"),
        "inference": _figure(row, "attribute_inference_risk"),
        "fit s": f"{row.fit_s:.1f}",
        "sample s": f"{row.sample_s:.1f}",
        "rows/s": f"{row.rows_per_s:,.0f}" if row.rows_per_s else "-",
        "holdout nats": _nats(row),
        "model MB": f"{row.size_bytes / 1e6:.1f}",
    }


def _nats(row: Row) -> str:
    if row.nats is None:
        return "-"
    return f"{'<= ' if row.density == 'lower_bound' else ''}{row.nats:.2f}"


def _figure(row: Row, metric: str) -> str:
    return f"{row.figures[metric]:.4g}" if metric in row.figures else "-"
