"""The families by kind. A new family is a file with its settings, nets, losses and sampler, and its name here."""

from __future__ import annotations

from typing import Annotated, Any, get_args

import torch
from pydantic import Field, TypeAdapter, ValidationError

from pipeline.encoded import Layout
from pipeline.errors import ConfigError

from .baselines import IndependentConfig
from .config import TrainedConfig, TrainingConfig
from .ddpm import DDPMConfig
from .flow_matching import FlowMatchingConfig
from .mixture import Mixture
from .model import Model
from .vae import VAEConfig
from .wgan_gp import WGANGPConfig

Family = FlowMatchingConfig | DDPMConfig | VAEConfig | WGANGPConfig | IndependentConfig
GeneratorConfig = Annotated[Family, Field(discriminator="kind")]
KINDS: tuple[str, ...] = tuple(family.model_fields["kind"].default for family in get_args(Family))


def training_config(config: GeneratorConfig) -> TrainingConfig:
    """Return the loop's settings; a family without training has the defaults, on the CPU, where its counts are."""
    return config.training if isinstance(config, TrainedConfig) else TrainingConfig(device="cpu")


def planned_members(config: GeneratorConfig, n_rows: int) -> int:
    """Return of how many members the mixture is to be; 1 stands for no mixture."""
    if not isinstance(config, TrainedConfig):
        return 1
    return config.members or auto_members(n_rows)


def auto_members(n_rows: int) -> int:
    """Return the members that so many rows need: where rows abound, one model errs little and time is short.

    Example:
        >>> [auto_members(n) for n in (1_000, 500_000)]
        [4, 2]
    """
    return 4 if n_rows < 100_000 else 2


def build(config: GeneratorConfig, layout: Layout, n_rows: int, n_members: int, rng: torch.Generator) -> Model:
    """Return the untrained model of a configuration, a mixture where there are to be several members."""
    members = [config.build(layout, n_rows, rng) for _ in range(n_members)]
    return Mixture(members) if n_members > 1 else members[0]


def generator_config(kind: str, **settings: Any) -> GeneratorConfig:
    """Return the configuration of a family from its kind and settings.

    Raises:
        ConfigError: an unknown kind or setting, or a value out of its range.

    Example:
        >>> generator_config("flow_matching", depth=2).depth
        2
    """
    try:
        return _adapter().validate_python({"kind": kind, **settings})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "kind"
        raise ConfigError(
            f'generator setting "{place}" is not valid: {first["msg"]}',
            actual=repr(first["input"]) if place != "kind" else repr(kind),
            remedy=f"kinds are {', '.join(KINDS)}" if place == "kind" else f'see the settings of "{kind}"',
        ) from error


def _adapter() -> TypeAdapter[GeneratorConfig]:
    return TypeAdapter(GeneratorConfig)
