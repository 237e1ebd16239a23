"""A deadline for an evaluation: what is measured first, when to stop, and what to say of what was left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from .gate import Gate, Gates
from .glossary import family_of
from .measurement import Family, Measurement, Unmeasured
from .privacy.decisions import undecided
from .report import PrivacyTest, TestName

IMPORTANCE: tuple[Family, ...] = (
    "privacy",
    "marginals",
    "pairs",
    "detection",
    "utility",
    "joint",
    "subgroups",
)
"""The order of measuring: what protects persons first, then what the gates judge, then what only informs."""
Clock = Callable[[], float]


class Deadline:
    """The time after which no further metric is started.

    Example:
        >>> now = iter([0.0, 4.0, 11.0])
        >>> deadline = Deadline(10.0, lambda: next(now))
        >>> deadline.over(), deadline.over()
        (False, True)

    """

    def __init__(self, budget_s: float | None, clock: Clock) -> None:
        self._budget_s, self._clock, self._began = budget_s, clock, clock()

    def over(self) -> bool:
        """Return whether the time is over; it never is without a budget."""
        return self._budget_s is not None and self._clock() - self._began >= self._budget_s

    def left_out(self, done: Mapping[Family, tuple[int, int]]) -> LeftOut:
        """Return what there was no time for, from the metrics of each family that were finished, and all it has."""
        reason = f"left out: the time budget of {self._budget_s or 0:g} s was over"
        wholly = tuple(family for family, (finished, every) in done.items() if finished == 0 < every)
        partly = tuple(family for family, (finished, every) in done.items() if 0 < finished < every)
        return LeftOut(reason, wholly, partly)


@dataclass(frozen=True)
class LeftOut:
    """What the deadline left no time for.

    Attributes:
        reason: why, as the report says it.
        wholly: families of which nothing was measured.
        partly: families of which something was measured.

    """

    reason: str
    wholly: tuple[Family, ...] = ()
    partly: tuple[Family, ...] = ()

    def measurements(self, found: Sequence[Measurement], gates: Gates) -> Iterator[Unmeasured]:
        """Yield for every gate that judges a number left out the reason why there is none."""
        known = {(measurement.metric, measurement.subject) for measurement in found}
        for gate in (gate for _, gate in gates.named() if isinstance(gate, Gate)):
            family = family_of(gate.metric)
            if family is not None and self._holds(family) and (gate.metric, gate.subject) not in known:
                yield Unmeasured(metric=gate.metric, family=family, reason=self.reason, subject=gate.subject)

    def tests(self, found: Sequence[PrivacyTest], gates: Gates) -> Iterator[PrivacyTest]:
        """Yield every privacy test that a gate asks for and that was left out."""
        known, asked = {test.name for test in found}, {name for name, gate in gates.named() if gate == "on"}
        names: tuple[TestName, ...] = get_args(TestName)
        for name in (name for name in names if self._holds("privacy") and name in asked - known):
            reason = f"{self.reason.capitalize()}."
            yield undecided(name, "NOT TESTABLE", statistic="not run", rule="one result", reason=reason)

    def notes(self) -> tuple[str, ...]:
        """Return the sentence for the report that names what was left out, or none."""
        named = [*self.wholly, *(f"{family} in part" for family in self.partly)]
        return (f"{self.reason.capitalize()}: {', '.join(named)}.",) if named else ()

    def _holds(self, family: Family) -> bool:
        return family in self.wholly or family in self.partly
