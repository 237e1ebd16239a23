"""What every metric of fidelity promises, whatever it measures, and what those of utility promise as well."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from evaluation.config import EvaluationConfig
from evaluation.features import Frames, frames_of
from evaluation.fidelity.detection import measure_detection
from evaluation.fidelity.joint import measure_joint
from evaluation.fidelity.marginals import measure_marginals
from evaluation.fidelity.pairs import measure_pairs
from evaluation.fidelity.subgroups import measure_subgroups
from evaluation.measurement import Measured, Measurement, Unmeasured
from evaluation.metric import Findings, Metric
from evaluation.references import uniform
from evaluation.tables import Tables
from evaluation.utility.downstream import measure_utility
from pipeline.columns import Categorical, Continuous
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng
from tests.evaluation.mixed_table import SCHEMA, draw, frames, reorder, shuffle_columns

CONFIG = EvaluationConfig(detection_folds=2, detection_rows=400, utility_replicates=2)
EXACT: dict[str, Metric] = {
    "marginals": measure_marginals,
    "pairs": measure_pairs,
    "joint": measure_joint,
    "subgroups": measure_subgroups,
}
EVERY = EXACT | {"detection": measure_detection}
FAMILIES = [*EXACT, pytest.param("detection", marks=pytest.mark.slow)]
KNOWN = {
    "marginals": {
        "shape_error", "missing_rate_error", "missing_pattern_error", "jensen_shannon", "wasserstein",
        "category_coverage", "range_coverage", "sdmetrics_shape",
    },
    "pairs": {
        "trend_error", "pearson_error", "cramers_v_error", "correlation_ratio_error", "spearman_error",
        "mutual_information_error", "sdmetrics_trend",
    },
    "joint": {
        "frechet_distance", "knn_precision", "knn_recall", "density", "coverage", "alpha_precision", "beta_recall",
        "three_way_error", "equivalent_real_share",
    },
    "subgroups": {"worst_subgroup_error"},
    "detection": {"c2st_auc", "c2st_marginal_auc", "c2st_dependence_gain"},
}  # fmt: skip
BLIND = {"category_coverage", "range_coverage", "knn_recall", "density"}
"""Noise adds levels, extremes and spread: these see what is lost, not what is added, and density is noisy near 1."""
WITH_SPREAD = {"density"}
"""Of the blind ones, what narrower rows make better: they lie where original rows are dense."""


def overall(findings: Findings) -> dict[str, Measured]:
    assert all(isinstance(m, Measured) for m in findings.measurements), findings.measurements
    return {m.metric: m for m in findings.measurements if isinstance(m, Measured)}


def everything(findings: Findings) -> list[Measurement]:
    groups = [findings.measurements, *findings.columns.values(), *(g.measurements for g in findings.subgroups)]
    return [m for group in groups for m in group]


def corrupted(share: float) -> Frames:
    """Return fresh rows of which a share of the cells was replaced by even draws over the column's range."""
    tables = frames(draw(1_500, 3), n_train=1_500, n_holdout=1_500)
    rng = numpy_rng(0, "corruption")
    noise = uniform(tables.train, tables.synthetic.n_rows, rng)
    columns = []
    for kept, drawn in zip(tables.synthetic.columns, noise.columns, strict=True):
        columns.append(np.where(rng.random(len(kept)) < share, drawn, kept))
    synthetic = type(noise)(noise.features, tuple(columns), noise.n_rows)
    return Frames(tables.train, tables.holdout, synthetic, tables.target, tables.tables)


@pytest.mark.parametrize("family", EVERY)
def test_every_metric_is_here_with_its_company(family: str) -> None:
    found = overall(EVERY[family](frames(draw(1_000, 3), n_holdout=1_000), CONFIG, seed=0))
    assert set(found) == KNOWN[family]
    for m in found.values():
        assert m.family == family
        assert m.source
        assert m.n_rows > 0
        assert m.best != m.worst
        assert m.ceiling is not None
        assert m.floor is not None
        assert abs(m.value - m.ceiling) < abs(m.value - m.floor), m.metric


@pytest.mark.parametrize("family", EXACT)
def test_train_itself_gets_the_best_value(family: str) -> None:
    for table in (draw(1_500, 1001), reorder(draw(1_500, 1001))):
        found = everything(EXACT[family](frames(table, n_train=1_500, n_holdout=1_500, seed=1), CONFIG, seed=0))
        values = {m.metric: m.value for m in found if isinstance(m, Measured)}
        assert values == pytest.approx({m.metric: m.best for m in found if isinstance(m, Measured)}, abs=1e-7)


@pytest.mark.slow
def test_holdout_rows_cannot_be_told_from_themselves() -> None:
    found = overall(measure_detection(frames(draw(1_000, 2), n_holdout=1_000), CONFIG, seed=0))
    assert found["c2st_auc"].value <= 0.5  # the twin of a held-out row was seen with the other label
    assert found["c2st_dependence_gain"].value <= 0.0


@pytest.mark.parametrize("family", EXACT)
def test_the_order_of_rows_does_not_matter(family: str) -> None:
    table = draw(900, 3)
    first, second = (everything(EXACT[family](frames(t), CONFIG, seed=0)) for t in (table, reorder(table)))
    for one, other in zip(first, second, strict=True):
        assert isinstance(one, Measured)
        assert isinstance(other, Measured)
        assert (one.metric, one.subject) == (other.metric, other.subject)
        assert one.value == pytest.approx(other.value, abs=1e-9), one.metric
        assert one.ceiling == pytest.approx(other.ceiling, abs=1e-9), one.metric


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_seed_gives_the_same_findings(family: str) -> None:
    first, second = (EVERY[family](frames(draw(600, 3)), CONFIG, seed=7) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("family", FAMILIES)
def test_every_metric_gets_worse_with_corruption(family: str) -> None:
    found = [overall(EVERY[family](corrupted(share), CONFIG, seed=0)) for share in (0.0, 0.1, 0.3, 0.6, 1.0)]
    for metric in KNOWN[family] - BLIND - {"c2st_dependence_gain"}:
        values = [abs(each[metric].value - each[metric].best) for each in found]
        slack = 0.03 if family == "detection" else 1e-9
        assert (np.diff(values) > -slack).all(), (metric, values)
        assert values[-1] > values[0], (metric, values)


def narrowed(lost: float) -> Frames:
    """Return fresh rows without a share of them: those with the farthest numbers and the rarest levels."""
    tables = frames(draw(1_500, 3), n_train=1_500, n_holdout=1_500)
    odd = np.zeros(tables.synthetic.n_rows)
    for index, feature in enumerate(tables.features):
        if feature.categorical:
            codes = tables.synthetic.codes(index)
            odd = np.maximum(odd, 1.0 - np.bincount(codes)[codes] / len(codes))
        else:
            numbers = tables.synthetic.numbers(index)
            odd = np.maximum(odd, np.abs(np.nan_to_num(rankdata(numbers, nan_policy="omit"), nan=750) / 750 - 1.0))
    kept = np.argsort(odd)[: round((1.0 - lost) * len(odd))]
    return Frames(tables.train, tables.holdout, tables.synthetic.take(kept), tables.target, tables.tables)


@pytest.mark.parametrize("family", ["marginals", "joint"])
def test_what_is_blind_to_noise_sees_what_is_lost(family: str) -> None:
    found = [overall(EVERY[family](narrowed(lost), CONFIG, seed=0)) for lost in (0.0, 0.3, 0.6, 0.9)]
    for metric in (BLIND - WITH_SPREAD) & KNOWN[family]:
        values = [abs(each[metric].value - each[metric].best) for each in found]
        assert (np.diff(values) > -1e-9).all(), (metric, values)
        assert values[-1] > values[0] + 0.1, (metric, values)


def test_density_falls_with_noise() -> None:
    values = [overall(measure_joint(corrupted(share), CONFIG, seed=0))["density"].value for share in (0.0, 0.3, 0.6, 1)]
    assert (np.diff(values) < 0.03).all(), values
    assert values[-1] < 0.5 * values[0]


RANKS = {"importance_agreement", "learner_agreement"}
"""Orders of four or five things: one that changes place with the next moves them by a tenth or more."""


@pytest.fixture(scope="module")
def of_use() -> dict[str, dict[tuple[str, str], Measured]]:
    """Return what utility finds of fresh rows, of the same in another order, and of ever more shuffled ones."""
    table, config = draw(400, 3), EvaluationConfig(utility_replicates=0)
    given = {"fresh": table, "reordered": reorder(table)} | {s: shuffle_columns(table, float(s)) for s in (".5", "1")}
    found: dict[str, dict[tuple[str, str], Measured]] = {}
    for name, synthetic in given.items():
        tables = frames(synthetic, n_train=400, n_holdout=400, target="spent")
        measurements = measure_utility(tables, config, seed=0).measurements
        assert all(isinstance(m, Measured) for m in measurements)
        found[name] = {(m.metric, m.subject): m for m in measurements if isinstance(m, Measured)}
    return found


def test_utility_does_not_depend_on_the_order_of_rows(of_use: dict[str, dict[tuple[str, str], Measured]]) -> None:
    fresh, reordered = of_use["fresh"], of_use["reordered"]
    assert fresh.keys() == reordered.keys()
    for key, m in fresh.items():
        if m.metric not in RANKS:
            assert m.value == pytest.approx(reordered[key].value, abs=0.02), key


def test_utility_gets_worse_with_corruption(of_use: dict[str, dict[tuple[str, str], Measured]]) -> None:
    for key, m in of_use["fresh"].items():
        if m.metric not in RANKS:
            signed = 1 if m.best > m.worst else -1
            values = [signed * of_use[name][key].value for name in ("fresh", ".5", "1")]
            assert values == sorted(values, reverse=True), (key, values)
            assert values[0] > values[-1] + 0.02, (key, values)


def test_agreement_about_what_matters_is_gone_with_dependence(
    of_use: dict[str, dict[tuple[str, str], Measured]],
) -> None:
    """In the mean over the learners and targets: one order alone may be right by chance."""
    found = {name: [m.value for m in each.values() if m.metric in RANKS] for name, each in of_use.items()}
    assert np.mean(found["fresh"]) > np.mean(found["1"]) + 0.1


MIXED = Schema(
    columns=(Continuous(name="x", arrow="double", nullable=True), Categorical(name="c", arrow="string", nullable=True))
)
DEGENERATE = {
    "no rows": pa.table({"x": pa.array([], pa.float64()), "c": pa.array([], pa.string())}),
    "one row": pa.table({"x": [1.0], "c": ["a"]}),
    "all missing": pa.table({"x": pa.array([None] * 150, pa.float64()), "c": pa.array([None] * 150, pa.string())}),
    "constant": pa.table({"x": [1.0] * 150, "c": ["a"] * 150}),
    "every value another": pa.table({"x": np.arange(150.0), "c": [f"c{k}" for k in range(150)]}),
    "enormous": pa.table({"x": np.geomspace(1e-300, 1e300, 150), "c": ["a", "b", "c"] * 50}),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("synthetic", DEGENERATE)
@pytest.mark.parametrize("train", DEGENERATE)
def test_degenerate_tables_give_numbers_or_reasons(family: str, train: str, synthetic: str) -> None:
    tables = Tables(MIXED, DEGENERATE[train], DEGENERATE[train], DEGENERATE[synthetic])
    found = EVERY[family](frames_of(tables), CONFIG, seed=0)
    assert {m.metric for m in found.measurements} == KNOWN[family]
    assert all(m.reason for m in found.measurements if isinstance(m, Unmeasured))
    if "no rows" in (train, synthetic):
        assert all(isinstance(m, Unmeasured) for m in found.measurements)


FOUR = Schema(
    columns=(
        *(Continuous(name=name, arrow="double", nullable=True) for name in "xy"),
        *(Categorical(name=name, arrow="string", nullable=True) for name in "cd"),
    )
)
WITHOUT_SPREAD = {
    "constant columns": pa.table([[value] * 150 for value in (1.0, 2.0, "a", "b")], schema=FOUR.arrow()),
    "all missing": pa.table([[None] * 150] * 4, schema=FOUR.arrow()),
    "varied": pa.table(
        [np.arange(150.0), np.arange(150.0) % 7, ["a", "b", "e"] * 50, ["b", "d"] * 75], schema=FOUR.arrow()
    ),
}
UNDEFINED = {
    "marginals": {"wasserstein", "range_coverage"},
    "pairs": {
        "pearson_error", "cramers_v_error", "correlation_ratio_error", "spearman_error", "mutual_information_error",
    },
    "joint": KNOWN["joint"] - {"three_way_error"},
    "subgroups": set(),
}  # fmt: skip
"""What cannot be measured where no column of train has spread: neither a number nor the best one."""
WITHOUT_VALUES = {"marginals": {"category_coverage", "sdmetrics_shape"}}
"""And what else cannot be where train has no value at all."""


@pytest.mark.parametrize("family", EXACT)
@pytest.mark.parametrize("synthetic", WITHOUT_SPREAD)
@pytest.mark.parametrize("train", ["constant columns", "all missing"])
def test_a_train_table_without_spread_leaves_unmeasured_what_it_leaves_undefined(
    family: str, train: str, synthetic: str
) -> None:
    original, drawn = WITHOUT_SPREAD[train], WITHOUT_SPREAD[synthetic]
    found = EXACT[family](frames_of(Tables(FOUR, original, original, drawn)), CONFIG, seed=0).measurements
    unmeasured = {m.metric: m for m in found if isinstance(m, Unmeasured)}
    undefined = UNDEFINED[family] | (WITHOUT_VALUES.get(family, set()) if train == "all missing" else set())
    if synthetic == "all missing":
        undefined |= {"sdmetrics_shape"} & KNOWN[family]
    assert set(unmeasured) == undefined
    assert all(m.reason and m.applicable for m in unmeasured.values())


def test_the_corruption_is_what_the_test_means() -> None:
    assert len(SCHEMA.columns) == len(corrupted(0.5).features)
    assert corrupted(0.0).synthetic.columns[0].tolist() == draw(1_500, 3)["income"].to_pylist()
