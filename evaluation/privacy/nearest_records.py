"""Does the synthetic table hold more about the train rows than about other rows of the same population?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames, Role
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..statistics import Estimate, IntArray, clustered, mean
from .copies import COPIES, COPIES_P, exact_copies, row_keys
from .neighbours import Points, Space, nearest

DCR = Definition(
    "dcr_share",
    "privacy",
    0.5,
    1.0,
    "share of synthetic rows nearer to train than to holdout, equal in size; ties half",
)
NNDR = Definition("nndr", "privacy", 1.0, 0.0, "distance to the nearest train row over that to the second nearest")
ALL = (DCR, NNDR, COPIES, COPIES_P)

MIN_HOLDOUT = 500
MIN_AT_RISK = 200
MIN_QUERIES = 100
FLOOR_QUERIES = 1_000


def measure_privacy(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure nearest-record and exact-copy statistics, train against an equal number of holdout rows.

    Ceilings: what the same synthetic rows show towards holdout rows, which the generator never saw. Floors: rows copied
    from train. Combinations that occur on both sides, such as common records, point to nobody and never count.

    These are overfitting checks, not a proof of privacy: a few copied rows among many move them too little to be seen.
    """
    reason = _reason(frames)
    if reason:
        return Findings(tuple(definition.unmeasured(reason) for definition in ALL))
    keys = row_keys(frames)
    return Findings((*_nearest_records(frames, keys, config, seed), *exact_copies(frames, keys, config, seed)))


def _reason(frames: Frames) -> str | None:
    if not frames.features:
        return "no column is modelled"
    if not frames.synthetic.n_rows:
        return "the synthetic table has no row"
    smaller = min(frames.holdout.n_rows, frames.train.n_rows)
    return f"not testable with {smaller} rows; {MIN_HOLDOUT} are needed on each side" if smaller < MIN_HOLDOUT else None


@dataclass(frozen=True)
class Located:
    """Rows placed for the mixed distance, with the number of each one's combination of cells."""

    points: Points
    keys: IntArray

    def but(self, keys: IntArray) -> Points:
        """Return the rows whose combination is none of `keys`."""
        return self.points.take(np.flatnonzero(~np.isin(self.keys, keys)))


@dataclass(frozen=True)
class References:
    """Train and holdout rows drawn in equal numbers, one per combination, and the combinations that both sides have."""

    train: Located
    holdout: Located

    @property
    def common(self) -> IntArray:
        """The combinations that occur on both sides."""
        return np.intersect1d(self.train.keys, self.holdout.keys)

    def n_at_risk(self) -> int:
        """Return how many records of the poorer side the other side lacks."""
        return min(len(self.train.keys), len(self.holdout.keys)) - len(self.common)


@dataclass(frozen=True)
class Nearness:
    """What a set of queries shows towards one pair of references."""

    share: Estimate
    train_ratio: Estimate
    holdout_ratio: Estimate
    n_queries: int


def _nearest_records(
    frames: Frames, keys: dict[Role, IntArray], config: EvaluationConfig, seed: int
) -> tuple[Measurement, Measurement]:
    rng = numpy_rng(seed, "privacy", "rows")
    space = Space(frames.train.join(frames.holdout))
    references = _references(frames, keys, space, config, rng)
    drawn = rng.permutation(frames.synthetic.n_rows)[: config.privacy_queries]
    queries = _located(space, frames.synthetic, keys["synthetic"], drawn)
    copies = _located(space, frames.train, keys["train"], rng.integers(frames.train.n_rows, size=FLOOR_QUERIES))
    found = [_nearness(space, queries, pair) for pair in references]
    floor = [_nearness(space, copies, pair) for pair in references]
    known, copied = [x for x in found if x], [x for x in floor if x]
    if len(known) < len(references) or len(copied) < len(references):
        reason = f"fewer than {MIN_AT_RISK} records, or {MIN_QUERIES} synthetic rows, are not common to both sides"
        return DCR.unmeasured(reason), NNDR.unmeasured(reason)
    return _dcr(known, copied), _nndr(known, copied)


def _dcr(found: list[Nearness], floor: list[Nearness]) -> Measurement:
    share = [nearness.share for nearness in found]
    return DCR.measured(
        _value(share),
        n_rows=min(nearness.n_queries for nearness in found),
        interval=_interval(share),
        ceiling=0.5,
        floor=_value([nearness.share for nearness in floor]),
    )


def _nndr(found: list[Nearness], floor: list[Nearness]) -> Measurement:
    ratio = [nearness.train_ratio for nearness in found]
    return NNDR.measured(
        _value(ratio),
        n_rows=min(nearness.n_queries for nearness in found),
        interval=_interval(ratio),
        ceiling=_value([nearness.holdout_ratio for nearness in found]),
        floor=_value([nearness.train_ratio for nearness in floor]),
    )


def _references(
    frames: Frames, keys: dict[Role, IntArray], space: Space, config: EvaluationConfig, rng: np.random.Generator
) -> list[References]:
    """Draw disjoint train subsets, each as large as the one set of holdout rows, so that neither side is denser."""
    n_rows = min(frames.train.n_rows, frames.holdout.n_rows, config.privacy_references)
    n_subsets = min(config.privacy_subsets, frames.train.n_rows // n_rows)
    chosen = rng.permutation(frames.holdout.n_rows)[:n_rows]
    subsets = rng.permutation(frames.train.n_rows)[: n_subsets * n_rows].reshape(n_subsets, n_rows)
    holdout = _located(space, frames.holdout, keys["holdout"], _distinct(keys["holdout"], chosen))
    return [
        References(_located(space, frames.train, keys["train"], _distinct(keys["train"], subset)), holdout)
        for subset in subsets
    ]


def _distinct(keys: IntArray, rows: IntArray) -> IntArray:
    """Return one of `rows` for every key."""
    return rows[np.unique(keys[rows], return_index=True)[1]]


def _located(space: Space, frame: Frame, keys: IntArray, rows: IntArray) -> Located:
    return Located(space.place(frame.take(rows)), keys[rows])


def _nearness(space: Space, queries: Located, references: References) -> Nearness | None:
    """Compare the nearest rows of either side, or return None where there are too few.

    Combinations common to both sides count neither as queries nor as references. Queries that share a nearest row are
    not independent.
    """
    common = references.common
    asked = queries.but(common)
    if references.n_at_risk() < MIN_AT_RISK or len(asked) < MIN_QUERIES:
        return None
    train = nearest(space, asked, references.train.but(common))
    holdout = nearest(space, asked, references.holdout.but(common))
    nearer = np.where(train.first == holdout.first, 0.5, train.first < holdout.first)
    cluster = np.where(train.first <= holdout.first, train.row, len(references.train.keys) + holdout.row)
    return Nearness(clustered(nearer, cluster), mean(train.ratio()), mean(holdout.ratio()), len(asked))


def _value(estimates: list[Estimate]) -> float:
    return float(np.mean([estimate.value for estimate in estimates]))


def _interval(estimates: list[Estimate]) -> tuple[float, float]:
    """Return the mean interval over subsets: they share the holdout rows, so more of them narrow nothing."""
    low, high = np.mean([estimate.interval(0.0, 1.0) for estimate in estimates], axis=0)
    return float(low), float(high)
