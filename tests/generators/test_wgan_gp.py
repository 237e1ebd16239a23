from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from scipy.special import ndtri
from scipy.stats import chisquare

from generators import TabularGenerator, WGANGPConfig, WGANGPTraining, wgan_gp
from generators.given import Batch
from generators.training import train
from generators.wgan_gp import WGANGP, straight_through
from pipeline.encoded import Layout, TokenColumn
from pipeline.errors import UnsupportedError
from pipeline.transform import TransformConfig

from .checks import weights
from .tables import (
    binned_column,
    draw_rows,
    encoded_rows,
    normal_pair,
    people,
    rng,
    second_given_first,
    token_column,
    token_layout,
)

SMALL = WGANGPConfig(width=16, critic_width=16, critic_depth=1)
TOKENS = token_layout(4, 2, 3)
MIXED = Layout((*token_layout(3, 4).columns, binned_column("x", 5)))


def model_of(layout, **settings):
    return WGANGP(layout, SMALL.model_copy(update=settings), rng()).eval()


def rows_of(layout, n, seed=0):
    random = rng(seed)
    tokens = [torch.randint(size, (n,), generator=random) for size in layout.sizes]
    return Batch(torch.stack(tokens, 1), torch.rand(n, len(layout.valued), generator=random))


def test_straight_through_is_one_hot_forwards_and_the_softmax_backwards():
    logits, weights = torch.randn(5, 4, generator=rng()), torch.randn(5, 4, generator=rng(1))
    logits[:, 3] = -torch.inf  # as where a column is smaller than the largest
    hard_logits, soft_logits = (logits.clone().requires_grad_() for _ in range(2))
    hard, soft = straight_through(hard_logits), soft_logits.softmax(1)
    assert torch.equal(hard, torch.nn.functional.one_hot(logits.argmax(1), 4).float())
    (hard * weights).sum().backward()
    (soft * weights).sum().backward()
    torch.testing.assert_close(hard_logits.grad, soft_logits.grad)
    assert soft_logits.grad.abs().max() > 0.01


def test_without_conditions_rows_play_along_the_order_and_with_them_behind_any_cells():
    rows = rows_of(MIXED, 3_000)
    in_order = model_of(MIXED, condition_share=0.0)
    batch, rank, given = in_order._games(rows, rng())
    assert torch.equal(batch.tokens, rows.tokens)
    assert (rank.argsort(1) == torch.tensor(in_order.generator.tokens.order)).all()
    assert not given.any()
    _, rank, given = model_of(MIXED, condition_share=0.5)._games(rows, rng())
    assert (rank.gather(1, rank.argsort(1)).diff() > 0).all()
    assert ((rank < 3) == given).all(), "what is given comes first"
    assert given.any(1).float().mean().item() == pytest.approx(0.5 * 2 / 3, abs=0.03)
    orders = {tuple(order) for order in rank.argsort(1).tolist()}
    assert len(orders) > 3
    first = rank.argmin(1).bincount(minlength=3) / 3_000
    assert first[in_order.generator.tokens.order[0]] > 0.6
    assert first.min() > 0.05


def test_every_cell_is_drawn_given_those_of_lower_rank_of_the_row_itself():
    model, rows = model_of(MIXED), rows_of(MIXED, 60)
    _, rank, given = model._games(rows, rng())
    logits = model.generator.logits(rows.tokens, rank)
    net = model.generator.tokens
    for column in range(3):
        known = rank < rank[:, column : column + 1]
        hidden = net.hidden(rows.tokens, known, column, net.matrix())
        expected = net.head.columns().logits(hidden, column)
        expected = expected.masked_fill(~torch.from_numpy(MIXED.columns[column].drawable), -torch.inf)
        torch.testing.assert_close(logits[column], expected)
    played = model._play(rows, rank, given, rng())
    assert (played.tokens != rows.tokens).float().mean() > 0.3


def test_played_tokens_follow_the_logits_and_forbidden_ones_are_never_played():
    column = token_column("a", [1, 1, 1, 1000])
    forbidden = TokenColumn("a", column.counts, np.array([True, True, True, False]), column.valued, column.coordinate)
    model = model_of(Layout((forbidden, token_column("b", [5, 1, 3, 1, 2]))))
    rows = rows_of(model.layout, 10_000)
    nothing_known = torch.zeros_like(rows.tokens)
    drawn = model._play(rows, nothing_known, nothing_known.bool(), rng()).tokens
    first, second = (drawn[:, column].bincount(minlength=5)[:5].numpy() for column in (0, 1))
    assert first[3:].sum() == 0
    with torch.no_grad():
        p = model.generator.logits(rows.tokens[:1], nothing_known[:1])[1].double().softmax(1)[0].numpy()
    assert chisquare(second, p / p.sum() * 10_000).pvalue > 0.001


@pytest.mark.parametrize("pack", [1, 3, 10])
@pytest.mark.parametrize("penalty", ["zero_centred", "spectral_r1"])
def test_losses_are_per_pack_and_reach_all_weights_of_their_player_only(pack, penalty):
    model, rows = model_of(MIXED, pack=pack, penalty=penalty), rows_of(MIXED, 20)
    for objective, loss in zip(model.objectives(), (model.critic_loss, model.generator_loss), strict=True):
        losses = loss(rows, rng(), 0.5)
        assert losses.shape == (-(-20 // pack),)
        losses.mean().backward()
        own = {id(parameter) for parameter in objective.parameters}
        assert all((parameter.grad is not None) == (id(parameter) in own) for parameter in model.parameters())
        model.zero_grad()


def test_a_step_of_many_games_is_the_mean_of_each_game(monkeypatch):
    model, rows = model_of(MIXED), rows_of(MIXED, 10)
    gap, penalty = torch.arange(40.0).reshape(10, 4), torch.ones(10, 4)
    monkeypatch.setattr(model, "_gap", lambda *_: (gap, *torch.zeros(3, 10, 4, 16)))
    monkeypatch.setattr(model.critic, "penalty", lambda *_: penalty)
    torch.testing.assert_close(model.critic_loss(rows, rng(), 0.0), 3 - gap.mean(1))


def test_the_temperature_falls_from_the_first_to_the_last(monkeypatch):
    met = []
    model = model_of(TOKENS, temperature=2.0, final_temperature=0.5)
    monkeypatch.setattr(model.generator, "play", lambda *_: [torch.ones(4, size) for size in TOKENS.sizes])
    monkeypatch.setattr(wgan_gp, "straight_through", lambda logits: met.append(1 / logits[0, 0].item()) or logits)
    for progress in (0.0, 0.5, 1.0):
        model.generator_loss(rows_of(TOKENS, 4), rng(), progress)
    assert met == pytest.approx([2.0] * 3 + [1.0] * 3 + [0.5] * 3)


@pytest.mark.parametrize(
    ("penalty", "asked", "weight"),
    [
        ("zero_centred", None, 3.0),
        ("spectral_r1", None, 3.0),
        ("one_sided", None, 10.0),
        ("two_sided", None, 10.0),
        ("two_sided", 4.0, 4.0),
    ],
)
def test_the_weight_follows_the_penalty_unless_one_is_asked_for(penalty, asked, weight, monkeypatch):
    model, rows = model_of(MIXED, penalty=penalty, penalty_weight=asked), rows_of(MIXED, 10)
    monkeypatch.setattr(model, "_gap", lambda *_: torch.zeros(4, 10, 4))
    monkeypatch.setattr(model.critic, "penalty", lambda *_: torch.ones(10, 4))
    torch.testing.assert_close(model.critic_loss(rows, rng(), 0.0), torch.full((10,), weight))


def test_given_positions_come_back_and_are_seen_by_those_that_are_drawn():
    layout = Layout((binned_column("x", 1), token_column("c", [5, 5]), binned_column("y", 1)))
    model, tokens = model_of(layout), torch.zeros(200, 3, dtype=torch.long)
    with torch.no_grad():
        for parameter in model.generator.positions.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=rng(3))

    def play(x, given):
        rows = Batch(tokens, torch.tensor([[x, 0.9]]).expand(200, 2))
        return model.generator.values(rows, torch.tensor(given).expand(200, 3), rng())

    first = play(0.25, [True, True, False])
    assert (first[:, 0] == 0.25).all()
    assert len(first[:, 1].unique()) == 200
    assert not torch.equal(first[:, 1], play(0.75, [True, True, False])[:, 1])
    unseen = play(0.25, [False, True, False])
    assert torch.equal(unseen, play(0.75, [False, True, False]))
    assert len(unseen[:, 0].unique()) == 200


def test_each_validation_logs_the_distance_and_training_does_not_know_of_it(monkeypatch):
    training = WGANGPTraining(steps=6, n_validations=3)
    config = SMALL.model_copy(update={"members": 2, "training": training})
    logging = TabularGenerator(config).fit(people())
    estimates = [progress.logged["wasserstein_estimate"] for progress in logging.history]
    assert len(set(estimates)) == 4
    assert np.isfinite(estimates).all()
    assert all("wasserstein_estimate" in member for member in logging.describe()["diagnostics"]["members"])
    monkeypatch.setattr(WGANGP, "logged", lambda *_: {})
    silent = TabularGenerator(config).fit(people())
    assert not any(progress.logged for progress in silent.history)
    assert weights(silent) == weights(logging)


@pytest.mark.parametrize("n_others", [0, 128, 512])
def test_the_logged_distance_is_that_of_the_two_laws_under_the_best_critic(n_others, monkeypatch):
    """All held-out rows have one token, and some of the drawn ones the other: two indicators are sqrt(2) apart."""
    model = model_of(token_layout(2))
    direction = torch.linalg.lstsq(model.critic.features()[0].detach(), torch.tensor([-3.0, 3.0])).solution
    held_out = Batch(torch.ones(700, 1, dtype=torch.long), torch.empty(700, 0))
    drawn = Batch((torch.arange(512) >= n_others).long().unsqueeze(1), torch.empty(512, 0))
    monkeypatch.setattr(model, "_play", lambda *_: drawn)
    monkeypatch.setattr(model.critic, "score", lambda _, played: played @ direction)
    expected = n_others / 512 * 2**0.5
    assert model.logged(held_out, rng())["wasserstein_estimate"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize("layout", [TOKENS, MIXED], ids=["tokens", "values"])
def test_any_number_of_rows_may_be_drawn(layout, n):
    encoded = draw_rows(model_of(layout), n)
    assert encoded.tokens.shape == (n, layout.n_columns)
    assert encoded.values.shape == (n, len(layout.valued))


def test_any_column_may_be_given_and_its_value_too():
    encoded = draw_rows(model_of(MIXED), 30, {0: (2, 0.5), 2: (1, 0.25)})
    assert (encoded.tokens[:, [0, 2]] == [2, 1]).all()
    assert (encoded.values[:, 0] == 0.25).all()
    assert len(set(encoded.tokens[:, 1])) > 1


def test_a_density_and_guidance_are_refused_by_name():
    generator = TabularGenerator(SMALL.model_copy(update={"members": 1, "training": WGANGPTraining(steps=2)})).fit(
        people()
    )
    with pytest.raises(UnsupportedError, match=r"density.*likelihood.*(?s:.*)flow_matching"):
        generator.log_density(people())
    with pytest.raises(UnsupportedError, match="wgan_gp cannot be guided"):
        generator.sample(5, conditions={"smoker": True}, guidance=1.0)


@pytest.mark.parametrize(("asked", "n_tokens"), [(None, 64), (100, 100)])
def test_repeated_values_are_few_unless_more_are_asked_for(asked, n_tokens):
    table = pa.table({"x": np.repeat(np.arange(150.0), 8)})
    config = SMALL.model_copy(update={"members": 1, "training": WGANGPTraining(steps=1)})
    transform = TransformConfig(protect=1, max_repeated=asked)
    drawn = TabularGenerator(config, transform=transform).fit(table)
    (column,) = drawn.fitted.transform.layout.columns
    assert (~column.valued & np.isfinite(column.coordinate)).sum() == n_tokens


def test_a_collapsed_generator_is_noticed():
    model, rows = model_of(TOKENS), rows_of(TOKENS, 600)
    healthy = model.diagnostics(rows, rng())
    with torch.no_grad():
        model.generator.tokens.head.bias[0] += 20.0  # the first column is always its first token
    collapsed = model.diagnostics(rows, rng())
    assert healthy["missed_share"] == 0
    assert collapsed["missed_share"] > 0.3
    assert collapsed["detection_score"] > healthy["detection_score"] + 10


def finish(model):
    random = rng()
    for _ in range(model.finishing_rounds):
        model.finish(random)


def test_finishing_moves_drawn_marginals_to_those_of_train():
    columns = (token_column("a", [700, 250, 50]), token_column("b", [10, 400, 90]), binned_column("x", 5))
    model = model_of(Layout(columns))
    with torch.no_grad():
        for parameter in model.generator.tokens.parameters():
            parameter += 0.15 * torch.randn(parameter.shape, generator=rng(3))  # as a critic might leave them

    def errors():
        drawn = draw_rows(model, 20_000).tokens
        shares = [np.bincount(drawn[:, i], minlength=c.size) / 20_000 for i, c in enumerate(columns)]
        drawable = [c.counts * c.drawable for c in columns]
        return [np.abs(s - d / d.sum()).sum() / 2 for s, d in zip(shares, drawable, strict=True)]

    before = errors()
    finish(model)
    assert max(before) > 0.1
    assert max(errors()) < 0.02


def test_finishing_never_makes_a_forbidden_token_possible():
    column = token_column("a", [1, 1, 1, 1000])
    forbidden = TokenColumn("a", column.counts, np.array([True, True, True, False]), column.valued, column.coordinate)
    model = model_of(Layout((forbidden, token_column("b", [5, 1]))))
    finish(model)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    nothing_known = torch.zeros(1, 2, dtype=torch.long)
    of_first, _ = model.generator.logits(nothing_known, nothing_known)
    assert of_first[0, 3] == -torch.inf


def fitted(layout, tokens, values=None, *, steps, **settings):
    training = WGANGPTraining(steps=steps, n_validations=4, learning_rate=8e-4, batch_size=64, precision="fp32")
    config = WGANGPConfig(width=32, critic_width=64, **settings)
    model, batch = WGANGP(layout, config, rng()), Batch.of(encoded_rows(layout, tokens, values))
    held_out, rows = (batch.take(torch.arange(len(batch))[part]) for part in (slice(200), slice(200, None)))
    list(train(model, rows, held_out, training, seed=0))
    finish(model)
    return model.eval()


@pytest.mark.slow
def test_a_position_is_drawn_given_another_one_as_often_as_train_has_it():
    layout = Layout((binned_column("x", 1), binned_column("y", 1)))
    model = WGANGP(layout, WGANGPConfig(width=32, critic_width=64), rng())
    played = tuple(replace(objective, validation=None) for objective in model.objectives())
    model.objectives = lambda: played  # what validation sees are tokens, of which there is one
    training = WGANGPTraining(steps=1_000, n_validations=1, precision="fp32")
    rows = Batch.of(encoded_rows(layout, np.zeros((2_000, 2)), normal_pair(2_000)))
    list(train(model, rows, rows.take(torch.arange(200)), training, seed=0))
    drawn = ndtri(draw_rows(model, 4_000).values)
    assert np.corrcoef(drawn.T)[0, 1] == pytest.approx(0.9, abs=0.04)
    means = [second_given_first(model, given) for given in (0.1, 0.9)]
    assert means == pytest.approx([0.145, 0.855], abs=0.07)  # ndtr(0.9 * ndtri(0.9) / sqrt(1 + 0.19))


@pytest.mark.slow
def test_training_under_conditions_shifts_no_marginal_and_learns_the_dependence():
    random = np.random.default_rng(0)
    first = random.choice(3, 3000, p=[0.7, 0.25, 0.05])
    second = np.where(random.random(3000) < 0.9, first, random.choice(3, 3000))
    layout = Layout((token_column("first", np.bincount(first)), token_column("second", np.bincount(second))))
    model = fitted(layout, np.stack([first, second], 1), steps=1_000, condition_share=0.8)
    drawn = draw_rows(model, 10_000).tokens
    for column, truth in enumerate((first, second)):
        assert np.bincount(drawn[:, column]) / 10_000 == pytest.approx(np.bincount(truth) / 3000, abs=0.04)
    assert (drawn[:, 0] == drawn[:, 1]).mean() == pytest.approx((first == second).mean(), abs=0.06)
    given = draw_rows(model, 3_000, {1: (1, 0.5)}).tokens[:, 0]
    assert (given == 1).mean() == pytest.approx((first[second == 1] == 1).mean(), abs=0.12)
