import math

import numpy as np
import pytest
import torch
from scipy.stats import beta, chisquare, kstest

from generators import FlowMatchingConfig, TrainingConfig, flow_matching
from generators.flow_matching import (
    FlowMatching,
    ValueFlow,
    auto_dropout,
    auto_width,
    sampling_order,
    to_normal,
    to_position,
    trace,
)
from generators.model import Batch
from generators.training import train
from pipeline.encoded import Layout, TokenColumn

from .tables import binned_column, encoded_rows, every_row, rng, token_column, token_layout

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


def probabilities(model):
    """The probability of every row, by the row's tokens as one number."""
    return model.log_density(every_row(model.layout)).exp()


def number_of(layout, tokens):
    return np.ravel_multi_index(tuple(tokens.T), layout.sizes)


def positions(n):
    """The middles of n equal parts of [0, 1), as rows of one bin."""
    middles = (torch.arange(n) + 0.5) / n
    return Batch(torch.zeros(n, 1, dtype=torch.long), middles.unsqueeze(1))


def test_the_probabilities_of_all_rows_add_up_to_one():
    p = probabilities(untrained(TOKENS))
    assert p.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert p.max() > 4 * p.mean()  # and they are not all the same


@pytest.mark.parametrize("cells_per_draw", [1 << 24, 1])
def test_rows_are_drawn_as_often_as_their_density_says(cells_per_draw, monkeypatch):
    monkeypatch.setattr(flow_matching, "CELLS_PER_DRAW", cells_per_draw)
    model = untrained(TOKENS)
    drawn = number_of(TOKENS, model.sample(20_000, rng(), {}).tokens)
    p = probabilities(model).double().numpy()
    counts = np.bincount(drawn, minlength=len(p))
    often = p > 5 / 20_000  # the others are counted together
    counts, p = (np.array([*x[often], x[~often].sum()]) for x in (counts, p))
    assert chisquare(counts, p / p.sum() * 20_000).pvalue > 0.001


def test_a_condition_on_the_first_columns_of_the_order_draws_from_the_exact_conditional():
    model = untrained(TOKENS)
    rows, p = every_row(TOKENS).tokens, probabilities(model)
    fits = (rows[:, 1] == 1) & (rows[:, 2] == 2)  # the columns of 2 and of 3 tokens come first
    expected = (p[fits] / p[fits].sum()).numpy()
    drawn = model.sample(10_000, rng(), {1: (1, 0.5), 2: (2, 0.5)}).tokens
    assert (drawn[:, 1:] == [1, 2]).all()
    assert np.bincount(drawn[:, 0], minlength=4) / 10_000 == pytest.approx(expected, abs=0.02)


def test_columns_are_drawn_from_the_smallest_vocabulary_to_the_largest():
    assert sampling_order(token_layout(5, 2, 9, 2)) == [1, 3, 0, 2]
    assert untrained(TOKENS).tokens.rank.tolist() == [2, 0, 1]


def test_a_token_that_must_not_be_drawn_never_is():
    column = token_column("a", [1, 1, 1000])
    forbidden = TokenColumn("a", column.counts, np.array([True, True, False]), column.valued, column.coordinate)
    model = FlowMatching(Layout((forbidden, token_column("b", [1, 1]))), SMALL, 100, rng())
    drawn = model.sample(500, rng(), {}).tokens
    assert set(drawn[:, 0]) == {0, 1}


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("layout", [TOKENS, ONE_BIN], ids=["tokens", "values"])
def test_any_number_of_rows_may_be_drawn(layout, n):
    encoded = untrained(layout).sample(n, rng(), {})
    assert encoded.tokens.shape == (n, layout.n_columns)
    assert encoded.values.shape == (n, len(layout.valued))
    assert ((encoded.values >= 0) & (encoded.values < 1)).all()


def test_many_rows_are_drawn_and_scored_in_parts(monkeypatch):
    monkeypatch.setattr(flow_matching, "ROWS_PER_DRAW", 7)
    model = untrained(Layout((*TOKENS.columns, binned_column("x", 2))))
    encoded = model.sample(20, rng(), {})
    assert len(encoded) == 20
    batch = Batch.of(encoded)
    singly = torch.cat([model.log_density(batch.take(torch.tensor([row]))) for row in range(20)])
    torch.testing.assert_close(model.log_density(batch), singly, rtol=1e-3, atol=1e-3)


def test_the_validation_loss_is_an_unbiased_estimate_of_the_negative_log_density():
    model = untrained(TOKENS)
    row = every_row(TOKENS).take(torch.tensor([13]))
    many = row.take(torch.zeros(30_000, dtype=torch.long))
    estimates = model.tokens.validation(many, rng())
    error = (estimates.mean() + model.log_density(row)).item()
    assert abs(error) < 4 * estimates.std().item() / math.sqrt(len(many))


def test_only_masked_cells_are_in_the_loss(monkeypatch):
    model = untrained(TOKENS)
    known = torch.tensor([[True, False, True]])
    monkeypatch.setattr(flow_matching, "draw_known", lambda *_: known)
    losses = [model.tokens.loss(Batch(torch.tensor([[0, token, 1]]), torch.empty(1, 0)), None) for token in (0, 1)]
    # One masked cell of three stands for three: p(0) + p(1) = 1.
    assert sum((-loss / 3).exp().item() for loss in losses) == pytest.approx(1.0, abs=1e-5)


def test_the_density_of_values_integrates_to_one():
    density = untrained(ONE_BIN, spread=0.2).log_density(positions(2000)).exp()
    assert density.mean().item() == pytest.approx(1.0, abs=0.002)
    assert density.max() > 1.5 * density.median()


def test_values_are_drawn_as_often_as_their_density_says():
    model = untrained(ONE_BIN, spread=0.05)
    density = model.log_density(positions(2000)).exp().double().numpy()
    edges, cumulative = np.arange(2001) / 2000, np.concatenate([[0.0], density.cumsum() / density.sum()])
    drawn = model.sample(5000, rng(), {}).values[:, 0]
    assert kstest(drawn, lambda x: np.interp(x, edges, cumulative)).pvalue > 0.001
    assert kstest(drawn, "uniform").pvalue < 1e-6


def test_a_fresh_value_flow_is_the_uniform_distribution():
    flow = ValueFlow(ONE_BIN, 16, 1, 0.0, rng())
    batch = positions(100)
    with torch.no_grad():
        log_density = flow.log_density(batch.tokens, batch.values, 200)
    assert log_density.abs().max() < 0.02


def test_a_value_where_the_token_has_none_does_not_matter():
    layout = Layout((binned_column("x", 2, n_categories=1), binned_column("y", 2)))
    model = untrained(layout, spread=0.05)
    tokens = torch.tensor([[0, 1]] * 2)
    without, other, moved = (
        model.log_density(Batch(tokens, torch.tensor([[x, y]] * 2)))[0].item()
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
    encoded = untrained(layout, spread=0.05).sample(30, rng(), {1: (1, 0.25)})
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


def test_the_size_follows_from_the_rows():
    sizes = (100, 3_000, 30_000, 300_000)
    widths, rates = [auto_width(n) for n in sizes], [auto_dropout(n) for n in sizes]
    assert widths == sorted(widths)
    assert rates == sorted(rates, reverse=True)
    assert widths[0] < widths[-1]
    assert rates[0] > rates[-1] >= 0


def fitted(layout, tokens, values=None, *, steps):
    model = FlowMatching(layout, SMALL, len(tokens), rng())
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
    log_q = model.log_density(every_row(layout)).numpy()
    entropy = -(p * np.log(p)).sum()
    assert -(p * log_q).sum() == pytest.approx(entropy, rel=0.02)  # independent columns would be off by 40 %


@pytest.mark.slow
def test_a_learned_distribution_of_values_has_the_right_entropy():
    law = beta(2, 5)
    values = law.rvs(4000, random_state=0)[:, None]
    model = fitted(ONE_BIN, np.zeros((4000, 1)), values, steps=400)
    test = law.rvs(2000, random_state=1)[:, None]
    log_density = model.log_density(Batch(torch.zeros(2000, 1, dtype=torch.long), torch.from_numpy(test).float()))
    assert log_density.mean().item() == pytest.approx(law.logpdf(test).mean(), abs=0.03)
    drawn = model.sample(2000, rng(), {}).values[:, 0]
    assert kstest(drawn, law.cdf).statistic < 0.04
