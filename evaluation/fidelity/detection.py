"""All columns at once: can a strong classifier tell synthetic rows from holdout rows, and by which columns?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold

from pipeline.seeds import numpy_rng, substream

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Interval, Measurement
from ..metric import Definition, Findings
from ..processes import in_processes
from ..references import shuffled, subsample, uniform
from ..report import Giveaway
from ..statistics import BoolArray, Estimate, FloatArray, IntArray, auc
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
class Game:
    """Rows to be told from holdout rows.

    Attributes:
        rows: as many as there are holdout rows.
        additive: whether the detector is one without interactions of columns.
        weighed: whether to look by which columns it tells them.
        whole: whether all folds are played; otherwise the first alone, which is enough where the end of a scale is
            wanted.

    """

    rows: Frame
    additive: bool = False
    weighed: bool = False
    whole: bool = True


@dataclass(frozen=True)
class Fold:
    """What a classifier says of the rows that it has not seen.

    Attributes:
        auc: how well it tells them.
        importance: by how much its AUC falls when each column is permuted **(n_features,)**, where they are weighed.

    """

    auc: Estimate
    importance: FloatArray | None = None


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
    return _findings(frames, config, n_rows, seed)


def _findings(frames: Frames, config: EvaluationConfig, n_rows: int, seed: int) -> Findings:
    rng = numpy_rng(seed, "detection", "rows")
    holdout, synthetic, train = (subsample(f, n_rows, rng) for f in (frames.holdout, frames.synthetic, frames.train))
    independent = shuffled(train, rng)
    even = uniform(frames.train, n_rows, numpy_rng(seed, "detection", "even"))
    games = [Game(synthetic, weighed=True), Game(train), Game(independent, whole=False)]
    games += [Game(synthetic, additive=True), Game(train, additive=True), Game(even, additive=True, whole=False)]
    played = cross_fit(games, holdout, config.detection_folds, seed, n_rows=frames.n_rows)
    whole, *ends, marginal, train_marginal, even_marginal = map(mean_auc, played)
    ceiling, floor, marginal_ceiling, marginal_floor = (end.value for end in (*ends, train_marginal, even_marginal))
    # the shuffled rows have train's marginals, so that the additive detector does on them as on train's
    of_dependence = ceiling - marginal_ceiling, floor - marginal_ceiling
    measurements = (
        _measured(C2ST, whole, (ceiling, floor), n_rows, (0.0, 1.0)),
        _measured(C2ST_MARGINAL, marginal, (marginal_ceiling, marginal_floor), n_rows, (0.0, 1.0)),
        _measured(C2ST_DEPENDENCE, whole - marginal, of_dependence, n_rows, (-1.0, 1.0)),
    )
    return Findings(measurements, giveaways=_giveaways(played[0], frames))


def _measured(
    definition: Definition, value: Estimate, ends: tuple[float, float], n_rows: int, limits: Interval
) -> Measurement:
    (ceiling, floor), interval = ends, value.interval(*limits)
    return definition.measured(value.value, n_rows=n_rows, interval=interval, ceiling=ceiling, floor=floor)


def cross_fit(games: Sequence[Game], holdout: Frame, n_folds: int, seed: int, *, n_rows: int) -> list[list[Fold]]:
    """Fit one classifier per fold of each game on the rows of the others, and try it on those of the fold.

    Args:
        games: the rows to be told.
        holdout: the original rows.
        n_folds: folds of each whole game.
        seed: of folds, classifiers and permutations.
        n_rows: rows of the largest evaluated table.
    """
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=substream(seed, "detection", "folds") % (1 << 32))
    labels = np.arange(2 * holdout.n_rows) < holdout.n_rows
    parts = list(splitter.split(labels, labels))
    played = [parts if game.whole else parts[:1] for game in games]
    rounds = ((game, *part) for game, own in zip(games, played, strict=True) for part in own)
    folds = iter(in_processes(partial(_fold, holdout, seed), rounds, n_rows=n_rows))
    return [[next(folds) for _ in own] for own in played]


def _fold(holdout: Frame, seed: int, game_round: tuple[Game, IntArray, IntArray]) -> Fold:
    game, fit, held = game_round
    rows = np.concatenate([matrix(game.rows), matrix(holdout)])
    labels = np.arange(len(rows)) < game.rows.n_rows
    classifier = boosted_classifier(holdout, 2, substream(seed, "detection", "classifier"))
    model = fitted(classifier.set_params(**(ADDITIVE if game.additive else {})), rows[fit], labels[fit])
    importance = _importance(model, rows[held], labels[held], seed) if game.weighed else None
    return Fold(auc(model.predict_proba(rows[held])[:, 1], labels[held]), importance)


def mean_auc(folds: Sequence[Fold]) -> Estimate:
    """Return the mean AUC over folds, which share no held-out row; scores of different classifiers are never pooled."""
    influence = np.concatenate([fold.auc.influence for fold in folds]) / len(folds)
    return Estimate(float(np.mean([fold.auc.value for fold in folds])), influence)


def _giveaways(folds: Sequence[Fold], frames: Frames) -> tuple[Giveaway, ...]:
    """Return the columns whose permutation costs the detector most (Breiman 2001, doi:10.1023/A:1010933404324)."""
    importance = np.mean([fold.importance for fold in folds if fold.importance is not None], axis=0)
    strongest = [int(i) for i in np.argsort(-importance, kind="stable")[:MAX_GIVEAWAYS] if importance[i] > 0]
    return tuple(Giveaway(column=frames.features[i].name, importance=float(importance[i])) for i in strongest)


def _importance(model: HistGradientBoostingClassifier, rows: FloatArray, synthetic: BoolArray, seed: int) -> FloatArray:
    """Return by how much the AUC falls when each column is permuted."""
    rng = numpy_rng(seed, "detection", "permutation")
    chosen = rng.permutation(len(rows))[:PROBED_ROWS]
    probe, labels = rows[chosen], synthetic[chosen]

    def without(column: int) -> float:
        permuted = probe.copy()
        permuted[:, column] = rng.permutation(probe[:, column])
        return auc(model.predict_proba(permuted)[:, 1], labels).value

    whole = auc(model.predict_proba(probe)[:, 1], labels).value
    return np.array([whole - np.mean([without(i) for _ in range(N_REPEATS)]) for i in range(rows.shape[1])])
