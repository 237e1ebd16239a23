import math

import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from generators import DDPMConfig, TrainingConfig
from generators.ddpm import DDPM
from generators.diffusion import cosine_schedule, linear_schedule
from generators.given import Batch
from generators.loss_curve import N_STRATA
from generators.training import train
from generators.value_diffusion import LearnedTimes, error_of_v
from pipeline.encoded import Layout, TokenColumn

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

SMALL = DDPMConfig(width=16, depth=1, value_width=16, dropout=0.0)
TOKENS = token_layout(4, 2, 3)
ONE_BIN = Layout((binned_column("x", 1),))
TWO_BINS = Layout((binned_column("x", 1), binned_column("y", 1)))
MIXED = Layout((token_column("class", [1, 1]), binned_column("x", 1)))


def configured(**settings):
    return SMALL.model_copy(update=settings)


def untrained(layout, *, spread=0.0, **settings):
    """A model with random weights added to the fresh ones, whose distribution is far from the marginals."""
    model, random = DDPM(layout, configured(**settings), 100, rng()), rng(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=spread)
    return model.eval()


def fitted(layout, tokens, values, *, steps, **settings):
    model = DDPM(layout, configured(**settings), len(tokens), rng())
    batch = Batch.of(encoded_rows(layout, tokens, values))
    config = TrainingConfig(steps=steps, n_validations=4, learning_rate=0.01, precision="fp32")
    rows = torch.arange(len(tokens))
    data, held_out = batch.take(rows[len(rows) // 10 :]), batch.take(rows[: len(rows) // 10])
    list(train(model, data, held_out, config, seed=0))
    return model.eval()


def two_classes(n, seed=0):
    """Rows of `MIXED`: a fair class, and a value that is low in one and high in the other."""
    label = np.arange(n) % 2
    low = beta.rvs(2, 5, size=n, random_state=seed)
    return np.stack([label, np.zeros(n)], 1), np.where(label == 1, 1 - low, low)[:, None]


def positions(layout, *columns):
    """Rows of one bin per column with the given positions."""
    values = torch.stack(torch.meshgrid(*columns, indexing="ij"), -1).reshape(-1, len(columns))
    return Batch(torch.zeros(len(values), layout.n_columns, dtype=torch.long), values)


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("layout", [TOKENS, ONE_BIN, MIXED], ids=["tokens", "values", "both"])
def test_any_number_of_rows_may_be_drawn(layout, n):
    encoded = draw_rows(untrained(layout, spread=0.1), n)
    assert encoded.tokens.shape == (n, layout.n_columns)
    assert encoded.values.shape == (n, len(layout.valued))
    assert ((encoded.values >= 0) & (encoded.values < 1)).all()


def test_a_token_that_must_not_be_drawn_never_is():
    column = token_column("a", [1, 1, 1000])
    forbidden = TokenColumn("a", column.counts, np.array([True, True, False]), column.valued, column.coordinate)
    drawn = draw_rows(untrained(Layout((forbidden, token_column("b", [1, 1])))), 500).tokens
    assert set(drawn[:, 0]) == {0, 1}


def test_the_density_is_exact_without_values_and_a_bound_with_them():
    tokens = untrained(TOKENS, spread=0.7)
    assert tokens.density_kind == "exact"
    assert tokens.log_density(every_row(TOKENS), rng()).exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert untrained(MIXED).density_kind == "lower_bound"


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
@pytest.mark.parametrize("prediction", ["epsilon", "data", "v"])
def test_a_fresh_model_is_the_uniform_distribution_of_positions(sampler, prediction):
    model = untrained(ONE_BIN, sampler=sampler, prediction=prediction, sampler_steps=50)
    assert not model.log_density(positions(ONE_BIN, torch.linspace(0.01, 0.99, 9)), rng()).any()
    drawn = draw_rows(model, 4000).values[:, 0]
    assert kstest(drawn, "uniform").statistic < 0.03


def test_the_score_of_a_fresh_model_is_that_of_normal_data():
    model = untrained(MIXED)
    x = torch.randn(5, 1, generator=rng())
    torch.testing.assert_close(model.values.score(x, 700, torch.zeros(5, 2, dtype=torch.long)), -x)


def test_the_score_of_a_trained_model_points_to_the_data():
    tokens, values = two_classes(4000)
    model = fitted(MIXED, tokens, values, steps=200)
    k = int((model.values.schedule.alpha - 0.8).abs().argmin())
    with torch.no_grad():
        scores = [model.values.score(torch.zeros(1, 1), k, torch.tensor([[label, 0]])).item() for label in (0, 1)]
    assert scores[0] < -0.1 < 0.1 < scores[1]


def test_validation_is_an_unbiased_estimate_of_the_negative_bound():
    model = untrained(ONE_BIN, spread=0.1)
    many = positions(ONE_BIN, torch.tensor([0.3])).take(torch.zeros(40_000, dtype=torch.long))
    with torch.no_grad():
        estimates = model.values.validation(many, rng())
        exact = exact_bound(model.values, many.take(torch.arange(64)))
    assert exact != pytest.approx(0, abs=0.05)
    assert abs(estimates.mean().item() + exact) < 4 * estimates.std().item() / math.sqrt(len(many))


def exact_bound(values, rows):
    """The bound summed over every k, with much noise for each."""
    random, view = rng(7), values.view(rows.tokens)
    total = 0.0
    for k in range(1, values.schedule.n_steps + 1):
        x, v = values._diffused(rows, torch.full((len(rows),), k), view, random)
        gain = v.square() - (v - values.v(x, k, view, None)).square()
        total += values.bound_weight[k - 1].item() * gain.mean().item()
    return total


def test_a_value_where_the_token_has_none_does_not_matter():
    layout = Layout((binned_column("x", 2, n_categories=1), binned_column("y", 2)))
    model = untrained(layout, spread=0.1)
    tokens = torch.tensor([[0, 1]] * 2)
    without, other, moved = (
        model.log_density(Batch(tokens, torch.tensor([[x, y]] * 2)), rng())[0].item()
        for x, y in ((0.5, 0.4), (0.9, 0.4), (0.5, 0.8))
    )
    assert without == other != moved
    losses = [model.values.loss(Batch(tokens, torch.tensor([[x, 0.4]] * 2)), rng()) for x in (0.5, 0.9)]
    assert torch.equal(*losses)
    drawn = draw_rows(model, 50, {0: (0, 0.5)})
    assert (drawn.values[:, 0] == 0.5).all()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_some_training_rows_hide_columns_and_as_many_give_them(share):
    view = untrained(TWO_BINS, condition_share=share).values.training_view(
        torch.zeros(4000, 2, dtype=torch.long), rng()
    )
    # Such a row hides or gives no column, or one of the two.
    assert (~view.visible).float().mean().item() == pytest.approx(share / 8, abs=0.02)
    assert view.given.float().mean().item() == pytest.approx(share / 8, abs=0.02)
    assert torch.equal(view.predicted, view.visible & ~view.given)


def test_a_hidden_column_is_not_seen_and_a_given_value_has_no_noise():
    values, tokens = untrained(MIXED, spread=0.1).values, torch.tensor([[0, 0], [1, 0]])
    first, second = torch.tensor([[True, False]] * 2), torch.tensor([[False, True]] * 2)
    hidden = values.view(tokens, hidden=first)
    assert torch.equal(hidden.context[0], hidden.context[1])
    assert not torch.equal(*values.view(tokens).context)
    assert not values.view(tokens, hidden=second).visible.any()
    batch, k = Batch(tokens, torch.tensor([[0.2], [0.7]])), torch.tensor([900, 900])
    x, _ = values._diffused(batch, k, values.view(tokens, given=second), rng())
    torch.testing.assert_close(torch.special.ndtr(x), batch.values)
    assert not values._error(batch, k, values.view(tokens, given=second), rng(), None).any()


@pytest.fixture(scope="module")
def pair():
    """A model of the positions of a normal pair with correlation 0.9."""
    return fitted(TWO_BINS, np.zeros((4000, 2)), normal_pair(4000), steps=400, value_width=32, condition_share=0.6)


@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
def test_a_given_value_is_kept_and_the_others_follow_their_conditional(pair, sampler):
    pair.config = pair.config.model_copy(update={"sampler": sampler, "sampler_steps": 20})
    means = [second_given_first(pair, given) for given in (0.1, 0.9)]
    assert means == pytest.approx([0.146, 0.854], abs=0.07)  # a noisy state in its place would lead to 0.37 and 0.63


def test_values_are_drawn_with_their_correlation(pair):
    z = torch.special.ndtri(torch.from_numpy(draw_rows(pair, 4000).values))
    assert z.T.corrcoef()[0, 1].item() == pytest.approx(0.9, abs=0.04)


def test_guidance_moves_the_values_towards_what_the_condition_makes_likely():
    tokens, values = two_classes(4000)
    model = fitted(MIXED, tokens, values, steps=200, condition_share=0.5)
    drawn = {
        label: [draw_rows(model, 2000, {0: (label, 0.5)}, guidance=w).values[:, 0].mean() for w in (0.0, 1.0, 3.0)]
        for label in (0, 1)
    }
    assert drawn[0] == sorted(drawn[0], reverse=True)
    assert drawn[1] == sorted(drawn[1])
    assert [abs(means[0] - means[-1]) > 0.03 for means in drawn.values()] == [True, True]
    assert drawn[0][0] == pytest.approx(2 / 7, abs=0.02)  # without guidance, the conditional mean itself


def test_guidance_without_a_condition_changes_nothing():
    model = untrained(MIXED, spread=0.1)
    plain, guided = (draw_rows(model, 20, guidance=w).values for w in (0.0, 2.0))
    assert np.array_equal(plain, guided)


def test_guidance_moves_the_rate_of_a_class_monotonically():
    random = np.random.default_rng(0)
    group = random.integers(0, 2, 4000)
    sick = (random.random(4000) < np.where(group == 1, 0.4, 0.1)).astype(int)
    model = fitted(token_layout(2, 2), np.stack([group, sick], 1), None, steps=200)
    rates = [draw_rows(model, 4000, {0: (1, 0.5)}, guidance=w).tokens[:, 1].mean() for w in (0.0, 1.0, 3.0)]
    assert rates[0] == pytest.approx(sick[group == 1].mean(), abs=0.04)
    assert rates == sorted(rates)
    assert rates[-1] > rates[0] + 0.1


def test_the_loss_is_the_squared_error_of_what_is_predicted():
    k = torch.tensor([1, 300, 700, 1000])
    rows = positions(ONE_BIN, torch.tensor([0.1, 0.4, 0.6, 0.9]))
    models = {name: untrained(ONE_BIN, spread=0.1, prediction=name).values for name in ("epsilon", "data", "v")}
    view = models["v"].view(rows.tokens)
    found = {name: model._error(rows, k, view, rng(), None) for name, model in models.items()}
    alpha, sigma = models["v"].alpha[k], models["v"].sigma[k]
    torch.testing.assert_close(found["epsilon"], alpha**2 * found["v"])
    torch.testing.assert_close(found["data"], sigma**2 * found["v"])
    x, v = models["v"]._diffused(rows, k, view, rng())
    epsilon = sigma * x[:, 0] + alpha * models["v"].v(x, k, view, None)[:, 0]
    noise = sigma * x[:, 0] + alpha * v[:, 0]
    torch.testing.assert_close(found["epsilon"], (epsilon - noise).square())


def test_learned_times_find_where_the_loss_is_and_keep_its_mean():
    times = LearnedTimes(torch.ones(320))
    assert times.probability().tolist() == pytest.approx([1 / 320] * 320)
    loss = (torch.arange(320) // 20 + 1.0) / N_STRATA
    optimizer = torch.optim.Adam(times.parameters(), lr=0.05)
    for step in range(300):
        k = torch.multinomial(times.probability(), 512, replacement=True, generator=rng(step)) + 1
        optimizer.zero_grad()
        times.balanced(loss[k - 1], k).mean().backward()
        optimizer.step()
    assert times.probability().tolist() == pytest.approx((loss / loss.sum()).tolist(), rel=0.1)
    k = torch.multinomial(times.probability(), 20_000, replacement=True, generator=rng()) + 1
    fit = loss[k - 1] * torch.exp(-times.log_loss[times.stratum[k - 1]]) + times.log_loss[times.stratum[k - 1]]
    assert (times.balanced(loss[k - 1], k) - fit).mean().item() == pytest.approx(loss.mean().item(), rel=0.02)


@pytest.mark.parametrize("schedule", [linear_schedule(100), cosine_schedule(100)])
def test_a_prediction_says_what_an_error_of_v_counts(schedule):
    parts = error_of_v(schedule, "epsilon"), error_of_v(schedule, "data")
    torch.testing.assert_close(sum(parts), error_of_v(schedule, "v"))
    assert parts[0][0] > 0.9 > parts[1][0]


@pytest.mark.parametrize("layout", [TOKENS, MIXED], ids=["tokens", "both"])
def test_diagnostics_have_the_nats_of_each_column_and_a_curve_of_each_part(layout):
    batch = Batch.of(draw_rows(untrained(layout), 60))
    found = untrained(layout).diagnostics(batch, rng())
    assert set(found["held_out_nats"]) == set(layout.names)
    assert len(found["loss_by_time"]) == (2 if layout.valued else 1)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"schedule": "cosine", "prediction": "v", "time_sampling": "learned"}])
def test_the_bound_of_a_mixed_table_is_below_its_log_density_and_near(settings):
    n, shares = 8000, np.array([0.4, 0.2, 0.15, 0.1, 0.1, 0.05])
    layout = Layout((token_column("class", (shares * n).astype(int)), binned_column("x", 1)))

    def rows(n, seed):
        label = np.random.default_rng(seed).choice(6, n, p=shares)
        value = beta.rvs(1 + label, 4, random_state=seed)
        log_density = np.log(shares[label]) + beta.logpdf(value, 1 + label, 4)
        return np.stack([label, np.zeros(n)], 1), value[:, None], log_density

    tokens, values, _ = rows(n, 0)
    model = fitted(layout, tokens, values, steps=400, **settings)
    tokens, values, expected = rows(8000, 1)
    found = model.log_density(Batch.of(encoded_rows(layout, tokens, values)), rng()).numpy()
    gap = expected - found
    assert gap.mean() > -2 * gap.std() / math.sqrt(len(gap))
    assert found.mean() == pytest.approx(expected.mean(), rel=0.02)


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["ancestral", "ddim", "dpm_solver"])
def test_a_learned_distribution_of_values_is_drawn(sampler):
    law = beta(2, 5)
    values = law.rvs(4000, random_state=0)[:, None]
    model = fitted(ONE_BIN, np.zeros((4000, 1)), values, steps=400, sampler=sampler, sampler_steps=50)
    assert kstest(draw_rows(model, 3000).values[:, 0], law.cdf).statistic < 0.04
