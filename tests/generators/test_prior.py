import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as reference_divergence

from generators.prior import LatentFlow, kl_divergence, normal_log_prob, systematic_resample

from .tables import rng


def resample(log_weights, n, seed=0):
    """Resample from one pool."""
    return systematic_resample(
        log_weights, torch.zeros(len(log_weights), dtype=torch.long), torch.tensor([n]), rng(seed)
    )


def untrained(size=2, depth=3, *, spread=0.3):
    """A flow with random weights, which is far from the identity."""
    flow, random = LatentFlow(size, depth, rng()), rng(1)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=spread)
    return flow.eval().requires_grad_(False)


def test_a_fresh_flow_is_the_standard_normal():
    z = torch.randn(100, 5, generator=rng())
    torch.testing.assert_close(LatentFlow(5, 4, rng()).log_prob(z), normal_log_prob(z))


def test_the_normal_log_density_is_the_sum_over_the_entries():
    z = torch.randn(7, 3, generator=rng())
    torch.testing.assert_close(normal_log_prob(z), Normal(0, 1).log_prob(z).sum(1))


def test_the_density_of_the_flow_integrates_to_one():
    axis = torch.linspace(-12, 12, 401)
    density = untrained(spread=0.15).log_prob(torch.cartesian_prod(axis, axis)).exp()
    assert (density.sum() * (axis[1] - axis[0]) ** 2).item() == pytest.approx(1.0, abs=0.005)
    z = torch.randn(100, 2, generator=rng())
    assert (untrained(spread=0.15).log_prob(z) - normal_log_prob(z)).abs().mean() > 0.3


@pytest.mark.parametrize("size", [2, 5])
def test_the_couplings_are_inverted_exactly_and_their_determinant_is_that_of_the_jacobian(size):
    coupling = untrained(size).couplings[0]
    z = torch.randn(4, size, generator=rng())
    x, log_determinant = coupling.to_noise(z)
    torch.testing.assert_close(coupling.to_latent(x), z)
    for row in range(4):
        jacobian = torch.autograd.functional.jacobian(lambda z: coupling.to_noise(z.unsqueeze(0))[0][0], z[row])
        assert jacobian.det().abs().log().item() == pytest.approx(log_determinant[row].item(), abs=1e-4)


@pytest.mark.parametrize("size", [2, 5])
def test_every_entry_is_changed_by_some_coupling(size):
    flow, fresh = untrained(size), LatentFlow(size, 3, rng())
    moved, unmoved = (z.sample(1, rng()) for z in (flow, fresh))
    assert (moved - unmoved).abs().min() > 1e-3


def test_vectors_are_drawn_as_often_as_their_density_says():
    flow = untrained(spread=0.15)
    drawn = flow.sample(20_000, rng())
    edges = torch.linspace(-1, 1, 201)
    middles = (edges[1:] + edges[:-1]) / 2
    mass = flow.log_prob(torch.cartesian_prod(middles, middles)).exp().sum() * (edges[1] - edges[0]) ** 2
    assert (drawn.abs() < 1).all(1).float().mean().item() == pytest.approx(mass.item(), abs=0.012)
    assert abs(mass.item() - math.erf(1 / math.sqrt(2)) ** 2) > 0.03  # what the normal has there


def test_a_flow_learns_two_clusters():
    flow, random = LatentFlow(2, 6, rng()), rng(1)
    optimizer = torch.optim.Adam(flow.parameters(), lr=3e-3)

    def clusters(n):
        side = torch.randint(2, (n, 1), generator=random) * 4.0 - 2
        return side + 0.3 * torch.randn(n, 2, generator=random)

    for _ in range(300):
        loss = -flow.log_prob(clusters(256)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    entropy = math.log(2) + 2 * (math.log(0.3) + 0.5 * math.log(2 * math.pi * math.e))
    assert -flow.log_prob(clusters(5000)).mean().item() == pytest.approx(entropy, abs=0.15)
    drawn = flow.sample(2000, rng())
    assert (drawn > 0).all(1).float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_the_closed_divergence_agrees_with_monte_carlo_and_with_the_reference():
    mean, log_variance = torch.tensor([0.0, 1.5, -0.5]), torch.tensor([0.0, -2.0, 1.0])
    posterior, prior = Normal(mean, torch.exp(log_variance / 2)), Normal(torch.zeros(3), torch.ones(3))
    torch.testing.assert_close(kl_divergence(mean, log_variance), reference_divergence(posterior, prior))
    z = mean + torch.exp(log_variance / 2) * torch.randn(200_000, 3, generator=rng())
    estimate = (posterior.log_prob(z) - prior.log_prob(z)).mean(0)
    torch.testing.assert_close(kl_divergence(mean, log_variance), estimate, atol=0.02, rtol=0)


def test_resampling_draws_each_index_as_often_as_its_weight_to_within_one():
    weights = torch.rand(50, generator=rng()) ** 4
    counts = torch.bincount(resample(weights.log(), 1000, seed=1), minlength=50)
    expected = 1000 * weights / weights.sum()
    assert (counts - expected).abs().max() <= 1.001
    assert len(resample(torch.zeros(3), 0)) == 0
    never = torch.tensor([0.0, -math.inf, 0.0])
    assert 1 not in resample(never, 999).tolist()


def test_resampling_from_several_pools_draws_from_each_what_it_is_asked_and_in_proportion_to_its_own_weights():
    weights, n = torch.rand(60, generator=rng()) ** 4, torch.tensor([700, 0, 300])
    weights[20:40] = 1e30  # of a pool from which nothing is drawn
    found = systematic_resample(weights.log(), torch.arange(3).repeat_interleave(20), n, rng(1))
    first, last = found[:700], found[700:]
    assert first.max() < 20 and last.min() >= 40
    for drawn, pool in ((first, weights[:20]), (last - 40, weights[40:])):
        expected = len(drawn) * pool / pool.sum()
        assert (torch.bincount(drawn, minlength=20) - expected).abs().max() <= 1.001
