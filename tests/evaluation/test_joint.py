from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from evaluation.config import EvaluationConfig
from evaluation.features import frames_of
from evaluation.fidelity.embedding import Embedding
from evaluation.fidelity.frechet import frechet_distance
from evaluation.fidelity.joint import measure_joint
from evaluation.fidelity.manifold import N_NEIGHBOURS, Manifolds
from evaluation.fidelity.triples import Coarse, LearningCurve, draw_triples, triple_error
from evaluation.measurement import Measured, Unmeasured
from evaluation.tables import Tables
from pipeline.columns import Categorical, Integer
from pipeline.schema import Schema
from tests.evaluation.mixed_table import bootstrap, draw, frames, shuffle_columns

CONFIG = EvaluationConfig()


def numbers(synthetic: pa.Table, **settings: int) -> dict[str, Measured]:
    found = measure_joint(frames(synthetic, **settings), CONFIG, seed=0).measurements
    assert all(isinstance(m, Measured) for m in found)
    return {m.metric: m for m in found if isinstance(m, Measured)}


def clouds(n: int = 300, shift: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)), rng.normal(size=(n - 40, 3)) * [1.0, 0.5, 2.0] + shift


# the Fréchet distance


def test_frechet_distance_is_the_formula() -> None:
    real, ours = clouds()
    a, b = (np.cov(x, rowvar=False, ddof=0) for x in (real, ours))
    root = np.real(sqrtm(a @ b))
    squared = np.square(real.mean(axis=0) - ours.mean(axis=0)).sum() + np.trace(a + b - 2 * root)
    assert frechet_distance(ours, real).value == pytest.approx(np.sqrt(squared / np.trace(a)))


def test_influence_on_the_frechet_distance_is_its_derivative() -> None:
    """To count one row twice moves the distance by the row's influence."""
    real, ours = clouds()
    found = frechet_distance(ours, real)
    for row in (3, 100):
        heavier = frechet_distance(np.concatenate([ours, ours[[row]]]), real).value - found.value
        assert heavier == pytest.approx(found.influence[row], rel=0.1, abs=2e-5)
        heavier = frechet_distance(ours, np.concatenate([real, real[[row]]])).value - found.value
        assert heavier == pytest.approx(found.influence[len(ours) + row], rel=0.1, abs=5e-5)


def test_frechet_distance_of_a_flat_cloud_is_defined() -> None:
    real = np.zeros((50, 2))
    real[:, 0] = np.arange(50)
    flat = frechet_distance(np.zeros((50, 2)) + real.mean(axis=0), real)
    assert flat.value == pytest.approx(1.0)
    assert np.isfinite(flat.influence).all()


def test_frechet_distance_from_a_reference_without_spread_has_no_unit() -> None:
    flat = np.zeros((50, 2))
    assert np.isnan(frechet_distance(flat, flat).value)
    assert np.isnan(frechet_distance(flat + 1.0, flat).value)


# neighbourhoods


def test_manifold_scores_are_those_of_full_distance_matrices() -> None:
    real, ours = clouds()
    found = Manifolds.of(real, ours)
    own, other, between = cdist(real, real), cdist(ours, ours), cdist(real, ours)
    radius, other_radius = (np.sort(d, axis=1)[:, N_NEIGHBOURS] for d in (own, other))
    inside = between <= radius[:, None]
    assert found.precision().value == pytest.approx(inside.any(axis=0).mean())
    assert found.recall().value == pytest.approx((between <= other_radius).any(axis=1).mean())
    assert found.density().value == pytest.approx(inside.sum(axis=0).mean() / N_NEIGHBOURS)
    assert found.coverage().value == pytest.approx(inside.any(axis=1).mean())
    covered = between.min(axis=1) <= np.sort(own, axis=1)[:, 1]
    depth = np.linalg.norm(ours - real.mean(axis=0), axis=1)
    reached = np.where(covered, depth[between.argmin(axis=1)], np.inf)
    gaps = [abs((reached <= r).mean() - (depth <= r).mean()) for r in np.quantile(depth, np.arange(1, 51) / 50)]
    assert found.beta_recall().value == pytest.approx(1 - 2 * np.mean(gaps))


def test_a_collapsed_cloud_keeps_its_precision_and_loses_coverage() -> None:
    real, fresh = clouds(400, 0.0)[0], np.random.default_rng(1).normal(size=(400, 3))
    collapsed = Manifolds.of(real, fresh[:20].repeat(20, axis=0) + 1e-3 * fresh)
    honest = Manifolds.of(real, fresh)
    assert collapsed.precision().value > 0.8
    assert collapsed.coverage().value < 0.4 < 0.9 < honest.coverage().value
    assert collapsed.beta_recall().value < 0.2 < 0.4 < honest.beta_recall().value < 0.6


def test_alpha_precision_falls_for_rows_at_the_centre_and_for_rows_far_out() -> None:
    rng = np.random.default_rng(0)
    real, fresh = rng.normal(size=(500, 3)), rng.normal(size=(500, 3))
    inner, honest, outer = (Manifolds.of(real, s * fresh).alpha_precision().value for s in (0.5, 1.0, 2.0))
    assert honest > 0.93
    assert max(inner, outer) < honest - 0.2


# the embedding


def test_the_embedding_weighs_columns_alike_and_places_missing_cells() -> None:
    schema = Schema(columns=(Integer(name="x", arrow="int64"), Categorical(name="c", arrow="string", nullable=True)))
    rng = np.random.default_rng(0)
    cities = pa.array(rng.choice(["a", "b", "c", "d"], 400).tolist(), mask=rng.random(400) < 0.2)
    table = pa.table({"x": rng.integers(0, 10**6, 400), "c": cities})
    frame = frames_of(Tables(schema, table, table, table)).train
    points = Embedding.of(frame).place(frame)
    assert points.var(axis=0).sum() == pytest.approx(2.0, rel=0.011)  # 1 for each column, 1 % may be cut off
    assert np.allclose(points.mean(axis=0), 0.0)


# three-way tables


def test_three_way_error_sees_what_no_pair_shows() -> None:
    """Each pair of x, y and x xor y is independent; only the triple is not."""
    rng = np.random.default_rng(0)
    schema = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in "xyz"))

    def table(*, linked: bool) -> pa.Table:
        x, y, z = rng.integers(0, 2, (3, 2_000))
        return pa.table({"x": x, "y": y, "z": x ^ y if linked else z})

    parts = [table(linked=True), table(linked=True), table(linked=False)]
    found = measure_joint(frames_of(Tables(schema, *parts)), CONFIG, seed=0).measurements
    (error,) = [m for m in found if m.metric == "three_way_error"]
    assert error.value == pytest.approx(0.5, abs=0.04)
    assert error.ceiling < 0.06


def test_triples_are_all_or_distinct_and_reproducible() -> None:
    assert len(draw_triples(5, 120, np.random.default_rng(0))) == 10
    drawn = draw_triples(30, 120, np.random.default_rng(0))
    assert len(set(drawn)) == 120
    assert drawn == draw_triples(30, 120, np.random.default_rng(0))


@pytest.mark.parametrize("share", [0.05, 0.25])
def test_a_real_subsample_is_worth_its_own_size(share: float) -> None:
    """The share is found again within a third, averaged over a few tables."""
    n_rows = int(share * 4_000)
    found = [numbers(draw(n_rows, 10 + k), n_train=4_000, n_holdout=4_000)["equivalent_real_share"] for k in range(4)]
    assert np.exp(np.mean(np.log([m.value for m in found]))) == pytest.approx(share, rel=0.33)
    assert found[0].ceiling == share


def test_the_learning_curve_falls_and_ends_at_train_itself() -> None:
    tables = frames(draw(1_000, 3))
    train, holdout = (Coarse.of(frame, tables.train) for frame in (tables.train, tables.holdout))
    triples = [(0, 1, 2), (2, 3, 5)]
    curve = LearningCurve.of(train, holdout, triples, np.random.default_rng(0))
    whole = triple_error(train, holdout, triples).value
    assert (np.diff(curve.errors) <= 0).all()
    assert curve.errors[-1] == pytest.approx(whole)
    assert curve.size_of(whole) == pytest.approx(2_000)
    assert curve.size_of(1.0) == pytest.approx(10)


# the family


def test_fresh_rows_come_to_the_ceiling_and_shuffled_ones_to_the_floor() -> None:
    fresh, shuffled = (numbers(table) for table in (draw(2_000, 3), shuffle_columns(draw(2_000, 1))))
    for metric, good in fresh.items():
        bad = shuffled[metric]
        assert abs(good.value - good.ceiling) < 0.5 * abs(good.floor - good.ceiling), metric
        assert abs(bad.value - bad.floor) < 0.4 * abs(bad.floor - bad.ceiling), metric
        assert good.interval[0] <= good.value <= good.interval[1]


def test_copies_exceed_the_ceiling_of_the_beta_recall() -> None:
    found = numbers(bootstrap(draw(2_000, 1), 2_000))["beta_recall"]
    assert found.value > found.ceiling + 0.1


def test_a_train_table_of_equal_rows_has_no_worth_in_real_rows() -> None:
    schema = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in "xyz"))
    same, other = (pa.table({name: [value] * 100 for name in "xyz"}) for value in (1, 2))
    for synthetic in (same, other):
        found = measure_joint(frames_of(Tables(schema, same, same, synthetic)), CONFIG, seed=0).measurements
        measured = {m.metric: m.value for m in found if isinstance(m, Measured)}
        assert measured == {"three_way_error": 0.0 if synthetic is same else 1.0}


def test_two_columns_have_no_triple() -> None:
    schema = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in "xy"))
    table = pa.table({name: np.arange(200) % 7 for name in "xy"})
    found = measure_joint(frames_of(Tables(schema, table, table, table)), CONFIG, seed=0).measurements
    missing = [m for m in found if isinstance(m, Unmeasured)]
    assert [m.metric for m in missing] == ["three_way_error", "equivalent_real_share"]
    assert not any(m.applicable for m in missing)
