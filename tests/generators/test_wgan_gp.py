import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from generators import TabularGenerator, WGANGPConfig, WGANGPTraining, wgan_gp
from generators.critic import Turn
from generators.given import Batch
from generators.training import train
from generators.wgan_gp import WGANGP, draw_turn, straight_through
from pipeline.encoded import Layout, TokenColumn
from pipeline.errors import UnsupportedError

from .tables import binned_column, draw_rows, encoded_rows, people, rng, token_column, token_layout

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


def test_without_a_condition_what_is_known_is_a_prefix_of_the_order():
    place = torch.arange(4).repeat(50)
    rank = torch.tensor([2, 0, 1])
    turn = draw_turn(place, rank, 0.0, rng())
    assert turn.target.reshape(50, 4)[0].tolist() == [1, 2, 0, 3]
    assert torch.equal(turn.known, rank < place.unsqueeze(1))
    assert not (turn.known & turn.played).any()
    assert torch.equal(turn.of_values.squeeze(1), place == 3)


def test_a_condition_is_any_subset_of_the_other_columns():
    place = torch.randint(4, (5000,), generator=rng(1))
    turn = draw_turn(place, torch.tensor([2, 0, 1]), 0.5, rng())
    first = turn.known[place == 0]
    assert not first[:, 1].any()  # the target itself
    assert first[:, 0].float().mean().item() == pytest.approx(0.25, abs=0.03)  # half of the rows, half of the cells
    patterns = {tuple(known.tolist()) for known in first[:, [0, 2]]}
    assert patterns == {(False, False), (False, True), (True, False), (True, True)}


@pytest.mark.parametrize("condition_share", [0.0, 1.0])
def test_only_the_played_cell_differs_from_the_rows_that_conditions_come_from(condition_share):
    model, rows = model_of(MIXED, condition_share=condition_share), rows_of(MIXED, 60)
    batch, turn = model._turn(rows, rng())
    played = model._play(batch, turn, rng())
    assert torch.equal(batch.tokens, rows.tokens)
    moved = played.tokens != rows.tokens
    assert moved.any()
    assert not (moved & ~turn.played).any()


def test_played_tokens_follow_the_logits_and_forbidden_ones_are_never_played():
    column = token_column("a", [1, 1, 1, 1000])
    forbidden = TokenColumn("a", column.counts, np.array([True, True, True, False]), column.valued, column.coordinate)
    model = model_of(Layout((forbidden, token_column("b", [5, 1, 3, 1, 2]))))
    turn = Turn(torch.zeros(20_000, 2, dtype=torch.bool), torch.arange(20_000) % 2)
    drawn = model._play(rows_of(model.layout, 20_000), turn, rng()).tokens
    first, second = (drawn[column::2, column].bincount(minlength=5)[:5].numpy() for column in (0, 1))
    assert first[3:].sum() == 0
    with torch.no_grad():
        net = model.generator.tokens
        hidden = net.hidden(drawn[:1], turn.known[:1], 1, net.matrix())
        p = net.head.columns().logits(hidden, 1).double().softmax(1)[0].numpy()
    assert chisquare(second, p / p.sum() * 10_000).pvalue > 0.001


@pytest.mark.parametrize("pack", [1, 3, 10])
@pytest.mark.parametrize("penalty", ["zero_centred", "spectral_r1"])
def test_losses_are_per_pack_and_reach_all_weights_of_their_player_only(pack, penalty):
    model, rows = model_of(MIXED, pack=pack, penalty=penalty), rows_of(MIXED, 20)
    for objective, loss in zip(model.objectives(), (model.critic_loss, model.generator_loss), strict=True):
        losses = loss(rows, rng(), 0.5)
        assert losses.shape == (-(-20 // pack),)
        losses.mean().backward()
        assert all(parameter.grad is not None for parameter in objective.parameters)
    model.zero_grad()
    model.critic_loss(rows, rng(), 0.5).mean().backward()
    assert all(parameter.grad is None for parameter in model.generator.parameters())


def test_the_rows_of_a_pack_play_for_the_same_cell():
    _, turn = model_of(MIXED, pack=4)._turn(rows_of(MIXED, 40), rng())
    packs = turn.target.reshape(10, 4)
    assert (packs == packs[:, :1]).all()
    assert len(packs[:, 0].unique()) > 1


def test_the_temperature_falls_from_the_first_to_the_last(monkeypatch):
    met = []
    model = model_of(TOKENS, temperature=2.0, final_temperature=0.5)
    ones, cells = torch.ones(4, 4), torch.arange(4).expand(4, 4)
    monkeypatch.setattr(model.generator, "play", lambda *_: (ones, cells))
    monkeypatch.setattr(wgan_gp, "straight_through", lambda logits: met.append(1 / logits[0, 0].item()) or logits)
    for progress in (0.0, 0.5, 1.0):
        model.generator_loss(rows_of(TOKENS, 4), rng(), progress)
    assert met == pytest.approx([2.0, 1.0, 0.5])


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


def test_a_collapsed_generator_is_noticed():
    model, rows = model_of(TOKENS), rows_of(TOKENS, 600)
    healthy = model.diagnostics(rows, rng())
    with torch.no_grad():
        model.generator.tokens.head.bias[0] += 20.0  # the first column is always its first token
    collapsed = model.diagnostics(rows, rng())
    assert healthy["missed_share"] == 0
    assert collapsed["missed_share"] > 0.3
    assert collapsed["detection_score"] > healthy["detection_score"] + 10


def fitted(layout, tokens, values=None, *, steps, **settings):
    training = WGANGPTraining(steps=steps, n_validations=4, learning_rate=2e-3, batch_size=256, precision="fp32")
    config = WGANGPConfig(width=32, critic_width=64, **settings)
    model, batch = WGANGP(layout, config, rng()), Batch.of(encoded_rows(layout, tokens, values))
    held_out, rows = (batch.take(torch.arange(len(batch))[part]) for part in (slice(200), slice(200, None)))
    list(train(model, rows, held_out, training, seed=0))
    return model.eval()


@pytest.mark.slow
def test_training_under_conditions_shifts_no_marginal_and_learns_the_dependence():
    random = np.random.default_rng(0)
    first = random.choice(3, 3000, p=[0.7, 0.25, 0.05])
    second = np.where(random.random(3000) < 0.9, first, random.choice(3, 3000))
    model = fitted(token_layout(3, 3), np.stack([first, second], 1), steps=300, condition_share=0.8)
    drawn = draw_rows(model, 10_000).tokens
    for column, truth in enumerate((first, second)):
        assert np.bincount(drawn[:, column]) / 10_000 == pytest.approx(np.bincount(truth) / 3000, abs=0.04)
    assert (drawn[:, 0] == drawn[:, 1]).mean() == pytest.approx((first == second).mean(), abs=0.06)
    given = draw_rows(model, 3_000, {1: (1, 0.5)}).tokens[:, 0]
    assert (given == 1).mean() == pytest.approx((first[second == 1] == 1).mean(), abs=0.12)
