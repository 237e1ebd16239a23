"""The families by kind. A new family is a configuration, a model and a line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from pipeline.encoded import Layout
from pipeline.errors import ConfigError

from .baselines import Independent
from .config import FlowMatchingConfig, GeneratorConfig, IndependentConfig, TrainingConfig
from .flow_matching import FlowMatching
from .model import Model

KINDS = ("flow_matching", "independent")


def build(layout: Layout, config: GeneratorConfig, n_rows: int, rng: torch.Generator) -> Model:
    """Return the untrained model of a configuration for `n_rows` train rows of the given layout."""
    builders: dict[type, Callable[[], Model]] = {
        FlowMatchingConfig: lambda: FlowMatching(layout, config, n_rows, rng),  # type: ignore[arg-type]
        IndependentConfig: lambda: Independent(layout),
    }
    return builders[type(config)]()


def training_config(config: GeneratorConfig) -> TrainingConfig:
    """Return the loop's settings; a family without training has the defaults, on the CPU, where its counts are."""
    return config.training if isinstance(config, FlowMatchingConfig) else TrainingConfig(device="cpu")


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
