"""Attacks by models that learn from the synthetic rows: what they know too well is a member's."""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from pipeline.seeds import numpy_rng, substream

from ...features import Frame
from ...references import subsample
from ...statistics import FloatArray, IntArray
from ...threads import one_thread
from ...utility.learners import boosted_classifier, fitted, matrix
from .evidence import Evidence
from .histograms import bins

LEARNING_ROWS = 20_000
CLASSIFIER_ROWS = 5_000
N_PREDICTED = 4
N_CLASSES = 16
N_TREES = 8
N_ROUNDS, LEARNING_RATE = 60, 0.15
"""As much boosting as the judges of utility get, in fewer and longer steps: a third of the time."""


def prediction_error(evidence: Evidence, seed: int) -> FloatArray:
    """Score by how much better fully grown trees learned on synthetic rows predict cells than trees of the reference.

    The predicted columns are those whose levels or bins are spread most evenly: they leave most to guess.

    Source: the error of a model as evidence of membership, Yeom et al. 2018, doi:10.1109/CSF.2018.00027.
    """
    rng = numpy_rng(seed, "prediction_error")
    synthetic, reference = (subsample(f, LEARNING_ROWS, rng) for f in (evidence.synthetic, evidence.reference))
    gains = [
        _certainty(synthetic, evidence, i, seed) - _certainty(reference, evidence, i, seed)
        for i in _least_certain(evidence.reference)
    ]
    return np.asarray(np.sum(gains, axis=0))


def _least_certain(frame: Frame) -> list[int]:
    """Return the columns with the largest entropy over levels or bins."""
    shares = [
        np.bincount(bins(frame, i, frame, N_CLASSES), minlength=N_CLASSES + 1) / frame.n_rows
        for i in range(len(frame.features))
    ]
    entropy = [-float((p[p > 0] * np.log(p[p > 0])).sum()) for p in shares]
    return [int(i) for i in np.argsort(-np.array(entropy), kind="stable")[:N_PREDICTED]]


def _certainty(learned: Frame, evidence: Evidence, index: int, seed: int) -> FloatArray:
    """Return the probability that trees grown on `learned` give to each attacked record's own value."""
    truth = bins(evidence.attacked, index, evidence.reference, N_CLASSES)
    target = bins(learned, index, evidence.reference, N_CLASSES)
    random_state = substream(seed, "prediction_error", str(index)) % (1 << 32)
    trees = ExtraTreesClassifier(N_TREES, random_state=random_state).fit(_filled(learned.without(index)), target)
    scores = np.zeros((len(truth), N_CLASSES + 1))
    scores[:, trees.classes_] = trees.predict_proba(_filled(evidence.attacked.without(index)))
    return np.asarray(scores[np.arange(len(truth)), truth])


def _filled(frame: Frame) -> FloatArray:
    """Return the matrix of a frame with at least one column; missing lies below every number."""
    rows = matrix(frame) if frame.features else np.zeros((frame.n_rows, 1))
    return np.clip(np.nan_to_num(rows, nan=-np.inf, neginf=-1e30), -1e30, 1e30)


def classifier_score(evidence: Evidence, seed: int) -> FloatArray:
    """Score by boosted trees that tell synthetic from reference rows: members look synthetic where it overfitted.

    Source: the black-box attack of Hayes et al. 2019 (LOGAN), sec. 4.2, arXiv:1705.07663.
    """
    rng = numpy_rng(seed, "classifier_score")
    n_rows = min(CLASSIFIER_ROWS, evidence.synthetic.n_rows, evidence.reference.n_rows)
    synthetic, reference = (subsample(f, n_rows, rng) for f in (evidence.synthetic, evidence.reference))
    labels: IntArray = np.repeat([1, 0], n_rows)
    with one_thread():
        model = boosted_classifier(reference, 2, substream(seed, "classifier_score"))
        model.set_params(max_iter=N_ROUNDS, learning_rate=LEARNING_RATE)
        model = fitted(model, np.concatenate([matrix(synthetic), matrix(reference)]), labels)
        return np.asarray(model.predict_proba(matrix(evidence.attacked))[:, 1])
