"""The critic of a Wasserstein GAN on rows, and what keeps it smooth.

In a row every cell is a game of its own: the cells before it in the row's order are known, the cell itself is played,
by train or by the generator, and the critic tells these apart given the known ones. It has to be Lipschitz in the
played cell only: given the known cells, the largest gap between the two is then the Wasserstein distance of the two
conditional distributions of that cell. What is known in all games of a row is one product with a triangular matrix, as
in the networks that are trained by likelihood (`MaskedTokens`), so that a row of 24 cells costs little more than one.

Distances are those of fixed features of a cell: an indicator for a token with a vector of its own, smooth functions of
its coordinate for an ordered one, the position inside the bin. The critic's first layer is linear in them, so its
gradient with respect to the features is that with respect to the layer's output times the layer's weights.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Layout

from .given import Batch
from .nets import linear
from .token_matrix import TokenMatrix

Penalty = Literal["zero_centred", "two_sided", "one_sided", "spectral_r1"]

GRAM_ITERATIONS = 5
LEAK, SHARPNESS = 0.2, 2.0
HIDDEN_GAIN = 1.4
SMALLEST_SQUARE = 1e-12


class Critic(nn.Module):
    """Scores packs of rows in each game: the more a played cell is like train given the known ones, the higher.

    The games are those of the columns in turn, and where there are bins a last one, in which the positions in the bins
    of all columns are played when all tokens are known, and some positions. These are played as they are by both sides.

    A score is that of a network that sees both what is known and what is played, plus the product of the played cell
    with what a second network makes of the known ones: what the best critic says of a cell differs with what is known,
    and a product says so at once. Miyato and Koyama 2018, "cGANs with projection discriminator", arXiv:1802.05637,
    equation 3.

    Several rows per score show the critic how varied they are: Lin et al. 2018, "PacGAN", arXiv:1712.04086. Batch
    normalisation has no place here, because it makes the gradient at one row depend on the others.

    Attributes:
        n_games: in each row.
    """

    valued: Tensor

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
        std = 1 / math.sqrt(1 + n_valued)
        self.values = nn.Parameter(torch.empty(n_valued, width).normal_(std=std, generator=rng))
        self.given = nn.Parameter(torch.empty(2 * n_valued, width).normal_(std=std, generator=rng))
        self.register_buffer("valued", torch.tensor(layout.valued, dtype=torch.long), persistent=False)
        sizes = [pack * width] + [width] * depth
        self.hidden = nn.ModuleList(linear(*pair, rng, scale=HIDDEN_GAIN) for pair in pairwise(sizes))
        self.out = linear(sizes[-1], 1, rng)
        self.wanted = nn.Sequential(linear(width, width, rng), nn.SiLU(), linear(width, width, rng, scale=0.0))
        self.n_games = layout.n_columns + bool(n_valued)

    def known(self, rows: Batch, rank: Tensor, given: Tensor) -> Tensor:
        """Return what is known in each game **(batch, n_games, width)**, as far as the first layer sees it.

        Args:
            rows: of train.
            rank: int64 **(batch, n_columns)**, an order of the columns for each row: those of lower rank are known.
            given: bool of the same shape, the cells whose positions are known in the last game.
        """
        n_columns = len(self.unseen)
        seen = self.matrix.vectors(rows.tokens) - self.unseen
        earlier = rank.unsqueeze(1) < rank.unsqueeze(2)
        nothing = self.unseen.sum(0)
        of_tokens = torch.bmm(earlier.to(seen.dtype), seen) + nothing - self.unseen + self.target[:n_columns]
        if self.n_games == n_columns:
            return of_tokens
        marks = given[:, self.valued].to(rows.values.dtype)
        positions = torch.cat([(rows.values - 0.5) * marks, marks], dim=1) @ self.given
        of_values = seen.sum(1) + nothing + positions + self.target[n_columns]
        return torch.cat([of_tokens, of_values.unsqueeze(1)], dim=1)

    def played(self, rows: Batch) -> Tensor:
        """Return what is played in each game **(batch, n_games, width)**, as far as the first layer sees it."""
        return self._played(self.matrix.vectors(rows.tokens), rows.values)

    def played_soft(self, tokens: list[Tensor], values: Tensor) -> Tensor:
        """Return the same with the tokens of each column as vectors **(batch, size)**, through which gradients flow."""
        rows = torch.split(self.matrix(), self.matrix.sizes)
        return self._played(torch.stack([soft @ part for soft, part in zip(tokens, rows, strict=True)], 1), values)

    def _played(self, tokens: Tensor, values: Tensor) -> Tensor:
        if self.n_games == tokens.shape[1]:
            return tokens
        return torch.cat([tokens, ((values - 0.5) @ self.values).unsqueeze(1)], dim=1)

    def score(self, known: Tensor, played: Tensor) -> Tensor:
        """Return **(packs, n_games)** for what is known and played in the games **(packs * pack, n_games, width)**."""
        if self.normalised:
            bound = spectral_bound(torch.cat(self.features()))
            known, played = known / bound, played / bound
        score = self._joint(known + played) + self._product(known, played)
        return score / 2 if self.normalised else score  # each part has a slope of 1 at most

    def _joint(self, read: Tensor) -> Tensor:
        width = read.shape[2]
        packs = _activation(read).reshape(-1, self.pack, self.n_games, width).transpose(1, 2)
        hidden = packs.reshape(-1, self.n_games, self.pack * width)
        for layer in self.hidden:
            hidden = _activation(self._through(layer, hidden))
        score: Tensor = self._through(self.out, hidden).squeeze(2).float()
        return score

    def _product(self, known: Tensor, played: Tensor) -> Tensor:
        wanted = self.wanted(_activation(known))
        if self.normalised:
            wanted = wanted / (1 + wanted.square().sum(2, keepdim=True)).sqrt()
        products: Tensor = (wanted * played).sum(2).float()
        return products.reshape(-1, self.pack, self.n_games).sum(1)

    def _through(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        output: Tensor = layer(hidden)
        return output / spectral_bound(layer.weight) if self.normalised else output  # type: ignore[arg-type]

    def features(self) -> list[Tensor]:
        """Return the first layer's weights of each game's features **(n_features, width)**.

        The smooth features of a token weigh together as one indicator.
        """
        matrix = self.matrix
        free = torch.split(matrix.free, matrix.n_owned)
        smooth = (matrix.smooth / math.sqrt(max(1, matrix.phi.shape[2]))).unbind(0)
        of_tokens = [
            torch.cat([own, smooth[matrix.place[i]]]) if i in matrix.place else own for i, own in enumerate(free)
        ]
        return [*of_tokens, self.values] if self.n_games > len(of_tokens) else of_tokens

    def slope(self, known: Tensor, played: Tensor) -> Tensor:
        """Return the norm **(packs, n_games)** of the score's gradient with respect to the features of played cells."""
        with torch.enable_grad():
            played = played if played.requires_grad else played.requires_grad_()
            (gradient,) = torch.autograd.grad(self.score(known, played).sum(), played, create_graph=True)
        squares = [
            F.linear(of_game, weights).float().square().sum(1)
            for of_game, weights in zip(gradient.unbind(1), self.features(), strict=True)
        ]
        of_packs = torch.stack(squares, 1).reshape(-1, self.pack, self.n_games).sum(1)
        return (of_packs + SMALLEST_SQUARE).sqrt()  # the root of zero has no gradient

    def penalty(self, kind: Penalty, known: Tensor, train: Tensor, drawn: Tensor, rng: torch.Generator) -> Tensor:
        """Return the unweighted penalty of the slope **(packs, n_games)**.

        `two_sided` pulls the slope between a train and a drawn row to 1 and `one_sided` below it: Gulrajani et al.
        2017, arXiv:1704.00028, equation 3; Petzka et al. 2018, arXiv:1709.08894. `zero_centred` pulls it to 0: the gap
        at the optimum is then the square of a distance and its gradient vanishes as the two laws meet, where with a
        slope of 1 it never does; Thanh-Tung et al. 2019, arXiv:1902.03984. `spectral_r1` does the same at train rows
        only, Mescheder et al. 2018, arXiv:1801.04406, equation 9, and needs normalised weights.

        Args:
            kind: which of them.
            known: what is known in each game.
            train: what train plays.
            drawn: what the generator plays.
            rng: draws the place between the two.
        """
        if kind == "spectral_r1":
            return self.slope(known, train).square()
        n_packs = len(train) // self.pack
        mix = torch.rand(n_packs, self.n_games, 1, generator=rng, device=train.device).repeat_interleave(self.pack, 0)
        slope = self.slope(known, mix * train + (1 - mix) * drawn)
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
    """A leaky rectifier with a rounded kink, whose slope rises from 0.2 to 1.

    A slope that is flat but for a kink tells a penalty at one place nothing of another, and with it the game does not
    settle; rounder functions such as SiLU settle but are too nearly linear to tell rows well (docs/measurements.md).
    """
    return LEAK * x + (1 - LEAK) * F.softplus(x, beta=SHARPNESS)
