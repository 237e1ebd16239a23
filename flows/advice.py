"""What a comparison says about each purpose: which family, or that its runs show no difference.

Nothing is known beforehand about a family. What is said follows from the figures of the comparison, and from what a
family can do at all: have a density, have a latent vector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.statistics import Z_95, FloatArray

from .table_of_families import Advice, Row

SAME_SPEED = 1.5
"""Times that differ by less are called the same: each was taken once, on a machine that may have done other work."""
NO_DIFFERENCE = "No difference that these runs can show"


@dataclass(frozen=True)
class Question:
    """A purpose that one figure with an interval speaks for.

    Attributes:
        purpose: its name.
        metric: the figure's name.
        title: what it is, for people.
        digits: how it is written.
        better: -1 where less is better, 1 where more is.
        none: the value that says nothing was found.
        if_none: what is said where the intervals of the best all reach it.
    """

    purpose: str
    metric: str
    title: str
    digits: str
    better: int
    none: float
    if_none: str


QUALITY = Question(
    "quality", "c2st_auc", "detector AUC, 0.5 is ideal", ".3f", -1, 0.5,
    "The detector does not tell its rows from real ones.",
)  # fmt: skip
PRIVACY = Question(
    "privacy", "membership_auc", "AUC of the best membership attack, 0.5 is chance", ".3f", -1, 0.5,
    "No attack tells train rows from others.",
)  # fmt: skip
AUGMENTATION = Question(
    "augmentation", "augmentation_gain", "gain of a model from synthetic rows beside train", "+.3f", 1, 0.0,
    "The gain is not above 0 beyond its interval: synthetic rows are not shown to help here.",
)  # fmt: skip


def advise(rows: Sequence[Row], held_out: Mapping[str, Sequence[float]]) -> tuple[Advice, ...]:
    """Return a few sentences for each purpose.

    Quality, privacy and augmentation are told of the families that fail no gate, where there are any; speed, density
    and latent space of all that were fitted. Each family was fitted once: intervals hold the chance of the rows, and
    not that of the seed.

    Args:
        rows: of the comparison.
        held_out: by kind, the nats of the same holdout rows; of the families that have a density.

    Example:
        >>> near = Row(kind="ddpm", verdict="PASS", figures={"c2st_auc": 0.6}, intervals={"c2st_auc": (0.58, 0.62)})
        >>> far = Row(kind="vae", verdict="PASS", figures={"c2st_auc": 0.7}, intervals={"c2st_auc": (0.68, 0.72)})
        >>> advise([near, far], {})[0].words
        'ddpm: 0.600 (detector AUC, 0.5 is ideal). Behind it: vae 0.700.'
        >>> advise([near, far.model_copy(update={"intervals": {"c2st_auc": (0.5, 0.9)}})], {})[0].words
        'No difference that these runs can show: ddpm 0.600, vae 0.700 (detector AUC, 0.5 is ideal).'
    """
    fitted = [row for row in rows if row.figures or row.fit_s > 0]
    judged = [row for row in fitted if row.verdict != "FAIL"] or fitted
    return (
        _by_figure(QUALITY, judged),
        _by_figure(PRIVACY, judged),
        _by_speed(fitted),
        _by_density(fitted, held_out),
        _by_latent_space(fitted),
        _by_figure(AUGMENTATION, judged),
    )


def _by_figure(question: Question, rows: Sequence[Row]) -> Advice:
    metric = question.metric
    measured = [row for row in rows if metric in row.figures]
    if not measured:
        return Advice(purpose=question.purpose, words=f"Not told: {metric} was not measured.")
    ranked = sorted(measured, key=lambda row: -question.better * row.figures[metric])
    best = ranked[0]
    words, families = _ranking(
        ranked,
        apart=lambda row: _apart(best, row, metric),
        shown=lambda row: format(row.figures[metric], question.digits),
        title=question.title,
    )
    tied = [row for row in ranked if row.kind in families]
    if all(_reaches(row, metric, question.none) for row in tied):
        words += f" {question.if_none}"
    return Advice(purpose=question.purpose, families=families, words=words)


def _by_speed(rows: Sequence[Row]) -> Advice:
    timed = sorted((row for row in rows if row.rows_per_s > 0), key=lambda row: -row.rows_per_s)
    if not timed:
        return Advice(purpose="speed", words="Not told: no table was drawn.")
    words, families = _ranking(
        timed,
        apart=lambda row: timed[0].rows_per_s > SAME_SPEED * row.rows_per_s,
        shown=lambda row: f"{row.rows_per_s:,.0f}",
        title="rows drawn per second",
    )
    fitted = ", ".join(f"{row.kind} {row.fit_s:.0f} s" for row in timed)
    return Advice(purpose="speed", families=families, words=f"{words} Fitted in: {fitted}.")


def _by_density(rows: Sequence[Row], held_out: Mapping[str, Sequence[float]]) -> Advice:
    """Compare nats of the same rows, in pairs. A bound that is larger may belong to a density that is not lower."""
    without = [row.kind for row in rows if row.kind not in held_out]
    ranked = sorted((row for row in rows if row.kind in held_out), key=lambda row: float(np.mean(held_out[row.kind])))
    none = f" Without a density: {', '.join(without)}." if without else ""
    if not ranked:
        return Advice(purpose="density", words=f"Not told: no density was measured.{none}")
    nats = {row.kind: np.asarray(held_out[row.kind]) for row in ranked}
    words, families = _ranking(
        ranked,
        apart=lambda row: _differ(nats[ranked[0].kind], nats[row.kind]),
        shown=lambda row: f"{'at most ' if row.density == 'lower_bound' else ''}{nats[row.kind].mean():.2f}",
        title="nats per holdout row, fewer are better",
    )
    bounds = [row.kind for row in ranked if row.density == "lower_bound" and row.kind not in families]
    unsure = f" How far {', '.join(bounds)} {'is' if len(bounds) == 1 else 'are'} behind is a bound." if bounds else ""
    return Advice(purpose="density", families=families, words=f"{words}{unsure}{none}")


def _by_latent_space(rows: Sequence[Row]) -> Advice:
    having = [row for row in rows if row.latent_size]
    used = [row for row in having if row.active_units]
    words = "; ".join(
        f"{row.kind}: {row.active_units} of {row.latent_size} units are active and say {row.latent_nats:.1f} nats"
        " about a row, at most"
        for row in used
    )
    if not having:
        words = "none of these families encodes a row into a latent vector, which the VAE does"
    elif not used:
        words = f"{', '.join(row.kind for row in having)}: no unit is active, the latent vector has collapsed"
    return Advice(purpose="latent space", families=tuple(row.kind for row in used), words=f"{words}.")


def _ranking(
    ranked: Sequence[Row], *, apart: Callable[[Row], bool], shown: Callable[[Row], str], title: str
) -> tuple[str, tuple[str, ...]]:
    """Return the families that cannot be told apart from the first, and all of it in words."""
    tied = [row for row in ranked if not apart(row)]
    behind = [row for row in ranked if apart(row)]
    listed = ", ".join(f"{row.kind} {shown(row)}" for row in tied)
    if len(ranked) == 1:
        words = f"{ranked[0].kind} alone was measured: {shown(ranked[0])} ({title})."
    elif len(tied) == 1:
        words = f"{tied[0].kind}: {shown(tied[0])} ({title})."
    else:
        words = f"{NO_DIFFERENCE}{' between the first' if behind else ''}: {listed} ({title})."
    if behind:
        words += f" Behind {'it' if len(tied) == 1 else 'them'}: "
        words += ", ".join(f"{row.kind} {shown(row)}" for row in behind) + "."
    return words, tuple(row.kind for row in tied)


def _apart(best: Row, other: Row, metric: str) -> bool:
    """Say whether the interval of the difference leaves 0; without intervals nothing is told apart."""
    if other is best or metric not in best.intervals or metric not in other.intervals:
        return False
    reach = np.hypot(*(np.ptp(row.intervals[metric]) / 2 for row in (best, other)))
    return bool(abs(best.figures[metric] - other.figures[metric]) > reach)


def _reaches(row: Row, metric: str, none: float) -> bool:
    low, high = row.intervals.get(metric, (row.figures[metric], row.figures[metric]))
    return low <= none <= high


def _differ(best: FloatArray, other: FloatArray) -> bool:
    """Say whether the mean difference of the same rows leaves 0 by its 95 % interval."""
    difference = other - best
    reach = Z_95 * difference.std(ddof=1) / np.sqrt(len(difference)) if len(difference) > 1 else np.inf
    return bool(abs(difference.mean()) > reach)
