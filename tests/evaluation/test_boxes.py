"""The search in boxes finds what a comparison with every row finds, and looks at fewer rows."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.features import Feature, Frame
from evaluation.privacy import boxes
from evaluation.privacy.boxes import Boxes
from evaluation.privacy.neighbours import nearest, nearest_distance
from evaluation.privacy.space import Float32Array, Points, Space
from pipeline.columns import Categorical, Continuous

N_REFERENCES, N_QUERIES = 3_000, 400


def rows(n: int, seed: int, *, n_levels: int = 5, missing: float = 0.1, grid: float = 0.0, n_numeric: int = 3) -> Frame:
    """Return rows of numbers, on a grid that makes ties where one is given, and of levels, -1 for missing."""
    rng = np.random.default_rng(seed)
    centre = rng.integers(4, size=n)
    numbers = [centre + rng.standard_normal(n) * 0.3 for _ in range(n_numeric)]
    numbers = [np.round(x / grid) * grid if grid else x for x in numbers]
    numbers = [np.where(rng.random(n) < missing, np.nan, x) for x in numbers]
    codes = [np.minimum(centre + rng.integers(n_levels, size=n), n_levels - 1) for _ in range(3)]
    codes = [np.where(rng.random(n) < missing, -1, c) for c in codes]
    labels = tuple(map(str, range(n_levels)))
    features = [Feature(f"x{i}", Continuous(name=f"x{i}", arrow="double", nullable=True)) for i in range(n_numeric)]
    features += [Feature(f"c{i}", Categorical(name=f"c{i}", arrow="string", nullable=True), labels) for i in range(3)]
    return Frame(tuple(features), (*numbers, *codes), n)


def by_all(space: Space, queries: Points, references: Points, k: int) -> tuple[Float32Array, np.ndarray]:
    """Compare with every row; of equally near ones the first counts."""
    distances = space.distances(queries, references)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


@pytest.mark.parametrize("ranks", [True, False])
@pytest.mark.parametrize("k", [1, 2, 10])
@pytest.mark.parametrize(
    "kind",
    [{}, {"grid": 0.5}, {"n_levels": 200}, {"missing": 0.9}, {"missing": 0.0}, {"n_numeric": 0}],
    ids=["mixed", "ties", "more levels than bits", "mostly missing", "complete", "levels alone"],
)
def test_the_search_is_exact_and_the_first_of_equals_counts(kind: dict[str, float], k: int, ranks: bool) -> None:
    pooled = rows(N_REFERENCES, 0, **kind)  # type: ignore[arg-type]
    space = Space(pooled, ranks=ranks)
    references, queries = space.place(pooled), space.place(rows(N_QUERIES, 1, **kind))  # type: ignore[arg-type]
    distances, places = Boxes(space, references).nearest(queries, k)
    expected, order = by_all(space, queries, references, k)
    assert np.array_equal(distances, expected)
    assert np.array_equal(places, order)


def test_rows_that_are_all_the_same_are_one_box() -> None:
    same = rows(1_000, 0).take(np.zeros(1_000, dtype=np.int64))
    space = Space(same)
    places = space.place(same)
    assert Boxes(space, places).nearest(places.take(np.array([7])), 3)[1].tolist() == [[0, 1, 2]]


def test_fewer_references_than_asked_for_are_all_found() -> None:
    few = rows(4, 0)
    space = Space(few)
    assert Boxes(space, space.place(few)).nearest(space.place(rows(20, 1)), 9)[0].shape == (20, 4)


def test_no_query_finds_nothing() -> None:
    some = rows(300, 0)
    space = Space(some)
    found = nearest(space, space.place(rows(0, 1)), space.place(some))
    assert len(found.first) == len(found.row) == 0


def test_most_boxes_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is always 0 would be exact as well, and would compare every pair."""
    pooled = rows(20_000, 0)
    space = Space(pooled)
    references, queries = space.place(pooled), space.place(rows(N_QUERIES, 1))
    compared = []
    distances = Space.distances

    def counted(self: Space, asked: Points, others: Points) -> Float32Array:
        compared.append(len(asked) * len(others))
        return distances(self, asked, others)

    monkeypatch.setattr(Space, "distances", counted)
    nearest_distance(space, queries, references, k=2)
    assert sum(compared) < 0.3 * len(queries) * len(references)


def test_small_blocks_and_slabs_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pooled = rows(N_REFERENCES, 0)
    space = Space(pooled)
    references, queries = space.place(pooled), space.place(rows(N_QUERIES, 1))
    expected = Boxes(space, references).nearest(queries, 3)
    monkeypatch.setattr(boxes, "BLOCK_CELLS", 700)
    monkeypatch.setattr(boxes, "MOST_BOUNDS", 500)
    found = Boxes(space, references).nearest(queries, 3)
    assert np.array_equal(found[0], expected[0]) and np.array_equal(found[1], expected[1])
