"""The learners that judge a table: boosted trees and a single tree over native categories, a linear model and a neural
network over indicator columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, QuantileTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from ..features import Frame
from ..statistics import BoolArray, FloatArray, IntArray, standardised
from .tasks import Task

N_ITERATIONS = 200
N_LEVELS = 254
"""Boosting takes at most 255 levels of a category; rarer ones share the last."""
N_INDICATORS = 50
SMALL: dict[str, Any] = {"max_iter": 30, "max_leaf_nodes": 15, "learning_rate": 0.1}
LARGEST_FLOAT32 = 1e38
"""A single tree holds its rows in float32."""
N_HIDDEN = 64
MIN_BATCH, MAX_BATCH = 16, 256
N_UPDATES, MIN_EPOCHS = 640, 5
"""As many steps on a small table as on one of 32,000 rows, where more gained nothing (AUC .914 on Adult)."""

Predictor = Callable[[Frame], FloatArray]
"""From rows to scores **(n_rows, n_classes)** or to predicted quantities **(n_rows,)**."""


@dataclass(frozen=True)
class Learner:
    """A way to learn a target from the other columns.

    Attributes:
        name: what the report calls it.
        classify: from rows, the number of each one's class, the number of classes and a seed to a predictor.
        regress: from rows, quantities and a seed to a predictor.
        knows_chances: whether its scores of classes are probabilities.

    """

    name: str
    classify: Callable[[Frame, IntArray, int, int], Predictor]
    regress: Callable[[Frame, FloatArray, int], Predictor]
    knows_chances: bool = True

    def learn(self, task: Task, role: str, seed: int) -> Predictor:
        """Learn the task from the rows of the table `role`."""
        if task.classes is None:
            return self.regress(task.predictors[role], task.targets[role], seed)
        return self.classify(task.predictors[role], task.labels(role), task.n_classes, seed)


def matrix(frame: Frame, n_levels: int = N_LEVELS) -> FloatArray:
    """Return float64 **(n_rows, n_features)**, NaN for missing; levels from the `n_levels`-th on are one."""
    numbers = [frame.numbers(i) for i in range(len(frame.features))]
    capped = [np.minimum(x, n_levels - 1) if f.categorical else x for x, f in zip(numbers, frame.features, strict=True)]
    return np.array(capped, dtype=np.float64).reshape(len(frame.features), frame.n_rows).T.copy()


def boosted_classifier(frame: Frame, n_classes: int, seed: int) -> HistGradientBoostingClassifier:
    """Return an unfitted boosted classifier for `matrix(frame)`; the number of trees hardly grows with the classes.

    Source: Friedman 2001, doi:10.1214/aos/1013203451; histograms and native categories as in Ke et al. 2017 (LightGBM).
    """
    n_iterations = N_ITERATIONS if n_classes == 2 else max(30, 2 * N_ITERATIONS // n_classes)
    return HistGradientBoostingClassifier(max_iter=n_iterations, **_boosting(frame, seed))


def fitted(model: Any, rows: FloatArray, target: FloatArray | IntArray | BoolArray) -> Any:
    """Fit a boosted model, which cannot bin a column without any number: such a column becomes a constant."""
    return model.fit(np.where(np.isnan(rows).all(axis=0), 0.0, rows), target)


def boosted_classes(train: Frame, target: IntArray, n_classes: int, seed: int) -> Predictor:
    """Learn the probability of every class by boosted trees; 0 for classes that `target` lacks."""
    model = fitted(boosted_classifier(train, len(np.unique(target)), seed), matrix(train), target)
    return lambda rows: _chances(model, matrix(rows), n_classes)


def boosted_quantities(train: Frame, target: FloatArray, seed: int) -> Predictor:
    """Learn a quantity by boosted trees."""
    model = fitted(
        HistGradientBoostingRegressor(max_iter=N_ITERATIONS, **_boosting(train, seed)), matrix(train), target
    )
    return lambda rows: np.asarray(model.predict(matrix(rows)), dtype=np.float64)


def small_boosted_classes(train: Frame, target: IntArray, n_classes: int, seed: int) -> Predictor:
    """Learn the probability of every class by few small trees."""
    small = _boosting(train, seed) | SMALL
    small["max_iter"] = max(10, 2 * SMALL["max_iter"] // max(2, len(np.unique(target))))
    model = fitted(HistGradientBoostingClassifier(**small), matrix(train), target)
    return lambda rows: _chances(model, matrix(rows), n_classes)


def small_boosted_quantities(train: Frame, target: FloatArray, seed: int) -> Predictor:
    """Learn a quantity by few small trees."""
    model = fitted(HistGradientBoostingRegressor(**(_boosting(train, seed) | SMALL)), matrix(train), target)
    return lambda rows: np.asarray(model.predict(matrix(rows)), dtype=np.float64)


def _boosting(frame: Frame, seed: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.05,
        "l2_regularization": 1.0,  # without it classes of a few rows diverge: macro AUC .64 on kdd99, .97 with it
        "early_stopping": False,
        "categorical_features": [feature.categorical for feature in frame.features],
        "random_state": seed % (1 << 32),
    }


def linear_classes(train: Frame, target: IntArray, n_classes: int, seed: int) -> Predictor:
    """Learn a score for every class by ridge regression on one indicator per class.

    Source: Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, sec. 4.2. Unlike logistic
    regression it has a closed form, so that no separable class can keep it from converging.
    """
    return linear_quantities(train, np.eye(n_classes)[target], seed)


def linear_quantities(train: Frame, target: FloatArray, seed: int) -> Predictor:
    """Learn a quantity, or several **(n_rows, n_quantities)**, by ridge regression."""
    del seed  # there is one solution
    model = make_pipeline(indicators(train, StandardScaler()), Ridge()).fit(matrix(train, N_INDICATORS), target)
    return lambda rows: np.asarray(model.predict(matrix(rows, N_INDICATORS)), dtype=np.float64)


def neural_classes(train: Frame, target: IntArray, n_classes: int, seed: int) -> Predictor:
    """Learn the probability of every class by a network of one hidden layer.

    Numbers become normal scores first, without which a network falls behind trees (Gorishniy et al. 2021,
    arXiv:2106.11959).
    """
    inputs = _normal_scores(train, seed).fit(matrix(train, N_INDICATORS))
    model, prepared, classes = MLPClassifier(**_network(train, seed)), _inputs(inputs, train), np.unique(target)
    for _ in range(_n_epochs(train)):  # `fit` would warn that it stopped before it converged, which is meant
        model.partial_fit(prepared, target, classes=classes)
    return lambda rows: _chances(model, _inputs(inputs, rows), n_classes)


def neural_quantities(train: Frame, target: FloatArray, seed: int) -> Predictor:
    """Learn a quantity by a network of one hidden layer."""
    inputs = _normal_scores(train, seed).fit(matrix(train, N_INDICATORS))
    centre, spread = float(target.mean()), float(target.std())
    model, prepared, scaled = (
        MLPRegressor(**_network(train, seed)),
        _inputs(inputs, train),
        standardised(target[None])[0],
    )
    for _ in range(_n_epochs(train)):
        model.partial_fit(prepared, scaled)
    return lambda rows: centre + spread * np.asarray(model.predict(_inputs(inputs, rows)), dtype=np.float64)


def tree_classes(train: Frame, target: IntArray, n_classes: int, seed: int) -> Predictor:
    """Learn the probability of every class by one decision tree (Breiman et al. 1984, doi:10.1201/9781315139470)."""
    model = fitted(DecisionTreeClassifier(**_growing(train, seed)), _single(train), target)
    return lambda rows: _chances(model, _single(rows), n_classes)


def tree_quantities(train: Frame, target: FloatArray, seed: int) -> Predictor:
    """Learn a quantity by one decision tree."""
    centre, spread = float(target.mean()), float(target.std())
    model = fitted(DecisionTreeRegressor(**_growing(train, seed)), _single(train), standardised(target[None])[0])
    return lambda rows: centre + spread * np.asarray(model.predict(_single(rows)), dtype=np.float64)


BOOSTED = Learner("boosted trees", boosted_classes, boosted_quantities)
SMALL_BOOSTED = Learner("small boosted trees", small_boosted_classes, small_boosted_quantities)
LINEAR = Learner("linear model", linear_classes, linear_quantities, knows_chances=False)
NEURAL = Learner("neural network", neural_classes, neural_quantities)
TREE = Learner("decision tree", tree_classes, tree_quantities)


def _chances(model: Any, rows: FloatArray, n_classes: int) -> FloatArray:
    """Return the probabilities of all classes, of which the model may have met only some."""
    chances = np.zeros((len(rows), n_classes))
    chances[:, model.classes_.astype(np.int64)] = model.predict_proba(rows)
    return chances


def _single(frame: Frame) -> FloatArray:
    return np.clip(matrix(frame), -LARGEST_FLOAT32, LARGEST_FLOAT32)


def _growing(frame: Frame, seed: int) -> dict[str, Any]:
    return {"min_samples_leaf": max(5, frame.n_rows // 500), "random_state": seed % (1 << 32)}


def _network(frame: Frame, seed: int) -> dict[str, Any]:
    return {
        "hidden_layer_sizes": (N_HIDDEN,),
        "batch_size": _batch(frame),
        "learning_rate_init": 3e-3,
        "alpha": 1e-3,
        "random_state": seed % (1 << 32),
    }


def _batch(frame: Frame) -> int:
    return int(min(np.clip(frame.n_rows // 50, MIN_BATCH, MAX_BATCH), frame.n_rows))


def _n_epochs(frame: Frame) -> int:
    return max(MIN_EPOCHS, N_UPDATES * _batch(frame) // frame.n_rows)


def _normal_scores(frame: Frame, seed: int) -> ColumnTransformer:
    n_quantiles = min(1000, frame.n_rows)
    scores = QuantileTransformer(
        n_quantiles=n_quantiles, output_distribution="normal", subsample=None, random_state=seed % (1 << 32)
    )
    return indicators(frame, scores)


def _inputs(transformer: ColumnTransformer, frame: Frame) -> Any:
    return transformer.transform(matrix(frame, N_INDICATORS)).astype(np.float32)


def indicators(frame: Frame, scaler: Any) -> ColumnTransformer:
    """Numbers are filled with their median and scaled; levels, and missing as a level, become indicators."""
    categorical = [i for i, feature in enumerate(frame.features) if feature.categorical]
    numeric = [i for i, feature in enumerate(frame.features) if not feature.categorical]
    levels = [np.arange(-1, min(len(frame.features[i].labels), N_INDICATORS)) for i in categorical]
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), scaler)
    one_hot = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True),
        OneHotEncoder(categories=levels, sparse_output=False),
    )
    return ColumnTransformer([("numbers", numbers, numeric), ("categories", one_hot, categorical)])
