from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from evaluation.config import EvaluationConfig, PrivacyConfig
from evaluation.features import Frames, frames_of
from evaluation.fidelity.detection import measure_detection
from evaluation.measurement import Measured, Unmeasured
from evaluation.metric import Findings
from evaluation.privacy import nearest_records
from evaluation.privacy.copies import exact_copies, row_keys
from evaluation.privacy.nearest_records import measure_nearest_records
from evaluation.privacy.space import Space
from evaluation.tables import Tables
from evaluation.utility.downstream import measure_utility
from pipeline.columns import Categorical, Continuous, Integer
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng
from tests.evaluation.mixed_table import bootstrap, draw, frames, reorder, shuffle_columns

CONFIG = EvaluationConfig(detection_folds=3)


def number(findings: Findings, metric: str) -> Measured:
    (found,) = [m for m in findings.measurements if m.metric == metric]
    assert isinstance(found, Measured), found
    return found


def without(table: pa.Table, name: str) -> pa.Table:
    """Return the table with one column cut off from the others."""
    index = table.column_names.index(name)
    return table.set_column(index, table.schema.field(name), shuffle_columns(table)[name])


# detection


@pytest.fixture(scope="module")
def honest() -> Findings:
    return measure_detection(frames(draw(600, 3), n_train=600, n_holdout=600), CONFIG, seed=0)


def test_honest_rows_are_not_detected(honest: Findings) -> None:
    found = number(honest, "c2st_auc")
    assert found.interval[0] < 0.5 < found.interval[1]
    assert found.ceiling == pytest.approx(0.5, abs=0.06)
    assert found.floor > 0.8


def test_detection_is_the_same_at_the_same_seed(honest: Findings) -> None:
    assert measure_detection(frames(draw(600, 3), n_train=600, n_holdout=600), CONFIG, seed=0) == honest


def test_detection_does_not_depend_on_row_order_beyond_the_chance_of_its_folds(honest: Findings) -> None:
    again = measure_detection(frames(reorder(draw(600, 3)), n_train=600, n_holdout=600), CONFIG, seed=0)
    assert number(again, "c2st_auc").value == pytest.approx(number(honest, "c2st_auc").value, abs=0.05)


def test_detection_grows_with_corruption() -> None:
    tables = [shuffle_columns(draw(600, 3), share) for share in (0.0, 0.5, 1.0)]
    values = [
        number(measure_detection(frames(t, n_train=600, n_holdout=600), CONFIG, seed=0), "c2st_auc").value
        for t in tables
    ]
    assert values == sorted(values)
    assert values[-1] > 0.8


def test_the_column_that_gives_the_table_away_is_named_first() -> None:
    table = draw(600, 3)
    odd = table.set_column(2, table.schema.field("visits"), pa.array(table["visits"].to_numpy() * 2))
    found = measure_detection(frames(odd, n_train=600, n_holdout=600), CONFIG, seed=0)
    assert found.giveaways[0].column == "visits"
    assert found.giveaways[0].importance > 0.05


# utility


@pytest.mark.parametrize(("target", "score"), [("member", "auc"), ("city", "auc"), ("spent", "r2")])
def test_fresh_rows_are_as_useful_as_train_and_shuffled_rows_are_not(target: str, score: str) -> None:
    fresh, shuffled = (
        measure_utility(frames(table, target=target), CONFIG, seed=0)
        for table in (draw(2_000, 3), shuffle_columns(draw(2_000, 3)))
    )
    assert abs(number(fresh, "utility_gap").value) < 0.05
    assert number(shuffled, "utility_gap").interval[0] > 0.1
    for metric in (f"tstr_{score}", f"tstr_linear_{score}"):
        good, bad = number(fresh, metric), number(shuffled, metric)
        assert good.value == pytest.approx(good.ceiling, abs=0.05)
        assert bad.value < bad.ceiling - 0.1
        assert bad.ceiling == good.ceiling


def test_train_in_place_of_the_synthetic_table_has_no_gap() -> None:
    found = measure_utility(frames(draw(2_000, 1), target="spent"), CONFIG, seed=0)
    assert number(found, "tstr_linear_r2").value == pytest.approx(number(found, "tstr_linear_r2").ceiling)
    assert abs(number(found, "utility_gap").value) < 0.01


def test_utility_is_the_same_at_the_same_seed_and_grows_worse_with_corruption() -> None:
    tables = [shuffle_columns(draw(1_500, 3), share) for share in (0.0, 0.0, 0.7, 1.0)]
    found = [number(measure_utility(frames(t, target="member"), CONFIG, seed=0), "utility_gap") for t in tables]
    assert found[0] == found[1]
    assert found[0].value < found[2].value < found[3].value


def test_a_whole_number_of_few_values_is_classified_and_of_many_regressed() -> None:
    rng = np.random.default_rng(0)
    schema = Schema(columns=(Integer(name="x", arrow="int64"), Integer(name="y", arrow="int64")))
    for n_values, metric in ((4, "tstr_auc"), (40, "tstr_r2")):
        parts = []
        for _ in range(3):
            x = rng.integers(n_values, size=500)
            parts.append(pa.table({"x": x, "y": x}))
        found = measure_utility(frames_of(Tables(schema, *parts, target="y")), CONFIG, seed=0)
        assert number(found, metric).value > 0.95


def test_the_ceiling_is_trained_on_as_many_rows_as_the_synthetic_table_has() -> None:
    few, many = (measure_utility(frames(draw(n, 3), target="spent"), CONFIG, seed=0) for n in (150, 1_500))
    assert number(few, "tstr_r2").ceiling < number(many, "tstr_r2").ceiling - 0.01
    assert number(few, "tstr_r2").n_rows < 150


def test_utility_without_a_target_does_not_apply() -> None:
    (found,) = measure_utility(frames(draw(500, 3)), CONFIG, seed=0).measurements
    assert isinstance(found, Unmeasured)
    assert (found.metric, found.applicable) == ("utility_gap", False)


def test_a_synthetic_table_with_one_class_is_unmeasured_not_zero() -> None:
    table = draw(500, 3)
    same = table.set_column(5, table.schema.field("member"), pa.array([True] * 500))
    found = measure_utility(frames(same, target="member"), CONFIG, seed=0).measurements
    assert {m.kind for m in found} == {"unmeasured"}
    assert {m.metric for m in found} == {"utility_gap", "tstr_auc", "tstr_linear_auc"}
    assert all(m.reason == "the target has a single value in synthetic" for m in found)


# privacy


def test_distance_by_hand() -> None:
    columns = (
        Continuous(name="x", arrow="double", nullable=True),
        Categorical(name="c", arrow="string", nullable=True),
    )
    table = pa.table({"x": [0.0, 1.0, 2.0, 3.0, None], "c": ["a", "a", "b", None, None]})
    frame = frames_of(Tables(Schema(columns=columns), table, table, table)).train
    space = Space(frame)
    points = space.place(frame)
    found = space.distances(points, points)
    spread = np.diff(np.quantile([0, 1, 2, 3], [0.025, 0.975]))[0]
    assert found[0, 1] == pytest.approx(min(0.25, 1 / spread) / 2)  # ranks differ by 1/4, the category agrees
    assert found[0, 2] == pytest.approx((0.5 + 1) / 2)  # 0.5 by rank, and another category
    assert found[3, 4] == pytest.approx(0.5)  # missing beside a number, missing beside missing
    assert found[0, 4] == 1.0
    assert np.array_equal(found, found.T)
    assert not np.diag(found).any()


def test_a_small_step_over_a_crowded_place_is_a_small_distance() -> None:
    """By ranks alone, a copy shifted by 1 on a crowded axis would look far from its original."""
    schema = Schema(columns=(Continuous(name="x", arrow="double"),))
    table = pa.table({"x": np.concatenate([np.linspace(0, 1, 500), np.linspace(1, 1_000, 500)])})
    frame = frames_of(Tables(schema, table, table, table)).train
    space = Space(frame)
    points = space.place(frame)
    assert space.distances(points.take(np.array([0])), points.take(np.array([499])))[0, 0] < 0.01


@pytest.mark.parametrize("spare", [2, 8])
def test_each_pair_of_references_leaves_out_what_its_sides_have_in_common(
    spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holdout is searched once for all pairs; what a pair may count is as if it had been searched for it alone."""
    monkeypatch.setattr(nearest_records, "SPARE", spare)
    coarse = [
        table.set_column(0, "income", pc.round(table["income"], 2)) for table in (draw(1_500, s) for s in (1, 2, 3))
    ]
    coarse = [table.select(["income", "visits", "city", "member"]) for table in coarse]
    parts = frames_of(Tables(infer(coarse[0]), coarse[0], coarse[1].slice(0, 600), coarse[2]))
    found = nearest_records.search(parts, CONFIG, seed=0)
    rng, keys = numpy_rng(0, "privacy", "rows"), row_keys(parts)
    space = Space(parts.train.join(parts.holdout))
    pairs = nearest_records._references(parts, keys, space, rng)
    drawn = rng.permutation(parts.synthetic.n_rows)
    assert len(pairs) == len(found.synthetic) == 3
    assert sorted(np.unique(np.concatenate([pair.train.keys for pair in pairs]))) == sorted(np.unique(keys["train"]))
    for pair, near in zip(pairs, found.synthetic, strict=True):
        assert near is not None
        common = np.intersect1d(pair.train.keys, pair.holdout.keys)
        assert len(common) > 50
        asking = drawn[~np.isin(keys["synthetic"][drawn], common)]
        asked = space.place(parts.synthetic.take(asking))
        for side, own in ((near.train, pair.train), (near.holdout, pair.holdout)):
            distances = space.distances(asked, own.points.take(np.flatnonzero(~np.isin(own.keys, common))))
            assert np.array_equal(side.first, distances.min(axis=1))
            assert np.array_equal(side.second, np.sort(distances, axis=1)[:, 1])
            assert np.array_equal(side.row, distances.argmin(axis=1))


@pytest.fixture(scope="module")
def leaking() -> Findings:
    return measure_nearest_records(frames(bootstrap(draw(2_000, 1), 1_500)), CONFIG, seed=0)


def test_copies_of_train_are_flagged(leaking: Findings) -> None:
    assert number(leaking, "dcr_share").interval[0] > 0.7
    assert number(leaking, "dcr_share").value == pytest.approx(number(leaking, "dcr_share").floor, abs=0.05)
    assert number(leaking, "exact_copies").value == pytest.approx(0.5)  # an equal-sized train holds half of the copies
    assert number(leaking, "exact_copies_p").value == pytest.approx(1 / (1 + CONFIG.privacy.permutations))
    assert number(leaking, "nndr").value < number(leaking, "nndr").ceiling - 0.3


def test_privacy_is_the_same_at_the_same_seed_and_in_any_row_order(leaking: Findings) -> None:
    assert measure_nearest_records(frames(bootstrap(draw(2_000, 1), 1_500)), CONFIG, seed=0) == leaking
    again = measure_nearest_records(frames(reorder(bootstrap(draw(2_000, 1), 1_500))), CONFIG, seed=0)
    for metric in ("dcr_share", "exact_copies", "exact_copies_p", "nndr"):
        assert number(again, metric).value == pytest.approx(number(leaking, metric).value)


def test_fresh_rows_lean_to_neither_side() -> None:
    found = [measure_nearest_records(frames(draw(1_000, seed), seed=seed), CONFIG, seed=0) for seed in range(3, 15)]
    shares = [number(each, "dcr_share") for each in found]
    assert np.mean([m.value for m in shares]) == pytest.approx(0.5, abs=0.02)
    assert np.mean([m.interval[0] <= 0.5 <= m.interval[1] for m in shares]) > 0.8
    assert np.mean([number(each, "nndr").value for each in found]) == pytest.approx(
        np.mean([number(each, "nndr").ceiling for each in found]), abs=0.02
    )


def test_share_grows_with_the_share_of_copies() -> None:
    train, fresh, values = draw(2_000, 1), draw(1_000, 3), []
    for n_copies in (0, 300, 1_000):
        mixed = pa.concat_tables([bootstrap(train, n_copies), fresh.slice(n_copies)])
        values.append(number(measure_nearest_records(frames(mixed), CONFIG, seed=0), "dcr_share").value)
    assert values == sorted(values)
    assert values[1] > values[0] + 0.03


def discrete(n_rows: int, seed: int) -> pa.Table:
    """Draw rows of which many repeat by nature."""
    rng = np.random.default_rng(seed)
    return pa.table({name: np.minimum(rng.geometric(0.25, n_rows), 25) for name in "abc"})


def discrete_frames(synthetic: pa.Table, seed: int = 0, n_train: int = 2_000) -> Frames:
    schema = Schema(columns=tuple(Integer(name=name, arrow="int64") for name in "abc"))
    return frames_of(Tables(schema, discrete(n_train, 100 + seed), discrete(1_000, 200 + seed), synthetic))


def copies_p(frames: Frames, seed: int = 0) -> tuple[Measured, Measured]:
    value, p = exact_copies(frames, row_keys(frames), EvaluationConfig(privacy=PrivacyConfig(permutations=199)), seed)
    assert isinstance(value, Measured)
    assert isinstance(p, Measured)
    return value, p


def test_records_that_repeat_by_nature_are_no_leak() -> None:
    """Fresh rows of a population of few combinations match train often, and holdout as often."""
    found = [copies_p(discrete_frames(discrete(1_000, seed), seed)) for seed in range(30)]
    assert np.mean([value.value for value, _ in found]) > 0.02
    assert np.mean([value.value - value.ceiling for value, _ in found]) == pytest.approx(0.0, abs=0.004)
    assert np.mean([p.value < 0.05 for _, p in found]) <= 0.15
    assert 0.3 < np.mean([p.value for _, p in found]) < 0.7


def test_copies_among_many_natural_repetitions_are_flagged() -> None:
    mixed = pa.concat_tables([bootstrap(discrete(2_000, 100), 500), discrete(500, 3)])
    value, p = copies_p(discrete_frames(mixed))
    assert value.value > value.ceiling
    assert p.value < 0.05


def test_exact_copies_by_hand() -> None:
    """Train a b b c, holdout c d: at equal numbers half of train is drawn, and a single row stays half the time."""
    schema = Schema(columns=(Categorical(name="x", arrow="string"),))
    parts = [pa.table({"x": list(text)}) for text in ("abbc", "cd", "abcd")]
    value, _ = copies_p(frames_of(Tables(schema, *parts)))
    assert value.value == pytest.approx((0.5 + 0.75) / 4)  # a and b; c is on both sides
    assert value.ceiling == pytest.approx((0.5 + 1) / 4)  # c where train lost it, and d


def test_row_keys_are_equal_exactly_where_rows_are() -> None:
    table = draw(50, 3)
    twice = pa.concat_tables([table, table])
    keys = row_keys(frames(twice))["synthetic"]
    assert np.array_equal(keys[:50], keys[50:])
    assert len(np.unique(keys)) == 50


@pytest.mark.parametrize(("n_holdout", "reason"), [(499, "not testable"), (500, None)])
def test_a_small_holdout_is_not_testable(n_holdout: int, reason: str | None) -> None:
    found = measure_nearest_records(frames(draw(300, 3), n_holdout=n_holdout), CONFIG, seed=0).measurements
    assert [isinstance(m, Unmeasured) for m in found] == [reason is not None] * 4
    assert all(reason in m.reason for m in found if isinstance(m, Unmeasured))


def test_a_table_of_common_records_only_has_nobody_to_point_to() -> None:
    schema = Schema(columns=(Categorical(name="x", arrow="string"),))
    parts = [pa.table({"x": list("ab" * 500)}) for _ in range(3)]
    found = {
        m.metric: m for m in measure_nearest_records(frames_of(Tables(schema, *parts)), CONFIG, seed=0).measurements
    }
    assert isinstance(found["dcr_share"], Unmeasured)
    assert found["exact_copies"].value == 0.0


def partly_common(n_rows: int, seed: int, copies_each: int = 1) -> pa.Table:
    """Draw a table of which a half is one common record and the rest are records of their own."""
    own = np.random.default_rng(seed).normal(size=n_rows // 2 // copies_each)
    return pa.table({"x": np.concatenate([np.zeros(n_rows - len(own) * copies_each), np.repeat(own, copies_each)])})


def measured_privacy(train: pa.Table, holdout: pa.Table, synthetic: pa.Table) -> Findings:
    schema = Schema(columns=(Continuous(name="x", arrow="double"),))
    return measure_nearest_records(frames_of(Tables(schema, train, holdout, synthetic)), CONFIG, seed=0)


def test_common_records_do_not_dilute_copies_of_records_of_their_own() -> None:
    train = partly_common(1_000, 1)
    found = number(measured_privacy(train, partly_common(1_000, 2), train), "dcr_share")
    assert found.value > 0.99  # with the common half, counted as ties, it would be 0.75
    assert found.n_rows == 500


def test_a_record_that_train_holds_twice_is_still_one_record() -> None:
    train = partly_common(2_000, 1, copies_each=2)
    found = measured_privacy(train, partly_common(2_000, 2, copies_each=2), train)
    assert number(found, "nndr").value == 0.0
    assert number(found, "nndr").ceiling > 0.2


@pytest.mark.parametrize(("n_train", "n_holdout"), [(600, 1_800), (1_800, 600)])
def test_neither_side_gains_by_having_more_rows(n_train: int, n_holdout: int) -> None:
    found = [
        measure_nearest_records(
            frames(draw(800, seed), n_train=n_train, n_holdout=n_holdout, seed=seed), CONFIG, seed=0
        )
        for seed in range(3, 9)
    ]
    assert np.mean([number(each, "dcr_share").value for each in found]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([number(each, "exact_copies").value for each in found]) < 0.001


def test_a_column_without_a_number_does_not_spoil_the_distance() -> None:
    columns = (Continuous(name="x", arrow="double", nullable=True), Integer(name="y", arrow="int64"))
    table = pa.table({"x": pa.nulls(3, pa.float64()), "y": [1, 2, 3]})
    frame = frames_of(Tables(Schema(columns=columns), table, table, table)).train
    space = Space(frame)
    assert space.distances(space.place(frame), space.place(frame))[0].tolist() == pytest.approx([0, 1 / 6, 1 / 3])
