"""Networks that the families share. Every random number comes from a generator that is passed in."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def linear(n_in: int, n_out: int, rng: torch.Generator, *, scale: float = 1.0) -> nn.Linear:
    """Return a linear layer with normal weights of standard deviation `scale / sqrt(n_in)` and zero bias.

    `scale=0` gives a layer that starts as the zero function.

    Example:
        >>> linear(2, 3, torch.Generator().manual_seed(0)).weight.shape
        torch.Size([3, 2])
    """
    # On the meta device nothing is drawn from the global generator.
    layer = nn.Linear(n_in, n_out, device="meta").to_empty(device="cpu")
    nn.init.normal_(layer.weight, std=scale / math.sqrt(n_in), generator=rng)
    nn.init.zeros_(layer.bias)
    return layer


def dropout(x: Tensor, rate: float, rng: torch.Generator | None) -> Tensor:
    """Zero a part `rate` of `x`, to the nearest 1/256, and scale up the rest; the identity where `rng` is None.

    `torch.nn.Dropout` draws from the global generator, which must not be touched; and it spends a draw on every
    element, where one 64-bit draw is enough for eight.
    """
    threshold = round(rate * 256)
    if rng is None or threshold == 0:
        return x
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device)
    words.random_(-(2**63), None, generator=rng)  # all 64 bits; without bounds the sign bit is never drawn
    kept = words.view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
    return x * kept * (256 / (256 - threshold))


class GatedBlock(nn.Module):
    """A residual block with a gated linear unit: x + W_out(silu(W_gate n(x)) * W_in n(x)), n a layer norm.

    Source: Shazeer 2020, "GLU variants improve transformer", arXiv:2002.05202.
    """

    def __init__(self, width: int, rng: torch.Generator, *, rate: float = 0.0, expansion: int = 2) -> None:
        super().__init__()
        self.rate = rate
        self.norm = nn.LayerNorm(width)
        self.up = linear(width, 2 * expansion * width, rng)
        self.down = linear(expansion * width, width, rng, scale=0.5)

    def forward(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        """Map **(batch, width)** to the same shape; `rng` drives the dropout and is None while sampling."""
        gate, up = self.up(self.norm(x)).chunk(2, dim=-1)
        change: Tensor = self.down(dropout(F.silu(gate) * up, self.rate, rng))
        return x + change


class Trunk(nn.Module):
    """Gated blocks in a row, and a last layer norm."""

    def __init__(self, width: int, depth: int, rng: torch.Generator, *, rate: float = 0.0, expansion: int = 2) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(GatedBlock(width, rng, rate=rate, expansion=expansion) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, rng: torch.Generator | None) -> Tensor:
        """Map **(batch, width)** to the same shape."""
        for block in self.blocks:
            x = block(x, rng)
        normed: Tensor = self.norm(x)
        return normed


def fourier_features(x: Tensor, n: int) -> Tensor:
    """Return **(..., 2n + 1)**: x, and sine and cosine of x at n frequencies pi, 2 pi, ... for x in [0, 1].

    Example:
        >>> fourier_features(torch.zeros(4), 3).shape
        torch.Size([4, 7])
    """
    angles = x.unsqueeze(-1) * (math.pi * torch.arange(1, n + 1, device=x.device, dtype=x.dtype))
    return torch.cat([x.unsqueeze(-1), angles.sin(), angles.cos()], dim=-1)
