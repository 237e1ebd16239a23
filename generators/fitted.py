"""What a generator is once it has learned: a transform and a model, and what was noted of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from pipeline.constrained import ConstrainedTransform

from .mixture import Mixture
from .model import Model


@dataclass(frozen=True)
class Fitted:
    """What `fit` and `load` leave behind.

    Attributes:
        transform: from tables to tokens and values, and back.
        model: the network, or a mixture of several.
        device: where it is.
        n_rows: how many train rows it was built for.
        dtypes: of the frame that it was fitted on, as Arrow notes them; None where it was an Arrow table.
        diagnostics: what the model says of itself.
    """

    transform: ConstrainedTransform
    model: Model
    device: torch.device
    n_rows: int
    dtypes: str | None = None
    diagnostics: dict[str, Any] = field(default_factory=dict)

    @property
    def n_members(self) -> int:
        """Of how many models rows are drawn."""
        return len(self.model.members) if isinstance(self.model, Mixture) else 1
