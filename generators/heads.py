"""From the tokens of a row to a vector, and from a vector to distributions of tokens and draws of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Layout, TokenColumn

from .token_matrix import TokenMatrix


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
        return torch.where(known.unsqueeze(2), self.matrix.vectors(tokens), self.masked).sum(1)


class TokenHead(nn.Module):
    """A categorical distribution per column given a hidden state; it starts at the train marginals."""

    def __init__(self, layout: Layout, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.sizes = list(layout.sizes)
        self.bounds = [(int(a), int(a) + size) for a, size in zip(layout.offsets, layout.sizes, strict=True)]
        self.matrix = TokenMatrix(layout, width, rng, scale=0.1 / math.sqrt(width))
        self.bias = nn.Parameter(torch.cat([log_marginal(column) for column in layout.columns]))

    def logits(self, hidden: Tensor) -> list[Tensor]:
        """Return each column's logits **(batch, size)** in float32 from a hidden state per cell.

        The product may run in bfloat16; the bias and the normalisation never do.

        Args:
            hidden: **(batch, n_columns, width)**.
        """
        biases = torch.split(self.bias, self.sizes)
        return [product.float() + bias for product, bias in zip(self.matrix.logits(hidden), biases, strict=True)]

    def negative_log_likelihood(self, hidden: Tensor, tokens: Tensor) -> Tensor:
        """Return -log p(token) in nats **(batch, n_columns)** from a hidden state per cell.

        Args:
            hidden: **(batch, n_columns, width)**.
            tokens: int64 **(batch, n_columns)**.
        """
        cells = zip(self.logits(hidden), tokens.unbind(1), strict=True)
        nats = [F.cross_entropy(logits, token, reduction="none") for logits, token in cells]
        return torch.stack(nats, dim=1)

    def entropy(self, hidden: Tensor) -> Tensor:
        """Return the entropy of each cell's distribution in nats **(batch, n_columns)** from a hidden state per cell.

        Args:
            hidden: **(batch, n_columns, width)**.
        """
        return torch.stack([torch.special.entr(logits.softmax(1)).sum(1) for logits in self.logits(hidden)], dim=1)

    def log_probs(self, hidden: Tensor) -> list[Tensor]:
        """Return log p of every token of each column **(batch, size)** in nats from a hidden state per cell.

        Args:
            hidden: **(batch, n_columns, width)**.
        """
        return [logits.log_softmax(1) for logits in self.logits(hidden)]

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


def log_marginal(column: TokenColumn) -> Tensor:
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
