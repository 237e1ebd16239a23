from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.codecs.boolean import BooleanCodec
from pipeline.codecs.categorical import CategoricalCodec
from pipeline.codecs.codec import Codec
from pipeline.codecs.numeric import NumericCodec
from pipeline.columns import (
    Boolean,
    Categorical,
    Continuous,
    Date,
    Duration,
    Integer,
    Timestamp,
)
from pipeline.errors import DataError

PROTECT = 5
BELOW_ONE = np.nextafter(1.0, 0.0)
INT64 = st.integers(-(2**63), 2**63 - 1)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def there_and_back(codec: Codec, array: pa.Array) -> pa.Array:
    return codec.decode(*codec.encode(array), rng())


def assert_exact_unless_protected(codec: Codec, array: pa.Array) -> None:
    """Every cell that may be drawn comes back as it was; the others still give a cell of the same type."""
    back = there_and_back(codec, array)
    assert back.type == array.type
    drawable = pa.array(codec.can_draw(array))
    assert back.filter(drawable).to_pylist() == array.filter(drawable).to_pylist()


def draw_everything(codec: Codec, n_rows: int = 20_000) -> pa.Array:
    """Return cells of every drawable token at random positions, both ends of every bin among them."""
    tokens = rng().choice(np.flatnonzero(codec.vocabulary.drawable), n_rows).astype(np.int32)
    values = rng().random(n_rows)
    values[: n_rows // 4], values[n_rows // 4 : n_rows // 2] = 0.0, BELOW_ONE
    return codec.decode(tokens, values, rng())


def extremes(array: pa.Array) -> set[Any]:
    """Return the smallest and the largest value, where fewer than PROTECT cells carry it."""
    cells = [cell for cell in array.to_pylist() if cell is not None]
    return {cell for cell in (min(cells), max(cells)) if cells.count(cell) < PROTECT}


def many(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """Lists long enough to have bins, with spikes, and with missing cells."""
    spikes = st.lists(st.tuples(values, st.integers(1, 12)), max_size=4)
    return st.builds(
        lambda single, spiked, n_missing: (
            single + [v for v, times in spiked for _ in range(times)] + [None] * n_missing
        ),
        st.lists(values, min_size=3 * PROTECT, max_size=60),
        spikes,
        st.integers(0, 3),
    )


GRID_COLUMNS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (Integer(name="x", arrow="int64", nullable=True), INT64),
    (Integer(name="x", arrow="int64", nullable=True), st.integers(2**53, 2**53 + 300)),
    (Integer(name="x", arrow="int8", nullable=True), st.integers(-128, 127)),
    (Integer(name="x", arrow="uint64", nullable=True), st.integers(0, 2**40)),
    (Integer(name="x", arrow="int32", nullable=True, step=5), st.integers(-2000, 2000).map(lambda i: i * 5)),
    (Continuous(name="x", arrow="float64", nullable=True, decimals=2), st.integers(-9999, 9999).map(lambda i: i / 100)),
    (Continuous(name="x", arrow="float32", nullable=True, decimals=1), st.integers(-999, 999).map(lambda i: i / 10)),
    (Continuous(name="x", arrow="decimal128(12, 3)", nullable=True), st.decimals(-10_000, 10_000, places=3)),
    (Continuous(name="x", arrow="decimal128(12, 3)", decimals=1, nullable=True), st.decimals(-100, 100, places=1)),
    (Continuous(name="x", arrow="decimal128(18, 0)", nullable=True), st.decimals(-(10**17), 10**17, places=0)),
    (Timestamp(name="x", arrow="timestamp[ns, tz=Europe/Oslo]", nullable=True), st.integers(-(2**61), 2**61)),
    (
        Timestamp(name="x", arrow="timestamp[us]", resolution="s", nullable=True),
        st.integers(0, 10**6).map((1_000_000).__mul__),
    ),
    (
        Timestamp(name="x", arrow="timestamp[s]", resolution="day", nullable=True),
        st.integers(0, 999).map((86400).__mul__),
    ),
    (Date(name="x", arrow="date32[day]", nullable=True), st.dates()),
    (Date(name="x", arrow="date64[ms]", nullable=True), st.dates()),
    (
        Duration(name="x", arrow="duration[ms]", resolution="s", nullable=True),
        st.integers(-999, 999).map((1000).__mul__),
    ),
]


@pytest.mark.parametrize(("column", "values"), GRID_COLUMNS, ids=lambda part: getattr(part, "arrow", ""))
def test_cells_on_a_grid_come_back_exactly_and_extremes_never(column: Any, values: st.SearchStrategy[Any]) -> None:
    @given(many(values))
    @settings(max_examples=40, deadline=None)
    def check(cells: list[Any]) -> None:
        array = pa.array(cells, column.arrow_type)
        codec = NumericCodec.fit(column, array, protect=PROTECT, max_repeated=3)
        widest = max(
            (int(high) - int(low) for low, high in zip(codec.bins.low, codec.bins.high, strict=True)), default=0
        )
        if widest < 2**51:
            assert_exact_unless_protected(codec, array)
        if array.null_count < len(array):
            assert not extremes(array) & set(draw_everything(codec, 400).to_pylist())

    check()


@given(many(st.floats(allow_nan=False, allow_infinity=False)), st.sampled_from([None, 1, 3]))
@settings(max_examples=150, deadline=None)
def test_floats_come_back_up_to_a_sliver_of_their_bin(cells: list[Any], n_bins: int | None) -> None:
    array = pa.array(cells, pa.float64())
    column = Continuous(name="x", arrow="float64", nullable=True)
    codec = NumericCodec.fit(column, array, protect=PROTECT, n_bins=n_bins)
    tokens, values = codec.encode(array)
    assert ((values >= 0) & (values < 1)).all()
    drawable = codec.can_draw(array) & ~array.is_null().to_numpy(zero_copy_only=False)
    found = there_and_back(codec, array).fill_null(0).to_numpy()[drawable]
    wanted = array.fill_null(0).to_numpy()[drawable]
    sliver = np.zeros(len(array))
    binned = codec.vocabulary.valued[tokens]
    places = tokens[binned] - (codec.vocabulary.size - 1 - len(codec.bins.low))
    sliver[binned] = np.ldexp(codec.bins.high[places] / 2 - codec.bins.low[places] / 2, -49)
    sliver[binned] += 2 * np.spacing(np.maximum(np.abs(codec.bins.low[places]), np.abs(codec.bins.high[places])))
    assert (np.abs(found / 2 - wanted / 2) <= sliver[drawable]).all()
    assert not extremes(array) & set(draw_everything(codec, 400).to_pylist())


@pytest.mark.parametrize("scale", [1.7e308, 5e-322])
def test_floats_at_the_ends_of_their_range_neither_overflow_nor_vanish(scale: float) -> None:
    array = pa.array(np.linspace(-1, 1, 101) * scale)
    codec = NumericCodec.fit(Continuous(name="x", arrow="float64"), array, protect=PROTECT, n_bins=1)
    back = there_and_back(codec, array).to_numpy()
    assert back[10:-10] == pytest.approx(array.to_numpy()[10:-10], rel=0, abs=max(scale * 1e-15, 1e-323))
    assert len(np.unique(back)) > 80


@pytest.mark.parametrize("arrow", ["float16", "float32"])
def test_narrow_floats_come_back_exactly(arrow: str) -> None:
    column = Continuous(name="x", arrow=arrow, nullable=True)
    numbers = rng().normal(size=2000).astype(column.arrow_type.to_pandas_dtype())
    array = pa.array(numbers, column.arrow_type)
    assert_exact_unless_protected(NumericCodec.fit(column, array, protect=PROTECT), array)


def test_special_values_are_tokens_where_enough_rows_carry_them_and_rare_otherwise() -> None:
    cells = [float("nan")] * 6 + [float("inf")] * 5 + [float("-inf")] * 4 + [1.5] * 10 + [None] * 2
    column = Continuous(name="x", arrow="float64", nullable=True)
    codec = NumericCodec.fit(column, pa.array(cells, pa.float64()), protect=PROTECT)
    assert codec.vocabulary.counts.tolist() == [2, 6, 5, 10, 4]
    assert codec.vocabulary.drawable.tolist() == [True, True, True, True, False]
    back = there_and_back(codec, pa.array(cells, pa.float64()))
    assert back.null_count == 2
    assert back.slice(0, 6).is_nan().to_pylist() == [True] * 6
    assert back.slice(6, 5).to_pylist() == [float("inf")] * 5
    assert float("-inf") not in back.to_pylist()


def test_nan_in_a_decimal_grid_stays_nan() -> None:
    column = Continuous(name="x", arrow="float64", decimals=1)
    array = pa.array([0.1, float("nan")] * 10)
    back = there_and_back(NumericCodec.fit(column, array, protect=PROTECT), array)
    assert back.to_pylist()[0] == 0.1
    assert np.isnan(back.to_pylist()[1])


def test_numbers_too_large_for_the_decimal_grid_stay_on_it() -> None:
    column = Continuous(name="x", arrow="float64", decimals=2)
    array = pa.array([*(i / 100 for i in range(100)), *(1e300 + i * 1e290 for i in range(30))])
    drawn = draw_everything(NumericCodec.fit(column, array, protect=PROTECT)).to_numpy()
    small = drawn[np.abs(drawn) < 2**53 / 100]
    assert len(small)
    assert (np.round(small, 2) == small).all()


def test_negative_zero_is_zero() -> None:
    array = pa.array([-0.0, 0.0] * 10)
    codec = NumericCodec.fit(Continuous(name="x", arrow="float64"), array, protect=PROTECT)
    assert codec.atoms.tolist() == [0.0]
    assert not np.signbit(there_and_back(codec, array).to_numpy()).any()


def test_repeated_numbers_are_atoms_and_the_positions_of_a_bin_leave_them_out() -> None:
    array = pa.array([40] * 500 + list(range(20, 60)) * 2)
    codec = NumericCodec.fit(Integer(name="hours", arrow="int64"), array, protect=PROTECT, n_bins=1)
    assert codec.atoms.tolist() == [40]
    bin_token = int(np.flatnonzero(codec.vocabulary.valued)[0])
    tokens, values = np.full(5000, bin_token, np.int32), rng().random(5000)
    drawn = set(codec.decode(tokens, values, rng()).to_pylist())
    assert drawn == set(range(22, 58)) - {40}


@given(many(st.integers(-300, 300) | INT64), st.sampled_from([1, 4]))
@settings(max_examples=40, deadline=None)
def test_a_drawn_number_belongs_to_the_token_it_was_drawn_from(cells: list[Any], n_bins: int) -> None:
    column = Integer(name="x", arrow="int64", nullable=True)
    codec = NumericCodec.fit(column, pa.array(cells, pa.int64()), protect=PROTECT, n_bins=n_bins)
    tokens = rng().choice(np.flatnonzero(codec.vocabulary.drawable), 400).astype(np.int32)
    drawn = codec.decode(tokens, rng().random(400), rng())
    assert codec.encode(drawn)[0].tolist() == tokens.tolist()
    assert codec.can_draw(drawn).all()


def test_atoms_are_the_most_frequent_numbers_and_chance_repetitions_are_none() -> None:
    column = Integer(name="x", arrow="int64")
    often = pa.array([value for value in range(600) for _ in range(5 + value // 100)])
    assert len(NumericCodec.fit(column, often, protect=PROTECT, max_repeated=512).atoms) == 512
    by_chance = pa.array([*([7] * 5), *range(100, 4100)])
    assert len(NumericCodec.fit(column, by_chance, protect=PROTECT).atoms) == 0
    spike = pa.array([*([7] * 50), *range(100, 4100)])
    assert NumericCodec.fit(column, spike, protect=PROTECT).atoms.tolist() == [7]


def test_every_bin_and_atom_has_enough_rows() -> None:
    for n_rows in (15, 40, 333, 5000):
        array = pa.array(rng().lognormal(5, 2, n_rows).astype(np.int64))
        codec = NumericCodec.fit(Integer(name="x", arrow="int64"), array, protect=PROTECT)
        assert codec.vocabulary.counts[codec.vocabulary.drawable].min() >= PROTECT
        assert (
            codec.vocabulary.counts.tolist()
            == np.bincount(codec.encode(array)[0], minlength=codec.vocabulary.size).tolist()
        )


def test_coordinates_are_train_quantiles() -> None:
    array = pa.array([0] * 500 + [float(i) for i in range(1, 501)], pa.float64())
    codec = NumericCodec.fit(Continuous(name="x", arrow="float64", nullable=True), array, protect=PROTECT, n_bins=4)
    coordinate = codec.vocabulary.coordinate
    assert coordinate[1:-1] == pytest.approx([0.25, 0.5625, 0.6875, 0.8125, 0.9375], abs=0.002)
    assert np.isnan(coordinate[[0, -1]]).all()


def test_few_left_over_numbers_go_to_the_nearest_atom() -> None:
    array = pa.array([10] * 20 + [20] * 20 + [11, 14, 16, 99])
    codec = NumericCodec.fit(Integer(name="x", arrow="int64"), array, protect=PROTECT)
    assert there_and_back(codec, array).to_pylist()[40:] == [10, 10, 20, 20]
    assert not codec.can_draw(array)[40:].any()


def test_unseen_numbers_go_to_the_nearest_bin_or_atom() -> None:
    array = pa.array([*([0] * 50), *range(1000, 1100)])
    codec = NumericCodec.fit(Integer(name="x", arrow="int64"), array, protect=PROTECT)
    assert there_and_back(codec, pa.array([-5, 3, 990, 10**9])).to_pylist() == [0, 0, 1004, 1095]


def test_too_few_numbers_are_refused_with_the_column_and_a_remedy() -> None:
    with pytest.raises(DataError, match=r'"x".*5 rows.*found 14 rows.*protect'):
        NumericCodec.fit(Integer(name="x", arrow="int64"), pa.array(range(14)), protect=PROTECT)


LEVELS = st.lists(st.text(max_size=4), min_size=1, max_size=6, unique=True)


@given(LEVELS, st.lists(st.integers(0, 9), min_size=6, max_size=6), st.sampled_from(["string", "large_string"]))
@settings(max_examples=60, deadline=None)
def test_kept_levels_come_back_and_rare_ones_never(levels: list[str], times: list[int], arrow: str) -> None:
    column = Categorical(name="x", arrow=arrow, nullable=True)
    cells = ["kept"] * PROTECT + [f"-{v}" for v, n in zip(levels, times, strict=False) for _ in range(n)] + [None]
    array = pa.array(cells, column.arrow_type)
    codec = CategoricalCodec.fit(column, array, protect=PROTECT)
    assert_exact_unless_protected(codec, array)
    rare = {cell for cell in cells if cell is not None and cells.count(cell) < PROTECT}
    many_times = codec.decode(*codec.encode(pa.concat_arrays([array] * 50)), rng())
    assert not rare & set(many_times.to_pylist())
    assert rare.isdisjoint(codec.to_json()["levels"])
    assert many_times.null_count == 50


@pytest.mark.parametrize("arrow", ["int8", "uint16", "int64", "dictionary<values=string, indices=int8>"])
def test_levels_of_every_type_come_back(arrow: str) -> None:
    column = Categorical(name="x", arrow=arrow, nullable=True)
    plain = pa.array(["3", "1", None, "2"] * 6)
    array = plain.dictionary_encode().cast(column.arrow_type) if "dict" in arrow else plain.cast(column.arrow_type)
    assert_exact_unless_protected(CategoricalCodec.fit(column, array, protect=PROTECT), array)


def test_an_ordered_dictionary_keeps_its_order_and_loses_its_rare_levels() -> None:
    column = Categorical(name="x", arrow="dictionary<values=string, indices=int8, ordered=1>")
    indices = pa.array([0] * 6 + [1] + [2] * 5, pa.int8())
    array = pa.DictionaryArray.from_arrays(indices, pa.array(["small", "odd", "big"]), ordered=True)
    back = there_and_back(CategoricalCodec.fit(column, array, protect=PROTECT), array)
    assert back.type == array.type
    assert back.dictionary.to_pylist() == ["small", "big"]


def test_rare_levels_are_redrawn_in_proportion_to_the_kept_ones() -> None:
    array = pa.array(["a"] * 900 + ["b"] * 100 + ["c"] + [None] * 500)
    codec = CategoricalCodec.fit(Categorical(name="x", arrow="string", nullable=True), array, protect=PROTECT)
    drawn = codec.decode(np.full(4000, 3, np.int32), np.full(4000, 0.5), rng())
    assert drawn.null_count == 0
    assert drawn.to_pylist().count("a") / 4000 == pytest.approx(0.9, abs=0.02)


def test_levels_that_are_not_declared_are_refused_or_rare_by_choice() -> None:
    train = pa.array(["a"] * 6 + ["b"])
    refusing = Categorical(name="city", arrow="string", levels=("a", "b"), unseen="refuse")
    codec = CategoricalCodec.fit(refusing, train, protect=PROTECT)
    assert codec.encode(pa.array(["b"]))[0].tolist() == [1]
    with pytest.raises(DataError, match=r"\"city\".*'z'"):
        codec.encode(pa.array(["z"]))
    mapping = refusing.model_copy(update={"unseen": "rare", "levels": ("b", "c")})
    only_declared = CategoricalCodec.fit(mapping, pa.array(["a"] * 9 + ["b"] * 6), protect=PROTECT)
    assert only_declared.levels.to_pylist() == ["b"]
    assert only_declared.encode(pa.array(["z", "a"]))[0].tolist() == [1, 1]


def test_refusing_unseen_levels_needs_them_declared_where_some_are_rare() -> None:
    column = Categorical(name="x", arrow="string", unseen="refuse")
    with pytest.raises(DataError, match=r'"x".*declare its levels'):
        CategoricalCodec.fit(column, pa.array(["a"] * 6 + ["b"]), protect=PROTECT)


def test_a_column_of_rare_levels_is_refused_with_a_remedy() -> None:
    with pytest.raises(DataError, match=r'"x".*found 3 levels.*identifier or text.*protect'):
        CategoricalCodec.fit(Categorical(name="x", arrow="string"), pa.array(["a", "b", "c"] * 4), protect=PROTECT)


def test_booleans_are_never_protected() -> None:
    array = pa.array([True, None, False] + [False] * 9)
    codec = BooleanCodec.fit(Boolean(name="x", arrow="bool", nullable=True), array)
    assert codec.can_draw(array).all()
    assert there_and_back(codec, array).equals(array)


@pytest.mark.parametrize(
    ("codec", "array"),
    [
        (NumericCodec.fit(Integer(name="x", arrow="int64"), pa.array([1] * 9), protect=5), pa.array([1, None])),
        (BooleanCodec.fit(Boolean(name="x", arrow="bool"), pa.array([True])), pa.array([True, None])),
        (
            CategoricalCodec.fit(Categorical(name="x", arrow="string"), pa.array(["a"] * 5), protect=5),
            pa.array(["a", None]),
        ),
    ],
)
def test_a_missing_cell_is_refused_where_none_may_be(codec: Codec, array: pa.Array) -> None:
    with pytest.raises(DataError, match=r'"x" is declared never missing; found 1 missing'):
        codec.encode(array)


def test_sliced_arrays_are_read_from_their_own_start() -> None:
    column = Continuous(name="x", arrow="decimal128(9, 2)", nullable=True)
    array = pa.array([None, *range(30)], column.arrow_type).slice(3)
    assert_exact_unless_protected(NumericCodec.fit(column, array, protect=PROTECT), array)


@given(many(st.integers(-50, 50)))
@settings(max_examples=30, deadline=None)
def test_a_codec_is_the_same_after_json(cells: list[Any]) -> None:
    column = Integer(name="x", arrow="int64", nullable=True)
    array = pa.array(cells, pa.int64())
    codec = NumericCodec.fit(column, array, protect=PROTECT)
    restored = NumericCodec.from_json(column, json.loads(json.dumps(codec.to_json())))
    assert draw_everything(restored, 200).equals(draw_everything(codec, 200))
    assert restored.encode(array)[0].tolist() == codec.encode(array)[0].tolist()
