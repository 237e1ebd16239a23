"""The continuous part of a row: which cells carry a value, and the values on the normal scale."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.encoded import Layout

from .given import UNOBSERVED, Batch, Given

SMALLEST_POSITION = 2.0**-20


class CellValues(nn.Module):
    """Which cells of a layout carry a value, and the values on the normal scale."""

    columns: Tensor
    valued_tokens: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        flags = np.zeros((len(layout.valued), max(layout.sizes)), dtype=np.bool_)
        for place, column in enumerate(layout.valued):
            flags[place, : layout.sizes[column]] = layout.columns[column].valued
        self.register_buffer("columns", torch.tensor(layout.valued, dtype=torch.long), persistent=False)
        self.register_buffer("valued_tokens", torch.from_numpy(flags), persistent=False)

    def present(self, tokens: Tensor) -> Tensor:
        """Return bool **(batch, n_valued)**: which cells carry a value at all."""
        places, tokens = torch.arange(len(self.columns), device=tokens.device), tokens[:, self.columns]
        return self.valued_tokens[places, tokens.clamp(min=0)] & (tokens != UNOBSERVED)

    def given(self, given: Given) -> tuple[Tensor, Tensor]:
        """Return which cells have a value that is given, and these on the normal scale, both **(batch, n_valued)**."""
        known = given.mask[:, self.columns] & self.present(given.batch.tokens)
        return known, torch.where(known, to_normal(given.batch.values.float()), 0.0)

    def normal(self, batch: Batch) -> Tensor:
        """Return the probits of the positions **(batch, n_valued)**, and 0 where there is no value."""
        return torch.where(self.present(batch.tokens), to_normal(batch.values), 0.0)


def to_normal(position: Tensor) -> Tensor:
    """Return the probit of positions in [0, 1), kept off the ends by 2**-20."""
    z: Tensor = torch.special.ndtri(position.clamp(SMALLEST_POSITION, 1 - SMALLEST_POSITION))
    return z


def to_position(z: Tensor) -> Tensor:
    """Return the positions in [0, 1) of normal values: the inverse of `to_normal`."""
    position: Tensor = torch.special.ndtr(z)
    return position.clamp(0, 1 - SMALLEST_POSITION)
