import math

import numpy as np
import pytest
import torch

from generators.solver import euler, heun

STEPS = np.array([8, 16, 32, 64, 128])


def decay(x, t):
    """x' = -2 t x, whose solution at 1 is x(0) / e; its velocity depends on time."""
    return -2 * t * x


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (heun, 2)])
def test_the_error_falls_with_the_claimed_order(solver, order):
    start = torch.tensor([1.0, -2.0], dtype=torch.float64)
    errors = [(solver(decay, start, int(n)) - start / math.e).norm().item() for n in STEPS]
    slope = np.polyfit(np.log(STEPS), np.log(errors), 1)[0]
    assert -slope == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize(("solver", "per_step"), [(euler, 1), (heun, 2)])
def test_a_step_costs_the_claimed_evaluations_inside_the_unit_interval(solver, per_step):
    times = []

    def velocity(x, t):
        times.append(t)
        return x

    solver(velocity, torch.ones(1), 7)
    assert len(times) == 7 * per_step
    assert 0 <= min(times) <= max(times) <= 1


@pytest.mark.parametrize("solver", [euler, heun])
def test_a_constant_velocity_is_integrated_exactly_and_the_start_is_kept(solver):
    start = torch.tensor([1.0, 2.0])
    end = solver(lambda x, t: torch.full_like(x, 3.0), start, 1)
    assert end.tolist() == [4.0, 5.0]
    assert start.tolist() == [1.0, 2.0]
