import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from generators import FlowMatchingConfig, TrainingConfig
from generators.flow_matching import FlowMatching
from generators.given import Batch, Given
from generators.training import train
from generators.value_flow import ValueFlow, trace
from generators.values import to_normal, to_position
from pipeline.encoded import Layout

from .tables import (
    binned_column,
    draw_rows,
    encoded_rows,
    every_row,
    normal_pair,
    rng,
    second_given_first,
    token_column,
    token_layout,
)

SMALL = FlowMatchingConfig(width=16, depth=1, value_width=16, value_steps=40, dropout=0.0)
TOKENS = token_layout(4, 2, 3)
ONE_BIN = Layout((binned_column("x", 1),))


def untrained(layout, *, spread=0.7):
    """A model with large random weights, whose distribution is far from the marginals."""
    model, random = FlowMatching(layout, SMALL, 100, rng()), rng(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=spread)
    return model.eval()


def positions(n):
    """The middles of n equal parts of [0, 1), as rows of one bin."""
    middles = (torch.arange(n) + 0.5) / n
    return Batch(torch.zeros(n, 1, dtype=torch.long), middles.unsqueeze(1))


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("layout", [TOKENS, ONE_BIN], ids=["tokens", "values"])
def test_any_number_of_rows_may_be_drawn(layout, n):
    encoded = draw_rows(untrained(layout), n)
    assert encoded.tokens.shape == (n, layout.n_columns)
    assert encoded.values.shape == (n, len(layout.valued))
    assert ((encoded.values >= 0) & (encoded.values < 1)).all()


def test_the_density_of_a_row_is_that_of_its_tokens_times_that_of_its_values():
    model = untrained(Layout((*TOKENS.columns, binned_column("x", 2))), spread=0.1)
    rows = Batch.of(draw_rows(model, 20))
    with torch.no_grad():
        of_tokens = model.tokens.log_density(rows.tokens)
        of_values = model.values.log_density(rows, rng())
    torch.testing.assert_close(model.log_density(rows, rng()), of_tokens + of_values)
    assert (model.density_kind, untrained(TOKENS).density_kind) == ("encoded_space", "exact")


def test_guidance_reaches_the_tokens():
    model = untrained(TOKENS)
    plain, guided = (draw_rows(model, 500, {0: (3, 0.5)}, guidance=guidance).tokens for guidance in (0.0, 4.0))
    assert (plain != guided).any()
    assert (guided == model.tokens.draw(Given.same(500, model.layout, {0: (3, 0.5)}), rng(), 4.0).numpy()).all()


def test_the_density_of_values_integrates_to_one():
    density = untrained(ONE_BIN, spread=0.05).log_density(positions(2000), rng()).exp()
    assert density.mean().item() == pytest.approx(1.0, abs=0.002)
    assert density.max() > 1.5 * density.median()


def test_values_are_drawn_as_often_as_their_density_says():
    model = untrained(ONE_BIN, spread=0.05)
    density = model.log_density(positions(2000), rng()).exp().double().numpy()
    edges, cumulative = np.arange(2001) / 2000, np.concatenate([[0.0], density.cumsum() / density.sum()])
    drawn = draw_rows(model, 5000).values[:, 0]
    assert kstest(drawn, lambda x: np.interp(x, edges, cumulative)).pvalue > 0.001
    assert kstest(drawn, "uniform").pvalue < 1e-6


def test_a_fresh_value_flow_is_the_uniform_distribution():
    flow = ValueFlow(ONE_BIN, 16, 1, 0.0, "uniform", rng(), condition_share=0.0)
    with torch.no_grad():
        log_density = flow.log_density(positions(100), rng())
    assert log_density.abs().max() < 0.02


def test_a_value_where_the_token_has_none_does_not_matter():
    layout = Layout((binned_column("x", 2, n_categories=1), binned_column("y", 2)))
    model = untrained(layout, spread=0.05)
    tokens = torch.tensor([[0, 1]] * 2)
    without, other, moved = (
        model.log_density(Batch(tokens, torch.tensor([[x, y]] * 2)), rng())[0].item()
        for x, y in ((0.5, 0.4), (0.9, 0.4), (0.5, 0.8))
    )
    assert without == other != moved
    losses = [model.values.validation(Batch(tokens, torch.tensor([[x, 0.4]] * 2)), rng()) for x in (0.5, 0.9)]
    assert torch.equal(*losses)
    nothing = Layout((binned_column("x", 2, n_categories=1),))
    categories = Batch(torch.zeros(5, 1, dtype=torch.long), torch.full((5, 1), 0.5))
    assert not untrained(nothing).values.validation(categories, rng()).any()


def test_a_condition_fixes_the_value_too():
    layout = Layout((binned_column("x", 2), binned_column("y", 2)))
    encoded = draw_rows(untrained(layout, spread=0.05), 30, {1: (1, 0.25)})
    assert (encoded.tokens[:, 1] == 1).all()
    assert (encoded.values[:, 1] == 0.25).all()
    assert len(set(encoded.values[:, 0])) == 30


def test_the_trace_is_exact():
    matrix = torch.randn(3, 3, generator=rng())
    x = torch.randn(5, 3, generator=rng(1), requires_grad=True)
    torch.testing.assert_close(trace(x @ matrix, x), matrix.trace().expand(5))
    torch.testing.assert_close(trace(x**3, x), (3 * x**2).sum(1))


def test_positions_and_normal_values_are_inverse_and_the_ends_stay_finite():
    inside = torch.linspace(0.001, 0.999, 99)
    torch.testing.assert_close(to_position(to_normal(inside)), inside)
    ends = to_normal(torch.tensor([0.0, 1.0]))
    assert ends.isfinite().all()
    assert ((to_position(torch.tensor([-50.0, 50.0])) >= 0) & (to_position(torch.tensor([-50.0, 50.0])) < 1)).all()


def fitted(layout, tokens, values=None, *, steps, **settings):
    model = FlowMatching(layout, SMALL.model_copy(update=settings), len(tokens), rng())
    batch = Batch.of(encoded_rows(layout, tokens, values))
    config = TrainingConfig(steps=steps, n_validations=4, learning_rate=0.01, precision="fp32")
    n_held_out = len(tokens) // 10
    list(
        train(
            model,
            batch.take(torch.arange(n_held_out, len(tokens))),
            batch.take(torch.arange(n_held_out)),
            config,
            seed=0,
        )
    )
    return model.eval()


def test_a_learned_distribution_of_tokens_has_the_right_entropy():
    layout = token_layout(3, 3)
    p = np.array([[0.30, 0.02, 0.02], [0.02, 0.25, 0.04], [0.01, 0.04, 0.30]]).ravel()
    drawn = np.random.default_rng(0).choice(9, 4000, p=p)
    model = fitted(layout, np.stack(np.unravel_index(drawn, (3, 3)), 1), steps=300)
    log_q = model.log_density(every_row(layout), rng()).numpy()
    entropy = -(p * np.log(p)).sum()
    assert -(p * log_q).sum() == pytest.approx(entropy, rel=0.02)  # independent columns would be off by 40 %


@pytest.mark.slow
def test_a_learned_distribution_of_values_has_the_right_entropy():
    law = beta(2, 5)
    values = law.rvs(4000, random_state=0)[:, None]
    model = fitted(ONE_BIN, np.zeros((4000, 1)), values, steps=400)
    test = law.rvs(2000, random_state=1)[:, None]
    rows = Batch(torch.zeros(2000, 1, dtype=torch.long), torch.from_numpy(test).float())
    log_density = model.log_density(rows, rng())
    assert log_density.mean().item() == pytest.approx(law.logpdf(test).mean(), abs=0.03)
    drawn = draw_rows(model, 2000).values[:, 0]
    assert kstest(drawn, law.cdf).statistic < 0.04


@pytest.fixture(scope="module")
def pair():
    """A model of the positions of a normal pair with correlation 0.9."""
    layout = Layout((binned_column("x", 1), binned_column("y", 1)))
    return fitted(layout, np.zeros((4000, 2)), normal_pair(4000), steps=400, value_width=32, condition_share=0.6)


@pytest.mark.parametrize(
    "settings", [{"value_solver": "heun"}, {"value_solver": "dopri5"}, {"value_solver": "euler", "value_noise": 1.0}]
)
def test_a_given_value_is_kept_and_the_others_follow_their_conditional(pair, settings):
    pair.config = SMALL.model_copy(update={"value_steps": 20, **settings})
    means = [second_given_first(pair, given) for given in (0.1, 0.9)]
    assert means == pytest.approx([0.146, 0.854], abs=0.07)


def test_values_are_drawn_with_their_correlation(pair):
    pair.config = SMALL.model_copy(update={"value_solver": "heun", "value_steps": 8})
    z = torch.special.ndtri(torch.from_numpy(draw_rows(pair, 4000).values))
    assert z.T.corrcoef()[0, 1].item() == pytest.approx(0.9, abs=0.04)


def test_guidance_moves_the_values_towards_what_the_condition_makes_likely():
    layout = Layout((token_column("class", (2000, 2000)), binned_column("x", 1)))
    label = np.random.default_rng(0).integers(0, 2, 4000)
    low = beta.rvs(2, 5, size=4000, random_state=0)
    values = np.where(label == 1, 1 - low, low)[:, None]
    model = fitted(layout, np.stack([label, np.zeros(4000)], 1), values, steps=200, condition_share=0.5)
    for side, order in ((0, -1), (1, 1)):
        means = [draw_rows(model, 2000, {0: (side, 0.5)}, guidance=w).values[:, 0].mean() for w in (0.0, 1.0, 3.0)]
        assert means == sorted(means, reverse=order < 0)
        assert abs(means[0] - means[-1]) > 0.03
