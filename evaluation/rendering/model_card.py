"""The model card: what the table is made from, what it is for, and what is known against it, from the report alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..glossary import term
from ..measurement import Unmeasured
from ..report import GateVerdict, Report
from ..wording import short
from .view import JUDGED, Decision, decisions_of


@dataclass(frozen=True)
class ModelCard:
    """Short paragraphs for a reader who has to decide whether to use the table.

    Attributes:
        made: what was learned from what.
        uses: what the table may be used for, if it is released.
        not_for: what it must not be used for, whatever the verdict.
        limits: what this report knows against the table.

    """

    made: str
    uses: tuple[str, ...]
    not_for: tuple[str, ...]
    limits: tuple[str, ...]


NOT_FOR = (
    "Decisions about single persons: no row describes anybody, and a rare combination may be an invention.",
    "Claims about groups smaller than those that this report measures.",
    "A promise of anonymity: passing means that no leak was found, which is no formal guarantee of privacy.",
)


def model_card_of(report: Report) -> ModelCard:
    """Return the model card of a report.

    Example:
        >>> from evaluation.report import RunIdentity
        >>> run = RunIdentity(n_train=900, n_holdout=100, n_synthetic=900)
        >>> empty = dict.fromkeys(("gates", "measurements", "schema_columns", "columns", "pairs", "giveaways"), ())
        >>> model_card_of(Report(verdict="PASS", run=run, **empty)).made
        '900 rows, drawn by a generator that was not named; it learned from 900 train rows with 0 columns.'

    """
    run = report.run
    generator = f"by {run.generator}" if run.generator else "by a generator that was not named"
    made = (
        f"{run.n_synthetic:,} rows, drawn {generator}; it learned from {run.n_train:,} train rows with "
        f"{len(report.schema_columns):,} columns."
    )
    return ModelCard(made, tuple(_uses(report)), NOT_FOR, tuple(_limits(report)))


def _uses(report: Report) -> Iterator[str]:
    if report.verdict == "FAIL":
        yield "None: the table was refused."
        return
    if report.verdict == "REVIEW":
        yield "None until a person has decided on the points under review; after that:"
    yield "Developing and testing software and analyses without access to the original rows."
    if report.measured("utility_gap") is None:
        yield "Training models has not been tested: no utility gap was measured."
    else:
        yield "Training and comparing models of the declared target, within the utility gap stated above."


def _limits(report: Report) -> Iterator[str]:
    decisions = decisions_of(report)
    said: dict[GateVerdict, str] = {
        "FAIL": "Failed",
        "REVIEW": "Needs a person's decision",
        "NOT TESTABLE": "Too few rows to test",
        "OFF": "Switched off and not judged",
    }
    for verdict, words in said.items():
        names = [short(decision.title) for decision in decisions if decision.verdict == verdict]
        if names:
            yield f"{words}: {', '.join(names)}."
    lacking = (m for m in report.measurements if isinstance(m, Unmeasured) and m.applicable)
    titles = dict.fromkeys(short(term(m.metric).title) for m in lacking)
    if titles:
        yield f"Could not be measured: {', '.join(titles)}."
    if not any(map(_tested_privacy, decisions)):
        yield "No privacy test was run."
    yield "Everything is measured against one holdout of the same source; another year or place may differ."


def _tested_privacy(decision: Decision) -> bool:
    return decision.on_privacy and decision.verdict in JUDGED
