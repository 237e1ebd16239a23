"""The detector's AUC has two parts: what single columns show, and what only their interplay shows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from evaluation.config import EvaluationConfig
from evaluation.features import Frames, frames_of
from evaluation.fidelity.detection import Game, cross_fit, mean_auc, measure_detection
from evaluation.measurement import Measured
from evaluation.references import shuffled
from evaluation.tables import Tables
from pipeline.columns import Continuous
from pipeline.schema import Schema
from tests.evaluation.mixed_table import draw, frames, shuffle_columns

CONFIG = EvaluationConfig(detection_folds=2)


def parts(synthetic: pa.Table) -> dict[str, Measured]:
    tables = frames(synthetic, n_train=700, n_holdout=700)
    found = measure_detection(tables, CONFIG, seed=0).measurements
    return {m.metric: m for m in found if isinstance(m, Measured)}


def test_lost_dependence_is_no_part_of_the_marginals() -> None:
    found = parts(shuffle_columns(draw(700, 3)))
    marginal, gain = found["c2st_marginal_auc"], found["c2st_dependence_gain"]
    assert marginal.value == pytest.approx(0.5, abs=0.08)
    assert gain.interval[0] > 0.25
    assert gain.value == pytest.approx(gain.floor, abs=0.1)
    assert gain.value == pytest.approx(found["c2st_auc"].value - marginal.value)


def test_a_wrong_column_is_no_part_of_the_dependence() -> None:
    table = draw(700, 3)
    odd = table.set_column(4, table.schema.field("since"), pa.array(np.zeros(700, np.int32), pa.date32()))
    found = parts(odd)
    assert found["c2st_marginal_auc"].value > 0.95
    assert abs(found["c2st_dependence_gain"].value) < 0.03


@pytest.mark.slow
def test_shuffling_both_tables_would_count_one_shift_many_times() -> None:
    """Why the additive detector: eight columns that repeat one shifted column hold no more than that column."""
    names = [f"x{k}" for k in range(8)]
    schema = Schema(columns=tuple(Continuous(name=name, arrow="double") for name in names))
    rng = np.random.default_rng(0)

    def table(shift: float) -> pa.Table:
        x = rng.normal(shift, 1.0, 1_000)
        return pa.table({name: x + 0.01 * rng.normal(size=1_000) for name in names})

    tables: Frames = frames_of(Tables(schema, table(0.0), table(0.0), table(0.4)))
    synthetic, holdout = (shuffled(frame, rng) for frame in (tables.synthetic, tables.holdout))
    games = [Game(tables.synthetic), Game(tables.synthetic, additive=True)]
    whole, additive = map(mean_auc, cross_fit(games, tables.holdout, 2, 0, n_rows=1_000))
    (by_shuffling,) = map(mean_auc, cross_fit([Game(synthetic)], holdout, 2, 0, n_rows=1_000))
    assert additive.value == pytest.approx(whole.value, abs=0.03)
    assert by_shuffling.value > whole.value + 0.1
