"""The network of masked tokens: what is drawn, what it is worth, and that both agree."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from generators import masked
from generators.given import UNOBSERVED, Given
from generators.masked import MaskedTokens, auto_dropout, auto_width, sampling_order
from pipeline.encoded import Layout, TokenColumn

from .tables import every_row, rng, token_column, token_layout

TOKENS = token_layout(4, 2, 3)


def untrained(layout, *, spread=0.7):
    """A network with large random weights, whose distribution is far from the marginals."""
    net, random = MaskedTokens(layout, 16, 1, 0.0, 0.5, rng()).requires_grad_(False), rng(1)
    for parameter in net.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=random), alpha=spread)
    return net.eval()


@pytest.fixture(scope="module")
def net():
    return untrained(TOKENS)


def probabilities(net):
    """The probability of every row, by the row's tokens as one number."""
    return net.log_density(every_row(net.layout).tokens).double().exp().numpy()


def draw(net, n, known=None, guidance=0.0, seed=0):
    given = {column: (token, 0.5) for column, token in (known or {}).items()}
    return net.draw(Given.same(n, net.layout, given), rng(seed), guidance).numpy()


def shares(net, column, known):
    """The probabilities of a column's tokens given some cells, straight from the network."""
    tokens, given = torch.zeros(1, net.layout.n_columns, dtype=torch.long), torch.zeros(1, net.layout.n_columns)
    for place, token in known.items():
        tokens[:, place], given[:, place] = token, 1
    logits = net.head.columns().logits(net.hidden(tokens, given.bool(), column, net.matrix()), column)
    return logits.softmax(1)[0].double().numpy()


def along(net, tokens, order):
    """The nats of each cell along an order of the columns."""
    return net.nats(tokens, torch.tensor(order).argsort().expand_as(tokens), None)


ORDERS = list(permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS)
def test_the_probabilities_of_all_rows_add_up_to_one_in_any_order(net, order):
    p = (-along(net, every_row(TOKENS).tokens, order).sum(1)).double().exp()
    assert p.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert p.max() > 4 * p.mean()  # and they are not all the same


def test_the_density_is_that_of_the_sampling_order(net):
    tokens = every_row(TOKENS).tokens
    torch.testing.assert_close(net.nats_by_column(tokens), along(net, tokens, (1, 2, 0)))
    torch.testing.assert_close(net.log_density(tokens), -along(net, tokens, (1, 2, 0)).sum(1))
    assert not torch.allclose(net.log_density(tokens), -along(net, tokens, (0, 1, 2)).sum(1), atol=0.1)


@pytest.mark.parametrize("cells_per_pass", [1 << 24, 1])
def test_the_entropy_of_a_cell_is_what_its_nats_are_on_average_over_its_tokens(net, cells_per_pass, monkeypatch):
    monkeypatch.setattr(masked, "CELLS_PER_PASS", cells_per_pass)
    tokens = every_row(TOKENS).tokens
    found = net.entropy_by_column(tokens)
    for column, size in enumerate(TOKENS.sizes):
        swapped = [tokens.clone() for _ in range(size)]
        for token, rows in enumerate(swapped):
            rows[:, column] = token
        nats = torch.stack([net.nats_by_column(rows)[:, column] for rows in swapped])
        torch.testing.assert_close(found[:, column], (nats * (-nats).exp()).sum(0))
    assert found[:, 0].std() > 0.1  # and the last column's is not the same everywhere


def test_a_cell_that_is_not_observed_costs_nothing_and_tells_nothing(net):
    tokens = torch.tensor([[3, UNOBSERVED, 2]])
    for nats in (net.nats_by_column(tokens), net.entropy_by_column(tokens)):
        assert nats[0, 1] == 0 and (nats[0, [0, 2]] > 0).all()
    expected = shares(net, 2, {})
    assert net.entropy_by_column(tokens)[0, 2].item() == pytest.approx(-(expected * np.log(expected)).sum(), abs=1e-5)


@pytest.mark.parametrize("order", ORDERS)
def test_the_whole_chain_at_once_is_the_chain_cell_by_cell(net, order):
    tokens = every_row(TOKENS).tokens
    found, known = along(net, tokens, order), torch.zeros_like(tokens, dtype=torch.bool)
    for column in order:
        logits = net.head.columns().logits(net.hidden(tokens, known, column, net.matrix()), column)
        cell_by_cell = torch.nn.functional.cross_entropy(logits, tokens[:, column], reduction="none")
        torch.testing.assert_close(found[:, column], cell_by_cell)
        known[:, column] = True


def test_each_row_may_have_an_order_of_its_own(net):
    tokens = every_row(TOKENS).tokens[:6]
    found = net.nats(tokens, torch.tensor(ORDERS).argsort(dim=1), None)
    torch.testing.assert_close(found, torch.cat([along(net, tokens[[i]], order) for i, order in enumerate(ORDERS)]))


@pytest.mark.parametrize("order", ORDERS)
def test_a_later_cell_never_influences_an_earlier_one(net, order):
    tokens = every_row(TOKENS).tokens
    for place, column in enumerate(order[1:], start=1):
        changed = tokens.clone()
        changed[:, column] = (changed[:, column] + 1) % TOKENS.sizes[column]
        before, after = along(net, tokens, order), along(net, changed, order)
        earlier, later = list(order[:place]), list(order[place + 1 :])
        assert torch.equal(before[:, earlier], after[:, earlier])
        assert not later or (before[:, later] - after[:, later]).abs().max() > 0.1


def test_an_unknown_cell_never_influences_a_hidden_state(net):
    tokens, known = every_row(TOKENS).tokens, torch.tensor([[True, False, False]]).expand(24, 3)
    changed = torch.where(known, tokens, (tokens + 1) % torch.tensor(TOKENS.sizes))
    for column in range(3):
        before, after = (net.hidden(rows, known, column, net.matrix()) for rows in (tokens, changed))
        assert torch.equal(before, after)
    of_each = net.hidden(tokens, known, torch.arange(24) % 3, net.matrix())
    torch.testing.assert_close(of_each[2::3], net.hidden(tokens, known, 2, net.matrix())[2::3])


@pytest.mark.parametrize("cells_per_pass", [1 << 24, 1])
def test_rows_are_drawn_as_often_as_their_density_says(net, cells_per_pass, monkeypatch):
    monkeypatch.setattr(masked, "CELLS_PER_PASS", cells_per_pass)
    drawn = np.ravel_multi_index(tuple(draw(net, 20_000).T), TOKENS.sizes)
    p = probabilities(net)
    counts = np.bincount(drawn, minlength=len(p))
    often = p > 5 / 20_000  # the others are counted together
    counts, p = (np.array([*x[often], x[~often].sum()]) for x in (counts, p))
    assert chisquare(counts, p / p.sum() * 20_000).pvalue > 0.001


def test_a_condition_on_the_first_columns_of_the_order_draws_from_the_exact_conditional(net):
    rows, p = every_row(TOKENS).tokens.numpy(), probabilities(net)
    fits = (rows[:, 1] == 1) & (rows[:, 2] == 2)  # the columns of 2 and of 3 tokens come first
    drawn = draw(net, 10_000, {1: 1, 2: 2})
    assert (drawn[:, 1:] == [1, 2]).all()
    assert np.bincount(drawn[:, 0], minlength=4) / 10_000 == pytest.approx(p[fits] / p[fits].sum(), abs=0.02)


def test_a_condition_on_the_last_column_of_the_order_reaches_the_earlier_ones(net, monkeypatch):
    monkeypatch.setattr(masked, "N_CANDIDATES", 256)  # this network contradicts itself as no trained one does
    assert net.order == [1, 2, 0]
    drawn = draw(net, 10_000, {0: 3})
    assert (drawn[:, 0] == 3).all()
    rows = every_row(net.layout).tokens.numpy()
    p = probabilities(net) * (rows[:, 0] == 3)
    exact = np.bincount(rows[:, 1], p / p.sum())
    found = np.bincount(drawn[:, 1], minlength=2) / 10_000
    assert found == pytest.approx(exact, abs=0.02)
    assert np.abs(shares(net, 1, {0: 3}) - exact).max() > 0.04  # what the network says behind it is another thing


def test_rows_under_conditions_are_those_of_the_whole_distribution_the_more_so_the_more_candidates(net, monkeypatch):
    rows = every_row(net.layout).tokens.numpy()
    p = probabilities(net) * (rows[:, 0] == 3)
    distance = {}
    for n in (1, 8, 64, 256):
        monkeypatch.setattr(masked, "N_CANDIDATES", n)
        drawn = draw(net, 20_000, {0: 3})
        found = np.bincount(np.ravel_multi_index(tuple(drawn.T), net.layout.sizes), minlength=len(p)) / 20_000
        distance[n] = np.abs(found - p / p.sum()).sum() / 2
    assert distance[8] < 0.7 * distance[1] and distance[64] < 0.25 * distance[1] and distance[256] < 0.02
    assert np.abs(shares(net, 1, {0: 3}) - shares(net, 1, {})).max() > 0.1


@pytest.mark.parametrize("guidance", [0.5, 2.0])
def test_guided_tokens_follow_the_conditional_raised_above_the_unconditional(net, guidance):
    for column, known in ((1, {0: 3}), (2, {0: 3, 1: 1}), (2, {0: 1, 1: 0})):
        expected = shares(net, column, known) ** (1 + guidance) / shares(net, column, {}) ** guidance
        drawn = np.bincount(draw(net, 10_000, known, guidance)[:, column], minlength=TOKENS.sizes[column])
        assert drawn / 10_000 == pytest.approx(expected / expected.sum(), abs=0.02)


def test_the_token_that_a_condition_favours_is_drawn_the_more_often_the_more_guidance():
    net = untrained(TOKENS, spread=0.15)
    favoured = int(np.argmax(shares(net, 1, {0: 3}) / shares(net, 1, {})))
    rates = [(draw(net, 4000, {0: 3}, guidance)[:, 1] == favoured).mean() for guidance in (0.0, 1.0, 4.0, 16.0)]
    assert rates == sorted(rates)
    assert rates[-1] > rates[0] + 0.1


@pytest.mark.parametrize(("known", "guidance"), [({0: 3}, 0.0), ({}, 5.0)])
def test_without_guidance_or_without_a_condition_nothing_is_guided(net, known, guidance):
    assert np.array_equal(draw(net, 200, known, guidance), draw(net, 200, known))


def test_columns_are_drawn_from_the_smallest_vocabulary_to_the_largest(net):
    assert sampling_order(token_layout(5, 2, 9, 2)) == [1, 3, 0, 2]
    assert net.rank.tolist() == [2, 0, 1]


@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_a_token_that_must_not_be_drawn_never_is(guidance):
    column = token_column("a", [1, 1, 1000])
    forbidden = TokenColumn("a", column.counts, np.array([True, True, False]), column.valued, column.coordinate)
    net = untrained(Layout((forbidden, token_column("b", [1, 1]))))
    assert 2 not in draw(net, 500, {1: 0}, guidance)[:, 0]


@pytest.mark.parametrize("n", [0, 1, 5])
def test_any_number_of_rows_may_be_drawn(net, n):
    assert draw(net, n).shape == (n, 3)
    assert draw(net, n, {0: 0, 1: 0, 2: 0}).tolist() == [[0, 0, 0]] * n


def test_the_validation_loss_is_the_negative_log_density_and_nothing_of_it_is_random(net):
    rows, random = every_row(TOKENS), rng()
    before = random.get_state()
    assert torch.equal(net.validation(rows, random), -net.log_density(rows.tokens))
    assert torch.equal(random.get_state(), before)


@pytest.mark.parametrize(
    ("known", "order"),
    [
        ([True, False, True], (2, 0, 1)),  # the known ones first, either part in the sampling order
        ([True, False, False], (0, 1, 2)),
        ([False, False, False], (1, 2, 0)),
        ([False, True, True], (1, 2, 0)),
    ],
)
def test_the_loss_is_the_nats_of_the_row_along_an_order_behind_the_known_cells(net, known, order, monkeypatch):
    monkeypatch.setattr(masked, "draw_known", lambda n, *_: torch.tensor([known] * n))
    rows = every_row(TOKENS)
    torch.testing.assert_close(net.loss(rows, None), along(net, rows.tokens, order).sum(1))


@pytest.mark.parametrize(("share", "random_orders"), [(1.0, False), (0.0, True)])
def test_the_ordered_share_of_the_rows_is_trained_along_the_sampling_order(net, share, random_orders, monkeypatch):
    monkeypatch.setattr(net, "ordered_share", share)
    rows = every_row(TOKENS)
    losses = torch.stack([net.loss(rows, rng(seed)) for seed in range(10)])
    along_the_order = torch.isclose(losses, -net.log_density(rows.tokens)).all()
    assert along_the_order.item() is not random_orders
    assert losses.isfinite().all()


def test_the_loss_drops_hidden_units_and_the_validation_does_not():
    net = MaskedTokens(TOKENS, 16, 1, 0.5, 0.5, rng())
    seen = []
    net.trunk.register_forward_hook(lambda trunk, args, output: seen.append(args[1] is not None))
    net.loss(every_row(TOKENS), rng())
    net.validation(every_row(TOKENS), rng())
    assert seen == [True, False]


def test_the_size_follows_from_the_rows():
    sizes = (100, 3_000, 30_000, 300_000)
    widths, rates = [auto_width(n) for n in sizes], [auto_dropout(n, 15) for n in sizes]
    assert widths == sorted(widths)
    assert rates == sorted(rates, reverse=True)
    assert widths[0] < widths[-1]
    assert rates[0] > rates[-1] >= 0
    assert auto_dropout(3_000, 4) < auto_dropout(3_000, 15)
