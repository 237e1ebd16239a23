"""What the Prefect UI shows of a run: a scorecard, a summary, a link to the report, and progress while it is slow.

Artifacts hold what a report holds: figures and names of columns, no row and no credential.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from httpx import HTTPError
from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.logging import get_run_logger

from evaluation.history import figures
from evaluation.report import Report, SinceLast
from pipeline.errors import TabmintError

from .progress import Display, Move
from .results import Release, RunRefusedError, Skipped

SLOW = ("fit", "evaluate")
"""Steps that may take long, whose progress is shown."""

UPDATE_EVERY_S = 5.0
MOST_DRIFT = 5
REPORT = "report.html"


class Shown:
    """Shows on another display, and the slow steps as progress artifacts too.

    Args:
        display: what else shows the steps.
        name: of the output.
        every_s: the least time between two updates of an artifact.
    """

    def __init__(self, display: Display, name: str, every_s: float = UPDATE_EVERY_S) -> None:
        self._display, self._name, self._every_s = display, name, every_s

    def step(self, name: str) -> AbstractContextManager[Move]:
        """Show the step on the other display and, if it is a slow one, in the UI."""
        return self._slow_step(name) if name in SLOW else self._display.step(name)

    @contextmanager
    def _slow_step(self, name: str) -> Iterator[Move]:
        with self._display.step(name) as move:
            artifact = Progress(artifact_key(self._name, name), f"{name} begins", self._every_s)

            def both(share: float | None, words: str) -> None:
                move(share, words)
                artifact.move(share, f"{name}: {words}")

            yield both
            artifact.end()


class Progress:
    """One progress artifact. It is a convenience: where Prefect's API fails, that is logged, and the step goes on."""

    def __init__(self, key: str, words: str, every_s: float) -> None:
        self._every_s, self._words, self._updated = every_s, words, time.monotonic()
        created: Any = create_progress_artifact(0.0, key=key, description=words)  # its annotation says a coroutine too
        self._id, self._lost = created, False

    def move(self, share: float | None, words: str) -> None:
        """Move the bar, at most once in a while."""
        self._words = words
        if share is not None and time.monotonic() - self._updated >= self._every_s:
            self._update(100 * share)

    def end(self) -> None:
        """Fill the bar; what was said last stays."""
        self._update(100.0)

    def _update(self, percent: float) -> None:
        if self._lost:
            return
        self._updated = time.monotonic()
        try:
            update_progress_artifact(self._id, min(percent, 100.0), description=self._words)
        except HTTPError as error:
            self._lost = True
            get_run_logger().warning("progress is not shown any more: %s", type(error).__name__)


def show_scorecard(name: str, report: Report) -> None:
    """Show the gates as a table."""
    rows = scorecard(report)
    create_table_artifact(rows, key=artifact_key(name, "scorecard"), description="The gates of the run.")


def show_release(name: str, release: Release, report: Report) -> None:
    """Show what was published and why, what a person must look at, and what changed since the last release."""
    lines = [
        f"## {release.verdict}: published",
        f"`{release.folder}`",
        f"**Model** {release.action.replace('_', ' ')}. {release.reason}",
        f"**Gates** {release.n_passed} of {len(report.judged())} passed.",
        bullets("To be looked at", release.reviews),
        *([] if report.since_last is None else _since_last(report, report.since_last)),
    ]
    _show(name, lines, release.folder / REPORT)


def show_skip(name: str, skipped: Skipped) -> None:
    """Show why there was nothing to do, and what stands."""
    report = None if skipped.folder is None else skipped.folder / REPORT
    _show(name, ["## Skipped", skipped.reason, f"**Stands** `{skipped.run_id}`"], report)


def show_refusal(name: str, refusal: RunRefusedError) -> None:
    """Show which gates refused the run; the link leads to the quarantined report."""
    lines = [f"## {refusal.verdict}: refused", "Nothing was published; the last release stays current."]
    _show(name, [*lines, bullets("Reasons", refusal.failures)], refusal.folder / REPORT)


def show_failure(name: str, error: TabmintError) -> None:
    """Show an error of tabmint's own, such as a source that changed, or a sink that did not take the release."""
    parts = {"Rule": error.rule, "Found": error.actual, "Remedy": error.remedy}
    stands = "The last accepted release stays current."
    _show(
        name,
        [f"## {type(error).__name__}", stands, *(f"**{part}** {text}" for part, text in parts.items() if text)],
        None,
    )


def scorecard(report: Report) -> list[dict[str, str]]:
    """Return the gates as rows for people."""
    return [
        {
            "gate": gate.name,
            "rule": gate.rule,
            "value": _number(gate.value),
            "p-value": _number(gate.p_value),
            "verdict": gate.verdict,
        }
        for gate in report.gates
    ]


def artifact_key(name: str, kind: str) -> str:
    """Return the key of an artifact as Prefect wants it: lower case, digits and hyphens.

    Example:
        >>> artifact_key("My_Table.v2", "summary")
        'my-table-v2-summary'
    """
    return "".join(letter if letter.isalnum() else "-" for letter in f"{name}-{kind}".lower()).strip("-")


def bullets(title: str, sentences: tuple[str, ...] | list[str]) -> str:
    """Return a titled list, or nothing where there is nothing to list.

    Example:
        >>> print(bullets("Reasons", ["too few rows"]))
        **Reasons**
        - too few rows
    """
    return "\n".join((f"**{title}**", *(f"- {sentence}" for sentence in sentences))) if sentences else ""


def _since_last(report: Report, since: SinceLast) -> list[str]:
    moved = [d for d in since.drift if d.value > d.threshold][:MOST_DRIFT]
    drift = [f"`{d.column}`: {d.statistic} {d.value:.3g}, above {d.threshold:.3g}" for d in moved]
    return [
        bullets("Changed in the source", since.changes),
        bullets("Drifted", drift),
        "" if since.last is None else _figures(figures(report), since.last.figures, since.last.run_id),
    ]


def _figures(now: dict[str, float], then: dict[str, float], last: str) -> str:
    rows = [f"| {name} | {_number(then.get(name))} | {value:.4g} |" for name, value in now.items()]
    return "\n".join((f"| figure | `{last}` | this run |", "|---|---|---|", *rows))


def _show(name: str, lines: list[str], report: Path | None) -> None:
    text, title = "\n\n".join(filter(None, lines)), lines[0].removeprefix("## ")
    create_markdown_artifact(text, key=artifact_key(name, "summary"), description=title)
    if report is not None:
        create_link_artifact(report.resolve().as_uri(), key=artifact_key(name, "report"), link_text="report.html")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
