import pytest
import torch
from scipy.stats import kstest

from generators.schedule import (
    draw_known,
    linear_path,
    logit_normal_times,
    normal_velocity,
    score_from_velocity,
    stratified_times,
    velocity_from_score,
)

from .tables import rng

RANK = torch.tensor([2, 0, 3, 1])


def test_the_linear_path_goes_from_noise_to_data_at_a_constant_velocity():
    noise, data = torch.randn(2, 50, 3, generator=rng())
    for t in (0.0, 0.3, 1.0):
        x, velocity = linear_path(noise, data, torch.tensor(t))
        torch.testing.assert_close(x, noise + t * velocity)
    torch.testing.assert_close(x, data)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_the_normal_velocity_is_the_posterior_mean_of_data_minus_noise(t):
    noise, data = torch.randn(2, 400_000, generator=rng(), dtype=torch.float64)
    x, velocity = linear_path(noise, data, torch.tensor(t))
    slope = (x * velocity).mean() / x.square().mean()  # jointly normal: the posterior mean is linear in x
    assert slope.item() == pytest.approx(normal_velocity(torch.ones(()), t).item(), abs=0.01)


def test_stratified_times_have_one_in_each_stratum_in_random_order():
    times = stratified_times(1000, rng(), torch.device("cpu"))
    assert torch.equal((times.sort().values * 1000).long(), torch.arange(1000))
    assert not torch.equal(times, times.sort().values)


def test_velocity_and_score_are_inverse_to_each_other():
    x, velocity = torch.randn(2, 100, generator=rng(), dtype=torch.float64)
    for t in (0.1, 0.5, 0.9):
        torch.testing.assert_close(velocity_from_score(score_from_velocity(velocity, x, t), x, t), velocity)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.9])
def test_the_score_of_normal_data_is_that_of_the_normal_marginal(t):
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    score = score_from_velocity(normal_velocity(x, t), x, t)
    torch.testing.assert_close(score, -x / (t**2 + (1 - t) ** 2))


def test_logit_normal_times_have_a_standard_normal_logit():
    times = logit_normal_times(10_000, rng(), torch.device("cpu"))
    assert 0 < times.min() < times.max() < 1
    assert kstest(times.logit().numpy(), "norm").pvalue > 0.01


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_the_number_of_known_cells_is_uniform_and_never_all(share):
    counts = draw_known(1000, RANK, share, rng()).sum(1)
    assert torch.bincount(counts).tolist() == [250, 250, 250, 250]


def is_prefix(known):
    return known[:, RANK.argsort()].long().diff(dim=1).le(0).all(1)


def test_an_ordered_row_knows_a_prefix_of_the_order():
    assert is_prefix(draw_known(500, RANK, 1.0, rng())).all()


def test_other_rows_know_a_random_subset():
    known = draw_known(8000, RANK, 0.0, rng())
    two = known[known.sum(1) == 2].float()
    assert two.mean(0).tolist() == pytest.approx([0.5] * 4, abs=0.04)
    # Of the subsets of 0, 1, 2, 3 cells, 1 of 1, 4, 6 and 4 is a prefix.
    assert is_prefix(known).float().mean().item() == pytest.approx((1 + 1 / 4 + 1 / 6 + 1 / 4) / 4, abs=0.02)


def test_the_ordered_share_is_the_part_of_ordered_rows():
    chance = (1 + 1 / 4 + 1 / 6 + 1 / 4) / 4
    share = is_prefix(draw_known(8000, RANK, 0.7, rng())).float().mean().item()
    assert share == pytest.approx(0.7 + 0.3 * chance, abs=0.02)
