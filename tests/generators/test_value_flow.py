import math

import numpy as np
import pytest
import torch

from generators import FlowMatchingConfig, value_flow
from generators.flow_matching import FlowMatching
from generators.given import Batch, Given
from generators.value_flow import estimated_trace, rademacher, trace
from generators.values import CellValues, to_normal, to_position
from pipeline.encoded import Layout

from .tables import binned_column, draw_rows, rng

PAIR = Layout((binned_column("x", 1), binned_column("y", 2, n_categories=1)))
SMALL = FlowMatchingConfig(width=16, depth=1, value_width=16, dropout=0.0, value_steps=20)


def untrained(layout=PAIR, **settings):
    """A model whose velocity is far from that of normal data."""
    model, random = FlowMatching(layout, SMALL.model_copy(update=settings), 100, rng()), rng(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=0.3)
    return model.eval()


def test_a_cell_has_a_value_where_its_token_is_a_bin():
    present = CellValues(PAIR).present(torch.tensor([[0, 0], [0, 1], [0, 2]]))
    assert present.tolist() == [[True, False], [True, True], [True, True]]


def test_the_estimated_trace_is_the_exact_one_on_average():
    matrix = torch.randn(5, 5, generator=rng(), dtype=torch.float64)
    x = torch.randn(20_000, 5, generator=rng(), dtype=torch.float64).requires_grad_()
    velocity = x @ matrix.T + x**2
    exact = trace(velocity, x)
    torch.testing.assert_close(exact, matrix.trace() + 2 * x.detach().sum(1))
    error = estimated_trace(velocity, x, rademacher(x.detach(), rng(1))) - exact
    assert abs(error.mean().item()) < 4 * error.std().item() / math.sqrt(len(error))
    assert error.std() > 0.1


def test_the_density_with_an_estimated_trace_is_near_that_with_the_exact_one(monkeypatch):
    model = untrained()
    batch = Batch.of(draw_rows(model, 300))
    exact = model.log_density(batch, rng())
    monkeypatch.setattr(value_flow, "MOST_EXACT_TRACES", 0)
    estimates = torch.stack([model.log_density(batch, rng(seed)) for seed in range(20)])
    assert (estimates.mean(0) - exact).abs().mean() < 0.3 * (estimates[0] - exact).abs().mean()


def velocity_of(mean, spread):
    """The velocity of the linear path from standard normal noise to normal data: linear regression on the state."""

    def velocity(x, t, view, random):
        slope = (t * spread**2 - (1 - t)) / (t**2 * spread**2 + (1 - t) ** 2)
        return mean + slope * (x - t * mean)

    return velocity


def of_normal_data(mean, spread, n=200_000):
    """A model of one column whose velocity is that of such data, and rows of these."""
    model = FlowMatching(Layout((binned_column("x", 1),)), SMALL, 100, rng()).eval()
    data = mean + spread * torch.randn(n, 1, generator=rng(3))
    return model, Batch(torch.zeros(n, 1, dtype=torch.long), to_position(data))


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.8, 1.0), (0.0, 0.3), (0.5, 1.5)])
def test_validation_is_the_nats_of_the_values(mean, spread):
    """The base measure is standard normal, so that they are minus the relative entropy of the data to it."""
    model, batch = of_normal_data(mean, spread)
    model.values.velocity = velocity_of(mean, spread)
    truth = -(-math.log(spread) + (spread**2 + mean**2 - 1) / 2)
    found = model.values.validation(batch, rng())
    error = found.std().item() / math.sqrt(len(found))
    assert error < 0.02
    assert found.mean().item() == pytest.approx(truth, abs=4 * error + 0.005)


def test_validation_is_lowest_for_the_right_velocity():
    model, batch = of_normal_data(0.5, 0.7)
    found = {}
    for wrong in (0.0, 0.1, 0.3):
        model.values.velocity = velocity_of(0.5 + wrong, 0.7 - wrong)
        found[wrong] = model.values.validation(batch, rng()).mean().item()
    assert found[0.0] < found[0.1] < found[0.3]


@pytest.mark.parametrize("solver", [{"value_solver": "rk4"}, {"value_solver": "dopri5", "value_tolerance": 1e-5}])
def test_solvers_agree_on_the_same_noise(solver):
    fine = draw_rows(untrained(value_steps=200), 200).values
    other = draw_rows(untrained(**solver), 200).values
    assert np.abs(fine - other).max() < 2e-3


def test_noise_needs_the_euler_solver():
    with pytest.raises(ValueError, match="euler"):
        FlowMatchingConfig(value_noise=1.0)
    draw_rows(untrained(value_solver="euler", value_noise=1.0), 5)


def test_a_given_value_comes_back_and_the_others_see_it_without_noise_at_all_times():
    model, seen = untrained(), {}
    original = model.values.velocity

    def watched(x, t, view, random):
        seen[round(float(t[0]), 3)] = x.clone()
        assert view.given.tolist() == [[True, False]] * 50
        return original(x, t, view, random)

    model.values.velocity = watched
    drawn = draw_rows(model, 50, {0: (0, 0.9)})
    assert set(drawn.values[:, 0]) == {0.9}
    assert len(seen) == 21
    for x in seen.values():
        torch.testing.assert_close(x[:, 0], to_normal(torch.tensor(0.9)).expand(50))


def test_a_value_is_not_given_where_the_given_token_has_none():
    cells = CellValues(PAIR)
    for token, known in ((0, [[False, False]]), (1, [[False, True]])):
        found, normal = cells.given(Given.same(1, PAIR, {1: (token, 0.9)}))
        assert found.tolist() == known
        torch.testing.assert_close(normal[0, 1], to_normal(torch.tensor(0.9)) * known[0][1])
