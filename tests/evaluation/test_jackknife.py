"""Intervals by leaving out groups of rows: they hold as often as they say, at any size and in any order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

import evaluation.jackknife
from evaluation.features import Feature, Frame
from evaluation.jackknife import around, reaches
from evaluation.statistics import FloatArray
from pipeline.columns import Continuous

FEATURES = tuple(Feature(name, Continuous(name=name, arrow="double")) for name in "xy")
R = 0.6


def drawn(n_rows: int, rng: np.random.Generator) -> Frame:
    x, noise = rng.normal(size=(2, n_rows))
    return Frame(FEATURES, (x, R * x + np.sqrt(1 - R**2) * noise), n_rows)


def differences(train: Frame, other: Frame) -> FloatArray:
    """Return the differences of the means of x, and of Spearman's correlations."""
    means = [frame.columns[0].mean() for frame in (other, train)]
    ranks = [spearmanr(*frame.columns).statistic for frame in (other, train)]
    return np.array([means[0] - means[1], ranks[0] - ranks[1]])


@pytest.mark.parametrize("n_train", [200, 1_000])
def test_ninety_five_of_a_hundred_intervals_hold_the_truth(n_train: int) -> None:
    rng, n_draws = np.random.default_rng(0), 200
    kept = np.zeros(2)
    for _ in range(n_draws):
        train, other = drawn(n_train, rng), drawn(200, rng)
        kept += np.abs(differences(train, other)) <= reaches(differences, train, other, rng)
    assert ((kept / n_draws >= 0.91) & (kept / n_draws <= 0.985)).all()


def test_thinned_tables_have_the_intervals_of_all_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    train, other = drawn(20_000, rng), drawn(5_000, rng)
    whole = [reaches(differences, train, other, rng) for _ in range(20)]
    monkeypatch.setattr(evaluation.jackknife, "MOST_ROWS", 2_000)
    thinned = [reaches(differences, train, other, rng) for _ in range(20)]
    assert np.mean(thinned, axis=0) == pytest.approx(np.mean(whole, axis=0), rel=0.25)


def test_the_order_of_the_rows_does_not_matter() -> None:
    train, other = (drawn(300, np.random.default_rng(i)) for i in (1, 2))
    order = np.random.default_rng(3).permutation(300)
    found = [
        reaches(differences, t, o, np.random.default_rng(0)) for t, o in ((train, other), (train, other.take(order)))
    ]
    assert found[0] == pytest.approx(found[1])


def test_too_few_rows_have_no_interval() -> None:
    rng = np.random.default_rng(0)
    reach = reaches(differences, drawn(300, rng), drawn(15, rng), rng)
    assert np.isnan(reach).all()
    assert around(0.5, float(reach[0]), 0.0, 1.0) is None
