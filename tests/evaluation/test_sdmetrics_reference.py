"""Our compatible scores against what SDMetrics 0.32 says of two stored tables; `reference/README.md` says how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv
import pytest

from evaluation.config import EvaluationConfig
from evaluation.features import Frames, frames_of
from evaluation.fidelity.distances import COARSE, range_reached
from evaluation.fidelity.marginals import measure_marginals
from evaluation.fidelity.pairs import measure_pairs
from evaluation.measurement import Measured
from evaluation.tables import Tables
from pipeline.columns import Boolean, Categorical, Continuous, Date, Integer
from pipeline.schema import Schema

REFERENCE = Path(__file__).parent / "reference"
VALUES = json.loads((REFERENCE / "sdmetrics.json").read_text())
SCHEMA = Schema(
    columns=(
        Continuous(name="amount", arrow="double", nullable=True),
        Integer(name="visits", arrow="int64"),
        Categorical(name="city", arrow="string", nullable=True),
        Categorical(name="plan", arrow="string", nullable=True),
        Boolean(name="member", arrow="bool", nullable=True),
        Date(name="since", arrow="date32[day]", nullable=True),
    )
)
TABLES = ("complete", "holes")


def table(name: str, role: str) -> pa.Table:
    options = csv.ConvertOptions(column_types=SCHEMA.arrow(), strings_can_be_null=True)
    return csv.read_csv(REFERENCE / f"{name}_{role}.csv", convert_options=options)


def frames(name: str) -> Frames:
    train, synthetic = (table(name, role) for role in ("train", "synthetic"))
    return frames_of(Tables(SCHEMA, train, train, synthetic))


def measured(name: str, metric: str) -> Measured:
    measure = measure_pairs if metric in ("sdmetrics_trend", "trend_error") else measure_marginals
    findings = measure(frames(name), EvaluationConfig(), seed=0)
    (found,) = [m for m in findings.measurements if m.metric == metric]
    assert isinstance(found, Measured)
    return found


def of_columns(name: str, metric: str) -> dict[str, float]:
    columns = measure_marginals(frames(name), EvaluationConfig(), seed=0).columns
    return {column: m.value for column, own in columns.items() for m in own if m.metric == metric}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("metric", ["sdmetrics_shape", "sdmetrics_trend"])
def test_compatible_scores_are_those_of_sdmetrics(name: str, metric: str) -> None:
    assert measured(name, metric).value == pytest.approx(VALUES[name][metric], abs=1e-6)


@pytest.mark.parametrize("name", TABLES)
def test_category_coverages_of_columns_are_those_of_sdmetrics(name: str) -> None:
    assert of_columns(name, "category_coverage") == pytest.approx(VALUES[name]["category_coverage"], abs=1e-6)


@pytest.mark.parametrize("name", TABLES)
def test_ranges_reached_are_those_of_sdmetrics_and_told_in_steps(name: str) -> None:
    tables, exact = frames(name), {}
    for index, feature in enumerate(tables.features):
        if not feature.categorical:
            ours, theirs = (np.unique(f.numbers(index)[~f.missing(index)]) for f in (tables.synthetic, tables.train))
            exact[feature.name] = range_reached(ours, theirs[0], theirs[-1])
    assert exact == pytest.approx(VALUES[name]["range_coverage"], abs=1e-6)
    told = of_columns(name, "range_coverage")
    assert told == pytest.approx(exact, abs=COARSE / 2 + 1e-9)
    columns = measure_marginals(tables, EvaluationConfig(), seed=0).columns
    found = [m for own in columns.values() for m in own if isinstance(m, Measured) and m.metric == "range_coverage"]
    numbers = [end for m in found for end in (m.value, *(m.interval or ()))]
    assert len(numbers) == 3 * len(exact)
    assert all(abs(number / COARSE - round(number / COARSE)) < 1e-9 for number in numbers)


def test_without_missing_cells_the_shape_error_is_the_complement_column_by_column() -> None:
    scores = VALUES["complete"]["columns"]
    ours = of_columns("complete", "ks") | of_columns("complete", "tvd")
    assert ours == pytest.approx({column: 1 - score for column, score in scores.items()}, abs=1e-6)
    assert measured("complete", "shape_error").value == pytest.approx(1 - np.mean(list(scores.values())), abs=1e-6)


def test_pairs_of_two_numbers_or_two_categories_agree_and_mixed_ones_depend_on_the_bins() -> None:
    profiles = measure_pairs(frames("holes"), EvaluationConfig(), seed=0).pairs
    scores: dict[str, Any] = VALUES["holes"]["pairs"]
    for pair in profiles:
        theirs = scores[f"{pair.first}, {pair.second}"]
        if pair.statistic == "cramers_v":
            assert 1 - pair.contingency_error == pytest.approx(theirs, abs=1e-6)
        if pair.statistic == "pearson":
            assert 1 - abs(pair.train - pair.synthetic) / 2 == pytest.approx(theirs, abs=1e-6)
    ratios = [p for p in profiles if p.statistic == "correlation_ratio"]
    differ = [abs(1 - p.contingency_error - scores[f"{p.first}, {p.second}"]) > 0.01 for p in ratios]
    assert np.mean(differ) > 0.5  # why the compatible score is a metric of its own
