"""The settings of training, and what each family's settings have in common. `None` means: chosen from the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.config import Config

if TYPE_CHECKING:
    import torch

    from pipeline.encoded import Layout
    from pipeline.transform import TransformConfig

    from .model import Model


class TrainingConfig(Config):
    """The settings of the one training loop.

    Attributes:
        steps: optimiser steps; None derives them from `epochs`. A run that is given the steps that an earlier
            run recorded repeats it byte for byte, whatever the clock says.
        epochs: passes over train where `steps` is None.
        least_steps: that are made where `epochs` are fewer, as on small tables.
        batch_size: rows per step; None derives it from the number of rows.
        learning_rate: the peak, reached after `warmup_steps` and annealed to zero along a cosine.
        weight_decay: decoupled weight decay of matrices (AdamW, Loshchilov & Hutter 2019, arXiv:1711.05101).
        clip_norm: the largest gradient norm of a step.
        ema_decay: decay per step of the averaged weights, which are the ones that are validated, kept and sampled.
        validation_fraction: the part of train that is held out for early stopping.
        n_validations: how often a run is validated; the best state is kept.
        patience: validations without improvement after which training stops.
        threads: of matrix products on a CPU. One is within a third of the speed of two at these sizes, keeps it when
            something else runs, and gives the same bytes whatever the number of cores.
        device: "auto" takes a GPU where there is one.
        precision: of matrix products; "auto" takes bfloat16 where the processor has instructions for it.
    """

    steps: int | None = Field(default=None, ge=1)
    epochs: float = Field(default=14, gt=0)
    least_steps: int = Field(default=200, ge=1)
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=4e-3, gt=0)
    warmup_steps: int = Field(default=100, ge=1)
    weight_decay: float = Field(default=0.01, ge=0)
    clip_norm: float = Field(default=1.0, gt=0)
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    validation_fraction: float = Field(default=0.05, gt=0, lt=0.5)
    n_validations: int = Field(default=40, ge=1)
    patience: int = Field(default=10, ge=1)
    threads: int = Field(default=1, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class FamilyConfig(Config, ABC):
    """The settings of a family, which know how to build it; a family adds its `kind`."""

    @property
    def hides_missing(self) -> bool:
        """Whether missing cells are not learned, and never drawn."""
        return False

    def encoding(self, asked: TransformConfig) -> TransformConfig:
        """Return how the family wants a table encoded, where `asked` leaves it open."""
        return asked

    @abstractmethod
    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> Model:
        """Return the untrained model for `n_rows` train rows of the given layout."""


class TrainedConfig(FamilyConfig, ABC):
    """The settings of a family that is trained.

    Attributes:
        training: the loop's settings; a family may have defaults of its own.
        members: models of the family, trained at the same time, of which rows are drawn in equal shares; None derives
            their number from that of the rows. A short time budget may train fewer of them.
    """

    training: TrainingConfig = TrainingConfig()
    members: int | None = Field(default=None, ge=1)
