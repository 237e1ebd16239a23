"""The contract of a metric: from three tables in numeric form to findings, each with its company or a reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from .config import EvaluationConfig
from .features import Frames
from .measurement import Family, Interval, Measured, Measurement, Unmeasured
from .report import Giveaway, PairProfile, PrivacyTest, Subgroup


@dataclass(frozen=True)
class Definition:
    """What is fixed about a metric: its name, its family, its scale, and where it was defined.

    Example:
        >>> ks = Definition("ks", "marginals", best=0.0, worst=1.0, source="Massey 1951")
        >>> ks.measured(0.25, n_rows=10).kind, ks.measured(float("nan"), n_rows=10).kind
        ('measured', 'unmeasured')

    """

    metric: str
    family: Family
    best: float
    worst: float
    source: str

    def measured(
        self,
        value: float,
        *,
        n_rows: int,
        interval: Interval | None = None,
        ceiling: float | None = None,
        floor: float | None = None,
        subject: str = "",
    ) -> Measurement:
        """Return the number with its company; where one of them is not finite, the reason why there is no number."""
        if not all(math.isfinite(x) for x in (value, *(interval or ()), ceiling or 0.0, floor or 0.0)):
            return self.unmeasured("the values are too large or too small to compute with", subject=subject)
        return Measured(
            metric=self.metric, family=self.family, value=value, best=self.best, worst=self.worst, interval=interval,
            ceiling=ceiling, floor=floor, n_rows=n_rows, subject=subject, source=self.source,
        )  # fmt: skip

    def unmeasured(self, reason: str, *, subject: str = "", applicable: bool = True) -> Unmeasured:
        """Return the reason why there is no number."""
        return Unmeasured(metric=self.metric, family=self.family, reason=reason, subject=subject, applicable=applicable)


@dataclass(frozen=True)
class Findings:
    """What one family found.

    Attributes:
        measurements: about the table as a whole.
        columns: about single columns, by the column's name.
        pairs: the pairs of columns, worst first.
        giveaways: the columns that help the detector, strongest first.
        tests: of the privacy gate.
        subgroups: the levels whose rows are reproduced worst, worst first.

    """

    measurements: tuple[Measurement, ...]
    columns: Mapping[str, tuple[Measurement, ...]] = field(default_factory=dict)
    pairs: tuple[PairProfile, ...] = ()
    giveaways: tuple[Giveaway, ...] = ()
    tests: tuple[PrivacyTest, ...] = ()
    subgroups: tuple[Subgroup, ...] = ()


class Metric(Protocol):
    """A family of metrics over the same work. It is deterministic in `seed`, raises nothing on degenerate tables, and
    does not depend on the order of the rows beyond the chance of a subsample.
    """

    def __call__(self, frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
        """Measure the synthetic table against train and holdout."""
        ...
