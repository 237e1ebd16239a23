"""What every fidelity metric promises, whatever it measures."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

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
from pipeline.columns import Categorical, Continuous
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng
from tests.evaluation.mixed_table import SCHEMA, draw, frames, reorder

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
    schema = Schema(
        columns=(
            Continuous(name="x", arrow="double", nullable=True),
            Categorical(name="c", arrow="string", nullable=True),
        )
    )
    tables = Tables(schema, DEGENERATE[train], DEGENERATE[train], DEGENERATE[synthetic])
    found = EVERY[family](frames_of(tables), CONFIG, seed=0)
    assert {m.metric for m in found.measurements} == KNOWN[family]
    assert all(m.reason for m in found.measurements if isinstance(m, Unmeasured))
    if "no rows" in (train, synthetic):
        assert all(isinstance(m, Unmeasured) for m in found.measurements)


def test_the_corruption_is_what_the_test_means() -> None:
    assert len(SCHEMA.columns) == len(corrupted(0.5).features)
    assert corrupted(0.0).synthetic.columns[0].tolist() == draw(1_500, 3)["income"].to_pylist()
