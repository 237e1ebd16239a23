import json
import random
import re
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline import errors
from pipeline.config import Config
from pipeline.encoded import Encoded, Layout, TokenColumn
from pipeline.errors import InputError, TabmintError
from pipeline.seeds import numpy_rng, substream

TREE = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+)", re.MULTILINE)
EVERY_ERROR = [kind for kind in vars(errors).values() if isinstance(kind, type)]


class Size(Config):
    n_rows: int = 1


def drawn_tree():
    """The tree in the module's docstring, as pairs of a class and its parent."""
    drawing = errors.__doc__.split("```")[1]
    path, edges = [], {}
    for line in TREE.finditer(drawing):
        depth = len(line["indent"]) // 4
        path[depth:] = [line["name"]]
        edges[line["name"]] = path[depth - 1] if depth else "Exception"
    return edges


def test_the_drawn_tree_is_the_tree():
    assert drawn_tree() == {kind.__name__: kind.__base__.__name__ for kind in EVERY_ERROR}


@pytest.mark.parametrize("kind", EVERY_ERROR)
def test_every_error_is_one_of_ours_and_says_rule_actual_and_remedy(kind):
    error = kind("a rule", actual="this", remedy="do that")
    assert isinstance(error, TabmintError)
    assert (error.rule, error.actual, error.remedy) == ("a rule", "this", "do that")
    assert str(error) == "a rule; found this; do that"
    assert str(kind("a rule")) == "a rule"


def test_only_what_the_caller_can_mend_is_an_input_error():
    mendable = {kind.__name__ for kind in EVERY_ERROR if issubclass(kind, InputError)}
    assert mendable == {
        "InputError", "ConfigError", "SourceError", "SchemaError", "DriftError", "DataError", "PreflightError",
        "ArtifactError", "UnsupportedError",
    }  # fmt: skip


def test_a_config_refuses_an_unknown_key_and_names_it():
    with pytest.raises(ValidationError, match="rows"):
        Size(rows=3)


def test_a_config_is_frozen_and_compares_by_content():
    with pytest.raises(ValidationError, match="frozen"):
        Size().n_rows = 2
    assert Size(n_rows=2) == Size(n_rows=2) != Size()


def test_a_substream_is_pinned_forever():
    assert substream(0, "fit") == 693641157129749619
    assert numpy_rng(0, "fit").integers(2**62, size=2).tolist() == [1445603143363821630, 2239431088904190248]


def test_a_substream_is_the_same_in_another_process():
    command = [sys.executable, "-c", "from pipeline.seeds import substream; print(substream(7, 'a', 'b'))"]
    assert int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) == substream(7, "a", "b")


@given(seed=st.integers(), names=st.lists(st.text(max_size=5), max_size=3))
def test_a_substream_is_a_seed_that_numpy_and_torch_take(seed, names):
    assert 0 <= substream(seed, *names) < 2**63


def test_substreams_differ_by_seed_name_and_grouping():
    streams = [(0,), (1,), (0, "a"), (0, "b"), (0, "a", "b"), (0, "b", "a"), (0, "ab"), (0, ""), (-1, "a"), (1, "a")]
    assert len({substream(*stream) for stream in streams}) == len(streams)


def test_streams_do_not_follow_each_other():
    draws = np.stack([numpy_rng(seed, "fit").standard_normal(2000) for seed in range(20)])
    correlations = np.corrcoef(draws)[np.triu_indices(20, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(2000)


def test_no_global_generator_is_touched():
    before = (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    numpy_rng(0, "fit").random(10)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


def column(name, valued, counts=None):
    size = len(valued)
    return TokenColumn(
        name=name,
        counts=np.arange(size, dtype=np.int64) if counts is None else np.asarray(counts, dtype=np.int64),
        drawable=np.arange(size) > 0,
        valued=np.asarray(valued),
        coordinate=np.where(valued, 0.25, np.nan),
    )


@pytest.fixture
def layout():
    sex = column("sex", [False, False])
    age = column("age", [False, True, True])
    city = column("city", [False] * 5)
    income = column("income", [True])
    return Layout((sex, age, city, income))


def assert_same(first, second):
    assert (first.name, first.size) == (second.name, second.size)
    for field in ("counts", "drawable", "valued", "coordinate"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))
        assert getattr(first, field).dtype == getattr(second, field).dtype


def test_a_layout_counts_its_columns_and_tokens(layout):
    assert layout.n_columns == 4
    assert layout.names == ("sex", "age", "city", "income")
    assert layout.sizes == (2, 3, 5, 1)
    assert layout.n_tokens == 11
    assert layout.valued == (1, 3), "columns with a continuous part, by index"


def test_offsets_tile_the_concatenated_vocabulary(layout):
    assert layout.offsets.tolist() == [0, 2, 5, 10]
    ends = [*layout.offsets.tolist(), layout.n_tokens]
    assert tuple(end - begin for begin, end in pairwise(ends)) == layout.sizes


@pytest.mark.parametrize("valued", [[True], [False]])
def test_a_layout_of_one_column(valued):
    single = Layout((column("x", valued),))
    assert (single.offsets.tolist(), single.n_tokens, single.valued) == ([0], 1, (0,) if valued[0] else ())


def test_a_layout_survives_json(layout):
    text = json.dumps(layout.to_json(), allow_nan=False)
    back = Layout.from_json(json.loads(text))
    assert back.n_columns == layout.n_columns
    for first, second in zip(layout.columns, back.columns, strict=True):
        assert_same(first, second)


@given(
    counts=st.lists(st.integers(0, 2**53), min_size=1, max_size=6),
    coordinates=st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=6, max_size=6),
)
def test_a_token_column_survives_json_bit_for_bit(counts, coordinates):
    first = column("x", [True] * len(counts), counts)
    object.__setattr__(first, "coordinate", np.asarray(coordinates[: len(counts)]))
    assert_same(first, TokenColumn.from_json(json.loads(json.dumps(first.to_json(), allow_nan=False))))


@pytest.mark.parametrize("rows", [np.array([2, 0, 2]), np.array([True, False, True]), np.array([], dtype=np.int64)])
def test_take_returns_the_rows_asked_for(layout, rows):
    tokens = np.array([[0, 1, 4, 0], [1, 0, 3, 0], [0, 2, 2, 0]], dtype=np.int32)
    values = np.array([[0.1, 0.2], [0.5, 0.3], [0.7, 0.4]])
    taken = Encoded(layout, tokens, values).take(rows)
    assert taken.layout is layout
    assert len(taken) == len(tokens[rows])
    np.testing.assert_array_equal(taken.tokens, tokens[rows])
    np.testing.assert_array_equal(taken.values, values[rows])
    assert (taken.tokens.dtype, taken.values.dtype) == (np.int32, np.float64)


@pytest.mark.parametrize("bounds", [[0, 3], [0, 1, 3], [0, 0, 2, 2, 3]])
def test_concat_puts_the_parts_one_after_the_other(layout, bounds):
    tokens = np.array([[0, 1, 4, 0], [1, 0, 3, 0], [0, 2, 2, 0]], dtype=np.int32)
    whole = Encoded(layout, tokens, np.array([[0.1, 0.2], [0.5, 0.3], [0.7, 0.4]]))
    joined = Encoded.concat([whole.take(np.arange(begin, end)) for begin, end in pairwise(bounds)])
    assert joined.layout is layout
    np.testing.assert_array_equal(joined.tokens, whole.tokens)
    np.testing.assert_array_equal(joined.values, whole.values)
    assert (joined.tokens.dtype, joined.values.dtype) == (np.int32, np.float64)
