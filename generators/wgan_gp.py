"""A Wasserstein GAN with gradient penalty on tables.

Generator and critic play for one cell at a time: some cells of a train row are known to both, the generator draws one
more, and the critic compares it with the row's own. Which cells are known is random: a prefix of the sampling order,
and in a part of the rows any other cells as well, which is the condition vector. Because known cells come from rows
that are drawn uniformly, no marginal is shifted. A row is drawn cell by cell, the given cells first, then the positions
inside the bins of all columns at once, given all tokens.

Nothing is fitted by likelihood: the generator sees train only through the critic's gradient at what it drew, by a
straight-through Gumbel softmax. Jang et al. 2017, arXiv:1611.01144, section 2.2; Arjovsky et al. 2017,
arXiv:1701.07875; Gulrajani et al. 2017, "Improved training of Wasserstein GANs", arXiv:1704.00028.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Encoded, Layout

from .config import TrainedConfig, TrainingConfig
from .critic import Critic, Penalty, Turn
from .detection_score import DetectionScore
from .given import Batch, Given
from .heads import TokenEmbedding
from .masked import MaskedTokens
from .model import Model, Objective
from .nets import Trunk, linear
from .values import CellValues, to_position

# Momentum makes two players circle: Gidel et al. 2019, arXiv:1807.04740.
BETAS = (0.0, 0.99)
DRAWN_PER_SCORE = 3_000
DIAGNOSTIC_ROWS = 8_192


class WGANGPTraining(TrainingConfig):
    """The loop's settings with a GAN's defaults: a game needs many steps, and a rate at which it does not circle."""

    epochs: float = Field(default=24, gt=0)
    learning_rate: float = Field(default=8e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    n_validations: int = Field(default=20, ge=1)


class WGANGPConfig(TrainedConfig):
    """Wasserstein GAN with gradient penalty on tokens, and on the positions in the bins.

    Attributes:
        width: of the generator's hidden state.
        depth: its residual blocks.
        critic_width: of the critic's hidden layers.
        critic_depth: how many of them follow the first, which reads a row.
        n_critic: steps of the critic per step of the generator.
        pack: rows that the critic scores together.
        penalty: what keeps the critic smooth; see `Critic.penalty`.
        penalty_weight: lambda, its factor in the critic's loss.
        temperature: of the straight-through Gumbel softmax at the beginning of training.
        final_temperature: at its end; in between it falls geometrically.
        condition_share: the part of training rows in which random cells are known beside a prefix of the order.
    """

    kind: Literal["wgan_gp"] = "wgan_gp"
    width: int = Field(default=128, ge=8)
    depth: int = Field(default=1, ge=1)
    critic_width: int = Field(default=256, ge=8)
    critic_depth: int = Field(default=2, ge=0)
    n_critic: int = Field(default=2, ge=1)
    pack: int = Field(default=1, ge=1)
    penalty: Penalty = "zero_centred"
    penalty_weight: float = Field(default=10.0, gt=0)
    temperature: float = Field(default=1.0, gt=0)
    final_temperature: float = Field(default=0.5, gt=0)
    condition_share: float = Field(default=0.3, ge=0, le=1)
    training: WGANGPTraining = WGANGPTraining()
    members: int = Field(default=2, ge=1)

    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> WGANGP:  # noqa: ARG002  sizes are settings
        """Return the untrained model."""
        return WGANGP(layout, self, rng)


class PositionGenerator(nn.Module):
    """Draws the positions in the bins of all columns together given all tokens: normal noise, shifted."""

    def __init__(self, layout: Layout, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.cells = CellValues(layout)
        self.embedding = TokenEmbedding(layout, width, rng)
        self.noise = linear(len(layout.valued), width, rng)
        self.trunk = Trunk(width, 1, rng)
        self.shift = linear(width, len(layout.valued), rng, scale=0.0)

    def play(self, tokens: Tensor, rng: torch.Generator) -> Tensor:
        """Return positions **(batch, n_valued)**, 0.5 where there is none."""
        present = self.cells.present(tokens)
        noise = torch.randn(present.shape, generator=rng, device=tokens.device)
        hidden = self.embedding(tokens, torch.ones_like(tokens, dtype=torch.bool)) + self.noise(noise)
        return torch.where(present, to_position(noise + self.shift(self.trunk(hidden, None)).float()), 0.5)


class CellGenerator(nn.Module):
    """Draws one token per row given any known ones, and all values given all tokens."""

    sizes: Tensor
    forbidden: Tensor

    def __init__(self, layout: Layout, width: int, depth: int, rng: torch.Generator) -> None:
        super().__init__()
        self.tokens = MaskedTokens(layout, width, depth, 0.0, 1.0, rng)
        self.positions = PositionGenerator(layout, width, rng) if layout.valued else None
        drawable = torch.from_numpy(np.concatenate([column.drawable for column in layout.columns]))
        self.register_buffer("forbidden", ~drawable, persistent=False)
        self.register_buffer("sizes", torch.tensor(layout.sizes), persistent=False)

    def play(self, tokens: Tensor, turn: Turn, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Return logits with Gumbel noise of the target's tokens, and the rows of the vocabulary that they are.

        Both are **(batch, size of the largest column)**; where a column is smaller, the logits are -inf.
        """
        hidden = self.tokens.hidden(tokens, turn.known, turn.column, self.tokens.matrix())
        head = self.tokens.head
        logits = F.linear(hidden, head.matrix()).float() + head.bias
        place = torch.arange(int(self.sizes.max()), device=tokens.device)
        cells = (self.tokens.offsets[turn.column].unsqueeze(1) + place).clamp(max=logits.shape[1] - 1)
        outside = (place >= self.sizes[turn.column].unsqueeze(1)) | self.forbidden[cells]
        noise = -torch.empty(cells.shape, device=tokens.device).exponential_(generator=rng).log()
        return (logits.gather(1, cells) + noise).masked_fill(outside, -math.inf), cells

    def values(self, tokens: Tensor, rng: torch.Generator) -> Tensor:
        """Return the positions in the bins **(batch, n_valued)** given all tokens."""
        return (
            torch.empty((len(tokens), 0), device=tokens.device)
            if self.positions is None
            else self.positions.play(tokens, rng)
        )


class WGANGP(Model):
    """The family: a generator of cells and its critic. It has no density that could be trusted, and refuses one."""

    def __init__(self, layout: Layout, config: WGANGPConfig, rng: torch.Generator) -> None:
        super().__init__(layout)
        self.config = config
        self.generator = CellGenerator(layout, config.width, config.depth, rng)
        normalised = config.penalty == "spectral_r1"
        sizes = config.critic_width, config.critic_depth, config.pack
        self.critic = Critic(layout, *sizes, rng, normalised=normalised)
        self.detection = DetectionScore(layout)

    def objectives(self) -> tuple[Objective, ...]:
        """Return the critic's objective, which is minimised `n_critic` times, and then the generator's."""
        critic, generator = list(self.critic.parameters()), list(self.generator.parameters())
        return (
            Objective("critic", critic, self.critic_loss, None, repeats=self.config.n_critic, betas=BETAS),
            Objective("generator", generator, self.generator_loss, self.validation, betas=BETAS),
        )

    def critic_loss(self, batch: Batch, rng: torch.Generator, progress: float) -> Tensor:  # noqa: ARG002
        """Return score of drawn - score of train + penalty **(packs,)**; arXiv:1704.00028, equation 3."""
        batch, turn = self._turn(batch, rng)
        gap, train, drawn = self._gap(batch, turn, rng)
        penalty = self.critic.penalty(self.config.penalty, train, drawn, turn, rng)
        return self.config.penalty_weight * penalty - gap

    def generator_loss(self, batch: Batch, rng: torch.Generator, progress: float) -> Tensor:
        """Return - score of drawn **(packs,)** at the temperature of this moment of the run."""
        batch, turn = self._turn(batch, rng)
        start, end = self.config.temperature, self.config.final_temperature
        logits, cells = self.generator.play(batch.tokens, turn, rng)
        played = straight_through(logits / (start * (end / start) ** progress))
        one_hot = torch.zeros(len(batch), self.layout.n_tokens, device=played.device).scatter_add(1, cells, played)
        rows = Batch(batch.tokens, self.generator.values(batch.tokens, rng))
        return -self.critic.score(self.critic.read_soft(rows, one_hot, turn))

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the detection score **(batch,)** of rows drawn without conditions."""
        score: Tensor = self.detection(batch.tokens, self._draw_tokens(DRAWN_PER_SCORE, rng))
        return score

    def _draw_tokens(self, n: int, rng: torch.Generator) -> Tensor:
        given = Given.nothing(n, self.layout).to(rng.device)
        return self.generator.tokens.draw(given, rng, 0.0)

    def _turn(self, batch: Batch, rng: torch.Generator) -> tuple[Batch, Turn]:
        """Return the batch, filled up to whole packs, and a random turn of which a pack's rows share the target."""
        pack, device = self.config.pack, batch.tokens.device
        n_packs = -(-len(batch) // pack)
        batch = batch.take(torch.arange(n_packs * pack, device=device) % len(batch))
        n_targets = self.layout.n_columns + bool(self.layout.valued)
        place = torch.randint(n_targets, (n_packs,), generator=rng, device=device).repeat_interleave(pack)
        return batch, draw_turn(place, self.generator.tokens.rank, self.config.condition_share, rng)

    @torch.no_grad()
    def _play(self, batch: Batch, turn: Turn, rng: torch.Generator) -> Batch:
        """Return the batch with the played cells drawn by the generator."""
        logits, _ = self.generator.play(batch.tokens, turn, rng)
        tokens = torch.where(turn.played, logits.argmax(1, keepdim=True), batch.tokens)
        return Batch(tokens, self.generator.values(batch.tokens, rng))

    def _gap(self, batch: Batch, turn: Turn, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Return score of train - score of drawn **(packs,)**, and what the critic read of either."""
        train, drawn = self.critic.read(batch, turn), self.critic.read(self._play(batch, turn, rng), turn)
        return self.critic.score(train) - self.critic.score(drawn), train, drawn

    @torch.no_grad()
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        """Draw rows: tokens cell by cell in the sampling order, the given ones first, then all values at once."""
        tokens = self.generator.tokens.draw(given, rng, guidance)
        values = given.complete(self.generator.values(tokens, rng))
        return Batch(tokens, values).encoded(self.layout)

    @torch.no_grad()
    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:
        """Return the detection score, how many modes are missed, and an estimate of the Wasserstein distance.

        The estimate is the critic's gap on held-out rows over its root mean square slope between these and drawn ones:
        the gap of a critic of slope 1, whatever the penalty; at most the mean distance between the conditional
        distributions of a cell where the critic is not steeper elsewhere.
        """
        drawn = self._draw_tokens(DIAGNOSTIC_ROWS, rng)
        score = self.detection(held_out.tokens, drawn).mean().item()
        modes = self.detection.modes(held_out.tokens, drawn)
        return {"detection_score": score, **modes, "wasserstein_estimate": self._wasserstein(held_out, rng)}

    def _wasserstein(self, held_out: Batch, rng: torch.Generator) -> float:
        batch, turn = self._turn(held_out, rng)
        gap, train, drawn = self._gap(batch, turn, rng)
        slope = self.critic.slope((train + drawn) / 2, turn)
        return float(gap.mean() / slope.square().mean().sqrt())


def draw_turn(place: Tensor, rank: Tensor, condition_share: float, rng: torch.Generator) -> Turn:
    """Draw what is known where the columns at the given places of the sampling order are played.

    All columns before the target are known; in a part `condition_share` of the rows so are others, each with a
    probability that is uniform over the rows. Where values are played, all tokens are.

    Args:
        place: int64 **(batch,)**; n_columns stands for the values.
        rank: int64 **(n_columns,)**, each column's place in the order.
        condition_share: in [0, 1].
        rng: the generator.
    """
    n, n_columns, device = len(place), len(rank), rank.device
    with_condition = torch.rand(n, 1, generator=rng, device=device) < condition_share
    share = torch.rand(n, 1, generator=rng, device=device)
    given = with_condition & (torch.rand(n, n_columns, generator=rng, device=device) < share)
    known = (given | (rank < place.unsqueeze(1))) & (rank != place.unsqueeze(1))
    target = torch.cat([rank.argsort(), rank.new_tensor([n_columns])])[place]
    return Turn(known, target)


def straight_through(logits: Tensor) -> Tensor:
    """Return one-hot vectors of the largest logits **(batch, size)**, with the gradient of the softmax.

    Example:
        >>> straight_through(torch.tensor([[1.0, 3.0, 2.0]])).tolist()
        [[0.0, 1.0, 0.0]]
    """
    soft = logits.softmax(1)
    hard = F.one_hot(logits.argmax(1), logits.shape[1]).to(soft.dtype)
    return hard + (soft - soft.detach())
