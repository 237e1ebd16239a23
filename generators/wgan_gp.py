"""A Wasserstein GAN with gradient penalty on tables.

Generator and critic play for the cells of a row one at a time: those before a cell in some order are known to both, the
generator draws the cell, and the critic compares it with the row's own. In a part of the rows the order begins with any
cells, which is the condition vector; in the others it is the sampling order. Because known cells come from rows that
are drawn uniformly, no marginal is shifted. All cells of a row are played in one step, because what is known before
each is a product with a triangular matrix. A row is drawn cell by cell, the given cells first, then the positions
inside the bins of all columns at once, given all tokens and the positions of the given cells.

Nothing is fitted by likelihood: the generator sees train only through the critic's gradient at what it drew, by a
straight-through Gumbel softmax. Jang et al. 2017, arXiv:1611.01144, section 2.2; Arjovsky et al. 2017,
arXiv:1701.07875; Gulrajani et al. 2017, "Improved training of Wasserstein GANs", arXiv:1704.00028.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Encoded, Layout
from pipeline.transform import TransformConfig

from .config import TrainedConfig, TrainingConfig
from .critic import Critic, Penalty
from .detection_score import DetectionScore
from .given import Batch, Given
from .heads import TokenEmbedding, log_marginal
from .masked import MaskedTokens
from .model import Model, Objective
from .nets import Trunk, linear
from .schedule import draw_known, known_first
from .values import CellValues, to_normal, to_position

# Momentum makes two players circle: Gidel et al. 2019, arXiv:1807.04740.
BETAS = (0.0, 0.99)
MAX_REPEATED = 64
DRAWN_PER_SCORE = 3_000
DIAGNOSTIC_ROWS = 8_192
CALIBRATION_ROUNDS, CALIBRATION_ROWS, ROWS_AT_ONCE, MOST_CHANGE = 4, 8_192, 512, 1.0
PENALTY_WEIGHT: dict[Penalty, float] = {"zero_centred": 3.0, "two_sided": 10.0, "one_sided": 10.0, "spectral_r1": 3.0}


class WGANGPTraining(TrainingConfig):
    """The loop's settings with a GAN's defaults: small batches, as every row plays for all of its cells, and a learning
    rate at which the game does not circle.

    The game begins at train's marginals and is worse than these before it is better: it is made long enough on small
    tables, and is not stopped early.
    """

    epochs: float = Field(default=10, gt=0)
    least_steps: int = Field(default=600, ge=1)
    batch_size: int | None = Field(default=64, ge=1)
    learning_rate: float = Field(default=8e-4, gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    n_validations: int = Field(default=20, ge=1)
    patience: int = Field(default=20, ge=1)


class WGANGPConfig(TrainedConfig):
    """Wasserstein GAN with gradient penalty on tokens, and on the positions in the bins.

    Unlike in other families the widths and the batch size do not follow the rows: the defaults were measured on 675 to
    37,581 rows, and neither smaller nor larger ones were shown to be better (docs/measurements.md).

    Attributes:
        width: of the generator's hidden state.
        depth: its residual blocks.
        critic_width: of the critic's hidden layers.
        critic_depth: how many of them follow the first, which reads a row.
        n_critic: steps of the critic per step of the generator.
        pack: rows that the critic scores together.
        penalty: what keeps the critic smooth; see `Critic.penalty`.
        penalty_weight: lambda, its factor in the critic's loss; None takes the 10 of Gulrajani et al. for a slope of 1,
            and 3 towards a slope of 0, with which the game settles sooner (docs/measurements.md).
        temperature: of the straight-through Gumbel softmax at the beginning of training.
        final_temperature: at its end; in between it falls geometrically.
        condition_share: the part of training rows in which random cells are known beside a prefix of the order.
    """

    kind: Literal["wgan_gp"] = "wgan_gp"
    width: int = Field(default=128, ge=8)
    depth: int = Field(default=1, ge=1)
    critic_width: int = Field(default=128, ge=8)
    critic_depth: int = Field(default=1, ge=0)
    n_critic: int = Field(default=1, ge=1)
    pack: int = Field(default=1, ge=1)
    penalty: Penalty = "zero_centred"
    penalty_weight: float | None = Field(default=None, gt=0)
    temperature: float = Field(default=1.0, gt=0)
    final_temperature: float = Field(default=0.5, gt=0)
    condition_share: float = Field(default=0.3, ge=0, le=1)
    training: WGANGPTraining = WGANGPTraining()
    members: int = Field(default=2, ge=1)

    def encoding(self, asked: TransformConfig) -> TransformConfig:
        """Return an encoding with few repeated values, unless more are asked for: rare tokens hardly come into play."""
        return asked if asked.max_repeated is not None else asked.model_copy(update={"max_repeated": MAX_REPEATED})

    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> WGANGP:  # noqa: ARG002  sizes are settings
        """Return the untrained model."""
        return WGANGP(layout, self, rng)


class PositionGenerator(nn.Module):
    """Draws the positions in the bins of all columns together, given all tokens and any positions: noise, shifted."""

    def __init__(self, layout: Layout, width: int, rng: torch.Generator) -> None:
        super().__init__()
        self.cells = CellValues(layout)
        self.embedding = TokenEmbedding(layout, width, rng)
        self.state = linear(2 * len(layout.valued), width, rng)
        self.trunk = Trunk(width, 1, rng)
        self.shift = linear(width, len(layout.valued), rng, scale=0.0)

    def play(self, rows: Batch, given: Tensor, rng: torch.Generator) -> Tensor:
        """Return positions **(batch, n_valued)**: those of the rows where they are given, 0.5 where there is none.

        Args:
            rows: their tokens, and the positions that are given.
            given: which cells are, bool **(batch, n_columns)**.
            rng: of the noise, in whose place the network sees a given position on the normal scale.
        """
        present = self.cells.present(rows.tokens)
        given = given[:, self.cells.columns] & present
        noise = torch.randn(present.shape, generator=rng, device=present.device)
        state = torch.cat([torch.where(given, to_normal(rows.values), noise), given.to(noise.dtype)], dim=1)
        hidden = self.embedding(rows.tokens, torch.ones_like(rows.tokens, dtype=torch.bool)) + self.state(state)
        drawn = to_position(noise + self.shift(self.trunk(hidden, None)).float())
        return torch.where(given, rows.values, torch.where(present, drawn, 0.5))


class CellGenerator(nn.Module):
    """Plays the tokens of whole rows, each cell given those before it in an order, and then all values together."""

    forbidden: Tensor

    def __init__(self, layout: Layout, width: int, depth: int, rng: torch.Generator) -> None:
        super().__init__()
        self.tokens = MaskedTokens(layout, width, depth, 0.0, 1.0, rng)
        self.positions = PositionGenerator(layout, width, rng) if layout.valued else None
        drawable = torch.from_numpy(np.concatenate([column.drawable for column in layout.columns]))
        self.register_buffer("forbidden", ~drawable, persistent=False)

    def logits(self, tokens: Tensor, rank: Tensor) -> list[Tensor]:
        """Return each column's logits **(batch, size)** given the cells of lower rank; -inf where none may be drawn."""
        head = self.tokens.head
        cells = zip(
            head.logits(self.tokens.along(tokens, rank, None)), torch.split(self.forbidden, head.sizes), strict=True
        )
        return [logits.masked_fill(never, -math.inf) for logits, never in cells]

    def play(self, tokens: Tensor, rank: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Return the same with Gumbel noise on them: the largest of a column is a draw."""
        return [logits + gumbel(logits, rng) for logits in self.logits(tokens, rank)]

    def calibrate(self, log_shares: Tensor, given: Given, rng: torch.Generator) -> None:
        """Move the tokens' biases by how much rarer than `log_shares` **(n_tokens,)** they are in drawn rows.

        What is compared is the mean probability of a token in drawn rows given those before it, which is less noisy
        than how often it was drawn.
        """
        net, drawn = self.tokens, self.tokens.draw(given, rng, 0.0)
        total = torch.zeros_like(log_shares)
        for part in torch.split(drawn, ROWS_AT_ONCE):
            distributions = (logits.softmax(1) for logits in self.logits(part, net.rank.expand_as(part)))
            total += torch.cat([shares.sum(0) for shares in distributions])
        change = (log_shares - (total / len(drawn)).log()).clamp(-MOST_CHANGE, MOST_CHANGE)
        net.head.bias.add_(change.masked_fill(self.forbidden, 0.0))

    def values(self, rows: Batch, given: Tensor, rng: torch.Generator) -> Tensor:
        """Return the positions in the bins **(batch, n_valued)**; see `PositionGenerator.play`."""
        return rows.values if self.positions is None else self.positions.play(rows, given, rng)


class WGANGP(Model):
    """The family: a generator of cells and its critic. It has no density that could be trusted, and refuses one."""

    finishing_rounds = CALIBRATION_ROUNDS

    def __init__(self, layout: Layout, config: WGANGPConfig, rng: torch.Generator) -> None:
        super().__init__(layout)
        self.config = config
        self.penalty_weight = config.penalty_weight or PENALTY_WEIGHT[config.penalty]
        self.generator = CellGenerator(layout, config.width, config.depth, rng)
        normalised = config.penalty == "spectral_r1"
        sizes = config.critic_width, config.critic_depth, config.pack
        self.critic = Critic(layout, *sizes, rng, normalised=normalised)
        self.detection = DetectionScore(layout)

    def objectives(self) -> tuple[Objective, ...]:
        """Return the critic's objective, which is minimised `n_critic` times, and then the generator's."""
        critic, generator = list(self.critic.parameters()), list(self.generator.parameters())
        return (
            Objective("critic", critic, self.critic_loss, None, self.config.n_critic, BETAS, self.logged),
            Objective("generator", generator, self.generator_loss, self.validation, betas=BETAS),
        )

    def critic_loss(self, batch: Batch, rng: torch.Generator, progress: float) -> Tensor:  # noqa: ARG002
        """Return score of drawn - score of train + penalty **(packs,)**; arXiv:1704.00028, equation 3."""
        gap, known, train, drawn = self._gap(*self._games(batch, rng), rng)
        penalty = self.critic.penalty(self.config.penalty, known, train, drawn, rng)
        return (self.penalty_weight * penalty - gap).mean(1)

    def generator_loss(self, batch: Batch, rng: torch.Generator, progress: float) -> Tensor:
        """Return - score of drawn **(packs,)** at the temperature of this moment of the run."""
        batch, rank, given = self._games(batch, rng)
        start, end = self.config.temperature, self.config.final_temperature
        temperature = start * (end / start) ** progress
        played = [straight_through(own / temperature) for own in self.generator.play(batch.tokens, rank, rng)]
        values = self.generator.values(batch, given, rng)
        with frozen(self.critic) as critic:
            return -critic.score(critic.known(batch, rank, given), critic.played_soft(played, values)).mean(1)

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the detection score **(batch,)** of rows drawn without conditions."""
        score: Tensor = self.detection(batch.tokens, self._draw_tokens(DRAWN_PER_SCORE, rng))
        return score

    @torch.no_grad()
    def finish(self, rng: torch.Generator) -> None:
        """Move the head's biases until drawn marginals are those of train, which the critic alone leaves a little off.

        It takes a few rounds, of which this is one: what a column is drawn from changes with the columns before it.
        """
        log_shares = torch.cat([log_marginal(column) for column in self.layout.columns]).to(rng.device)
        given = Given.nothing(CALIBRATION_ROWS, self.layout).to(rng.device)
        self.generator.calibrate(log_shares, given, rng)

    def _draw_tokens(self, n: int, rng: torch.Generator) -> Tensor:
        given = Given.nothing(n, self.layout).to(rng.device)
        return self.generator.tokens.draw(given, rng, 0.0)

    def _games(self, batch: Batch, rng: torch.Generator) -> tuple[Batch, Tensor, Tensor]:
        """Return the batch, filled up to whole packs, and for each row an order of its columns and what is given.

        What is given comes first in the order: no cell in most rows, any cells in a part `condition_share` of them.
        """
        pack, device = self.config.pack, batch.tokens.device
        n_packs = -(-len(batch) // pack)
        batch = batch.take(torch.arange(n_packs * pack, device=device) % len(batch))
        rank = self.generator.tokens.rank
        conditioned = torch.rand(len(batch), 1, generator=rng, device=device) < self.config.condition_share
        given = draw_known(len(batch), rank, 0.0, rng) & conditioned
        return batch, known_first(rank, given), given

    @torch.no_grad()
    def _play(self, batch: Batch, rank: Tensor, given: Tensor, rng: torch.Generator) -> Batch:
        """Return every cell as the generator draws it given the batch's own cells of lower rank, or given values."""
        tokens = torch.stack([logits.argmax(1) for logits in self.generator.play(batch.tokens, rank, rng)], 1)
        return Batch(tokens, self.generator.values(batch, given, rng))

    def _gap(
        self, batch: Batch, rank: Tensor, given: Tensor, rng: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the gap of the scores **(packs, n_games)**, and what the critic sees: known, train, drawn."""
        critic, known = self.critic, self.critic.known(batch, rank, given)
        train, drawn = (critic.played(rows) for rows in (batch, self._play(batch, rank, given, rng)))
        return critic.score(known, train) - critic.score(known, drawn), known, train, drawn

    @torch.no_grad()
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        """Draw rows: tokens cell by cell in the sampling order, the given ones first, then all values at once."""
        rows = Batch(self.generator.tokens.draw(given, rng, guidance), given.batch.values.float())
        values = given.complete(self.generator.values(rows, given.mask, rng))
        return Batch(rows.tokens, values).encoded(self.layout)

    @torch.no_grad()
    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:
        """Return the detection score, how many modes are missed, and what `logged` does."""
        drawn = self._draw_tokens(DIAGNOSTIC_ROWS, rng)
        score = self.detection(held_out.tokens, drawn).mean().item()
        return {
            "detection_score": score,
            **self.detection.modes(held_out.tokens, drawn),
            **self.logged(held_out, rng),
        }

    @torch.no_grad()
    def logged(self, held_out: Batch, rng: torch.Generator) -> dict[str, float]:
        """Return an estimate of the Wasserstein distance between held-out and drawn rows.

        It is the critic's gap on at most 512 held-out rows over its root mean square slope between these and
        drawn ones: the gap of a critic of slope 1, whatever the penalty; at most the mean distance between the
        conditional distributions of a cell where the critic is not steeper elsewhere.
        """
        rows = held_out.take(torch.arange(min(len(held_out), ROWS_AT_ONCE), device=rng.device))
        gap, known, train, drawn = self._gap(*self._games(rows, rng), rng)
        slope = self.critic.slope(known, (train + drawn) / 2)
        return {"wasserstein_estimate": float(gap.mean() / slope.square().mean().sqrt())}


@contextmanager
def frozen(critic: Critic) -> Iterator[Critic]:
    """Keep the critic's weights out of what is computed inside: no gradient of theirs is taken for the generator."""
    critic.requires_grad_(False)
    try:
        yield critic
    finally:
        critic.requires_grad_(True)


def gumbel(like: Tensor, rng: torch.Generator) -> Tensor:
    """Return Gumbel noise of the shape of `like`: minus the logarithm of an exponential draw."""
    return -torch.empty(like.shape, device=like.device).exponential_(generator=rng).log()


def straight_through(logits: Tensor) -> Tensor:
    """Return one-hot vectors of the largest logits **(batch, size)**, with the gradient of the softmax.

    Example:
        >>> straight_through(torch.tensor([[1.0, 3.0, 2.0]])).tolist()
        [[0.0, 1.0, 0.0]]
    """
    soft = logits.softmax(1)
    hard = F.one_hot(logits.argmax(1), logits.shape[1]).to(soft.dtype)
    return hard + (soft - soft.detach())
