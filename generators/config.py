"""The settings of training and of each family. `None` means: chosen from the data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pipeline.config import Config


class TrainingConfig(Config):
    """The settings of the one training loop.

    Attributes:
        steps: optimiser steps; None derives them from the number of rows. A run that is given the steps that an earlier
            run recorded repeats it byte for byte, whatever the clock says.
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
    batch_size: int | None = Field(default=None, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)
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


class FlowMatchingConfig(Config):
    """Flow matching: discrete on tokens (masked source, x1-prediction), linear-path velocity on values.

    Attributes:
        width: of the hidden state; None derives it from the number of rows and columns.
        depth: residual blocks.
        dropout: of the blocks' hidden units; None derives it from the number of rows.
        ordered_share: the part of training rows whose mask is a suffix of the sampling order; the others get random
            masks, which is what conditions on any subset of columns need.
        value_width: of the velocity network's hidden state.
        value_steps: Heun steps of the velocity ODE when sampling.
    """

    kind: Literal["flow_matching"] = "flow_matching"
    training: TrainingConfig = TrainingConfig()
    width: int | None = Field(default=None, ge=8)
    depth: int = Field(default=3, ge=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    ordered_share: float = Field(default=0.5, ge=0, le=1)
    value_width: int = Field(default=128, ge=8)
    value_steps: int = Field(default=4, ge=1)


class IndependentConfig(Config):
    """The baseline that knows every column and no dependence."""

    kind: Literal["independent"] = "independent"


GeneratorConfig = Annotated[FlowMatchingConfig | IndependentConfig, Field(discriminator="kind")]
