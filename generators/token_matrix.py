"""One vector per token, in which the tokens of an ordered column share strength.

A bin has neighbours. If each bin had a vector of its own, a table of continuous columns would be memorised bin by bin;
so a bin's vector is a smooth function of its coordinate on the column's own axis and nothing else, and so is that of a
repeated value among others of its like (the 43 flights of a day in May). Common values and spikes have both parts,
categories only the free one.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Layout, TokenColumn

from .nets import fourier_features

N_QUANTILE_FREQUENCIES, N_RANK_FREQUENCIES, DAMPED_FROM = 32, 8, 4.0
SHARE_FOR_OWN_VECTOR, FEWEST_ROWS_FOR_OWN_VECTOR, SPIKE = 0.004, 20, 1.5


class TokenMatrix(nn.Module):
    """The matrix **(n_tokens, width)** over the concatenated vocabulary: a free part plus a smooth one.

    Training seldom builds it: where a column has more tokens than features, going through the features is cheaper.

    Attributes:
        free: the free vectors of the tokens that have one **(n_owned, width)**.
        smooth: the weights of the features **(n_ordered_columns, n_features, width)**.
    """

    phi: Tensor
    owned: Tensor
    free_row: Tensor
    offsets: Tensor
    ordered: Tensor
    ordered_rows: Tensor
    ordered_cells: Tensor

    def __init__(self, layout: Layout, width: int, rng: torch.Generator, *, scale: float) -> None:
        super().__init__()
        phi, rows, cells = ordinal_basis(layout)
        owns = owns_vector(layout)
        by_column = torch.split(owns, list(layout.sizes))
        self.free = nn.Parameter(torch.empty(int(owns.sum()), width).normal_(std=scale, generator=rng))
        self.smooth = nn.Parameter(
            torch.empty(phi.shape[0], phi.shape[2], width).normal_(std=scale / math.sqrt(phi.shape[2]), generator=rng)
        )
        self.sizes, self.n_owned = list(layout.sizes), [int(own.sum()) for own in by_column]
        ordered = [i for i, column in enumerate(layout.columns) if np.isfinite(column.coordinate).any()]
        self.place = {column: place for place, column in enumerate(ordered)}
        free_row = torch.where(owns, owns.cumsum(0) - 1, len(self.free))
        self.register_buffer("phi", phi, persistent=False)
        self.register_buffer("owned", torch.cat([own.nonzero().squeeze(1) for own in by_column]), persistent=False)
        self.register_buffer("free_row", free_row, persistent=False)
        self.register_buffer("offsets", torch.from_numpy(layout.offsets), persistent=False)
        self.register_buffer("ordered", torch.tensor(ordered, dtype=torch.long), persistent=False)
        self.register_buffer("ordered_rows", rows, persistent=False)
        self.register_buffer("ordered_cells", cells, persistent=False)

    def forward(self) -> Tensor:
        """Return the whole matrix **(n_tokens, width)**."""
        free = self._free(self.free_row)
        if not self.place:
            return free
        smooth = torch.bmm(self.phi, self.smooth).flatten(0, 1)
        return free.index_add(0, self.ordered_rows, smooth[self.ordered_cells].to(free.dtype))

    def vectors(self, tokens: Tensor) -> Tensor:
        """Return the vectors **(batch, n_columns, width)** of tokens **(batch, n_columns)**."""
        if self.place and len(tokens) >= self.phi.shape[1]:
            return F.embedding(tokens + self.offsets, self())
        free = self._free(self.free_row[tokens + self.offsets])
        if not self.place:
            return free
        places = torch.arange(len(self.ordered), device=tokens.device).unsqueeze(1)
        smooth = torch.bmm(self.phi[places, tokens.T[self.ordered]], self.smooth)
        return free.index_add(1, self.ordered, smooth.transpose(0, 1).to(free.dtype))

    def logits(self, hidden: Tensor) -> list[Tensor]:
        """Return for each column the products **(batch, size)** of its tokens' vectors and its hidden state.

        Args:
            hidden: **(batch, n_columns, width)**.
        """
        # Split and unbound as a whole: a slice per column would cost a gradient of the whole per column.
        free, owned = torch.split(self.free, self.n_owned), torch.split(self.owned, self.n_owned)
        smooth = self.smooth.unbind(0)
        return [
            self._smooth_logits(state, column, smooth[self.place[column]], free[column], owned[column])
            if column in self.place
            else F.linear(state, free[column])
            for column, state in enumerate(hidden.unbind(1))
        ]

    def _smooth_logits(self, hidden: Tensor, column: int, smooth: Tensor, free: Tensor, owned: Tensor) -> Tensor:
        phi = self.phi[self.place[column], : self.sizes[column]]
        through_features = self.sizes[column] >= 2 * phi.shape[1]
        logits = F.linear(hidden @ smooth.T, phi) if through_features else F.linear(hidden, phi @ smooth)
        return logits.index_add(1, owned, F.linear(hidden, free)) if len(owned) else logits

    def _free(self, rows: Tensor) -> Tensor:
        """Return the free vectors of rows, zero where the row is the one after the last."""
        return F.embedding(rows, F.pad(self.free, (0, 0, 0, 1)))


def owns_vector(layout: Layout) -> Tensor:
    """Return bool **(n_tokens,)**: which tokens have a free vector; the others have a smooth one only."""
    return torch.from_numpy(np.concatenate([_owns_vector(column) for column in layout.columns]))


def _owns_vector(column: TokenColumn) -> npt.NDArray[np.bool_]:
    """Tokens without an order, and repeated values that are common, or are spikes that tower above their neighbours."""
    ordered = np.flatnonzero(np.isfinite(column.coordinate))
    ordered = ordered[np.argsort(column.coordinate[ordered])]
    counts = np.pad(column.counts[ordered], 2, mode="edge" if len(ordered) else "constant")
    neighbours = (counts[:-4] + counts[1:-3] + counts[3:-1] + counts[4:]) / 4
    common: npt.NDArray[np.bool_] = column.counts >= SHARE_FOR_OWN_VECTOR * column.counts.sum()
    spike = np.zeros(column.size, dtype=np.bool_)
    spike[ordered] = column.counts[ordered] >= SPIKE * neighbours
    enough = column.counts >= FEWEST_ROWS_FOR_OWN_VECTOR
    return np.isnan(column.coordinate) | (~column.valued & enough & (common | spike))


def ordinal_basis(layout: Layout) -> tuple[Tensor, Tensor, Tensor]:
    """Return the smooth features of all ordered tokens, padded per column, and where they belong.

    Returns:
        phi **(n_ordered_columns, most_tokens, n_features)**, the rows of the token matrix that have an order
        **(n_ordered_tokens,)** and their cells in `phi` with its first two axes flattened **(n_ordered_tokens,)**.
    """
    ordered = [(i, column) for i, column in enumerate(layout.columns) if np.isfinite(column.coordinate).any()]
    most = max((column.size for _, column in ordered), default=0)
    phi = torch.zeros(len(ordered), most, 2 * (N_QUANTILE_FREQUENCIES + N_RANK_FREQUENCIES + 1))
    rows: list[Tensor] = []
    cells: list[Tensor] = []
    for place, (i, column) in enumerate(ordered):
        tokens = torch.from_numpy(np.flatnonzero(np.isfinite(column.coordinate)))
        phi[place, tokens] = ordinal_features(torch.from_numpy(column.coordinate)[tokens].float())
        rows.append(tokens + int(layout.offsets[i]))
        cells.append(tokens + place * most)
    empty = torch.empty(0, dtype=torch.long)
    return phi, torch.cat([empty, *rows]), torch.cat([empty, *cells])


def ordinal_features(coordinate: Tensor) -> Tensor:
    """Return smooth features of a column's ordered tokens **(n_tokens, n_features)**.

    They are functions of the train quantile, which resolves where rows are many, and of the rank among the tokens,
    which resolves the tails. High frequencies are small, so that they are learned late and only where they are needed.
    """
    rank = coordinate.argsort().argsort() / max(1, len(coordinate) - 1)
    parts = (damped_features(coordinate, N_QUANTILE_FREQUENCIES), damped_features(rank, N_RANK_FREQUENCIES))
    return torch.cat(parts, dim=1)


def damped_features(x: Tensor, n: int) -> Tensor:
    """Return `fourier_features` **(..., 2n + 1)** of which those of frequency k have scale 1 / sqrt(1 + (k / 4)^2)."""
    scale = (1 + (torch.arange(1, n + 1) / DAMPED_FROM).square()).rsqrt()
    return fourier_features(x, n) * torch.cat([torch.ones(1), scale, scale])
