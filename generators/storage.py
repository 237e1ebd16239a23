"""A generator's folder: JSON for what it was told and has noted, safetensors for its weights; nothing is executed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from pipeline.artifact import Sealed, stage, verify, write_json
from pipeline.constrained import ConstrainedTransform
from pipeline.errors import ArtifactError
from pipeline.transform import TransformConfig

from .checkpoint import load_state, save_state
from .device import choose_device
from .fitted import Fitted
from .model import Model
from .registry import GeneratorConfig, build, generator_config, training_config
from .training import Progress

FORMAT = 2
STATE, WEIGHTS = "generator.json", "weights.safetensors"


@dataclass(frozen=True)
class Stored:
    """Everything that a generator's folder holds.

    Attributes:
        config: the family and its settings.
        transform_config: how tables are encoded.
        fitted: what it has learned.
        history: the course of its training.
    """

    config: GeneratorConfig
    transform_config: TransformConfig
    fitted: Fitted
    history: list[Progress]


def write_folder(stored: Stored, folder: Path) -> None:
    """Write a generator's folder, all of it or nothing.

    Raises:
        ArtifactError: something that tabmint did not write lies at `folder`.
    """
    fitted = stored.fitted
    state = {
        "format": FORMAT,
        "tabmint": version("tabmint"),
        "config": stored.config.model_dump(mode="json"),
        "transform_config": stored.transform_config.model_dump(mode="json"),
        "transform": fitted.transform.to_json(),
        "n_rows": fitted.n_rows,
        "n_members": fitted.n_members,
        "dtypes": fitted.dtypes,
        "diagnostics": fitted.diagnostics,
        "history": [progress.to_json() for progress in stored.history],
    }
    with stage(folder) as staged:
        write_json(staged / STATE, state)
        save_state(staged / WEIGHTS, fitted.model.state_dict(), {"format": FORMAT})


def read_folder(folder: Path) -> Stored:
    """Return what a folder holds; its files are checked against their hashes, and no GPU is needed.

    Raises:
        ArtifactError: the folder is missing, damaged, or of another format.
    """
    verify(folder, Sealed)
    with _damage_refused(folder / STATE):
        stored = _from_state(_read_state(folder / STATE))
    tensors, _ = load_state(folder / WEIGHTS)
    fitted = stored.fitted
    _load_weights(fitted.model, tensors)
    return replace(stored, fitted=replace(fitted, model=fitted.model.to(fitted.device).eval()))


def _from_state(state: dict[str, Any]) -> Stored:
    """Return what a saved state describes, with a model that has no weights of its own yet."""
    config, transform = generator_config(**state["config"]), ConstrainedTransform.from_json(state["transform"])
    device = choose_device("cpu" if training_config(config).device == "cpu" else "auto")
    rng = torch.Generator().manual_seed(0)
    model = build(config, transform.layout, state["n_rows"], state["n_members"], rng)
    return Stored(
        config,
        TransformConfig.model_validate(state["transform_config"]),
        Fitted(transform, model, device, state["n_rows"], state["dtypes"], state["diagnostics"]),
        [Progress.from_json(progress) for progress in state["history"]],
    )


@contextmanager
def _damage_refused(path: Path) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged", actual=repr(error)[:200], remedy="fit again") from error


def _read_state(path: Path) -> dict[str, Any]:
    remedy = "fit again with this version"
    if not path.is_file():
        rule, remedy = f"{path.parent} must be a model's folder", "name one that tabmint fit or save has written"
        raise ArtifactError(rule, actual=f"no {path.name} in it", remedy=remedy)
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} must be JSON", actual=str(error), remedy=remedy) from error
    found = state.get("format") if isinstance(state, dict) else "no object"
    if found != FORMAT:
        raise ArtifactError(f"{path} must be of format {FORMAT}", actual=str(found)[:100], remedy=remedy)
    loaded: dict[str, Any] = state
    return loaded


def _load_weights(model: Model, tensors: dict[str, torch.Tensor]) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        remedy = "fit again with this version"
        raise ArtifactError("weights must fit their model", actual=str(error), remedy=remedy) from error
