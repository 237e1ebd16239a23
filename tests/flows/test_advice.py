"""What a comparison says about each purpose follows from its figures, and says so where they show no difference."""

import numpy as np
import pytest

from flows.advice import advise
from flows.table_of_families import Row


def row(
    kind, *, verdict="PASS", n_drawn=1000, sample_s=1.0, fit_s=5.0, density="encoded_space", units=(0, 0), **figures
):
    """Return a row; a figure is its value and half its interval's width."""
    return Row(
        kind=kind,
        verdict=verdict,
        figures={name: value for name, (value, _) in figures.items()},
        intervals={name: (value - reach, value + reach) for name, (value, reach) in figures.items()},
        fit_s=fit_s,
        sample_s=sample_s,
        n_drawn=n_drawn,
        density=density,
        latent_size=units[1],
        active_units=units[0],
        latent_nats=2.5,
    )


def told(rows, held_out=None):
    return {advice.purpose: advice for advice in advise(rows, held_out or {})}


def test_every_purpose_is_spoken_of_even_where_nothing_was_measured():
    found = told([row("a")])
    assert list(found) == ["quality", "privacy", "speed", "density", "latent space", "augmentation"]
    assert found["quality"].words == "Not told: c2st_auc was not measured." and found["quality"].families == ()
    assert told([])["speed"].words == "Not told: no table was drawn."


@pytest.mark.parametrize(
    ("values", "families"),
    [
        ((0.60, 0.70), ("a",)),
        ((0.70, 0.60), ("b",)),
        ((0.60, 0.61), ("a", "b")),
        ((0.61, 0.60), ("b", "a")),
    ],
)
def test_the_smallest_detector_auc_wins_only_beyond_the_interval_of_the_difference(values, families):
    found = told([row(kind, c2st_auc=(value, 0.02)) for kind, value in zip("ab", values, strict=True)])["quality"]
    assert found.families == families
    assert found.words.startswith("No difference that these runs can show") == (len(families) == 2)


def test_more_is_better_for_augmentation_and_no_gain_is_said_to_be_none():
    found = told([row("a", augmentation_gain=(0.05, 0.01)), row("b", augmentation_gain=(0.01, 0.02))])["augmentation"]
    assert found.families == ("a",) and "Behind it: b +0.010" in found.words and "not shown to help" not in found.words
    found = told([row("a", augmentation_gain=(-0.01, 0.02)), row("b", augmentation_gain=(0.01, 0.02))])["augmentation"]
    assert found.families == ("b", "a") and "not shown to help" in found.words


def test_without_an_interval_nothing_is_told_apart():
    rows = [row("a", c2st_auc=(0.5, 0.01)), row("b", c2st_auc=(0.9, 0.01)).model_copy(update={"intervals": {}})]
    assert told(rows)["quality"].families == ("a", "b")


def test_families_that_fail_a_gate_count_only_where_all_do():
    rows = [row("a", verdict="FAIL", c2st_auc=(0.5, 0.01)), row("b", c2st_auc=(0.8, 0.01))]
    assert told(rows)["quality"].words == "b alone was measured: 0.800 (detector AUC, 0.5 is ideal)."
    failed = [one.model_copy(update={"verdict": "FAIL"}) for one in rows]
    assert told(failed)["quality"].families == ("a",)


def test_times_that_differ_by_less_than_half_are_the_same():
    assert told([row("a"), row("b", sample_s=1.4)])["speed"].families == ("a", "b")
    found = told([row("a", fit_s=61.2), row("b", sample_s=1.6)])["speed"]
    assert found.families == ("a",) and "a 1,000" in found.words.replace(":", "") and "a 61 s" in found.words


def test_densities_are_compared_row_by_row():
    rng = np.random.default_rng(0)
    nats = rng.normal(30, 10, 500)
    close, better, noisy = nats + rng.normal(0.3, 0.1, 500), nats, nats + rng.normal(0.0, 30, 500)
    rows = [row("close"), row("better"), row("noisy"), row("none", density=None)]
    held_out = {"close": close.tolist(), "better": better.tolist(), "noisy": noisy.tolist()}
    found = told(rows, held_out)["density"]
    assert "close" not in found.families and "better" in found.families and "noisy" in found.families
    assert "Without a density: none." in found.words


def test_a_bound_that_is_behind_may_belong_to_a_density_that_is_not():
    rows = [row("exact"), row("bound", density="lower_bound")]
    found = told(rows, {"exact": [1.0, 2.0, 3.0], "bound": [2.0, 3.0, 4.0]})["density"]
    assert (
        found.families == ("exact",)
        and "at most 3.00" in found.words
        and "How far bound is behind is a bound" in found.words
    )


def test_a_latent_space_needs_units_that_are_used():
    assert told([row("a")])["latent space"].words.startswith("none of these families encodes a row")
    collapsed = told([row("a", units=(0, 8))])["latent space"]
    assert collapsed.families == () and "has collapsed" in collapsed.words
    found = told([row("a", units=(3, 8)), row("b")])["latent space"]
    assert found.families == ("a",)
    assert found.words == "a: 3 of 8 units are active and say 2.5 nats about a row, at most."
