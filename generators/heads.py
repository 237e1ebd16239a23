"""From tokens to vectors and back: one matrix row per token, in which the tokens of an ordered column share strength.

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
    """The matrix **(n_tokens, width)** over the concatenated vocabulary: a free part plus a smooth one."""

    owns_vector: Tensor
    phi: Tensor
    ordered_rows: Tensor
    ordered_cells: Tensor

    def __init__(self, layout: Layout, width: int, rng: torch.Generator, *, scale: float) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.empty(layout.n_tokens, width).normal_(std=scale, generator=rng))
        phi, rows, cells = ordinal_basis(layout)
        self.smooth = nn.Parameter(
            torch.empty(phi.shape[0], phi.shape[2], width).normal_(std=scale / math.sqrt(phi.shape[2]), generator=rng)
        )
        self.register_buffer("owns_vector", owns_vector(layout).float().unsqueeze(1), persistent=False)
        self.register_buffer("phi", phi, persistent=False)
        self.register_buffer("ordered_rows", rows, persistent=False)
        self.register_buffer("ordered_cells", cells, persistent=False)

    def forward(self) -> Tensor:
        """Return the whole matrix **(n_tokens, width)**."""
        free = self.free * self.owns_vector
        if len(self.phi) == 0:
            return free
        smooth = torch.bmm(self.phi, self.smooth).flatten(0, 1)
        return free.index_add(0, self.ordered_rows, smooth[self.ordered_cells].to(free.dtype))


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


class TokenEmbedding(nn.Module):
    """The sum over columns of the token's vector, or of the column's mask vector where the cell is unknown."""

    offsets: Tensor

    def __init__(self, layout: Layout, width: int, rng: torch.Generator) -> None:
        super().__init__()
        scale = 1 / math.sqrt(layout.n_columns)
        self.matrix = TokenMatrix(layout, width, rng, scale=scale)
        self.masked = nn.Parameter(torch.empty(layout.n_columns, width).normal_(std=scale, generator=rng))
        self.register_buffer("offsets", torch.from_numpy(layout.offsets), persistent=False)

    def forward(self, tokens: Tensor, known: Tensor) -> Tensor:
        """Map tokens **(batch, n_columns)** and a bool mask of the same shape to **(batch, width)**."""
        table = torch.cat([self.matrix(), self.masked])
        mask_rows = len(self.matrix.free) + torch.arange(tokens.shape[1], device=tokens.device)
        return F.embedding_bag(torch.where(known, tokens + self.offsets, mask_rows), table, mode="sum")


class TokenHead(nn.Module):
    """A categorical distribution per column given a hidden state; it starts at the train marginals."""

    def __init__(self, layout: Layout, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.sizes = list(layout.sizes)
        self.bounds = [(int(a), int(a) + size) for a, size in zip(layout.offsets, layout.sizes, strict=True)]
        self.matrix = TokenMatrix(layout, width, rng, scale=0.1 / math.sqrt(width))
        self.bias = nn.Parameter(torch.cat([_log_marginal(column) for column in layout.columns]))

    def negative_log_likelihood(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Return -log p(token) in nats **(batch, n_columns)** from a hidden state per cell.

        Args:
            hidden: **(batch, n_columns, width)**.
            tokens: int64 **(batch, n_columns)**.
        """
        # Split and unbound as a whole: a slice per column would cost a gradient of the whole matrix per column.
        heads = zip(torch.split(self.matrix(), self.sizes), torch.split(self.bias, self.sizes), strict=True)
        cells = zip(heads, hidden.unbind(1), tokens.unbind(1), strict=True)
        # The product may run in bfloat16; the bias and the normalisation never do.
        nats = [
            F.cross_entropy(F.linear(h, weight).float() + bias, token, reduction="none")
            for (weight, bias), h, token in cells
        ]
        return torch.stack(nats, dim=1)

    def columns(self) -> ColumnHeads:
        """Return the heads column by column, for sampling: the matrix is built once."""
        return ColumnHeads(self.matrix(), self.bias, self.bounds)


class ColumnHeads:
    """The token head cut into columns."""

    def __init__(self, matrix: Tensor, bias: Tensor, bounds: list[tuple[int, int]]) -> None:
        self._parts = [(matrix[a:b].float(), bias[a:b].float()) for a, b in bounds]

    def logits(self, hidden: Tensor, column: int) -> Tensor:
        """Return **(batch, size of the column)** in float32."""
        weight, bias = self._parts[column]
        return F.linear(hidden.float(), weight, bias)


def _log_marginal(column: TokenColumn) -> Tensor:
    """Return the log shares of a column's tokens, half a row added to each so that none is impossible."""
    counts = torch.from_numpy(column.counts).float() + 0.5
    return (counts / counts.sum()).log()


def draw_tokens(logits: Tensor, group: Tensor, rng: torch.Generator) -> Tensor:
    """Draw one token per row from the distribution of the row's group, by inversion.

    The groups' cumulative distributions are laid end to end into one sorted sequence, so that a single search serves
    all rows and no **(rows, size)** matrix is built.

    Args:
        logits: **(n_groups, size)**.
        group: int64 **(n_rows,)**, below `n_groups`.
        rng: the generator of the uniforms.

    Returns:
        int64 **(n_rows,)**.
    """
    n_groups, size = logits.shape
    cumulative = logits.double().softmax(dim=1).cumsum(dim=1)
    cumulative = cumulative / cumulative[:, -1:] + torch.arange(n_groups, device=logits.device).unsqueeze(1)
    uniform = torch.rand(len(group), dtype=torch.float64, generator=rng, device=logits.device)
    point = torch.minimum(uniform + group, torch.nextafter(group + 1.0, group.double()))  # the sum may round up
    place = torch.searchsorted(cumulative.flatten(), point, right=True)
    return (place - group * size).clamp(0, size - 1)
