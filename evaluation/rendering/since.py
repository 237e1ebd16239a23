"""What the page shows of the releases before this one: how each figure changed, and its way over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ..glossary import term
from ..history import FOLLOWED, figures
from ..measurement import Interval, Measured
from ..report import Action, EarlierRelease, Report, SinceLast, Verdict
from ..wording import number

DECISIONS: dict[Action, str] = {
    "refit": "Fitted from scratch",
    "warm_start": "Trained on from the accepted model",
    "sample": "Drawn from the accepted model",
    "skip": "Skipped",
}
Direction = Literal["better", "worse", "no clear change", "new", "not measured now"]


@dataclass(frozen=True)
class Change:
    """One figure of the last accepted release beside that of this one; None where it was not measured."""

    metric: str
    last: float | None
    now: float | None
    direction: Direction

    @property
    def difference(self) -> str:
        """The difference with its sign, or a dash."""
        if self.last is None or self.now is None:
            return "–"
        text = number(self.now - self.last)
        return text if text.startswith("−") or not text.strip("0.,") else f"+{text}"


@dataclass(frozen=True)
class Trend:
    """One figure over all releases, oldest first, this one last; None where it was not measured.

    Attributes:
        title: what the figure is.
        values: one per release.
        verdicts: one per release.
        first: the date of the oldest release.
        interval: the interval of the last value.

    """

    title: str
    values: tuple[float | None, ...]
    verdicts: tuple[Verdict, ...]
    first: str
    interval: Interval | None = None


def changes_of(report: Report) -> list[Change]:
    """Return the figures of the last accepted release and of this one; none where there is no earlier release."""
    if report.since_last is None or report.since_last.last is None:
        return []
    last, now = report.since_last.last.figures, figures(report)
    return [_change(report.measured(name), name, last.get(name), now.get(name)) for name in _ordered([*last, *now])]


def _change(measured: Measured | None, name: str, last: float | None, now: float | None) -> Change:
    if last is None:
        return Change(name, last, now, "new")
    if measured is None or now is None:
        return Change(name, last, None, "not measured now")
    before, after = _badness(measured, last), _badness(measured, now)
    low, high = sorted(_badness(measured, end) for end in measured.interval or (now, now))
    if low <= before <= high or number(last) == number(now):
        return Change(name, last, now, "no clear change")
    return Change(name, last, now, "better" if after < before else "worse")


def _badness(measured: Measured, value: float) -> float:
    """Return how far a value lies from the best towards the worst: on the other side of the best it is as good."""
    return max(0.0, (value - measured.best) / (measured.worst - measured.best))


def trends_of(report: Report) -> list[Trend]:
    """Return the number of rows and every figure that two releases have."""
    since = report.since_last
    past = earlier_releases(since) if since else ()
    if not past:
        return []
    verdicts = (*(release.verdict for release in past), report.verdict)
    first, now = past[0].date.isoformat(), figures(report)
    n_rows = (*(float(release.n_rows) for release in past), float(report.run.n_synthetic))
    found = [Trend("Rows", n_rows, verdicts, first)]
    for name in _ordered([*now, *(n for release in past for n in release.figures)]):
        values = (*(release.figures.get(name) for release in past), now.get(name))
        measured = report.measured(name) if name in now else None
        if sum(value is not None for value in values) > 1:
            found.append(Trend(term(name).title, values, verdicts, first, measured.interval if measured else None))
    return found


def earlier_releases(since: SinceLast) -> tuple[EarlierRelease, ...]:
    """Return the releases before this one, oldest first, always with the last accepted one."""
    if since.last is None or since.last.run_id in {release.run_id for release in since.history}:
        return since.history
    return (*since.history, since.last)


def _ordered(names: Iterable[str]) -> list[str]:
    """Return the names once each: those that are followed in their order, then any others."""
    unique = dict.fromkeys(names)
    return [*(name for name in FOLLOWED if name in unique), *sorted(unique.keys() - set(FOLLOWED))]
