"""The critic of a Wasserstein GAN on rows, and what keeps it smooth.

A turn of the game: some cells of a row are known, one more is played, by train or by the generator, and the critic
tells these apart given the known ones. It has to be Lipschitz in the played cell only: given the known cells, the
largest gap between the two is then the Wasserstein distance of the two conditional distributions of that cell.

Distances are those of fixed features of a cell: an indicator for a token with a vector of its own, smooth functions of
its coordinate for an ordered one, the position inside the bin. The critic's first layer is linear in them, so its
gradient with respect to the features is that with respect to the layer's output times the layer's weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Layout

from .given import Batch
from .nets import linear
from .token_matrix import TokenMatrix, owns_vector

Penalty = Literal["zero_centred", "two_sided", "one_sided", "spectral_r1"]

GRAM_ITERATIONS = 5
STEEPEST_SILU = 1.1
HIDDEN_GAIN = 1.4
SMALLEST_SQUARE = 1e-12


@dataclass(frozen=True)
class Turn:
    """What is known and what is played in each row of a batch.

    Attributes:
        known: bool **(batch, n_columns)**, the cells that both players see.
        target: int64 **(batch,)**, the column whose token is played; n_columns stands for the values of all columns,
            which are played when all tokens are known.
    """

    known: Tensor
    target: Tensor

    @property
    def of_values(self) -> Tensor:
        """Whether values are played, bool **(batch, 1)**."""
        return (self.target == self.known.shape[1]).unsqueeze(1)

    @property
    def column(self) -> Tensor:
        """The target int64 **(batch,)** as a column's index; the last one stands in where values are played."""
        return self.target.clamp(max=self.known.shape[1] - 1)

    @property
    def played(self) -> Tensor:
        """The cell that is played, bool **(batch, n_columns)**."""
        return torch.arange(self.known.shape[1], device=self.target.device) == self.target.unsqueeze(1)


class Critic(nn.Module):
    """Scores packs of rows: the more a played cell is like train given the known ones, the higher.

    Several rows per score show the critic how varied they are: Lin et al. 2018, "PacGAN", arXiv:1712.04086. Batch
    normalisation has no place here, because it makes the gradient at one row depend on the others.
    """

    offsets: Tensor
    feature_target: Tensor

    def __init__(
        self, layout: Layout, width: int, depth: int, pack: int, rng: torch.Generator, *, normalised: bool = False
    ) -> None:
        super().__init__()
        scale = 1 / math.sqrt(layout.n_columns)
        self.pack, self.normalised = pack, normalised
        self.matrix = TokenMatrix(layout, width, rng, scale=scale)
        self.unseen = nn.Parameter(torch.empty(layout.n_columns, width).normal_(std=scale, generator=rng))
        self.target = nn.Parameter(torch.empty(layout.n_columns + 1, width).normal_(std=0.5, generator=rng))
        n_valued = len(layout.valued)
        self.values = nn.Parameter(torch.empty(n_valued, width).normal_(std=1 / math.sqrt(1 + n_valued), generator=rng))
        sizes = [pack * width] + [width] * depth
        self.hidden = nn.ModuleList(linear(*pair, rng, scale=HIDDEN_GAIN) for pair in pairwise(sizes))
        self.out = linear(sizes[-1], 1, rng)
        own = owns_vector(layout)
        self.register_buffer("offsets", torch.from_numpy(layout.offsets), persistent=False)
        self.register_buffer("feature_target", _feature_target(layout, own, self.matrix.phi.shape[2]), persistent=False)

    def read(self, rows: Batch, turn: Turn) -> Tensor:
        """Return the first layer's output **(batch, width)** for rows with the played cells in them."""
        tokens = torch.where(turn.known | turn.played, rows.tokens + self.offsets, self._unseen_rows)
        read = F.embedding_bag(tokens, torch.cat([self.matrix(), self.unseen]), mode="sum")
        return self._read(read, rows.values, turn)

    def read_soft(self, rows: Batch, played: Tensor, turn: Turn) -> Tensor:
        """Return the same with the played tokens as vectors **(batch, n_tokens)**, through which gradients flow."""
        matrix = self.matrix()
        tokens = torch.where(turn.known, rows.tokens + self.offsets, self._unseen_rows)
        read = F.embedding_bag(tokens, torch.cat([matrix, self.unseen]), mode="sum")
        change = torch.where(turn.of_values, 0.0, played @ matrix - self.unseen[turn.column])
        return self._read(read + change, rows.values, turn)

    @property
    def _unseen_rows(self) -> Tensor:
        return len(self.matrix.free_row) + torch.arange(len(self.unseen), device=self.unseen.device)

    def _read(self, tokens: Tensor, values: Tensor, turn: Turn) -> Tensor:
        centred = torch.where(turn.of_values, values - 0.5, 0.0)
        read: Tensor = tokens + self.target[turn.target] + centred @ self.values
        return read / spectral_bound(self.features()) if self.normalised else read

    def score(self, read: Tensor) -> Tensor:
        """Return **(packs,)** for the first layer's output **(packs * pack, width)**."""
        hidden = _activation(read).reshape(-1, self.pack * read.shape[1])
        for layer in self.hidden:
            hidden = _activation(self._through(layer, hidden))
        score: Tensor = self._through(self.out, hidden).squeeze(1).float()
        return score

    def _through(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = layer(hidden)
        return output / spectral_bound(layer.weight) if self.normalised else output  # type: ignore[arg-type]

    def features(self) -> Tensor:
        """Return the first layer's weights **(n_features, width)**; smooth features together weigh as one indicator."""
        smooth = self.matrix.smooth.flatten(0, 1) / math.sqrt(max(1, self.matrix.phi.shape[2]))
        return torch.cat([self.matrix.free, smooth, self.values])

    def slope(self, read: Tensor, turn: Turn) -> Tensor:
        """Return the norm **(packs,)** of the score's gradient with respect to the features of the played cells."""
        with torch.enable_grad():
            read = read if read.requires_grad else read.requires_grad_()
            (gradient,) = torch.autograd.grad(self.score(read).sum(), read, create_graph=True)
        weights = self.features()
        weights = weights / spectral_bound(weights) if self.normalised else weights
        by_feature = F.linear(gradient, weights).float()
        played = self.feature_target == turn.target.unsqueeze(1)
        squares = (by_feature.square() * played).sum(1).reshape(-1, self.pack).sum(1)
        return (squares + SMALLEST_SQUARE).sqrt()  # the root of zero has no gradient

    def penalty(self, kind: Penalty, train: Tensor, drawn: Tensor, turn: Turn, rng: torch.Generator) -> Tensor:
        """Return the unweighted penalty of the slope **(packs,)**.

        `two_sided` pulls the slope between a train and a drawn row to 1 and `one_sided` below it: Gulrajani et al.
        2017, arXiv:1704.00028, equation 3; Petzka et al. 2018, arXiv:1709.08894. `zero_centred` pulls it to 0: the gap
        at the optimum is then the square of a distance and its gradient vanishes as the two laws meet, where with a
        slope of 1 it never does; Thanh-Tung et al. 2019, arXiv:1902.03984. `spectral_r1` does the same at train rows
        only, Mescheder et al. 2018, arXiv:1801.04406, equation 9, and needs normalised weights.
        """
        if kind == "spectral_r1":
            return self.slope(train, turn).square()
        mix = torch.rand(len(train) // self.pack, 1, generator=rng, device=train.device).repeat_interleave(self.pack, 0)
        slope = self.slope(mix * train + (1 - mix) * drawn, turn)
        if kind == "zero_centred":
            return slope.square()
        return (slope - 1).square() if kind == "two_sided" else (slope - 1).clamp(min=0).square()


def spectral_bound(weight: Tensor) -> Tensor:
    """Return an upper bound of a matrix's largest singular value, which is tight to a few per cent.

    Gram iteration needs no vector that is carried from step to step, and its result is never too small: Delattre et al.
    2023, arXiv:2305.16173, theorem 1.

    Example:
        >>> round(spectral_bound(torch.diag(torch.tensor([3.0, 1.0]))).item(), 3)
        3.0
    """
    with torch.autocast(weight.device.type, enabled=False):
        gram = weight.float() if weight.shape[0] >= weight.shape[1] else weight.float().T
        log_scale = torch.zeros((), device=weight.device)
        for _ in range(GRAM_ITERATIONS):
            norm = gram.norm() + SMALLEST_SQUARE
            gram = (gram / norm).T @ (gram / norm)
            log_scale = 2 * (log_scale + norm.log())
        bound: Tensor = ((gram.norm() + SMALLEST_SQUARE).log() + log_scale).div(2**GRAM_ITERATIONS).exp()
    return bound


def _activation(x: Tensor) -> Tensor:
    """SiLU, scaled so that its slope is nowhere above 1."""
    return F.silu(x) / STEEPEST_SILU


def _feature_target(layout: Layout, own: Tensor, n_smooth: int) -> Tensor:
    """Return the target **(n_features,)** that each feature of the first layer belongs to."""
    column = torch.repeat_interleave(torch.arange(layout.n_columns), torch.tensor(layout.sizes))
    ordered = [i for i, c in enumerate(layout.columns) if np.isfinite(c.coordinate).any()]
    smooth = torch.tensor(ordered, dtype=torch.long).repeat_interleave(n_smooth)
    return torch.cat([column[own], smooth, torch.full((len(layout.valued),), layout.n_columns)])
