import numpy as np
import pytest
import torch
from scipy.stats import beta, kstest

from generators import TrainingConfig, VAEConfig, vae
from generators.given import Batch, Given
from generators.training import train
from generators.vae import VAE, draw_posterior
from pipeline.encoded import Layout, TokenColumn

from .tables import binned_column, draw_rows, encoded_rows, every_row, rng, token_column, token_layout

SMALL = VAEConfig(
    latent_size=2,
    width=16,
    depth=1,
    decoder_depth=1,
    dropout=0.0,
    cell_dropout=0.1,
    prior_depth=2,
    importance_samples=4,
)
TOKENS = token_layout(4, 2, 3)
MIXED = Layout((binned_column("x", 2, n_categories=1), token_column("c", [5, 5]), binned_column("y", 2)))
ONE_BIN = Layout((binned_column("x", 1),))


def untrained(layout, *, spread=0.3, **settings):
    """A model with random weights, in which latent vector and earlier cells matter; its posterior stays near normal."""
    model, random = VAE(layout, SMALL.model_copy(update=settings), 100, rng()), rng(1)
    less = {"prior": 0.05, "encoder.out": 0.02, "decoder.value_head": 0.1}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            alpha = next((alpha for prefix, alpha in less.items() if name.startswith(prefix)), spread)
            parameter.add_(torch.randn(parameter.shape, generator=random), alpha=alpha)
    return model.eval().requires_grad_(False)


def repeated(batch, n):
    return batch.take(torch.zeros(n, dtype=torch.long))


def mixed_rows(n):
    random = rng(5)
    tokens = torch.stack([torch.randint(size, (n,), generator=random) for size in MIXED.sizes], dim=1)
    return Batch(tokens, torch.rand(n, len(MIXED.valued), generator=random))


def decoded(model, z, batch, rank=None):
    """log p(cells | z) of each row, one latent vector for all."""
    rank = model.rank if rank is None else rank
    cells = model.decoder.negative_log_likelihood(z.expand(len(batch), -1), batch, rank.expand(len(batch), -1), None)
    return -cells.sum(1)


def exact_probabilities(model, rank=None, n=4000):
    """The probability of every row of tokens: a mean over many latent vectors of the prior."""
    rows = every_row(model.layout)
    z = model.prior.sample(n, rng(9))
    return torch.stack(
        [decoded(model, z, repeated(rows.take(torch.tensor([i])), n), rank).exp().mean() for i in range(len(rows))]
    )


def fitted(layout, tokens, values=None, *, steps, **settings):
    model = VAE(layout, SMALL.model_copy(update=settings), len(tokens), rng())
    batch = Batch.of(encoded_rows(layout, tokens, values))
    config = TrainingConfig(steps=steps, n_validations=4, learning_rate=0.01, precision="fp32")
    n_held_out = len(tokens) // 10
    data, held_out = batch.take(torch.arange(n_held_out, len(tokens))), batch.take(torch.arange(n_held_out))
    list(train(model, data, held_out, config, seed=0))
    return model.eval(), held_out


@pytest.mark.parametrize("rank", [[0, 1, 2], [2, 0, 1]])
def test_the_cells_are_a_distribution_given_the_latent_vector_in_every_order(rank):
    model = untrained(TOKENS)
    p = decoded(model, torch.tensor([0.5, -1.0]), every_row(TOKENS), torch.tensor(rank)).exp()
    assert p.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert p.max() > 4 * p.mean()
    other = decoded(model, torch.tensor([-1.0, 1.0]), every_row(TOKENS), torch.tensor(rank)).exp()
    assert (p - other).abs().sum() > 0.1


def test_a_row_decoded_cell_by_cell_has_the_density_of_one_pass():
    model, rows = untrained(MIXED), mixed_rows(6)
    for row in range(len(rows)):
        batch, z = rows.take(torch.tensor([row])), torch.randn(1, 2, generator=rng(row))
        positions = dict(zip(MIXED.valued, batch.values[0].tolist(), strict=True))
        known = {c: (int(batch.tokens[0, c]), positions.get(c, 0.5)) for c in range(3)}
        given = Given.same(1, MIXED, known)
        for order in (model.order, [2, 0, 1]):
            rank = torch.tensor(order).argsort()
            singly = model.decoder.log_prob_of_given(z, given, order)
            torch.testing.assert_close(singly, decoded(model, z[0], batch, rank), rtol=1e-4, atol=1e-4)


def test_earlier_cells_matter_and_hidden_or_later_ones_do_not():
    model, rows = untrained(TOKENS), Batch(torch.tensor([[0, 0, 0], [3, 0, 0]]), torch.empty(2, 0))
    z, rank = torch.zeros(2, 2), torch.tensor([[0, 1, 2]] * 2)

    def change(rank, cell_dropout=0.0):
        nll = model.decoder.negative_log_likelihood(z, rows, rank, rng(), cell_dropout)
        return (nll[0] - nll[1]).abs()[1:]

    assert (change(rank) > 1e-3).all()
    assert (change(2 - rank) < 1e-5).all()
    assert (change(rank, 1.0) < 1e-5).all()


def test_rows_are_drawn_as_often_as_their_density_says():
    model = untrained(TOKENS)
    drawn = np.ravel_multi_index(tuple(draw_rows(model, 20_000).tokens.T), TOKENS.sizes)
    p = exact_probabilities(model).numpy()
    assert p.max() > 4 * p.mean()
    assert np.bincount(drawn, minlength=len(p)) / 20_000 == pytest.approx(p, abs=0.012)


@pytest.mark.parametrize("column", [0, 2])
def test_rows_given_any_column_are_drawn_from_the_conditional(column, monkeypatch):
    monkeypatch.setattr(vae, "N_CANDIDATES", 32)  # this network contradicts itself as no trained one does
    model = untrained(TOKENS, spread=0.3)
    p, rows = exact_probabilities(model), every_row(TOKENS).tokens
    fits = rows[:, column] == 1
    expected = (p[fits] / p[fits].sum()).numpy()
    drawn = draw_rows(model, 5_000, {column: (1, 0.5)}).tokens
    assert (drawn[:, column] == 1).all()
    places = [c for c in range(3) if c != column]
    numbers = np.ravel_multi_index(tuple(drawn[:, places].T), [TOKENS.sizes[c] for c in places])
    assert np.bincount(numbers, minlength=len(expected)) / 5_000 == pytest.approx(expected, abs=0.03)
    # A latent vector of the prior, not reweighted by what is known, would do worse than that.
    unweighted = model.decode(
        model.prior.sample(10_000, rng()), rng(), Given.same(10_000, model.layout, {column: (1, 0.5)})
    ).tokens
    numbers = np.ravel_multi_index(tuple(unweighted[:, places].T), [TOKENS.sizes[c] for c in places])
    assert np.abs(np.bincount(numbers, minlength=len(expected)) / 10_000 - expected).max() > 0.04


def test_a_condition_fixes_the_value_too_and_the_other_values_follow_it():
    layout = Layout((binned_column("x", 1), binned_column("y", 1)))
    model = untrained(layout, spread=0.5)
    low, high = (draw_rows(model, 20_000, {1: (0, position)}).values for position in (0.01, 0.99))
    assert (low[:, 1] == 0.01).all()
    assert len(set(low[:, 0])) > 19_000
    assert kstest(low[:, 0], high[:, 0]).pvalue < 0.01


def test_a_token_that_must_not_be_drawn_never_is():
    column = token_column("a", [1, 1, 1000])
    forbidden = TokenColumn("a", column.counts, np.array([True, True, False]), column.valued, column.coordinate)
    model = VAE(Layout((forbidden, token_column("b", [1, 1]))), SMALL, 100, rng()).eval()
    assert set(draw_rows(model, 500).tokens[:, 0]) == {0, 1}


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("layout", [TOKENS, ONE_BIN, MIXED], ids=["tokens", "values", "mixed"])
def test_any_number_of_rows_may_be_drawn(layout, n):
    for known in ({}, {0: (0, 0.5)}):
        encoded = draw_rows(untrained(layout), n, known)
        assert encoded.tokens.shape == (n, layout.n_columns)
        assert encoded.values.shape == (n, len(layout.valued))
        assert ((encoded.values >= 0) & (encoded.values < 1)).all()


def positions(n):
    """The middles of n equal parts of [0, 1), as rows of one bin."""
    return Batch(torch.zeros(n, 1, dtype=torch.long), ((torch.arange(n) + 0.5) / n).unsqueeze(1))


def test_the_density_of_values_integrates_to_one_and_values_are_drawn_as_often_as_it_says():
    model = untrained(ONE_BIN)
    z = torch.tensor([[0.7, -0.3]])
    density = decoded(model, z[0], positions(2000)).exp().double().numpy()
    assert density.mean() == pytest.approx(1.0, abs=0.02)
    assert density.max() > 1.2 * np.median(density)
    edges, cumulative = np.arange(2001) / 2000, np.concatenate([[0.0], density.cumsum() / density.sum()])
    drawn = model.decode(z.expand(5000, -1), rng()).values[:, 0]
    assert kstest(drawn, lambda x: np.interp(x, edges, cumulative)).pvalue > 0.001


def test_a_value_where_the_token_has_none_does_not_matter():
    model = untrained(MIXED)
    rows = Batch(torch.tensor([[0, 0, 1]] * 3), torch.tensor([[0.5, 0.4], [0.9, 0.4], [0.5, 0.8]]))
    without, other, moved = (model.log_density(rows.take(torch.tensor([i])), rng()).item() for i in range(3))
    assert without == other != moved


def test_the_bound_tightens_towards_the_truth():
    model, rows = untrained(TOKENS, spread=0.5), every_row(TOKENS)
    p = exact_probabilities(model)

    def bound(n_samples, seed):
        model.config = model.config.model_copy(update={"importance_samples": n_samples})
        return (p * model.log_density(rows, rng(seed))).sum().item()

    truth = (p * p.log()).sum().item()
    one, few, many = (
        np.mean([bound(n, seed) for seed in range(n_seeds)]) for n, n_seeds in ((1, 50), (8, 20), (1000, 1))
    )
    assert one < few < many < truth + 0.01
    assert many == pytest.approx(truth, rel=0.02)
    assert one < truth - 0.1


def test_the_lower_bound_is_the_reconstruction_less_the_divergence():
    model, row = untrained(TOKENS, prior="normal"), every_row(TOKENS).take(torch.tensor([7]))
    mean, log_variance = model.encode(row)
    many = repeated(row, 20_000)
    z, _ = draw_posterior(mean.expand(20_000, -1), log_variance.expand(20_000, -1), rng())
    cells = model.decoder.negative_log_likelihood(z, many, model.rank.expand(20_000, -1), None).sum(1)
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
    elbo = -model.validation(many, rng())
    assert elbo.mean().item() == pytest.approx((-cells.mean() - divergence).item(), abs=0.03)


def losses(model, batch, progress):
    return model.loss(batch, rng(), progress).mean().item()


def test_the_divergence_is_annealed_and_free_up_to_the_free_bits():
    settings = {"prior": "normal", "cell_dropout": 0.0, "annealed_share": 0.5, "beta": 2.0, "free_bits": 0.0}
    model, batch = untrained(TOKENS, **settings), every_row(TOKENS)
    mean, log_variance = model.encode(batch)
    per_dimension = ((mean.square() + log_variance.exp() - 1 - log_variance) / 2).mean(0)
    start, quarter, half, end = (losses(model, batch, progress) for progress in (0.0, 0.25, 0.5, 0.9))
    assert half - start == pytest.approx(2 * per_dimension.sum().item(), rel=1e-4)
    assert quarter - start == pytest.approx((half - start) / 2, rel=1e-4)
    assert end == half
    # As many free bits as the larger divergence: every dimension costs just that.
    model.config = model.config.model_copy(update={"free_bits": per_dimension.max().item()})
    assert losses(model, batch, 1.0) - start == pytest.approx(4 * per_dimension.max().item(), rel=1e-4)


def test_the_flow_is_fitted_without_moving_the_encoder():
    def gradients(prior):
        model = VAE(TOKENS, SMALL.model_copy(update={"prior": prior}), 100, rng())
        model.loss(every_row(TOKENS), rng(), 0.5).mean().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    with_flow, without = gradients("flow"), gradients("normal")
    assert any(g.abs().sum() > 0 for name, g in with_flow.items() if name.startswith("prior"))
    for name, gradient in without.items():
        torch.testing.assert_close(with_flow[name], gradient)


def test_likeliest_rows_are_decoded_without_chance_and_interpolation_ends_at_the_rows():
    model = untrained(MIXED, spread=0.5)
    first, last = mixed_rows(9).take(torch.tensor([2])), mixed_rows(9).take(torch.tensor([5]))
    path = model.interpolate(first, last, 7)
    assert len(path) == 7
    for row, end in ((0, first), (6, last)):
        wanted = model.decode(model.encode(end)[0], None)
        assert (path.tokens[row] == wanted.tokens[0]).all()
        assert path.values[row] == pytest.approx(wanted.values[0], abs=1e-5)
    assert len({tuple(row) for row in path.values.round(6)}) > 2


def network_of_tokens(n):
    """Rows of a network of three columns, and every row's probability."""
    first = np.array([0.5, 0.3, 0.2])
    second = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    third = np.array([[[0.8, 0.1, 0.1], [0.1, 0.8, 0.1]], [[0.1, 0.1, 0.8], [0.6, 0.3, 0.1]], [[0.3, 0.4, 0.3]] * 2])
    p = (first[:, None, None] * second[:, :, None] * third).ravel()
    drawn = np.random.default_rng(0).choice(len(p), n, p=p)
    return np.stack(np.unravel_index(drawn, (3, 2, 3)), 1), p


@pytest.mark.slow
def test_a_learned_network_has_the_right_entropy_and_keeps_using_its_latent_vector():
    layout = token_layout(3, 2, 3)
    tokens, p = network_of_tokens(5000)
    model, held_out = fitted(layout, tokens, steps=300)
    entropy = -(p * np.log(p)).sum()
    model.config = model.config.model_copy(update={"importance_samples": 32})
    bound = model.log_density(every_row(layout), rng()).numpy()
    assert -(p * bound).sum() == pytest.approx(entropy, rel=0.02)
    assert np.exp(bound).sum() < 1.01
    drawn = np.ravel_multi_index(tuple(draw_rows(model, 20_000).tokens.T), (3, 2, 3))
    assert np.bincount(drawn, minlength=18) / 20_000 == pytest.approx(p, abs=0.015)
    found = model.diagnostics(held_out, rng())
    assert found["active_units"] >= 1
    assert found["elbo"] <= found["iwae_8"] <= 0
    assert len(found["kl_per_dimension"]) == found["latent_size"] == 2


@pytest.mark.slow
def test_a_collapsed_model_is_seen_in_the_diagnostics_and_free_bits_prevent_it():
    tokens, _ = network_of_tokens(1000)
    found = {}
    for free_bits in (0.0, 0.3):
        settings = {"free_bits": free_bits, "beta": 8.0, "annealed_share": 0.0, "prior": "normal"}
        model, held_out = fitted(token_layout(3, 2, 3), tokens, steps=150, **settings)
        found[free_bits] = model.diagnostics(held_out, rng())
    assert found[0.0]["active_units"] == 0
    assert max(found[0.0]["kl_per_dimension"]) < 0.05
    assert found[0.3]["active_units"] == 2
    assert min(found[0.3]["kl_per_dimension"]) > 0.2


@pytest.mark.slow
def test_a_learned_distribution_of_values_has_the_right_entropy():
    law = beta(2, 5)
    values = law.rvs(4000, random_state=0)[:, None]
    model, _ = fitted(ONE_BIN, np.zeros((4000, 1)), values, steps=300, importance_samples=16)
    test = law.rvs(2000, random_state=1)[:, None]
    batch = Batch(torch.zeros(2000, 1, dtype=torch.long), torch.from_numpy(test).float())
    assert model.log_density(batch, rng()).mean().item() == pytest.approx(law.logpdf(test).mean(), abs=0.03)
    assert kstest(draw_rows(model, 2000).values[:, 0], law.cdf).statistic < 0.04


@pytest.mark.slow
def test_a_learned_prior_is_a_tighter_bound_than_the_normal_one():
    tokens = np.repeat(np.random.default_rng(0).integers(0, 4, (2000, 1)), 3, axis=1)
    model, held_out = fitted(token_layout(4, 4, 4), tokens, steps=200, beta=0.05, cell_dropout=1.0, prior_depth=4)
    learned = model.validation(held_out, rng()).mean()
    model.prior = None
    assert learned < model.validation(held_out, rng()).mean() - 0.3
