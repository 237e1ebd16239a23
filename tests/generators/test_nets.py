import math

import pytest
import torch

from generators.nets import GatedBlock, Trunk, dropout, fourier_features, linear

from .tables import rng


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.0])
def test_linear_starts_with_the_stated_spread_and_no_bias(scale):
    layer = linear(400, 300, rng(), scale=scale)
    assert layer.weight.std().item() == pytest.approx(scale / math.sqrt(400), rel=0.02)
    assert not layer.bias.any()


def test_nothing_is_drawn_from_the_global_generator():
    before = torch.get_rng_state()
    trunk = Trunk(16, 2, rng(), rate=0.5)
    trunk(torch.ones(4, 16), rng())
    dropout(torch.ones(4, 16), 0.5, rng())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_dropout_zeroes_its_part_and_keeps_the_mean(rate):
    x = dropout(torch.ones(1001, 333), rate, rng())
    zeroed = round(rate * 256) / 256
    assert (x == 0).float().mean().item() == pytest.approx(zeroed, abs=0.003)
    assert x[x != 0].unique().tolist() == pytest.approx([1 / (1 - zeroed)])


def test_dropout_is_independent_between_cells_and_calls():
    random = rng()
    first, second = (dropout(torch.ones(2000, 16), 0.5, random) != 0 for _ in range(2))
    agreement = torch.corrcoef(torch.cat([first, second], dim=1).float().T) - torch.eye(32)
    assert agreement.abs().max() < 0.1


@pytest.mark.parametrize(("rate", "random"), [(0.5, None), (0.0, rng())])
def test_dropout_without_a_rate_or_a_generator_is_the_identity(rate, random):
    x = torch.randn(5, 3, generator=rng())
    assert dropout(x, rate, random) is x


def test_a_block_adds_to_its_input():
    block = GatedBlock(8, rng())
    x = torch.randn(4, 8, generator=rng())
    assert not torch.equal(block(x, None), x)
    torch.nn.init.zeros_(block.down.weight)
    assert torch.equal(block(x, None), x)


def test_a_trunk_without_a_generator_repeats_itself_and_with_one_it_drops():
    trunk, x = Trunk(16, 2, rng(), rate=0.5), torch.randn(4, 16, generator=rng())
    assert torch.equal(trunk(x, None), trunk(x, None))
    random = rng()
    assert not torch.equal(trunk(x, random), trunk(x, random))


def test_fourier_features_are_the_point_and_its_harmonics():
    half = fourier_features(torch.tensor([0.5]), 2)[0]
    assert half.tolist() == pytest.approx([0.5, 1.0, 0.0, 0.0, -1.0], abs=1e-6)
