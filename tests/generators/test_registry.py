import pytest
import torch

from generators import KINDS, FlowMatchingConfig, IndependentConfig, TrainingConfig, generator_config
from generators.flow_matching import FlowMatching
from generators.mixture import Mixture
from generators.model import Model
from generators.registry import build, training_config
from pipeline.errors import ConfigError, UnsupportedError

from .tables import draw_rows, every_row, rng, token_layout


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_configuration_and_a_model(kind):
    config = generator_config(kind)
    assert config.kind == kind
    model = build(config, token_layout(2, 3), 100, 2, rng())
    assert model.layout.sizes == (2, 3)
    assert len(draw_rows(model.eval(), 3)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_configuration_survives_json(kind):
    config = generator_config(kind)
    assert generator_config(**config.model_dump(mode="json")) == config


def test_settings_reach_the_configuration():
    config = generator_config("flow_matching", width=64, training={"steps": 5})
    assert (config.width, config.training.steps) == (64, 5)
    assert training_config(config).steps == 5
    assert training_config(IndependentConfig()) == TrainingConfig(device="cpu")  # its counts are numpy's


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        ("gan", {}, rf'setting "kind" .*found \'gan\'; kinds are {", ".join(KINDS)}'),
        ("flow_matching", {"wdith": 64}, r'"wdith" is not valid.*found 64; see the settings of "flow_matching"'),
        ("flow_matching", {"width": 2}, r'"width" is not valid.*greater than or equal to 8.*found 2'),
        ("flow_matching", {"dropout": 1.0}, r'"dropout" is not valid.*less than 1'),
        ("flow_matching", {"training": {"steps": 0}}, r'"training\.steps" is not valid.*found 0'),
        ("flow_matching", {"training": {"device": "tpu"}}, r'"training\.device" is not valid.*found \'tpu\''),
        ("independent", {"width": 64}, r'"width" is not valid'),
    ],
)
def test_a_wrong_setting_is_refused_by_name(kind, settings, words):
    with pytest.raises(ConfigError, match=words):
        generator_config(kind, **settings)


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        FlowMatchingConfig().depth = 2


def test_a_configuration_of_several_members_builds_a_mixture_of_them():
    one, three = (build(generator_config("flow_matching"), token_layout(2, 3), 100, n, rng()) for n in (1, 3))
    assert isinstance(one, FlowMatching)
    assert isinstance(three, Mixture)
    assert [type(member) for member in three.members] == [FlowMatching] * 3
    weights = [member.tokens.asked for member in three.members]
    assert torch.equal(weights[0], one.tokens.asked)
    assert not torch.equal(weights[0], weights[1])


def test_a_family_without_a_density_says_so():
    class Implicit(Model):
        def objectives(self):
            return ()

        def sample(self, given, rng, guidance=0.0):
            raise NotImplementedError

    model = Implicit(token_layout(2))
    for density in (lambda: model.density_kind, lambda: model.log_density(every_row(model.layout), rng())):
        with pytest.raises(UnsupportedError, match=r"found Implicit; use flow_matching, ddpm or vae"):
            density()
    with pytest.raises(UnsupportedError, match=r"found Implicit; use flow_matching or ddpm"):
        model.token_nats(every_row(model.layout))
