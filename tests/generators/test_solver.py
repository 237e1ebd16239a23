import math

import numpy as np
import pytest
import torch

from generators.schedule import normal_velocity
from generators.solver import _stages, dopri5, euler, euler_maruyama, heun, rk4

from .tables import rng

STEPS = np.array([8, 16, 32, 64, 128])


def decay(x, t):
    """x' = -2 t x, whose solution at 1 is x(0) / e; its velocity depends on time."""
    return -2 * t * x


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2), (rk4, 4)])
def test_the_error_falls_with_the_claimed_order(solver, order):
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    steps = STEPS[:3] if order == 4 else STEPS  # before rounding shows
    errors = [(solver(decay, start, int(n)) - start / math.e).norm().item() for n in steps]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert -slope == pytest.approx(order, abs=0.1)


def test_a_step_of_the_adaptive_solver_is_of_order_five():
    start, errors, steps = torch.tensor([1.0, -2.0], dtype=torch.float64), [], STEPS[2:]
    for n in steps:
        x = start
        for i in range(n):
            x, _ = _stages(decay, x, i / n, 1 / n, decay(x, i / n))
        errors.append((x - start / math.e).norm().item())
    assert -np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(5, abs=0.2)


def test_the_spread_that_the_stochastic_process_leaves_is_of_order_one():
    """Data of N(0, 1 / 4): how far the variance of many paths is off falls with the steps."""

    def velocity(x, t):
        return (t / 4 - (1 - t)) / ((1 - t) ** 2 + t**2 / 4) * x

    errors = []
    for n in (10, 20, 40):
        random = rng()
        start = torch.randn(400_000, 1, generator=random, dtype=torch.float64)
        errors.append(abs(euler_maruyama(velocity, start, n, 1.0, random).var().item() - 0.25))
    assert -np.polyfit(np.log([10, 20, 40]), np.log(errors), 1)[0] == pytest.approx(1, abs=0.4)


@pytest.mark.parametrize(("solver", "per_step"), [(euler, 1), (heun, 2), (rk4, 4)])
def test_a_step_costs_the_claimed_evaluations_inside_the_unit_interval(solver, per_step):
    times = []

    def velocity(x, t):
        times.append(t)
        return x

    solver(velocity, torch.ones(1), 7)
    assert len(times) == 7 * per_step
    assert 0 <= min(times) <= max(times) <= 1


@pytest.mark.parametrize("solver", [euler, heun, rk4])
def test_a_constant_velocity_is_integrated_exactly_and_the_start_is_kept(solver):
    start = torch.tensor([1.0, 2.0])
    end = solver(lambda x, t: torch.full_like(x, 3.0), start, 1)
    assert end.tolist() == [4.0, 5.0]
    assert start.tolist() == [1.0, 2.0]


def counted(velocity):
    calls = []

    def counting(x, t):
        calls.append(t)
        return velocity(x, t)

    return counting, calls


def test_the_adaptive_solver_keeps_its_tolerance_with_the_effort_of_order_five():
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    efforts, errors = [], []
    for tolerance in (1e-3, 1e-6, 1e-9):
        velocity, calls = counted(lambda x, t: -20 * t * x)
        errors.append((dopri5(velocity, start, tolerance) - start * math.exp(-10)).abs().max().item())
        efforts.append(len(calls))
        assert errors[-1] < 10 * tolerance
        assert max(calls) <= 1.0
    assert efforts[0] < efforts[1] < efforts[2] < 12 * efforts[0]  # a factor of 1e6 is one of 16 in steps at order 5


def test_the_adaptive_solver_takes_short_steps_where_the_velocity_is_steep():
    velocity, calls = counted(lambda x, t: torch.full_like(x, 1 / (0.01 + (t - 0.5) ** 2)))
    end = dopri5(velocity, torch.zeros(1, dtype=torch.float64), 1e-6)
    assert end.item() == pytest.approx(2 * 10 * math.atan(5), rel=1e-4)
    middle = sum(0.4 < t < 0.6 for t in calls)
    assert middle > len(calls) / 3


def test_the_adaptive_solver_refuses_a_velocity_that_is_not_finite():
    with pytest.raises(ArithmeticError, match="not finite"):
        dopri5(lambda x, t: x * math.nan, torch.ones(1), 1e-3)


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0])
def test_the_stochastic_process_ends_in_the_distribution_of_the_flow(noise):
    """Data of N(2, 0.5 ** 2), whose velocity is known."""
    scale = 0.5

    def velocity(x, t):
        mean, variance = 2 * t, (1 - t) ** 2 + (t * scale) ** 2
        return 2 + (t * scale**2 - (1 - t)) / variance * (x - mean)

    random = rng()
    start = torch.randn(40_000, 1, generator=random, dtype=torch.float64)
    end = euler_maruyama(velocity, start, 200, noise, random)
    assert end.mean().item() == pytest.approx(2, abs=0.02)
    assert end.std().item() == pytest.approx(scale, abs=0.02)
    kept = np.corrcoef(start.squeeze(1), end.squeeze(1))[0, 1]
    assert kept == pytest.approx(1, abs=1e-3) if noise == 0 else kept < 0.9


def test_the_flow_of_normal_data_ends_where_it_began():
    start = torch.randn(100, 1, generator=rng(), dtype=torch.float64)
    torch.testing.assert_close(rk4(normal_velocity, start, 50), start, atol=1e-5, rtol=1e-5)
