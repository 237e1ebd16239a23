"""All columns at once: can a strong classifier tell synthetic rows from holdout rows, and by which columns?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from pipeline.seeds import numpy_rng, substream

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..metric import Definition, Findings
from ..references import shuffled, subsample
from ..report import Giveaway
from ..statistics import BoolArray, Estimate, FloatArray, auc
from ..threads import one_thread
from ..utility.learners import boosted_classifier, fitted, matrix

C2ST = Definition(
    "c2st_auc", "detection", 0.5, 1.0, "Lopez-Paz and Oquab 2017, arXiv:1610.06545; interval by DeLong, 10.2307/2531595"
)

MIN_ROWS = 100
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
    """Measure the out-of-fold AUC of boosted trees, synthetic against holdout rows in equal numbers.

    Ceiling: train rows in place of the synthetic ones. Floor: train rows with every column shuffled on its own.
    """
    n_rows = min(config.detection_rows, frames.synthetic.n_rows, frames.holdout.n_rows, frames.train.n_rows)
    if not frames.features or n_rows < MIN_ROWS:
        reason = "no column is modelled" if not frames.features else f"fewer than {MIN_ROWS} rows in a table"
        return Findings((C2ST.unmeasured(reason),))
    with one_thread():
        return _findings(frames, config, n_rows, seed)


def _findings(frames: Frames, config: EvaluationConfig, n_rows: int, seed: int) -> Findings:
    rng = numpy_rng(seed, "detection", "rows")
    holdout, synthetic, train = (subsample(f, n_rows, rng) for f in (frames.holdout, frames.synthetic, frames.train))
    folds = cross_fit(synthetic, holdout, config.detection_folds, seed)
    value = mean_auc(folds)
    measured = C2ST.measured(
        value.value,
        n_rows=n_rows,
        interval=value.interval(0.0, 1.0),
        ceiling=mean_auc(cross_fit(train, holdout, config.detection_folds, seed)).value,
        floor=mean_auc(cross_fit(shuffled(train, rng), holdout, config.detection_folds, seed)).value,
    )
    return Findings((measured,), giveaways=_giveaways(folds, frames, seed))


def cross_fit(synthetic: Frame, holdout: Frame, n_folds: int, seed: int) -> list[Fold]:
    """Fit one classifier per fold on the rows of the others."""
    rows = np.concatenate([matrix(synthetic), matrix(holdout)])
    labels = np.arange(len(rows)) < synthetic.n_rows
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=substream(seed, "detection", "folds") % (1 << 32))
    classifier_seed = substream(seed, "detection", "classifier")
    return [
        Fold(fitted(boosted_classifier(holdout, 2, classifier_seed), rows[fit], labels[fit]), rows[held], labels[held])
        for fit, held in splitter.split(rows, labels)
    ]


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
