"""The sampler keeps imbalanced-learn's contract, and changes P(y) alone."""

import numpy as np
import pandas as pd
import pytest
from imblearn.pipeline import Pipeline
from imblearn.utils.estimator_checks import estimator_checks_generator
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

from generators import FlowMatchingConfig, TrainingConfig, generator_config
from generators.augmentation import GenerativeOverSampler, ResamplingError, rows_to_add
from pipeline.errors import ConfigError, DataError

QUICK = FlowMatchingConfig(members=1, width=16, depth=1, training=TrainingConfig(steps=2, n_validations=1))
COUNTS = {"a": 100, "b": 40, "c": 10}


def quick(**settings):
    return GenerativeOverSampler(QUICK, **settings)


def records(n=120, rare=20):
    """Mixed columns whose rare class is told by every one of them."""
    rng = np.random.default_rng(0)
    ill = np.arange(n) < rare
    frame = pd.DataFrame(
        {
            "age": np.where(ill, rng.integers(60, 80, n), rng.integers(20, 40, n)),
            "town": pd.Categorical(np.where(ill, "Bergen", rng.choice(["Oslo", "Hamar"], n))),
            "dose": np.where(rng.random(n) < 0.2, np.nan, np.round(ill + rng.random(n), 2)),
            "seen": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 90, n), unit="D"),
            "smoker": rng.random(n) < 0.5,
        },
        index=np.arange(n) * 10,
    )
    order = rng.permutation(n)
    return frame.iloc[order], pd.Series(np.where(ill, "ill", "well")[order], index=frame.index[order], name="state")


CHECKS = list(estimator_checks_generator(quick()))  # parametrize_with_checks gives pytest an iterator, which it refuses


@pytest.mark.parametrize(("sampler", "check"), CHECKS, ids=[check.func.__name__ for _, check in CHECKS])
def test_the_estimator_checks_of_imbalanced_learn_pass(sampler, check):
    check(sampler)


def test_no_estimator_check_is_left_out():
    names = {check.func.__name__ for _, check in CHECKS}
    assert {"check_samplers_pandas", "check_samplers_string", "check_samplers_nan", "check_samplers_list"} <= names


@pytest.mark.parametrize(
    ("strategy", "added"),
    [
        ("auto", {"b": 60, "c": 90}),
        ("not majority", {"b": 60, "c": 90}),
        ("all", {"b": 60, "c": 90}),
        ("minority", {"c": 90}),
        ("not minority", {"b": 60}),
        (0.3, {"c": 20}),
        ({"a": 100, "c": 11}, {"c": 1}),
    ],
)
def test_a_strategy_says_how_many_rows_each_class_gets(strategy, added):
    assert rows_to_add(COUNTS, strategy) == added


@pytest.mark.parametrize("strategy", ["majority", 0.0, 1.5, 0.1, {"d": 5}, {"a": 99}, None])
def test_a_strategy_that_makes_no_sense_is_refused_as_value_and_data_error(strategy):
    with pytest.raises(ValueError, match="found"):
        rows_to_add(COUNTS, strategy)
    assert issubclass(ResamplingError, DataError)


def test_original_rows_come_first_and_unchanged_and_the_rest_is_of_the_rare_class():
    features, y = records()
    before = features.copy()
    more, y_more = quick(sampling_strategy={"ill": 70}).fit_resample(features, y)
    pd.testing.assert_frame_equal(features, before)
    pd.testing.assert_frame_equal(more.iloc[:120], features.reset_index(drop=True))
    pd.testing.assert_series_equal(y_more.iloc[:120], y.reset_index(drop=True))
    assert more.dtypes.equals(features.dtypes) and list(more.columns) == list(features.columns)
    assert (y_more.iloc[120:] == "ill").all() and len(more) == len(y_more) == 170


def test_drawn_rows_are_those_of_their_class():
    features, y = records(n=600, rare=60)
    config = FlowMatchingConfig(members=1, width=32, depth=1, training=TrainingConfig(steps=150, device="cpu"))
    more, _ = GenerativeOverSampler(config, sampling_strategy=0.5).fit_resample(features, y)
    drawn = more.iloc[600:]
    assert (drawn.town == "Bergen").mean() > 0.5 and (drawn.age >= 60).mean() > 0.5, "among all rows it is 0.1"


def test_the_same_seed_draws_the_same_and_another_draws_others():
    features, y = records()
    one, again, other = (quick(random_state=seed).fit_resample(features, y)[0] for seed in (1, 1, 2))
    assert one.equals(again) and not one.equals(other)


def test_what_was_learned_is_kept_and_attributes_are_those_of_scikit_learn():
    features, y = records()
    sampler = quick(sampling_strategy=lambda labels: {"ill": len(labels)})
    sampler.fit_resample(features, y)
    assert sampler.sampling_strategy_ == {"ill": 100} and not hasattr(sampler, "sample_indices_")
    assert list(sampler.feature_names_in_) == list(features.columns) and sampler.n_features_in_ == 5
    assert sampler.generator_.sample(3, conditions={"class": "0"}).shape == (3, 6)


def test_a_balanced_table_comes_back_without_training():
    features, y = np.arange(40.0).reshape(20, 2), np.array([0, 1] * 10)
    sampler = quick()
    same, y_same = sampler.fit_resample(features, y)
    assert sampler.generator_ is None and np.array_equal(same, features) and np.array_equal(y_same, y)


def test_a_feature_may_be_called_class():
    features, y = records()
    more, _ = quick(sampling_strategy=0.5).fit_resample(features.rename(columns={"age": "class"}), y)
    assert next(iter(more.columns)) == "class"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda features, y: (features, y.where(y.index > 0)), "every row needs a class"),
        (lambda features, y: (features.iloc[:30], y.iloc[:29]), "inconsistent numbers of samples"),
        (lambda features, y: (features, pd.Series(["ill"] * 3 + ["well"] * 117)), "at least 5 rows to be learned"),
        (lambda features, y: (features.iloc[:15], pd.Series(["ill"] * 6 + ["well"] * 9)), "at least 20 rows"),
        (lambda features, y: (features, np.linspace(0, 1, 120)), "Unknown label type"),
        (lambda features, y: (features, np.ones((120, 2), int)), "a row is of one class"),
    ],
)
def test_what_cannot_be_resampled_is_refused(change, words):
    with pytest.raises((ValueError, DataError), match=words):
        quick().fit_resample(*change(*records()))


def test_a_generator_that_would_ignore_the_class_is_refused():
    with pytest.raises(ConfigError, match="how columns go together"):
        GenerativeOverSampler(generator_config("independent")).fit_resample(*records())


def test_a_family_that_cannot_be_guided_says_so():
    vae = generator_config("vae", members=1, training={"steps": 2})
    with pytest.raises(DataError.__mro__[1], match="guided"):
        GenerativeOverSampler(vae, guidance=1.0).fit_resample(*records())


def test_it_works_in_a_pipeline_and_a_search():
    features, y = records()
    numbers = features[["age", "dose"]].fillna(0)
    steps = Pipeline([("more", quick()), ("tree", DecisionTreeClassifier(random_state=0))])
    search = GridSearchCV(steps, {"more__sampling_strategy": [0.5, "auto"]}, cv=2).fit(numbers, y)
    assert len(search.cv_results_["params"]) == 2 and search.best_score_ > 0.8
    assert set(search.predict(numbers)) == {"ill", "well"}
    assert clone(quick(guidance=0.5)).get_params()["guidance"] == 0.5
