"""The models that judge a table: boosted trees over native categories, and a linear model over indicator columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ..features import Frame
from ..statistics import BoolArray, FloatArray, IntArray

N_ITERATIONS = 200
N_LEVELS = 254
"""Boosting takes at most 255 levels of a category; rarer ones share the last."""
N_INDICATORS = 50


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


def boosted_scores(train: Frame, target: IntArray, test: Frame, n_classes: int, seed: int) -> FloatArray:
    """Return a score **(n_test, n_classes)** for every class; 0 for classes that `train` lacks."""
    model = fitted(boosted_classifier(train, len(np.unique(target)), seed), matrix(train), target)
    scores = np.zeros((test.n_rows, n_classes))
    scores[:, model.classes_.astype(np.int64)] = model.predict_proba(matrix(test))
    return scores


def boosted_predictions(train: Frame, target: FloatArray, test: Frame, seed: int) -> FloatArray:
    """Return the predictions **(n_test,)** of a boosted regression."""
    model = HistGradientBoostingRegressor(max_iter=N_ITERATIONS, **_boosting(train, seed))
    return np.asarray(fitted(model, matrix(train), target).predict(matrix(test)), dtype=np.float64)


def _boosting(frame: Frame, seed: int) -> dict[str, Any]:
    return {
        "learning_rate": 0.05,
        "l2_regularization": 1.0,  # without it classes of a few rows diverge: macro AUC .64 on kdd99, .97 with it
        "early_stopping": False,
        "categorical_features": [feature.categorical for feature in frame.features],
        "random_state": seed % (1 << 32),
    }


def linear_scores(train: Frame, target: IntArray, test: Frame, n_classes: int, seed: int) -> FloatArray:
    """Return a score **(n_test, n_classes)** by ridge regression on one indicator per class.

    Source: Hastie, Tibshirani and Friedman 2009, The Elements of Statistical Learning, sec. 4.2. Unlike logistic
    regression it has a closed form, so that no separable class can keep it from converging.
    """
    return linear_predictions(train, np.eye(n_classes)[target], test, seed)


def linear_predictions(train: Frame, target: FloatArray, test: Frame, seed: int) -> FloatArray:
    """Return the predictions of a ridge regression, in the target's shape but for the rows."""
    del seed  # there is one solution
    model = make_pipeline(_indicators(train), Ridge()).fit(matrix(train, N_INDICATORS), target)
    return np.asarray(model.predict(matrix(test, N_INDICATORS)), dtype=np.float64)


def _indicators(frame: Frame) -> ColumnTransformer:
    """Numbers are filled with their median and standardised; levels, and missing as a level, become indicators."""
    categorical = [i for i, feature in enumerate(frame.features) if feature.categorical]
    numeric = [i for i, feature in enumerate(frame.features) if not feature.categorical]
    levels = [np.arange(-1, min(len(frame.features[i].labels), N_INDICATORS)) for i in categorical]
    numbers = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    indicators = make_pipeline(
        SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True),
        OneHotEncoder(categories=levels, sparse_output=False),
    )
    return ColumnTransformer([("numbers", numbers, numeric), ("categories", indicators, categorical)])
