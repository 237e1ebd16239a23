import numpy as np
import pytest

from pipeline.chance import bins_move, event_moves, share_moves, threshold

N_DRAWS = 200_000


@pytest.mark.parametrize(("n_before", "n_now"), [(50, 50), (300, 300), (300, 20_000), (20_000, 300), (20_000, 20_000)])
@pytest.mark.parametrize("share", [0.0005, 0.01, 0.1, 0.5])
def test_chance_alone_does_not_move_a_share_so_far(share, n_before, n_now):
    rng = np.random.default_rng(0)
    before, now = rng.binomial(n_before, share, N_DRAWS), rng.binomial(n_now, share, N_DRAWS)
    pairs = np.unique(np.stack([before, now]), axis=1)
    pooled = pairs.sum(axis=0) / (n_before + n_now)
    moves = np.array([share_moves(float(p), n_before, n_now) for p in pooled])
    assert (np.abs(pairs[0] / n_before - pairs[1] / n_now) <= moves).all()


@pytest.mark.parametrize(("n_before", "n_now"), [(100, 100), (300, 300), (300, 20_000), (20_000, 20_000)])
@pytest.mark.parametrize("n_bins", [2, 5, 20])
@pytest.mark.parametrize("slope", [0.0, 3.0])
def test_chance_alone_does_not_move_a_distribution_so_far(slope, n_bins, n_before, n_now):
    shares = np.exp(-slope * np.arange(n_bins) / n_bins)
    shares /= shares.sum()
    rng = np.random.default_rng(0)
    before, now = (rng.multinomial(n, shares, N_DRAWS // 10) / n for n in (n_before, n_now))
    assert (np.abs(before - now).sum(axis=1) / 2 <= bins_move(n_bins, n_before, n_now)).all()


@pytest.mark.parametrize("n_bins", [2, 5, 20])
def test_a_true_distance_is_not_observed_much_smaller(n_bins):
    shares = np.full(n_bins, 1 / n_bins)
    moved = shares * 0.8 + 0.2 * np.eye(n_bins)[0]
    rng = np.random.default_rng(0)
    before, now = rng.multinomial(1_000, shares, N_DRAWS // 10), rng.multinomial(1_000, moved, N_DRAWS // 10)
    observed = np.abs(before - now).sum(axis=1) / 2_000
    assert (observed >= np.abs(shares - moved).sum() / 2 - event_moves(1_000, 1_000)).all()


def test_the_bounds_are_no_wider_than_twice_what_happens():
    """A bound that nothing ever reaches would hide changes."""
    rng = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    before, now = (rng.multinomial(1_000, shares, N_DRAWS // 10) / 1_000 for _ in range(2))
    assert (np.abs(before - now).sum(axis=1) / 2).max() > bins_move(10, 1_000, 1_000) / 2
    before, now = (rng.binomial(1_000, 0.1, N_DRAWS) / 1_000 for _ in range(2))
    assert np.abs(before - now).max() > share_moves(0.1, 1_000, 1_000) / 2


def test_a_threshold_lies_below_the_tolerance_where_chance_leaves_room():
    assert threshold(0.1, chance=0.02, slack=0.03) == pytest.approx(0.07)
    assert threshold(0.1, chance=0.3, slack=0.2) == 0.3
