"""What a metric returns: a number with its company, or the reason why there is none."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.config import Config

Family = Literal["marginals", "pairs", "joint", "detection", "subgroups", "utility", "privacy"]
Interval = tuple[float, float]


class Measured(Config):
    """A measured number.

    `interval` is a 95 % interval; `ceiling` is the same metric on real holdout rows of the same number; `floor` is the
    same metric on a table known to be bad (columns shuffled independently; for privacy, rows copied from train).

    Raises:
        ValueError: `value` or any bound is not finite. A number that could not be computed is `Unmeasured`.

    """

    kind: Literal["measured"] = "measured"
    metric: str
    family: Family
    value: float
    best: float
    worst: float
    interval: Interval | None = None
    ceiling: float | None = None
    floor: float | None = None
    n_rows: int
    subject: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _finite(self) -> Measured:
        numbers = (self.value, self.best, self.worst, self.ceiling, self.floor, *(self.interval or ()))
        if any(number is not None and not math.isfinite(number) for number in numbers):
            raise ValueError(f"{self.metric}: a measured number must be finite, found {numbers}")
        return self


class Unmeasured(Config):
    """A metric that could not be computed, with the reason. It is never zero and never skipped.

    `applicable` is False only where a declaration leaves nothing to measure (no target is declared, no column is
    nullable) or hardly a record is unique that an attack could point to. A gate on it is then not applicable; on every
    other unmeasured metric a gate fails.
    """

    kind: Literal["unmeasured"] = "unmeasured"
    metric: str
    family: Family
    reason: str
    subject: str = ""
    applicable: bool = True


Measurement = Annotated[Measured | Unmeasured, Field(discriminator="kind")]
