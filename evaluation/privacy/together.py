"""All releases of one output together: a leak too small to see in each of them adds up over the nights."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frames
from ..references import subsample
from ..report import GateVerdict, PrivacyTest, TestPart
from .decisions import WORST_FIRST

ALONE = "this release"
GRAVEST_FIRST: tuple[GateVerdict, ...] = ("FAIL", "NOT TESTABLE", "REVIEW", "PASS", "NOT APPLICABLE", "OFF")
"""As the gate takes them: too few rows refuse a table, so that many earlier ones do not help a new one over it."""


@dataclass(frozen=True)
class Together:
    """The rows of this release and of all earlier ones, beside train and holdout.

    Attributes:
        every: all rows; for what compares exactly, which costs little.
        searched: no more rows than a search can afford, drawn from all.
        n_releases: how many releases, this one included.

    """

    every: Frames
    searched: Frames
    n_releases: int

    @classmethod
    def of(cls, frames: Frames, config: EvaluationConfig, *, seed: int) -> Together | None:
        """Return what was published and this release together, or None where nothing was published before.

        As many rows are searched as a single release may ask with, or as this release has: so the search costs about
        what it costs for one large release, however many there are.
        """
        if frames.together is None or frames.tables is None:
            return None
        every = frames.together
        n_rows = max(config.privacy.queries, frames.synthetic.n_rows)
        rows = subsample(every.synthetic, n_rows, numpy_rng(seed, "privacy", "together"))
        return cls(every, replace(every, synthetic=rows), 1 + len(frames.tables.published))

    def judged(self, alone: PrivacyTest, together: PrivacyTest, *, exact: bool = False) -> PrivacyTest:
        """Return the graver of the two results of one test, with the parts of both; on a tie, that of this release.

        Args:
            alone: the test of this release.
            together: the same test of all releases.
            exact: whether it looked at every row.

        """
        named = ((alone, ALONE), (together, self._called(exact)))
        parts = _worst_first([part.model_copy(update={"of": of}) for test, of in named for part in test.parts])
        of_all = f"All {self.n_releases} published releases together"
        if GRAVEST_FIRST.index(alone.verdict) <= GRAVEST_FIRST.index(together.verdict):
            reason = f"{alone.reason} {of_all}: {together.verdict}."
            return alone.model_copy(update={"parts": parts, "reason": reason})
        reason = f"{of_all}: {together.reason} This release alone would be {alone.verdict}."
        limit = together.detection_limit and f"{of_all}: {together.detection_limit}"
        return together.model_copy(update={"parts": parts, "reason": reason, "detection_limit": limit})

    def _called(self, exact: bool) -> str:
        n_all, n_searched = self.every.synthetic.n_rows, self.searched.synthetic.n_rows
        of = f"all {self.n_releases} published releases together"
        return of if exact or n_searched == n_all else f"{of} ({n_searched:,} of {n_all:,} rows)"


def _worst_first(parts: list[TestPart]) -> tuple[TestPart, ...]:
    return tuple(sorted(parts, key=lambda part: WORST_FIRST.index(part.verdict)))
