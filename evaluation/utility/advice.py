"""What the trials of remedies against imbalance say: intervals of differences, a table, and advice in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as students_t

from pipeline.errors import ConfigError, DataError

from ..statistics import FloatArray, Interval
from ..wording import number
from .augmentation import FEWEST_SPLITS, LEARNING, MEASURES, REAL, TEST, Trial


@dataclass(frozen=True)
class Comparison:
    """A remedy against real rows only, over all splits, with one learner and one measure.

    Attributes:
        value: the mean score.
        difference: from the mean score after real rows only.
        interval: the 95 % interval of the difference.
    """

    remedy: str
    learner: str
    measure: str
    value: float
    difference: float
    interval: Interval

    @property
    def better(self) -> bool:
        """Whether the remedy is better than nothing beyond the interval."""
        return self.interval[0] > 0 if MEASURES[self.measure][1] else self.interval[1] < 0

    @property
    def worse(self) -> bool:
        """Whether the remedy is worse than nothing beyond the interval."""
        return self.interval[1] < 0 if MEASURES[self.measure][1] else self.interval[0] > 0


@dataclass(frozen=True)
class Advice:
    """Whether to add synthetic rows, and why.

    Attributes:
        use: True only if they make the best learner better beyond the interval, and its probabilities no worse.
        sentence: the same in words, with the figures.
    """

    use: bool
    sentence: str


def corrected_interval(differences: FloatArray, test_to_learning: float = TEST / LEARNING) -> Interval:
    """Return the 95 % interval of the mean of differences over repeated random splits **(n_splits,)**.

    Splits share rows, so that the plain t interval is too short; the variance is raised by the ratio of test rows to
    rows that were learned from.

    Source: the corrected resampled t of Nadeau and Bengio 2003, doi:10.1023/A:1024068626366.

    Example:
        >>> low, high = corrected_interval(np.array([0.01, 0.03, 0.02]))
        >>> round(low, 3), round(high, 3)
        (-0.015, 0.055)
    """
    n = len(differences)
    spread = np.sqrt((1 / n + test_to_learning) * differences.var(ddof=1))
    reach = float(students_t.ppf(0.975, n - 1) * spread)
    return float(differences.mean()) - reach, float(differences.mean()) + reach


def compare(found: Sequence[Trial], remedy: str, learner: str, measure: str) -> Comparison:
    """Compare a remedy with real rows only, over the splits where both were tried.

    Raises:
        DataError: both were tried on fewer than two splits.
    """
    scores = {(each.remedy, each.split): each.scores[measure] for each in found if each.learner == learner}
    both = sorted(split for name, split in scores if name == remedy and (REAL, split) in scores)
    if len(both) < FEWEST_SPLITS:
        raise DataError(f"an interval needs {FEWEST_SPLITS} splits", actual=f'{len(both)} of "{remedy}"')
    values, real = (np.array([scores[name, split] for split in both]) for name in (remedy, REAL))
    differences = values - real
    interval = corrected_interval(differences)
    return Comparison(remedy, learner, measure, float(values.mean()), float(differences.mean()), interval)


def advise(found: Sequence[Trial], remedy: str, measure: str = "pr_auc") -> Advice:
    """Say whether to add the rows of `remedy`, judged by the learner that does best on real rows only.

    Choosing that learner by its luck without the rows errs against them. They are advised only if `measure` is better
    beyond its interval, and the Brier score not worse beyond its own.

    Raises:
        ConfigError: there is no such measure.
        DataError: as `compare`.
    """
    if measure not in MEASURES:
        raise ConfigError("a measure must be known", actual=repr(measure), remedy=f"use {', '.join(MEASURES)}")
    title, more_is_better = MEASURES[measure]
    learners = dict.fromkeys(each.learner for each in found)
    sign = 1 if more_is_better else -1
    best = max(learners, key=lambda name: sign * compare(found, REAL, name, measure).value)
    gain, chances = compare(found, remedy, best, measure), compare(found, remedy, best, "brier")
    figures = f"{title} {number(gain.value)} instead of {number(gain.value - gain.difference)}, {_difference(gain)}"
    if not gain.better:
        what = "it is worse with them" if gain.worse else "they make no difference that the splits can tell from chance"
        return Advice(False, f"Do not use synthetic rows: of the learners, {best} does best, and {what} ({figures}).")
    if chances.worse:
        words = f"but its probabilities are worse, the Brier score by {_difference(chances)}"
        return Advice(False, f"Do not use synthetic rows: {best} gains from them ({figures}), {words}.")
    words = f"Use synthetic rows: of the learners, {best} does best, and better with them ({figures})"
    calm = f"its probabilities are no worse, the Brier score by {_difference(chances)}"
    rivals = [compare(found, name, best, measure) for name in dict.fromkeys(each.remedy for each in found)]
    as_good = [one for one in rivals if one.remedy not in (REAL, remedy) and sign * (one.value - gain.value) >= 0]
    also = [f" {one.remedy[0].upper()}{one.remedy[1:]} does as much, {_difference(one)}." for one in as_good[:1]]
    return Advice(True, "".join([f"{words}; {calm}.", *also]))


def _difference(each: Comparison) -> str:
    low, high = each.interval
    return f"{signed(each.difference)} [{signed(low)}, {signed(high)}]"


def signed(value: float) -> str:
    """Return a difference as a person reads it.

    Example:
        >>> signed(0.0123), signed(-0.5)
        ('+0.012', '−0.500')
    """
    return f"{'+' if value >= 0 else ''}{number(value, 3)}"


def table_of(found: Sequence[Trial], measures: Sequence[str] = ("pr_auc", "f1", "balanced_accuracy", "brier")) -> str:
    """Return a Markdown table: a line for each learner and remedy, the mean of each measure, and what it differs by.

    A difference beyond its 95 % interval is marked: ▲ better than real rows only, ▼ worse.
    """
    titles = ("learner", "remedy", *(MEASURES[measure][0] for measure in measures))
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for learner in dict.fromkeys(each.learner for each in found):
        for remedy in dict.fromkeys(each.remedy for each in found):
            cells = [_cell(compare(found, remedy, learner, measure)) for measure in measures]
            lines.append("| " + " | ".join((learner, remedy, *cells)) + " |")
    return "\n".join(lines)


def _cell(each: Comparison) -> str:
    if each.remedy == REAL:
        return number(each.value, 3)
    mark = " ▲" if each.better else " ▼" if each.worse else ""
    return f"{number(each.value, 3)} ({_difference(each)}{mark})"
