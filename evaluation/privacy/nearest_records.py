"""Does the synthetic table hold more about the train rows than about other rows of the same population?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames, Role
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..statistics import BoolArray, Estimate, FloatArray, IntArray, clustered, mean
from .boxes import Boxes
from .copies import COPIES, COPIES_P, exact_copies, row_keys
from .index import Index
from .neighbours import Nearest, Neighbours, k_nearest, two_nearest
from .space import Points, Space

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
SPARE = 8
"""Nearest holdout rows that are searched for all pairs of references at once: mostly, two of them count for a pair."""
FLOOR_QUERIES = 1_000
MOST_COMPARED, MIN_AFFORDED = 2 * 10**10, 1_000
"""Pairs of cells between queries and references: some ten seconds of one core where no box can be passed over."""
TOO_COMMON = f"fewer than {MIN_AT_RISK} records, or {MIN_QUERIES} synthetic rows, are not common to both sides"


def measure_nearest_records(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure nearest-record and exact-copy statistics, train against an equal number of holdout rows.

    Ceilings: what the same synthetic rows show towards holdout rows, which the generator never saw. Floors: rows copied
    from train. Combinations that occur on both sides, such as common records, point to nobody and never count.

    These are overfitting checks, not a proof of privacy: a few copied rows among many move them too little to be seen.
    """
    return measure_searched(frames, search(frames, config, seed=seed), config, seed=seed)


def measure_searched(frames: Frames, searched: Searched, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure the same from a search that has been made already."""
    reason = why_untestable(frames)
    if reason:
        return Findings(tuple(definition.unmeasured(reason) for definition in ALL))
    return Findings((*_nearest_records(searched), *exact_copies(frames, row_keys(frames), config, seed)))


def why_untestable(frames: Frames) -> str:
    """Return why the tables cannot be tested against holdout rows at all, or nothing."""
    if not frames.features:
        return "no column is modelled"
    if not frames.synthetic.n_rows:
        return "the synthetic table has no row"
    smaller = min(frames.holdout.n_rows, frames.train.n_rows)
    return f"not testable with {smaller} rows; {MIN_HOLDOUT} are needed on each side" if smaller < MIN_HOLDOUT else ""


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
    """What a set of queries shows towards one pair of references.

    Attributes:
        train, holdout: the nearest rows of either side.
        n_train, n_holdout: how many rows either side has.
        holdout_to_train: distances of holdout rows to the nearest train row: what honest rows show.

    """

    train: Nearest
    holdout: Nearest
    n_train: int
    n_holdout: int
    holdout_to_train: FloatArray

    @property
    def n_queries(self) -> int:
        """How many rows asked."""
        return len(self.train.first)

    def nearer_to_train(self) -> FloatArray:
        """Return 1 for each query that train is nearer to, 0 for holdout, one half for a tie."""
        return np.where(self.train.first == self.holdout.first, 0.5, self.train.first < self.holdout.first)

    def share(self, chosen: BoolArray | None = None) -> Estimate:
        """Return the share of the chosen queries nearer to train; those with one nearest row are not independent."""
        cluster = np.where(self.train.first <= self.holdout.first, self.train.row, self.n_train + self.holdout.row)
        every = np.ones(self.n_queries, dtype=np.bool_) if chosen is None else chosen
        return clustered(self.nearer_to_train()[every], cluster[every])


@dataclass(frozen=True)
class Searched:
    """The nearest rows of synthetic rows, and of copies of train, for each pair of references.

    An entry is None where too few records or queries are not common to both sides.
    """

    synthetic: list[Nearness | None]
    copies: list[Nearness | None]


def search(frames: Frames, config: EvaluationConfig, *, seed: int) -> Searched:
    """Search the nearest rows on either side; of untestable tables, nothing."""
    if why_untestable(frames):
        return Searched([], [])
    rng, keys = numpy_rng(seed, "privacy", "rows"), row_keys(frames)
    space = Space(frames.train.join(frames.holdout))
    references = _references(frames, keys, space, rng)
    most = config.privacy.queries if config.privacy.index else _affordable(references)
    drawn = rng.permutation(frames.synthetic.n_rows)[: min(config.privacy.queries, most)]
    queries = _located(space, frames.synthetic, keys["synthetic"], drawn)
    copies = _located(space, frames.train, keys["train"], rng.integers(frames.train.n_rows, size=FLOOR_QUERIES))
    # All pairs have the holdout rows in common, so that these are searched once.
    of_copies = k_nearest(space, copies.points, references[0].holdout.points, SPARE)
    of_queries = None if config.privacy.index else k_nearest(space, queries.points, references[0].holdout.points, SPARE)
    found = Searched([], [])
    for each in references:
        pair = _Pair(space, each) if each.n_at_risk() >= MIN_AT_RISK else None
        found.synthetic.append(pair.nearness(queries, of_queries) if pair else None)
        found.copies.append(pair.nearness(copies, of_copies) if pair else None)
    return found


def _affordable(references: list[References]) -> int:
    """Return how many queries to search: in large tables fewer, for the references are never thinned."""
    pair = references[0]
    n_references = len(pair.holdout.keys) + sum(len(each.train.keys) for each in references)
    return max(MIN_AFFORDED, MOST_COMPARED // (n_references * pair.holdout.points.n_columns))


def _nearest_records(searched: Searched) -> tuple[Measurement, Measurement]:
    known, copied = [x for x in searched.synthetic if x], [x for x in searched.copies if x]
    if len(known) < len(searched.synthetic) or len(copied) < len(searched.copies):
        return DCR.unmeasured(TOO_COMMON), NNDR.unmeasured(TOO_COMMON)
    return _dcr(known, copied), _nndr(known, copied)


def _dcr(found: list[Nearness], floor: list[Nearness]) -> Measurement:
    share = [nearness.share() for nearness in found]
    return DCR.measured(
        _value(share),
        n_rows=min(nearness.n_queries for nearness in found),
        interval=_interval(share),
        ceiling=0.5,
        floor=_value([nearness.share() for nearness in floor]),
    )


def _nndr(found: list[Nearness], floor: list[Nearness]) -> Measurement:
    ratio = [mean(nearness.train.ratio()) for nearness in found]
    return NNDR.measured(
        _value(ratio),
        n_rows=min(nearness.n_queries for nearness in found),
        interval=_interval(ratio),
        ceiling=_value([mean(nearness.holdout.ratio()) for nearness in found]),
        floor=_value([mean(nearness.train.ratio()) for nearness in floor]),
    )


def _references(frames: Frames, keys: dict[Role, IntArray], space: Space, rng: np.random.Generator) -> list[References]:
    """Cut train into parts as large as holdout, so that neither side is denser; every row of both is a reference.

    Where holdout is the larger table, a part of it as large as train is drawn. The last part of train is filled up with
    rows of the others.
    """
    n_rows = min(frames.train.n_rows, frames.holdout.n_rows)
    chosen = rng.permutation(frames.holdout.n_rows)[:n_rows]
    shuffled = rng.permutation(frames.train.n_rows)
    subsets = np.resize(shuffled, (-(-len(shuffled) // n_rows), n_rows))
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


class _Pair:
    """One pair of references, without the combinations that both sides have: they point to nobody."""

    def __init__(self, space: Space, references: References) -> None:
        self._space, self._holdout, self._common = space, references.holdout, references.common
        self._kept = np.flatnonzero(~np.isin(references.holdout.keys, self._common))
        self._train = Boxes(space, references.train.but(self._common))
        sampled = self._kept[np.linspace(0, len(self._kept) - 1, min(len(self._kept), FLOOR_QUERIES)).astype(np.int64)]
        self._holdout_to_train = self._train.nearest(references.holdout.points.take(sampled), 1)[0][:, 0]

    def nearness(self, queries: Located, holdout: Neighbours | None) -> Nearness | None:
        """Compare the nearest rows of either side, or return None where too few queries are not common to both.

        Queries that share a nearest row are not independent. Where `holdout`, the nearest of all holdout rows, is not
        given, an index searches both sides.
        """
        asking = np.flatnonzero(~np.isin(queries.keys, self._common))
        if len(asking) < MIN_QUERIES:
            return None
        asked = queries.points.take(asking)
        if holdout is None:
            sides = self._train.references, self._counting()
            near = Index(self._space, sides[0]).nearest(asked), Index(self._space, sides[1]).nearest(asked)
        else:
            near = two_nearest(self._train, asked), self._but_common(asked, holdout.take(asking))
        return Nearness(*near, len(self._train.references), len(self._kept), self._holdout_to_train.astype(np.float64))

    def _counting(self) -> Points:
        """Return the holdout rows that count."""
        return self._holdout.points.take(self._kept)

    def _but_common(self, asked: Points, found: Neighbours) -> Nearest:
        """Return the two nearest holdout rows that count: of those found if two are among them, else searched again."""
        place = np.full(len(self._holdout.keys), -1)
        place[self._kept] = np.arange(len(self._kept))
        rows = place[found.rows]
        two = np.argsort(rows < 0, axis=1, kind="stable")[:, :2]
        distances, rows = np.take_along_axis(found.distances, two, axis=1), np.take_along_axis(rows, two, axis=1)
        again = np.flatnonzero((rows < 0).any(axis=1))
        if len(again):
            counting = Boxes(self._space, self._counting())
            distances[again], rows[again] = counting.nearest(asked.take(again), 2)
        return Nearest(distances[:, 0], distances[:, 1], rows[:, 0])


def _value(estimates: list[Estimate]) -> float:
    return float(np.mean([estimate.value for estimate in estimates]))


def _interval(estimates: list[Estimate]) -> tuple[float, float]:
    """Return the mean interval over subsets: they share the holdout rows, so more of them narrow nothing."""
    low, high = np.mean([estimate.interval(0.0, 1.0) for estimate in estimates], axis=0)
    return float(low), float(high)
