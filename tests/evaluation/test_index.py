"""The index of the nearest-record search: what it finds, that its distances are exact, and who may ask for it."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

import evaluation.config
from evaluation.config import EvaluationConfig, PrivacyConfig
from evaluation.privacy.closest_records import judge_nearest_records
from evaluation.privacy.index import CANDIDATES, Index
from evaluation.privacy.nearest_records import search
from evaluation.privacy.neighbours import nearest
from evaluation.privacy.space import Points, Space
from tests.evaluation.mixed_table import bootstrap, draw, frames

INDEXED = EvaluationConfig(privacy=PrivacyConfig(index=True))


def placed(n_references: int, n_queries: int = 300) -> tuple[Space, Points, Points]:
    """Return references and queries of a table of numbers, dates, levels and missing cells."""
    parts = frames(draw(n_queries, 3), n_train=n_references, n_holdout=600)
    space = Space(parts.train.join(parts.holdout))
    return space, space.place(parts.train), space.place(parts.synthetic)


def test_nearly_all_nearest_rows_are_found_and_no_distance_is_too_small() -> None:
    space, references, queries = placed(20_000)
    exact, found = nearest(space, queries, references), Index(space, references).nearest(queries)
    assert np.mean(found.first == exact.first) > 0.97
    assert (found.first >= exact.first - 1e-7).all()
    assert (found.second >= found.first).all()
    own = space.distances(queries, references)[np.arange(len(queries)), found.row]
    assert np.array_equal(own, found.first)


@pytest.mark.parametrize("n_references", [2, CANDIDATES - 1, CANDIDATES + 1])
def test_few_references_are_all_looked_at(n_references: int) -> None:
    space, references, queries = placed(n_references)
    exact, found = nearest(space, queries, references), Index(space, references).nearest(queries)
    assert np.array_equal(exact.first, found.first)


def test_the_same_rows_give_the_same_index() -> None:
    space, references, queries = placed(5_000)
    one, other = (Index(space, references).nearest(queries) for _ in range(2))
    assert np.array_equal(one.row, other.row)
    assert np.array_equal(one.second, other.second)


def test_a_large_table_is_asked_with_as_many_rows_as_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.privacy.nearest_records.MOST_COMPARED", 10**6)
    parts = frames(draw(3_000, 3), n_train=2_000, n_holdout=2_000)
    asked = [search(parts, config, seed=0).synthetic[0] for config in (EvaluationConfig(), INDEXED)]
    assert [near.n_queries for near in asked if near] == [1_000, 3_000]


def test_the_gate_decides_by_the_index_as_by_the_exact_search() -> None:
    train = draw(2_000, 1)
    for synthetic, verdicts in ((bootstrap(train, 2_000), {"FAIL"}), (draw(2_000, 3), {"PASS", "REVIEW"})):
        found = frames(synthetic, n_train=2_000, n_holdout=2_000)
        by_index, exact = (judge_nearest_records(found, c, seed=0) for c in (INDEXED, EvaluationConfig()))
        assert {by_index.verdict, exact.verdict} <= verdicts
        assert by_index.value == pytest.approx(exact.value, abs=0.01)
        assert ("approximate index" in by_index.source, "approximate index" in exact.source) == (True, False)


def test_without_faiss_an_index_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation.config, "find_spec", lambda name: None)
    assert not PrivacyConfig().index
    with pytest.raises(ValidationError, match=r'pip install "tabmint\[faiss\]"'):
        PrivacyConfig(index=True)
