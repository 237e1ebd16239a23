import math

import pytest
import torch

from generators.critic import Critic, spectral_bound
from generators.given import Batch
from pipeline.encoded import Layout

from .tables import binned_column, rng, token_layout

ONE_BIN = Layout((binned_column("x", 1),))
MIXED = Layout((*token_layout(3, 4).columns, binned_column("x", 5)))


def critic(layout, *, depth=2, pack=1, normalised=False):
    return Critic(layout, 32, depth, pack, rng(), normalised=normalised)


def games(net, rows, played=None, rank=None, given=()):
    """What is known and played where a row plays its own cells, or `played` given the cells of `rows`."""
    places = torch.arange(rows.tokens.shape[1]).expand_as(rows.tokens)
    known = net.known(rows, places if rank is None else rank, torch.isin(places, torch.tensor(given)))
    return known, net.played(played or rows)


def with_product(net, seed=3):
    """Give the product a part in the score, which begins at nothing."""
    with torch.no_grad():
        net.wanted[2].weight.normal_(std=0.3, generator=rng(seed))
    return net


def random_rows(layout, n, seed=0):
    random = rng(seed)
    tokens = [torch.randint(size, (n,), generator=random) for size in layout.sizes]
    return Batch(torch.stack(tokens, 1), torch.rand(n, len(layout.valued), generator=random))


@pytest.mark.parametrize(
    ("train", "drawn", "distance"),
    [
        ((0.35, 0.08), (0.65, 0.08), 0.3),
        ((0.75, 0.12), (0.3, 0.05), 0.45),
    ],
    ids=["as wide", "wider"],
)
def test_the_best_critic_of_two_gaussians_has_their_wasserstein_distance_as_its_gap(train, drawn, distance):
    best, random = critic(ONE_BIN), rng(1)
    optimiser = torch.optim.Adam(best.parameters(), lr=3e-3)

    def values_of(law, n):
        mean, spread = law
        values = mean + spread * torch.randn(n, 1, generator=random)
        return games(best, Batch(torch.zeros(n, 1, dtype=torch.long), values))

    for _ in range(200):
        optimiser.zero_grad()
        (known, real), (_, other) = values_of(train, 128), values_of(drawn, 128)
        gap = (best.score(known, real) - best.score(known, other))[:, 1]  # the game of the values
        penalty = best.penalty("one_sided", known, real, other, random)[:, 1]
        (10 * penalty - gap).mean().backward()
        optimiser.step()
    with torch.no_grad():
        gap = (best.score(*values_of(train, 20_000)) - best.score(*values_of(drawn, 20_000)))[:, 1].mean().item()
    assert gap == pytest.approx(distance, rel=0.1)


@pytest.mark.parametrize("game", [1, 2, 3], ids=["category", "ordered", "values"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("two_sided", lambda slope: (slope - 1) ** 2),
        ("one_sided", lambda slope: max(slope - 1, 0.0) ** 2),
        ("zero_centred", lambda slope: slope**2),
        ("spectral_r1", lambda slope: slope**2),
    ],
)
@pytest.mark.parametrize("scale", [0.05, 2.0], ids=["flat", "steep"])
def test_the_penalty_of_a_linear_critic_is_that_of_its_weights(game, kind, expected, scale, monkeypatch):
    linear = critic(MIXED)
    direction = scale * torch.randn(32, generator=rng(2))
    monkeypatch.setattr(linear, "score", lambda _, played: played @ direction)
    n_smooth = linear.matrix.phi.shape[2]
    weights = {
        1: linear.matrix.free[3:7],
        2: linear.matrix.smooth[0] / math.sqrt(n_smooth),
        3: linear.values,
    }[game]
    slope = (weights @ direction).norm().item()
    (known, train), (_, drawn) = (games(linear, random_rows(MIXED, 6, seed)) for seed in (0, 1))
    penalty = linear.penalty(kind, known, train, drawn, rng())
    assert penalty.shape == (6, 4)
    torch.testing.assert_close(penalty[:, game], torch.full((6,), expected(slope)), rtol=1e-3, atol=1e-5)


def test_the_penalty_of_interpolated_rows_is_that_of_points_between_them(monkeypatch):
    bent = critic(MIXED)
    monkeypatch.setattr(bent, "slope", lambda _, played: played[:, :, 0])
    train, drawn = torch.zeros(1000, 4, 32), torch.ones(1000, 4, 32)
    between = bent.penalty("zero_centred", train, train, drawn, rng()).sqrt()
    assert between.min() >= 0
    assert between.max() <= 1
    assert between.mean().item() == pytest.approx(0.5, abs=0.05)
    assert between.std(1).min() > 0  # another place in every game


@pytest.mark.parametrize("shape", [(40, 10), (10, 40), (32, 32)])
def test_the_spectral_bound_is_never_too_small_and_hardly_too_large(shape):
    for seed in range(20):
        weight = torch.randn(shape, generator=rng(seed)) * 10.0 ** (seed % 5 - 2)
        largest = torch.linalg.matrix_norm(weight, 2).item()
        assert largest * 0.9999 <= spectral_bound(weight).item() <= largest * 1.1


def test_a_normalised_critic_is_nowhere_steeper_than_one():
    steep = with_product(critic(MIXED, normalised=True))
    with torch.no_grad():
        for parameter in steep.parameters():
            parameter.mul_(30)
    slope = steep.slope(*games(steep, random_rows(MIXED, 500)))
    assert slope.max() <= 1
    assert (slope.amax(0) > 1e-6).all()


def test_the_slope_is_that_of_finite_differences():
    bent, step = with_product(critic(MIXED)), 1e-2
    known, played = (part.detach() for part in games(bent, random_rows(MIXED, 1)))
    ordered = (torch.arange(4) == 2).unsqueeze(1)  # the game whose cell has smooth features only

    def score(change):
        return bent.score(known, played + change * ordered)[0, 2].item()

    features = bent.features()[2].detach()
    gradient = torch.tensor([(score(step * row) - score(-step * row)) / (2 * step) for row in features])
    assert bent.slope(known, played)[0, 2].item() == pytest.approx(gradient.norm().item(), rel=0.02)


def test_a_pack_has_one_score_in_each_game_that_depends_on_its_own_rows_only():
    packed, rows = with_product(critic(MIXED, pack=3)), random_rows(MIXED, 12)
    known, played = games(packed, rows)
    scores = packed.score(known, played)
    assert scores.shape == packed.slope(known, played).shape == (4, 4)
    assert packed.penalty("two_sided", known, played, played, rng()).shape == (4, 4)
    for row in range(12):
        moved = played.detach().clone()
        moved[row, 1] += 1
        changed = packed.score(known, moved) != scores
        assert changed.nonzero().tolist() == [[row // 3, 1]]


def test_the_product_lets_what_is_known_turn_the_score_of_a_cell_round():
    """Even without the joint network, a token that fits one known cell may be wrong beside another."""
    agreeing, random = Critic(token_layout(2, 2), 16, 0, 1, rng()), rng(1)
    optimiser = torch.optim.Adam(agreeing.parameters(), lr=1e-2)
    first = torch.tensor([0, 0, 1, 1])
    rows, others = (Batch(torch.stack([first, second], 1), torch.empty(4, 0)) for second in (first, 1 - first))
    with torch.no_grad():
        agreeing.out.weight.zero_()
    agreeing.out.requires_grad_(False)
    for _ in range(200):
        (known, right), (_, wrong) = (games(agreeing, rows, played) for played in (rows, others))
        gap = (agreeing.score(known, right) - agreeing.score(known, wrong))[:, 1]
        loss = (10 * agreeing.penalty("one_sided", known, right, wrong, random)[:, 1] - gap).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert gap.min().item() == pytest.approx(2**0.5, rel=0.1)  # the distance of two indicators


def test_a_game_sees_its_own_cell_and_those_of_lower_rank():
    """The order is 2, 0, 1: which games see a change of a cell of the row, and of a played one?"""
    reader, rows = critic(MIXED), Batch(torch.tensor([[0, 1, 2]]), torch.tensor([[0.4]]))
    rank = torch.tensor([[1, 2, 0]])
    before = games(reader, rows, rank=rank)

    def games_that_see(known=(0, 1, 2), played=(0, 1, 2), value=0.4):
        others = Batch(torch.tensor([known]), rows.values)
        plays = Batch(torch.tensor([played]), torch.tensor([[value]]))
        now = games(reader, others, plays, rank)
        return ((now[0] != before[0]) | (now[1] != before[1])).any(2)[0].nonzero().flatten().tolist()

    assert games_that_see(known=(1, 1, 2)) == [1, 3]
    assert games_that_see(known=(0, 2, 2)) == [3]
    assert games_that_see(known=(0, 1, 3)) == [0, 1, 3]
    for column, played in enumerate([(1, 1, 2), (0, 2, 2), (0, 1, 3)]):
        assert games_that_see(played=played) == [column]
    assert games_that_see(value=0.9) == [3]


def test_the_game_of_values_knows_those_that_are_given_and_that_they_are():
    layout = Layout((binned_column("x", 2), *token_layout(3).columns, binned_column("y", 2)))
    reader, tokens = critic(layout), torch.tensor([[0, 1, 1]])

    def known(x, y, given):
        return games(reader, Batch(tokens, torch.tensor([[x, y]])), given=given)[0][0]

    def changed_games(one, other):
        return (one != other).any(1).nonzero().flatten().tolist()

    assert changed_games(known(0.2, 0.7, ()), known(0.9, 0.1, ())) == []
    assert changed_games(known(0.2, 0.7, (0,)), known(0.2, 0.1, (0,))) == []
    assert changed_games(known(0.2, 0.7, (0,)), known(0.3, 0.7, (0,))) == [3]
    assert changed_games(known(0.2, 0.7, (2,)), known(0.2, 0.6, (2,))) == [3]
    assert changed_games(known(0.5, 0.5, ()), known(0.5, 0.5, (2,))) == [3]  # the middle is given or not, too


def test_games_differ_though_they_know_and_play_the_same():
    reader = critic(token_layout(2, 2))
    with torch.no_grad():
        reader.matrix.free[:2] = reader.matrix.free[2:]
        reader.unseen[0] = reader.unseen[1]
    rows = Batch(torch.tensor([[1, 1]]), torch.empty(1, 0))
    known, played = games(reader, rows, rank=torch.zeros(1, 2, dtype=torch.long))
    first, second = (known + played)[0]
    torch.testing.assert_close(first - second, reader.target[0] - reader.target[1])


@pytest.mark.parametrize("n", [8, 700], ids=["through features", "through the whole matrix"])
def test_soft_tokens_with_all_their_weight_on_one_are_read_as_that_one(n):
    reader, rows = critic(MIXED), random_rows(MIXED, n)
    one_hot = [
        torch.nn.functional.one_hot(tokens, size).float()
        for tokens, size in zip(rows.tokens.unbind(1), MIXED.sizes, strict=True)
    ]
    hard, soft = reader.played(rows), reader.played_soft(one_hot, rows.values)
    torch.testing.assert_close(soft, hard)
