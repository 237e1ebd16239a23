"""The latent space: rows to vectors and back, lines that stay on valid rows, and units that are told to be dead."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from generators import TabularGenerator, generator_config
from generators.latent import LatentSpace, Unit, Usage
from pipeline.checks import check_table
from pipeline.errors import ConfigError, DataError, NotFittedError, UnsupportedError

from .tables import people, people_frame, twins

QUICK = {"width": 16, "latent_size": 3, "importance_samples": 2, "training": {"steps": 6}}


def quick(table, **settings):
    return TabularGenerator(generator_config("vae", **QUICK | settings)).fit(table)


def four_places(n=400):
    """Return rows of four kinds: a level, a number near its own centre, and whether it is an even kind."""
    kinds = np.random.default_rng(0).permutation(np.arange(n) % 4)
    number = 100.0 * kinds + np.random.default_rng(1).normal(0, 3, n)
    return pa.table({"place": np.array(["n", "e", "s", "w"])[kinds], "number": number, "even": kinds % 2 == 0})


@pytest.fixture(scope="module")
def places():
    """A latent space that had the time to learn four kinds of rows."""
    settings = {"width": 32, "latent_size": 4, "members": 1, "cell_dropout": 1.0, "dropout": 0.0, "ordered_share": 1.0}
    training = {"steps": 250, "learning_rate": 0.01}
    return LatentSpace(TabularGenerator(generator_config("vae", **settings, training=training)).fit(four_places()))


@pytest.fixture(scope="module")
def mixed():
    return LatentSpace(quick(people(), members=2))


def test_vectors_are_those_of_the_encoder_and_come_back_as_rows_of_the_schema(mixed):
    vectors = mixed.encode(people())
    assert vectors.shape == (200, 3) and np.isfinite(vectors).all()
    for table in (mixed.decode(vectors), mixed.decode(vectors, seed=4)):
        check_table(table, mixed.generator.schema)
        assert table.num_rows == 200 and table.schema == mixed.generator.schema.arrow()
    assert mixed.decode(vectors).equals(mixed.decode(vectors))
    assert mixed.decode(vectors, seed=4).equals(mixed.decode(vectors, seed=4))
    assert not mixed.decode(vectors, seed=4).equals(mixed.decode(vectors, seed=5))


def test_what_was_fitted_on_a_frame_is_decoded_into_frames():
    space = LatentSpace(quick(people_frame(), members=1))
    decoded = space.decode(space.encode(people_frame()))
    assert isinstance(decoded, pd.DataFrame) and decoded.dtypes.equals(people_frame().dtypes)


def test_each_member_has_a_space_of_its_own(mixed):
    other = LatentSpace(mixed.generator, member=1)
    assert (mixed.n_members, mixed.member, other.member) == (2, 0, 1)
    assert not np.allclose(mixed.encode(people()), other.encode(people()))
    with pytest.raises(ConfigError, match="from 0 to 1"):
        LatentSpace(mixed.generator, member=2)


def test_a_saved_model_has_the_same_space(mixed, tmp_path):
    mixed.generator.save(tmp_path / "model")
    again = LatentSpace(TabularGenerator.load(tmp_path / "model"))
    assert again.encode(people()) == pytest.approx(mixed.encode(people()), abs=1e-6)


@pytest.mark.parametrize("kind", ["flow_matching", "independent"])
def test_a_family_without_a_latent_vector_refuses_by_name(kind):
    settings = {} if kind == "independent" else {"width": 16, "members": 2, "training": {"steps": 2}}
    with pytest.raises(UnsupportedError, match=f"{kind} has no latent vector"):
        LatentSpace(TabularGenerator(generator_config(kind, **settings)).fit(twins()))
    with pytest.raises(NotFittedError):
        LatentSpace(TabularGenerator(generator_config("vae")))


def test_a_decoded_row_is_like_the_one_it_was_encoded_from(places):
    rows = four_places().slice(0, 100)
    back = places.decode(places.encode(rows))
    assert np.mean(np.array(back["place"]) == np.array(rows["place"])) > 0.95
    assert np.abs(back["number"].to_numpy() - rows["number"].to_numpy()).mean() < 15


def test_a_line_between_two_rows_starts_and_ends_there_and_every_row_on_it_is_valid(places):
    table = four_places()
    ends = [int(np.flatnonzero(np.array(table["place"]) == place)[0]) for place in ("n", "w")]
    line = places.interpolate(table.slice(ends[0], 1), table.slice(ends[1], 1), 9)
    check_table(line, places.generator.schema)
    assert line.num_rows == 9 and line["place"].to_pylist()[::8] == ["n", "w"]
    centres = {"n": 0, "e": 100, "s": 200, "w": 300}
    apart = [
        abs(number - centres[place])
        for place, number in zip(line["place"].to_pylist(), line["number"].to_pylist(), strict=True)
    ]
    assert np.mean(np.array(apart) < 30) > 0.7  # on the way, too, the columns go together
    with pytest.raises(ConfigError, match="two ends"):
        places.interpolate(table.slice(0, 1), table.slice(1, 1), 1)
    with pytest.raises(DataError, match="found 2 rows"):
        places.interpolate(table.slice(0, 2), table.slice(1, 1))


def test_neighbours_are_of_the_same_kind_and_a_row_is_its_own_nearest(places):
    table = four_places()
    found = places.neighbours(table.slice(0, 20), table, 5)
    assert found.rows.shape == found.distances.shape == (20, 5)
    assert found.distances[:, 0] == pytest.approx(0, abs=1e-6) and (np.diff(found.distances, axis=1) >= 0).all()
    kinds = np.array(table["place"])
    assert np.mean(kinds[found.rows] == kinds[:20, None]) > 0.9
    for k in (0, 401):
        with pytest.raises(ConfigError, match="of the table that is searched"):
            places.neighbours(table, table, k)


def test_units_that_are_used_move_columns_and_those_that_are_not_do_not(places):
    table = four_places()
    usage = places.usage(table)
    assert [unit.number for unit in usage.units] == [0, 1, 2, 3] and usage.n_rows == 400
    assert usage.active and "units are active" in usage.verdict
    strongest = max(
        response.strength for unit in usage.active for response in places.traverse(unit, table, n_steps=3).responses
    )
    assert strongest > 0.3
    frozen = Unit(0, 0.0, 0.0, False, 0.5, 0.5)
    still = places.traverse(frozen, table, n_steps=3)
    assert all(response.strength == 0 for response in still.responses)  # the same random numbers at each step


def test_a_traversal_tells_quantiles_of_ordered_columns_and_shares_of_the_others(places):
    table = four_places()
    moved = places.traverse(places.usage(table).active[0], table, n_steps=4)
    assert len(moved.tables) == 4 and all(len(step) == 400 for step in moved.tables)
    responses = {response.column: response for response in moved.responses}
    assert set(responses) == {"place", "number", "even"}
    assert responses["number"].quantiles.shape == (4,) and len(responses["number"].ends) == 2
    assert set(responses["place"].shares) <= {"n", "e", "s", "w"} and responses["place"].quantiles is None
    assert sum(responses["place"].shares.values()) == pytest.approx(np.ones(4))
    assert [r.strength for r in moved.responses] == sorted((r.strength for r in moved.responses), reverse=True)
    with pytest.raises(ConfigError, match="two ends"):
        places.traverse(places.usage(table).units[0], table, n_steps=1)


def test_collapse_is_said_in_words():
    dead, idle, alive = (
        Unit(0, 0.001, 0.0, False, 0, 0),
        Unit(1, 0.2, 0.001, False, 0, 0),
        Unit(2, 1.5, 0.8, True, -2, 2),
    )
    assert [unit.state.split(":")[0] for unit in (dead, idle, alive)] == ["collapsed", "idle", "active"]
    assert "has collapsed" in Usage((dead, idle), 10).verdict
    usage = Usage((dead, idle, alive), 10)
    assert usage.active == (alive,) and usage.nats == pytest.approx(1.701)
    assert usage.verdict == "1 of 3 units are active and say 1.7 nats about a row, at most. 2 of 3 units are not used."


def test_a_decoder_that_ignores_its_vector_is_found_out():
    settings = {"beta": 30.0, "free_bits": 0.0, "annealed_share": 0.0, "prior": "normal", "members": 1}
    training = {"steps": 60, "learning_rate": 0.01}
    space = LatentSpace(quick(twins(), **settings, training=training))
    assert space.usage(twins()).active == () and "has collapsed" in space.usage(twins()).verdict


@pytest.mark.parametrize("z", [np.zeros((2, 2)), np.zeros(3), np.full((1, 3), np.nan)])
def test_vectors_of_another_size_are_refused(mixed, z):
    with pytest.raises(DataError, match="of 3 units"):
        mixed.decode(z)


def test_a_single_row_differs_from_none(mixed):
    with pytest.raises(DataError, match="from two on"):
        mixed.usage(people().slice(0, 1))
