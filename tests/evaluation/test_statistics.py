from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import r2_score, roc_auc_score

from evaluation import statistics
from evaluation.statistics import Estimate

SAMPLES = arrays(np.float64, st.integers(1, 40), elements=st.integers(-5, 5).map(float))


def levels(*samples: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    points, codes = np.unique(np.concatenate(samples), return_inverse=True)
    return points, np.split(codes, np.cumsum([len(sample) for sample in samples])[:-1])


@given(SAMPLES, SAMPLES)
def test_ks_is_the_widest_gap_between_the_distribution_functions(first: np.ndarray, second: np.ndarray) -> None:
    points, codes = levels(first, second)
    p, q = (statistics.shares(c, len(points)) for c in codes)
    witness = statistics.kolmogorov_smirnov(p, q)
    expected = max(abs((first <= point).mean() - (second <= point).mean()) for point in points)
    assert witness @ (p - q) == pytest.approx(expected)
    assert statistics.witnessed(witness, *codes).value == pytest.approx(expected)


@given(SAMPLES, SAMPLES)
def test_wasserstein_is_scipys(first: np.ndarray, second: np.ndarray) -> None:
    points, codes = levels(first, second)
    p, q = (statistics.shares(c, len(points)) for c in codes)
    expected = scipy.stats.wasserstein_distance(first, second)
    assert statistics.witnessed(statistics.wasserstein(p, q, points), *codes).value == pytest.approx(expected)


def test_total_variation_by_hand() -> None:
    first, second = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 1])  # shares 2:1:1 and 1:3:0 quarters
    p, q = statistics.shares(first, 3), statistics.shares(second, 3)
    assert statistics.witnessed(statistics.total_variation(p, q), first, second).value == 0.5


def test_missing_rows_do_not_count_in_a_witnessed_distance() -> None:
    witness = np.array([1.0, 0.0])
    with_missing = statistics.witnessed(witness, np.array([0, 1, -1, -1]), np.array([1, 1]))
    assert with_missing.value == 0.5
    assert with_missing.influence[2:4].tolist() == [0.0, 0.0]


@given(st.data())
def test_auc_is_sklearns(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 30))
    scores = np.array(data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n)), dtype=np.float64)
    positive = np.arange(n) < data.draw(st.integers(1, n - 1))
    assert statistics.auc(scores, positive).value == pytest.approx(roc_auc_score(positive, scores))


def test_r_squared_is_sklearns() -> None:
    truth, predicted = np.random.default_rng(0).normal(size=(2, 50))
    assert statistics.r_squared(truth, predicted).value == pytest.approx(r2_score(truth, predicted))


def test_correlations_with_missing_cells_are_those_of_the_rows_where_both_are_present() -> None:
    columns = np.random.default_rng(0).normal(size=(3, 60)) + 1e6
    columns[1] += columns[0]
    columns[0, :9] = np.nan
    columns[1, 5:20] = np.nan
    r = statistics.correlations(columns)
    for i, j in ((0, 1), (0, 2), (1, 2)):
        both = np.isfinite(columns[i]) & np.isfinite(columns[j])
        assert r[i, j] == pytest.approx(scipy.stats.pearsonr(columns[i, both], columns[j, both]).statistic)


def test_ranked_correlations_are_spearmans() -> None:
    columns = np.exp(np.random.default_rng(0).normal(size=(2, 50)))
    expected = scipy.stats.spearmanr(columns[0], columns[1]).statistic
    assert statistics.correlations(statistics.ranks(columns))[0, 1] == pytest.approx(expected)


def test_an_association_with_a_column_without_spread_is_undefined() -> None:
    columns = np.array([[1.0, 2.0, 4.0], [0.1, 0.1, 0.1], [np.nan, 1.0, 1.0]])
    assert np.isnan(statistics.correlations(columns)[0, 1:]).all()
    assert np.isnan(statistics.correlations(columns[:2])[0, 1])
    assert np.isnan(statistics.correlation_ratio(np.array([0, 0, 1]), columns[1]))
    assert np.isnan(statistics.correlation_ratio(np.array([0, 0, 0]), columns[0]))
    assert np.isnan(statistics.cramers_v(np.array([2, 3]), np.array([0, 0]), np.array([0, 1])))
    assert np.isnan(statistics.cramers_v(np.array([1, 1]), np.array([0, 1]), np.array([0, 1])))


@pytest.mark.parametrize(("strength", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_cramers_v_at_its_ends(strength: float, expected: float) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(4, size=3_000)
    second = np.where(rng.random(3_000) < strength, first, rng.integers(4, size=3_000))
    cells, counts = np.unique(first * 4 + second, return_counts=True)
    assert statistics.cramers_v(counts, cells // 4, cells % 4) == pytest.approx(expected, abs=0.03)


def test_cramers_v_follows_scipys_before_its_bias_is_corrected() -> None:
    table = np.array([[300, 100], [150, 250]])
    rows, columns = np.indices(table.shape).reshape(2, -1)
    n, plain = table.sum(), scipy.stats.contingency.association(table)
    corrected = np.sqrt((plain**2 - 1 / (n - 1)) / (1 - 1 / (n - 1)))
    assert statistics.cramers_v(table.ravel(), rows, columns) == pytest.approx(corrected)


def test_correlation_ratio_by_hand() -> None:
    codes, values = np.array([0, 0, 1, 1, 1]), np.array([1.0, 3.0, 4.0, 6.0, np.nan])
    # group means 2 and 5, grand mean 3.5: 9 between, 9 + 4 = 13 in all
    assert statistics.correlation_ratio(codes, values) == pytest.approx(np.sqrt(9 / 13))


def coverage(draw: object, truth: float, n_rounds: int = 400) -> float:
    """Return how often the interval of a drawn estimate covers the truth."""
    rng = np.random.default_rng(0)
    intervals = [draw(rng).interval() for _ in range(n_rounds)]  # type: ignore[operator]
    return float(np.mean([low <= truth <= high for low, high in intervals]))


def test_interval_of_an_auc_covers_the_truth() -> None:
    truth = scipy.stats.norm.cdf(1 / np.sqrt(2))
    positive = np.arange(120) < 50

    def one(rng: np.random.Generator) -> Estimate:
        return statistics.auc(rng.normal(size=120) + positive, positive)

    assert coverage(one, truth) == pytest.approx(0.95, abs=0.03)


def test_interval_of_a_distance_between_shares_covers_the_truth() -> None:
    p, q = np.array([0.6, 0.2, 0.2]), np.array([0.2, 0.5, 0.3])

    def one(rng: np.random.Generator) -> Estimate:
        first, second = rng.choice(3, 300, p=p), rng.choice(3, 200, p=q)
        shares = statistics.shares(first, 3), statistics.shares(second, 3)
        return statistics.witnessed(statistics.total_variation(*shares), first, second)

    assert coverage(one, 0.4) == pytest.approx(0.95, abs=0.03)


def test_paired_difference_is_tighter_than_its_parts() -> None:
    truth = np.arange(400) < 200
    scores = truth + np.random.default_rng(0).normal(size=400)
    first, second = statistics.auc(scores, truth), statistics.auc(scores + 0.01 * np.sin(np.arange(400)), truth)
    assert np.diff((first - second).interval()) < 0.2 * np.diff(first.interval())


def test_clusters_widen_the_interval_of_rows_that_repeat_each_other() -> None:
    values = np.random.default_rng(0).random(100)
    repeated, clusters = np.repeat(values, 4), np.repeat(np.arange(100), 4)
    alone = np.diff(statistics.mean(values).interval())
    assert np.diff(statistics.clustered(repeated, clusters).interval()) == pytest.approx(alone)
    assert np.diff(statistics.mean(repeated).interval()) == pytest.approx(alone / 2)
