import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from generators.diffusion import (
    NoiseSchedule,
    ancestral,
    bound_weights,
    cosine_schedule,
    data_from_epsilon,
    ddim,
    diffuse,
    dpm_solver,
    draw_indices,
    epsilon_from_data,
    epsilon_from_score,
    linear_schedule,
    posterior,
    score_from_epsilon,
    step_indices,
    undo_diffusion,
)

from .tables import rng

BOTH = pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule])
MEANS, DEVIATIONS, SHARES = (torch.tensor(x, dtype=torch.float64) for x in ([-1, 0.2, 1.4], [0.3, 0.5, 0.5], [4, 3, 3]))


def normal(n, seed=0):
    return torch.randn(n, generator=rng(seed), dtype=torch.float64)


def denoiser_of_normal(schedule, deviation):
    """The mean of the data given a state, for data of mean zero."""

    def denoise(x, k):
        alpha, sigma = schedule.at(k)
        return x * alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2)

    return denoise


def denoiser_of_mixture(schedule):
    """The mean of the data given a state, for a mixture of three normals."""

    def denoise(x, k):
        alpha, sigma = schedule.at(k)
        variance = alpha**2 * DEVIATIONS**2 + sigma**2
        residual = x.unsqueeze(-1) - alpha * MEANS
        share = (SHARES.log() - variance.log() / 2 - residual.square() / (2 * variance)).softmax(-1)
        return (share * (MEANS + alpha * DEVIATIONS**2 / variance * residual)).sum(-1)

    return denoise


def draw_mixture(n):
    component = torch.multinomial(SHARES, n, replacement=True, generator=rng(5))
    return MEANS[component] + DEVIATIONS[component] * normal(n, 6)


def every_index(schedule):
    return list(range(schedule.n_steps, -1, -1))


@BOTH
@pytest.mark.parametrize("n_steps", [16, 100, 1000])
def test_a_schedule_goes_from_data_to_noise(schedule, n_steps):
    found = schedule(n_steps)
    assert found.n_steps == n_steps == len(found.alpha_bar) - 1
    assert ((found.beta > 0) & (found.beta < 1)).all()
    assert found.alpha_bar[0] == 1
    assert found.alpha_bar[-1] < 1e-3
    assert (found.alpha_bar.diff() < 0).all()
    product = math.prod(1 - beta for beta in found.beta[:10].tolist())
    assert found.alpha_bar[10].item() == pytest.approx(product, rel=1e-12)
    torch.testing.assert_close(found.alpha**2 + found.sigma**2, torch.ones(n_steps + 1, dtype=torch.float64))
    ratios = [found.log_snr(k) for k in range(1, n_steps + 1)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == pytest.approx(math.log(found.alpha[1] / found.sigma[1]))
    assert found.log_snr(0) == math.inf


def test_the_linear_schedule_is_a_line_and_keeps_its_noise_with_fewer_steps():
    beta = linear_schedule(1000).beta
    torch.testing.assert_close(beta.diff(), beta.diff()[:1].expand(999))
    ends = [linear_schedule(n).alpha_bar[-1].log().item() for n in (1000, 200)]
    assert ends[1] == pytest.approx(ends[0], rel=0.1)


def test_the_cosine_schedule_has_its_closed_form():
    found = cosine_schedule(500)
    angle = (torch.arange(500) / 500 + 0.008) / 1.008 * math.pi / 2
    closed = angle.double().cos() ** 2
    torch.testing.assert_close(found.alpha_bar[:-1], closed / closed[0], rtol=1e-5, atol=1e-9)
    assert found.beta[-1] == 0.999


@BOTH
def test_forward_steps_lead_to_the_marginal(schedule):
    found, n = schedule(40), 40_000
    x = torch.full((n,), 1.5, dtype=torch.float64)
    for k, beta in enumerate(found.beta[:25].tolist(), start=1):
        x = math.sqrt(1 - beta) * x + math.sqrt(beta) * normal(n, k)
        alpha, sigma = found.at(k)
        assert x.mean().item() == pytest.approx(1.5 * alpha, abs=4 * sigma / math.sqrt(n))
        assert x.std().item() == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize(("k", "earlier"), [(20, 19), (20, 5), (20, 0)])
def test_the_posterior_is_that_of_forward_paths(k, earlier):
    found, n = cosine_schedule(40), 40_000
    alpha, sigma = found.at(earlier)
    before = 1.5 * alpha + sigma * normal(n)
    kept = (found.alpha_bar[k] / found.alpha_bar[earlier]).item()
    x = math.sqrt(kept) * before + math.sqrt(1 - kept) * normal(n, 1)
    mean, variance = posterior(x, torch.full_like(x, 1.5), found, k, earlier)
    residual = before - mean
    assert residual.mean().item() == pytest.approx(0, abs=4 * sigma / math.sqrt(n) + 1e-9)
    assert (residual * (x - x.mean())).mean().item() == pytest.approx(0, abs=0.01)
    assert residual.var().item() == pytest.approx(variance, rel=0.03, abs=1e-9)


def test_data_noise_state_and_v_determine_each_other():
    data, noise = normal(50), normal(50, 1)
    alpha, sigma = cosine_schedule(100).at(30)
    x, v = diffuse(data, noise, alpha, sigma)
    torch.testing.assert_close(undo_diffusion(x, v, alpha, sigma), (data, noise))
    torch.testing.assert_close(epsilon_from_data(x, data, alpha, sigma), noise)
    torch.testing.assert_close(data_from_epsilon(x, noise, alpha, sigma), data)
    torch.testing.assert_close(epsilon_from_score(score_from_epsilon(noise, sigma), sigma), noise)
    half = torch.full_like(x, 0.6), torch.full_like(x, 0.8)  # a factor per element serves as well
    torch.testing.assert_close(undo_diffusion(*diffuse(data, noise, *half), *half), (data, noise))


def test_the_score_is_the_gradient_of_the_log_density_of_states():
    found = linear_schedule(100)
    alpha, sigma = found.at(40)
    x = draw_mixture(200).requires_grad_()
    component = torch.distributions.Normal(alpha * MEANS, (alpha**2 * DEVIATIONS**2 + sigma**2).sqrt())
    log_density = (component.log_prob(x.unsqueeze(-1)) + (SHARES / SHARES.sum()).log()).logsumexp(-1)
    (expected,) = torch.autograd.grad(log_density.sum(), x)
    epsilon = epsilon_from_data(x, denoiser_of_mixture(found)(x, 40), alpha, sigma)
    torch.testing.assert_close(score_from_epsilon(epsilon, sigma).detach(), expected)


@pytest.mark.parametrize(("k", "earlier"), [(20, 19), (20, 5)])
def test_a_step_of_ddim_at_eta_1_has_mean_and_variance_of_the_posterior(k, earlier):
    found, x = cosine_schedule(40), normal(100)
    denoise = denoiser_of_mixture(found)
    mean, variance = posterior(x, denoise(x, k), found, k, earlier)
    noise = torch.randn(100, generator=rng(3))
    torch.testing.assert_close(
        ddim(denoise, x, found, [k, earlier], rng(3), 1.0), mean + math.sqrt(variance) * noise.double()
    )


def test_ddim_with_all_steps_at_eta_1_draws_what_ancestral_sampling_draws():
    found, n = linear_schedule(400), 20_000
    denoise = denoiser_of_mixture(found)
    one = ddim(denoise, normal(n), found, every_index(found), rng(1), 1.0)
    other = ancestral(denoise, normal(n, 2), found, every_index(found), rng(3))
    assert ks_2samp(one, other).statistic < 0.02
    assert ks_2samp(other, draw_mixture(n)).statistic < 0.02
    assert ks_2samp(other, normal(n)).statistic > 0.04


def test_ddim_at_eta_0_is_deterministic_and_draws_the_data():
    found, n = linear_schedule(400), 20_000
    random, x = rng(1), normal(20_000)
    before = random.get_state()
    drawn = ddim(denoiser_of_mixture(found), x, found, every_index(found), random, 0.0)
    assert torch.equal(random.get_state(), before)
    assert ks_2samp(drawn, draw_mixture(n)).statistic < 0.02


@BOTH
@pytest.mark.parametrize("n", [1, 3, 8])
def test_ancestral_sampling_is_exact_on_standard_normal_data_with_any_number_of_steps(schedule, n):
    found = schedule(1000)
    drawn = ancestral(denoiser_of_normal(found, 1.0), normal(40_000), found, step_indices(found, n), rng(1))
    assert drawn.std().item() == pytest.approx(1, abs=0.015)


@BOTH
def test_few_steps_of_the_dpm_solver_draw_the_data(schedule):
    found, n = schedule(1000), 20_000
    uniform = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    drawn = dpm_solver(denoiser_of_mixture(found), torch.special.ndtri(uniform), found, step_indices(found, 8))
    law = (torch.special.ndtr((drawn.sort().values.unsqueeze(-1) - MEANS) / DEVIATIONS) * SHARES / SHARES.sum()).sum(-1)
    assert (law - uniform).abs().max() < 0.015


@pytest.mark.parametrize(("sampler", "order"), [("ddim", 1), ("dpm_solver", 2)])
def test_the_order_of_a_sampler_is_the_one_that_is_claimed(sampler, order):
    found, deviation = linear_schedule(20_000), 0.5
    denoise = denoiser_of_normal(found, deviation)
    ratio = torch.log(found.alpha[1:] / found.sigma[1:])
    x, numbers, errors = torch.ones(1, dtype=torch.float64), [16, 32, 64], []
    for n in numbers:
        wanted = torch.linspace(-2, 2, n + 1, dtype=torch.float64)
        indices = [int((ratio - place).abs().argmin()) + 1 for place in wanted]
        start, end = (alpha**2 * deviation**2 + sigma**2 for alpha, sigma in (found.at(indices[i]) for i in (0, -1)))
        drawn = (
            ddim(denoise, x, found, indices, rng(), 0.0)
            if sampler == "ddim"
            else dpm_solver(denoise, x, found, indices)
        )
        errors.append(abs(drawn.item() - math.sqrt(end / start)))
    assert -np.polyfit(np.log(numbers), np.log(errors), 1)[0] == pytest.approx(order, abs=0.25)


@BOTH
def test_the_indices_of_a_sampler_fall_from_noise_to_data(schedule):
    for total in (16, 100, 1000):
        found = schedule(total)
        for n in (1, 2, 8, 16, 99, 100, 1000):
            indices = step_indices(found, n)
            assert (indices[0], indices[-1], len(indices)) == (total, 0, min(n, total) + 1)
            assert all(later > earlier for later, earlier in pairwise(indices))
        assert step_indices(found, total) == every_index(found)


def test_indices_are_drawn_as_often_as_their_probability_says():
    probability = torch.tensor([0.1, 0.0, 0.6, 0.3], dtype=torch.float64)
    drawn = draw_indices((torch.arange(1000) + 0.5) / 1000, probability)
    assert drawn.bincount(minlength=5).tolist() == [0, 100, 0, 600, 300]
    assert draw_indices(torch.ones(1), probability).tolist() == [4]


@BOTH
def test_the_weights_of_the_bound_are_those_of_the_divergences(schedule):
    found, data = schedule(20), 0.7
    weights = bound_weights(found)
    for k in range(2, 21):
        alpha, sigma = found.at(k)
        x, v = (z.item() for z in diffuse(torch.tensor(data), torch.tensor(-0.4), alpha, sigma))
        means = [
            posterior(
                torch.tensor(x), undo_diffusion(torch.tensor(x), torch.tensor(guess), alpha, sigma)[0], found, k, k - 1
            )
            for guess in (v, v + 0.3)
        ]
        divergence = (means[0][0] - means[1][0]).square().item() / (2 * found.beta[k - 1].item())
        assert weights[k - 1].item() * 0.3**2 == pytest.approx(divergence, rel=1e-3)


@pytest.mark.parametrize("deviation", [0.3, 1.0, 1.5])
def test_the_bound_of_normal_data_is_below_its_log_density_and_near(deviation):
    found = linear_schedule(1000)
    weights = bound_weights(found)
    bound = -(deviation**2 + math.log(2 * math.pi)) / 2
    for k in range(1, 1001):
        alpha, sigma = found.at(k)
        # v and x are normal of mean zero, so the best estimate of v is linear in x.
        covariance = alpha * sigma * (1 - deviation**2)
        bound += weights[k - 1].item() * covariance**2 / (alpha**2 * deviation**2 + sigma**2)
    log_density = -(1 + math.log(2 * math.pi)) / 2 - math.log(deviation)
    assert bound == pytest.approx(log_density, abs=0.02)
    assert bound <= log_density + 1e-9


def test_a_schedule_is_what_its_betas_say():
    assert NoiseSchedule(torch.tensor([0.5, 0.5])).alpha_bar.tolist() == [1.0, 0.5, 0.25]
