"""All columns at once, without a classifier: clouds of points, three-way tables, and the worth in real rows."""

from __future__ import annotations

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Measurement
from ..metric import Definition, Findings
from ..references import at_size, shuffled, subsample
from ..statistics import Estimate, FloatArray
from ..threads import one_thread
from .embedding import Embedding
from .frechet import frechet_distance
from .manifold import Manifolds
from .triples import Coarse, LearningCurve, draw_triples, triple_error

SPACE = "mid-ranks and level indicators, each column of variance 1, on train's principal axes"
FRECHET = Definition(
    "frechet_distance", "joint", 0.0, 1.0, f"Dowson and Landau 1982, over train's spread; space: {SPACE}"
)
PRECISION = Definition(
    "knn_precision", "joint", 1.0, 0.0, f"Kynkäänniemi et al. 2019, arXiv:1904.06991, k = 5; space: {SPACE}"
)
RECALL = Definition(
    "knn_recall", "joint", 1.0, 0.0, f"Kynkäänniemi et al. 2019, arXiv:1904.06991, k = 5; space: {SPACE}"
)
DENSITY = Definition(
    "density", "joint", 1.0, 0.0, f"Naeem et al. 2020, arXiv:2002.09797, k = 5, cut at 1; space: {SPACE}"
)
COVERAGE = Definition("coverage", "joint", 1.0, 0.0, f"Naeem et al. 2020, arXiv:2002.09797, k = 5; space: {SPACE}")
ALPHA = Definition("alpha_precision", "joint", 1.0, 0.0, f"Alaa et al. 2022, arXiv:2102.08921; space: {SPACE}")
BETA = Definition("beta_recall", "joint", 1.0, 0.0, f"Alaa et al. 2022, arXiv:2102.08921; space: {SPACE}")
THREE_WAY = Definition(
    "three_way_error", "joint", 0.0, 1.0, "mean total variation over triples of columns; 8 quantile bins, 15 levels"
)
REAL_SHARE = Definition(
    "equivalent_real_share",
    "joint",
    1.0,
    0.0,
    "rows of train, over all of them, whose three-way error to holdout is the synthetic table's",
)
OF_POINTS = (FRECHET, PRECISION, RECALL, DENSITY, COVERAGE, ALPHA, BETA)
OF_TRIPLES = (THREE_WAY, REAL_SHARE)

MOMENT_ROWS = 50_000
"""Means and covariances change by less than 1 % beyond."""
MANIFOLD_ROWS = 4_000
"""Neighbourhoods are compared over equally many rows of each table, and their scores depend on how many."""
MIN_ROWS = 50
N_TRIPLES = 120
NO_SPREAD = "the rows of train are all alike"

Clouds = dict[str, FloatArray]


def measure_joint(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure the joint distribution against train's.

    Clouds of points: the Fréchet distance, precision and recall, density and coverage, alpha-precision and beta-recall.
    Three-way tables: their mean error, and how large a random part of train has the same error to holdout. Ceiling:
    holdout rows. Floor: train with every column shuffled on its own. Where all rows of train are alike, neither clouds
    of points nor parts of train can be compared.
    """
    del config
    smallest = min(frames.train.n_rows, frames.holdout.n_rows, frames.synthetic.n_rows)
    if not frames.features or smallest < MIN_ROWS:
        reason = "no column is modelled" if not frames.features else f"fewer than {MIN_ROWS} rows in a table"
        return Findings(tuple(definition.unmeasured(reason) for definition in (*OF_POINTS, *OF_TRIPLES)))
    floor = shuffled(frames.train, numpy_rng(seed, "joint", "floor"))
    with one_thread():
        return Findings((*_of_points(frames, floor, seed), *_of_triples(frames, floor, seed)))


def _of_points(frames: Frames, floor: Frame, seed: int) -> tuple[Measurement, ...]:
    rng = numpy_rng(seed, "joint", "rows")
    tables = {"train": frames.train, "synthetic": frames.synthetic, "holdout": frames.holdout, "floor": floor}
    drawn = {role: subsample(frame, MOMENT_ROWS, rng) for role, frame in tables.items()}
    embedding = Embedding.of(drawn["train"])
    clouds = {role: embedding.place(frame) for role, frame in drawn.items()}
    if not np.ptp(clouds["train"], axis=0).any():
        return tuple(definition.unmeasured(NO_SPREAD) for definition in OF_POINTS)
    return (_frechet(frames, clouds), *_manifolds(clouds, rng))


def _frechet(frames: Frames, clouds: Clouds) -> Measurement:
    value, ceiling, worst = (frechet_distance(clouds[r], clouds["train"]) for r in ("synthetic", "holdout", "floor"))
    return FRECHET.measured(
        value.value,
        n_rows=len(clouds["synthetic"]),
        interval=value.interval(0.0),
        ceiling=_same_sized(ceiling.value, frames),
        floor=worst.value,
    )


def _scores(manifolds: Manifolds) -> dict[Definition, Estimate]:
    return {
        PRECISION: manifolds.precision(),
        RECALL: manifolds.recall(),
        DENSITY: manifolds.density(),
        COVERAGE: manifolds.coverage(),
        ALPHA: manifolds.alpha_precision(),
        BETA: manifolds.beta_recall(),
    }


def _cut(number: float) -> float:
    return min(1.0, max(0.0, number))


def _manifolds(clouds: Clouds, rng: np.random.Generator) -> list[Measurement]:
    n_rows = min(MANIFOLD_ROWS, *(len(points) for points in clouds.values()))
    chosen = {role: _rows(points, n_rows, rng) for role, points in clouds.items()}
    roles = ("synthetic", "holdout", "floor")
    found, ceiling, floor = (_scores(Manifolds.of(chosen["train"], chosen[role])) for role in roles)
    return [_score(definition, (found, ceiling, floor), n_rows) for definition in found]


def _score(definition: Definition, scores: tuple[dict[Definition, Estimate], ...], n_rows: int) -> Measurement:
    found, ceiling, floor = (each[definition] for each in scores)
    low, high = found.interval()
    return definition.measured(
        _cut(found.value),
        n_rows=n_rows,
        interval=(_cut(low), _cut(high)),
        ceiling=_cut(ceiling.value),
        floor=_cut(floor.value),
    )


def _rows(points: FloatArray, n_rows: int, rng: np.random.Generator) -> FloatArray:
    return points if len(points) <= n_rows else points[rng.permutation(len(points))[:n_rows]]


def _of_triples(frames: Frames, floor: Frame, seed: int) -> tuple[Measurement, ...]:
    if len(frames.features) < 3:
        reason = "a table of two columns has no triple"
        return tuple(definition.unmeasured(reason, applicable=False) for definition in OF_TRIPLES)
    rng = numpy_rng(seed, "joint", "triples")
    triples = draw_triples(len(frames.features), N_TRIPLES, rng)
    tables = (frames.train, frames.synthetic, frames.holdout, floor)
    train, synthetic, holdout, worst = (Coarse.of(frame, frames.train) for frame in tables)
    value = triple_error(synthetic, train, triples)
    three_way = THREE_WAY.measured(
        value.value,
        n_rows=frames.synthetic.n_rows,
        interval=value.interval(0.0, 1.0),
        ceiling=_same_sized(triple_error(holdout, train, triples).value, frames),
        floor=triple_error(worst, train, triples).value,
    )
    if not np.ptp(train.codes, axis=1).any():
        return three_way, REAL_SHARE.unmeasured(NO_SPREAD)
    curve = LearningCurve.of(train, holdout, triples, rng)
    found, shuffled_error = (triple_error(table, holdout, triples) for table in (synthetic, worst))
    return three_way, _real_share(curve, found, shuffled_error, frames)


def _real_share(curve: LearningCurve, found: Estimate, floor: Estimate, frames: Frames) -> Measurement:
    """Return the share of train that is worth as much; the interval follows the synthetic rows' chance.

    Ceiling: as many real rows as there are synthetic ones.
    """
    n_rows, n_train = frames.synthetic.n_rows, frames.train.n_rows
    own = Estimate(found.value, found.influence[:n_rows])
    value, best, worst = (curve.size_of(error) / n_train for error in (found.value, *own.interval(0.0, 1.0)))
    return REAL_SHARE.measured(
        value,
        n_rows=n_rows,
        interval=(worst, best),
        ceiling=min(1.0, n_rows / n_train),
        floor=curve.size_of(floor.value) / n_train,
    )


def _same_sized(error: float, frames: Frames) -> float:
    n_train, n_holdout, n_rows = (f.n_rows for f in (frames.train, frames.holdout, frames.synthetic))
    return at_size(error, measured_on=n_holdout, n_rows=n_rows, n_train=n_train)
