"""All columns at once: can a strong classifier tell synthetic rows from holdout rows, and by which columns?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from pipeline.seeds import numpy_rng, substream

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Interval, Measurement
from ..metric import Definition, Findings
from ..references import shuffled, subsample, uniform
from ..report import Giveaway
from ..statistics import BoolArray, Estimate, FloatArray, IntArray, auc
from ..threads import in_threads, one_thread
from ..utility.learners import boosted_classifier, fitted, matrix

C2ST = Definition(
    "c2st_auc", "detection", 0.5, 1.0, "Lopez-Paz and Oquab 2017, arXiv:1610.06545; interval by DeLong, 10.2307/2531595"
)

C2ST_MARGINAL = Definition(
    "c2st_marginal_auc", "detection", 0.5, 1.0, "the same detector as a sum over columns (Hastie and Tibshirani 1986)"
)
C2ST_DEPENDENCE = Definition(
    "c2st_dependence_gain", "detection", 0.0, 0.5, "c2st_auc - c2st_marginal_auc on the same rows and folds; DeLong"
)
ALL = (C2ST, C2ST_MARGINAL, C2ST_DEPENDENCE)

MIN_ROWS = 100
ADDITIVE = {"interaction_cst": "no_interactions", "max_leaf_nodes": 8}
"""Every tree splits on one column only; more leaves would cost time and gain little."""
PROBED_ROWS = 2_000
N_REPEATS = 2
MAX_GIVEAWAYS = 10


@dataclass(frozen=True)
class Fold:
    """A classifier and the rows it has not seen."""

    model: HistGradientBoostingClassifier
    rows: FloatArray
    synthetic: BoolArray

    def auc(self) -> Estimate:
        """Return the AUC on those rows."""
        return auc(self.model.predict_proba(self.rows)[:, 1], self.synthetic)


def measure_detection(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure the out-of-fold AUC of boosted trees, synthetic against holdout rows in equal numbers, and its two parts.

    The part of the marginals is the AUC of the same detector whose every tree sees one column: a sum over columns,
    which has AUC 0.5 if and only if every column has the right distribution. What interactions add is the part of the
    dependence. (To shuffle the columns of both tables instead would count a shift again in every column that follows
    it, and may exceed the whole.)

    Ceiling: train rows in place of the synthetic ones. Floor: train rows with every column shuffled on its own; for the
    marginals, cells drawn evenly over the column's levels or range.
    """
    n_rows = min(config.detection_rows, frames.synthetic.n_rows, frames.holdout.n_rows, frames.train.n_rows)
    if not frames.features or n_rows < MIN_ROWS:
        reason = "no column is modelled" if not frames.features else f"fewer than {MIN_ROWS} rows in a table"
        return Findings(tuple(definition.unmeasured(reason) for definition in ALL))
    with one_thread():
        return _findings(frames, config, n_rows, seed)


def _findings(frames: Frames, config: EvaluationConfig, n_rows: int, seed: int) -> Findings:
    rng = numpy_rng(seed, "detection", "rows")
    holdout, synthetic, train = (subsample(f, n_rows, rng) for f in (frames.holdout, frames.synthetic, frames.train))
    floor = shuffled(train, rng)
    even = uniform(frames.train, n_rows, numpy_rng(seed, "detection", "even"))
    folds = cross_fit(synthetic, holdout, config.detection_folds, seed)
    whole, whole_ceiling = mean_auc(folds), mean_auc(cross_fit(train, holdout, config.detection_folds, seed))
    whole_floor = mean_auc(cross_fit(floor, holdout, config.detection_folds, seed))
    marginal, marginal_ceiling, marginal_floor = (
        mean_auc(cross_fit(frame, holdout, config.detection_folds, seed, additive=True))
        for frame in (synthetic, train, even)
    )
    measurements = (
        _measured(C2ST, (whole, whole_ceiling, whole_floor), n_rows, (0.0, 1.0)),
        _measured(C2ST_MARGINAL, (marginal, marginal_ceiling, marginal_floor), n_rows, (0.0, 1.0)),
        _measured(
            C2ST_DEPENDENCE,
            # the shuffled rows have train's marginals, so that the additive detector does on them as on train's
            (whole - marginal, whole_ceiling - marginal_ceiling, whole_floor - marginal_ceiling),
            n_rows,
            (-1.0, 1.0),
        ),
    )
    return Findings(measurements, giveaways=_giveaways(folds, frames, seed))


def _measured(
    definition: Definition, found: tuple[Estimate, Estimate, Estimate], n_rows: int, limits: Interval
) -> Measurement:
    value, ceiling, floor = found
    interval = value.interval(*limits)
    return definition.measured(value.value, n_rows=n_rows, interval=interval, ceiling=ceiling.value, floor=floor.value)


def cross_fit(synthetic: Frame, holdout: Frame, n_folds: int, seed: int, *, additive: bool = False) -> list[Fold]:
    """Fit one classifier per fold on the rows of the others; an additive one has no interaction of columns."""
    rows = np.concatenate([matrix(synthetic), matrix(holdout)])
    labels = np.arange(len(rows)) < synthetic.n_rows
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=substream(seed, "detection", "folds") % (1 << 32))
    classifier = boosted_classifier(holdout, 2, substream(seed, "detection", "classifier"))
    settings = ADDITIVE if additive else {}

    def fold(parts: tuple[IntArray, IntArray]) -> Fold:
        fit, held = parts
        with one_thread():  # the setting is each thread's own
            model = fitted(clone(classifier).set_params(**settings), rows[fit], labels[fit])
        return Fold(model, rows[held], labels[held])

    return in_threads(fold, splitter.split(rows, labels))


def mean_auc(folds: list[Fold]) -> Estimate:
    """Return the mean AUC over folds, which share no held-out row; scores of different classifiers are never pooled."""
    estimates = [fold.auc() for fold in folds]
    influence = np.concatenate([estimate.influence for estimate in estimates]) / len(folds)
    return Estimate(float(np.mean([estimate.value for estimate in estimates])), influence)


def _giveaways(folds: list[Fold], frames: Frames, seed: int) -> tuple[Giveaway, ...]:
    """Return the columns whose permutation costs the detector most (Breiman 2001, doi:10.1023/A:1010933404324)."""
    rng = numpy_rng(seed, "detection", "permutation")
    importance = np.mean([_importance(fold, rng) for fold in folds], axis=0)
    strongest = [int(i) for i in np.argsort(-importance, kind="stable")[:MAX_GIVEAWAYS] if importance[i] > 0]
    return tuple(Giveaway(column=frames.features[i].name, importance=float(importance[i])) for i in strongest)


def _importance(fold: Fold, rng: np.random.Generator) -> FloatArray:
    """Return by how much the AUC falls when each column is permuted."""
    chosen = rng.permutation(len(fold.rows))[:PROBED_ROWS]
    probe = Fold(fold.model, fold.rows[chosen], fold.synthetic[chosen])
    permuted = [[_auc_without(probe, i, rng) for _ in range(N_REPEATS)] for i in range(fold.rows.shape[1])]
    return np.asarray(probe.auc().value - np.mean(permuted, axis=1))


def _auc_without(fold: Fold, column: int, rng: np.random.Generator) -> float:
    rows = fold.rows.copy()
    rows[:, column] = rng.permutation(rows[:, column])
    return Fold(fold.model, rows, fold.synthetic).auc().value
