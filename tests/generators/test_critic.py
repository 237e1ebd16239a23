import math

import pytest
import torch

from generators.critic import Critic, Turn, spectral_bound
from generators.given import Batch
from pipeline.encoded import Layout

from .tables import binned_column, rng, token_layout

ONE_BIN = Layout((binned_column("x", 1),))
MIXED = Layout((*token_layout(3, 4).columns, binned_column("x", 5)))


def critic(layout, *, depth=2, pack=1, normalised=False):
    return Critic(layout, 32, depth, pack, rng(), normalised=normalised)


def turn_of(target, n, n_columns):
    """Rows in which all cells are known but the target; with n_columns as the target, all."""
    known = torch.arange(n_columns).expand(n, -1) != target
    return Turn(known, torch.full((n,), target))


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

    def read(law, n):
        mean, spread = law
        values = mean + spread * torch.randn(n, 1, generator=random)
        return best.read(Batch(torch.zeros(n, 1, dtype=torch.long), values), turn_of(1, n, 1))

    for _ in range(200):
        optimiser.zero_grad()
        real, other = read(train, 128), read(drawn, 128)
        gap = best.score(real) - best.score(other)
        penalty = best.penalty("one_sided", real, other, turn_of(1, 128, 1), random)
        (10 * penalty - gap).mean().backward()
        optimiser.step()
    with torch.no_grad():
        gap = (best.score(read(train, 20_000)) - best.score(read(drawn, 20_000))).mean().item()
    assert gap == pytest.approx(distance, rel=0.1)


@pytest.mark.parametrize("target", [1, 2, 3], ids=["category", "ordered", "values"])
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
def test_the_penalty_of_a_linear_critic_is_that_of_its_weights(target, kind, expected, scale, monkeypatch):
    linear = critic(MIXED)
    direction = scale * torch.randn(32, generator=rng(2))
    monkeypatch.setattr(linear, "score", lambda read: read @ direction)
    n_smooth = linear.matrix.phi.shape[2]
    weights = {
        1: linear.matrix.free[3:7],
        2: linear.matrix.smooth[0] / math.sqrt(n_smooth),
        3: linear.values,
    }[target]
    slope = (weights @ direction).norm().item()
    turn = turn_of(target, 6, 3)
    train, drawn = (linear.read(random_rows(MIXED, 6, seed), turn) for seed in (0, 1))
    penalty = linear.penalty(kind, train, drawn, turn, rng())
    torch.testing.assert_close(penalty, torch.full((6,), expected(slope)), rtol=1e-3, atol=1e-5)


def test_the_penalty_of_interpolated_rows_is_that_of_points_between_them(monkeypatch):
    bent = critic(MIXED)
    monkeypatch.setattr(bent, "slope", lambda read, _: read[:, 0])
    train, drawn = torch.zeros(1000, 32), torch.ones(1000, 32)
    between = bent.penalty("zero_centred", train, drawn, turn_of(0, 1000, 3), rng()).sqrt()
    assert between.min() >= 0
    assert between.max() <= 1
    assert between.mean().item() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("shape", [(40, 10), (10, 40), (32, 32)])
def test_the_spectral_bound_is_never_too_small_and_hardly_too_large(shape):
    for seed in range(20):
        weight = torch.randn(shape, generator=rng(seed)) * 10.0 ** (seed % 5 - 2)
        largest = torch.linalg.matrix_norm(weight, 2).item()
        assert largest * 0.9999 <= spectral_bound(weight).item() <= largest * 1.1


@pytest.mark.parametrize("target", [0, 3], ids=["token", "values"])
def test_a_normalised_critic_is_nowhere_steeper_than_one(target):
    steep = critic(MIXED, normalised=True)
    with torch.no_grad():
        for parameter in steep.parameters():
            parameter.mul_(30)
    turn = turn_of(target, 500, 3)
    slope = steep.slope(steep.read(random_rows(MIXED, 500), turn), turn)
    assert slope.max() <= 1
    assert slope.max() > 1e-6


def test_a_pack_has_one_score_that_depends_on_its_own_rows_only():
    packed, rows, turn = critic(MIXED, pack=3), random_rows(MIXED, 12), turn_of(0, 12, 3)
    read = packed.read(rows, turn)
    scores = packed.score(read)
    assert scores.shape == packed.slope(read, turn).shape == (4,)
    assert packed.penalty("two_sided", read, read, turn, rng()).shape == (4,)
    for row in range(12):
        moved = read.detach().clone()
        moved[row] += 1
        changed = packed.score(moved) != scores
        assert changed.nonzero().flatten().tolist() == [row // 3]


def test_cells_that_are_not_known_are_not_seen_and_the_played_one_is():
    reader, rows = critic(MIXED), Batch(torch.tensor([[0, 1, 2]]), torch.tensor([[0.4]]))
    turn = Turn(torch.tensor([[True, False, False]]), torch.tensor([1]))

    def changed(tokens, value):
        other = Batch(torch.tensor([tokens]), torch.tensor([[value]]))
        return not torch.equal(reader.read(rows, turn), reader.read(other, turn))

    assert changed([1, 1, 2], 0.4)
    assert changed([0, 2, 2], 0.4)
    assert not changed([0, 1, 3], 0.4)
    assert not changed([0, 1, 2], 0.9)


@pytest.mark.parametrize("target", [0, 2, 3])
def test_a_soft_token_with_all_its_weight_on_one_is_read_as_that_one(target):
    reader, rows, turn = critic(MIXED), random_rows(MIXED, 8), turn_of(target, 8, 3)
    places = rows.tokens[torch.arange(8), turn.column] + reader.offsets[turn.column]
    one_hot = torch.nn.functional.one_hot(places, MIXED.n_tokens).float()
    torch.testing.assert_close(reader.read_soft(rows, one_hot, turn), reader.read(rows, turn))
