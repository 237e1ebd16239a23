"""Variational autoencoder on tables: a row is encoded into a latent vector and decoded cell by cell.

p(row) = integral of p(z) times the product over cells of p(cell | z, earlier cells), in any order of the cells.

Trained on the evidence lower bound with a normal posterior and a closed-form divergence: Kingma and Welling 2014,
arXiv:1312.6114, equation 10. The decoder is autoregressive in the manner of NADE: what cells add to the hidden state is
summed up, so that all conditionals of a row are trained in one pass and each costs one block when drawing; Larochelle
and Murray 2011, "The neural autoregressive distribution estimator"; in many orders Uria et al. 2014, arXiv:1310.1757.
A decoder that strong can ignore its latent vector (Bowman et al. 2016, arXiv:1511.06349): annealing and free bits
prevent it, and hiding earlier cells strengthens the latent vector at some cost in likelihood. Latent vectors are drawn
from a flow that learns where the encoder puts the rows of train.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from pipeline.encoded import Encoded, Layout

from .cells import CellDecoder, RowEncoder
from .config import TrainedConfig, TrainingConfig
from .given import N_CANDIDATES, Batch, Given
from .masked import auto_dropout, auto_width, sampling_order
from .model import DensityKind, Model, Objective
from .prior import LatentFlow, keep_one, kl_divergence, normal_log_prob, systematic_resample
from .schedule import draw_known, known_first

ACTIVE_VARIANCE = 0.01
POOL, SMALLEST_POOL, SMALLEST_POOL_OF_A_PATTERN = 4, 4_096, 64
CELLS_PER_BOUND, LOGITS_PER_CELL = 1 << 18, 64
"""Cells that are worked on at once, and how many logits take about the memory of a cell's states."""
DIAGNOSED_ROWS, DIAGNOSED_SAMPLES = 2_000, 8
MOST_CONDITIONAL_SAMPLES = 8


class VAETraining(TrainingConfig):
    """The loop's settings, with another default.

    Attributes:
        patience: longer than elsewhere, because the bound gets worse while the divergence is annealed.
    """

    patience: int = Field(default=16, ge=1)


class VAEConfig(TrainedConfig):
    """A variational autoencoder with an autoregressive decoder and a learned prior.

    Attributes:
        latent_size: entries of the latent vector.
        width: of the decoder's hidden state, the encoder's is twice that; None derives it from the number of rows.
        depth: residual blocks of the encoder.
        decoder_depth: residual blocks between the sum of the cells and the heads.
        dropout: of the blocks' hidden units; None derives it from the number of rows.
        beta: weight of the divergence from the prior (Higgins et al. 2017, beta-VAE).
        annealed_share: the part of the run in which that weight rises linearly from 0.
        free_bits: nats per latent dimension that cost nothing (Kingma et al. 2016, arXiv:1606.04934, appendix C.8).
        cell_dropout: the part of earlier cells that is hidden from the decoder while training; more of it moves what
            is known of a row into the latent vector.
        ordered_share: the part of training rows that are decoded along the sampling order; in the others a random set
            of cells comes first, which is what conditions on any subset of columns need.
        prior: "flow" learns the distribution of the encoded rows; "normal" keeps the standard normal one.
        prior_depth: couplings of the flow.
        n_components: of the mixture that is the density of a value in its bin.
        importance_samples: latent vectors per row behind `log_density`.
    """

    kind: Literal["vae"] = "vae"
    latent_size: int = Field(default=16, ge=2)
    width: int | None = Field(default=None, ge=8)
    depth: int = Field(default=2, ge=1)
    decoder_depth: int = Field(default=1, ge=1)
    dropout: float | None = Field(default=None, ge=0, lt=1)
    beta: float = Field(default=1.0, ge=0)
    annealed_share: float = Field(default=0.2, ge=0, le=1)
    free_bits: float = Field(default=0.05, ge=0)
    cell_dropout: float = Field(default=0.0, ge=0, le=1)
    ordered_share: float = Field(default=0.5, ge=0, le=1)
    prior: Literal["flow", "normal"] = "flow"
    prior_depth: int = Field(default=6, ge=1)
    n_components: int = Field(default=4, ge=1)
    importance_samples: int = Field(default=32, ge=1)
    training: VAETraining = VAETraining()

    def build(self, layout: Layout, n_rows: int, rng: torch.Generator) -> VAE:
        """Return the untrained model."""
        return VAE(layout, self, n_rows, rng)


class _Weighed(NamedTuple):
    """A latent vector of each row's posterior.

    Attributes:
        z: **(batch, latent_size)**.
        log_weight: log p(row, z) - log q(z | row) **(batch,)**.
        cells: -log p(cell | z, earlier cells) **(batch, n_columns)**.
    """

    z: Tensor
    log_weight: Tensor
    cells: Tensor


class VAE(Model):
    """The family: an encoder, a decoder and a prior, trained together."""

    rank: Tensor

    def __init__(self, layout: Layout, config: VAEConfig, n_rows: int, rng: torch.Generator) -> None:
        super().__init__(layout)
        self.config = config
        rate = auto_dropout(n_rows, layout.n_columns) if config.dropout is None else config.dropout
        size, width = config.latent_size, config.width or auto_width(n_rows)
        self.encoder = RowEncoder(layout, 2 * width, config.depth, size, rate, rng)
        self.decoder = CellDecoder(layout, width, config.decoder_depth, size, config.n_components, rate, rng)
        self.prior = LatentFlow(size, config.prior_depth, rng) if config.prior == "flow" else None
        self.order = sampling_order(layout)
        self.register_buffer("rank", torch.tensor(self.order).argsort(), persistent=False)

    def objectives(self) -> tuple[Objective, ...]:
        """Return the evidence lower bound, whose last term moves the prior alone."""
        return (Objective("elbo", list(self.parameters()), self.loss, self.validation),)

    def loss(self, batch: Batch, rng: torch.Generator, progress: float) -> Tensor:
        """Return the negative lower bound per row **(batch,)** with dropout, annealing and free bits.

        The divergence is the closed one from a standard normal prior. The flow's own term is the negative log density
        of latent vectors that are taken as given.
        """
        config = self.config
        mean, log_variance = self.encode(batch, rng)
        z, _ = draw_posterior(mean, log_variance, rng)
        rank = known_first(self.rank, draw_known(len(batch), self.rank, config.ordered_share, rng))
        cells = self.decoder.negative_log_likelihood(z, batch, rank, rng, config.cell_dropout)
        beta = config.beta * min(1.0, progress / config.annealed_share if config.annealed_share else 1.0)
        divergence = kl_divergence(mean, log_variance).mean(0).clamp(min=config.free_bits).sum()
        loss = cells.sum(1) + beta * divergence
        return loss if self.prior is None else loss - self.prior.log_prob(z.detach())

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the negative lower bound per row **(batch,)** in nats under the learned prior, without dropout."""
        return -self.log_weight(batch, rng)

    def log_weight(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return log p(row, z) - log q(z | row) **(batch,)** in nats for one z of the posterior."""
        return self._weighed(batch, rng).log_weight

    def _weighed(self, batch: Batch, rng: torch.Generator) -> _Weighed:
        mean, log_variance = self.encode(batch)
        z, noise = draw_posterior(mean, log_variance, rng)
        log_posterior = normal_log_prob(noise) - log_variance.sum(1) / 2
        log_prior = normal_log_prob(z) if self.prior is None else self.prior.log_prob(z)
        cells = self.decoder.negative_log_likelihood(z, batch, self.rank.expand(len(batch), -1), None)
        return _Weighed(z, log_prior - log_posterior - cells.sum(1), cells)

    @property
    def density_kind(self) -> DensityKind:
        """A bound, which is the tighter the more `importance_samples` there are."""
        return "lower_bound"

    @torch.no_grad()
    def log_density(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the importance-weighted lower bound of log p(row) **(batch,)** in nats.

        Positions in bins have the uniform base measure on [0, 1). Source: Burda et al. 2016, "Importance weighted
        autoencoders", arXiv:1509.00519, equation 8.
        """
        return self._in_parts(batch, lambda part: self._bound(part, self.config.importance_samples, rng))

    @property
    def joint_terms(self) -> tuple[str, ...]:
        """What a row costs beside its cells: its place in latent space."""
        return ("latent vector",)

    @torch.no_grad()
    def nats_by_term(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return -log p(cell | z, cells before it), over the posterior of z, and what the bound has beside them.

        Cells are weighted by the importance of their latent vector. What is left of the bound is the divergence of the
        posterior from the prior, as far as the samples show it.
        """
        return self._in_parts(batch, lambda part: self._terms(part, rng))

    def _terms(self, batch: Batch, rng: torch.Generator) -> Tensor:
        n_samples = self.config.importance_samples
        drawn = [self._weighed(batch, rng) for _ in range(n_samples)]
        log_weights = torch.stack([one.log_weight for one in drawn])
        share = log_weights.softmax(0).unsqueeze(2)
        cells = (share * torch.stack([one.cells for one in drawn])).sum(0)
        score = math.log(n_samples) - log_weights.logsumexp(0)
        return torch.cat([cells, (score - cells.sum(1)).unsqueeze(1)], dim=1)

    @torch.no_grad()
    def conditionals(self, batch: Batch, rng: torch.Generator) -> list[Tensor]:
        """Return log p(token | all other cells of its row) **(batch, size)** in nats, an estimate.

        It is the mean of p(token | z, others) over z given the other cells. These z are latent vectors of the whole
        row's posterior, weighted by their importance over p(cell | z, others), which takes the cell itself out again.
        """
        drawn = [
            self._weighed(batch, rng) for _ in range(min(self.config.importance_samples, MOST_CONDITIONAL_SAMPLES))
        ]
        log_weights, cells, tokens = zip(*(self._given_others(one, batch) for one in drawn), strict=True)
        shares = (torch.stack(log_weights).unsqueeze(2) + torch.stack(cells)).log_softmax(0)
        columns = (torch.stack(column) for column in zip(*tokens, strict=True))
        return [(shares[:, :, i : i + 1] + logs).logsumexp(0) for i, logs in enumerate(columns)]

    def _given_others(self, one: _Weighed, batch: Batch) -> tuple[Tensor, Tensor, list[Tensor]]:
        cells = self.decoder.negative_log_likelihood(one.z, batch, None, None)
        return one.log_weight, cells, self.decoder.log_probs_given_others(one.z, batch)

    @property
    def _rows_at_once(self) -> int:
        """So many rows that neither their cells nor the logits of their largest column take much memory."""
        return max(1, CELLS_PER_BOUND // max(self.layout.n_columns, max(self.layout.sizes) // LOGITS_PER_CELL))

    def _in_parts(self, batch: Batch, work: Callable[[Batch], Tensor]) -> Tensor:
        """Return `work` of the rows, so many at a time that memory does not grow with their number."""
        rows = torch.split(torch.arange(len(batch), device=batch.tokens.device), self._rows_at_once)
        return torch.cat([work(batch.take(part)) for part in rows])

    def _bound(self, batch: Batch, n_samples: int, rng: torch.Generator) -> Tensor:
        weights = torch.stack([self.log_weight(batch, rng) for _ in range(n_samples)])
        return weights.logsumexp(0) - math.log(n_samples)

    @torch.no_grad()
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:  # noqa: ARG002
        """Draw rows: latent vectors from the prior, then the cells in the sampling order, the given ones first.

        Where cells are given, latent vectors are drawn from p(z | given) by sampling-importance-resampling: the n rows
        that are given the same cells have a pool of 4 n from the prior, which is resampled in proportion to
        p(given | z). A pool has at least 64 latent vectors, and all pools together at least 4,096. The error is that of
        a self-normalised estimate, of order one over the effective size of the pool.
        Source: Rubin 1988, "Using the SIR algorithm to simulate posterior distributions".

        What the decoder says behind given cells is learned from fewer rows than what it says along the order. So where
        the given cells are not the first of the order, each row has 8 candidates, a latent vector with cells, of which
        one is kept in proportion to the cells' probability along the order over that with which they were drawn.
        """
        if not given:
            return self.decode(self._draw_prior(len(given), rng), rng)
        if given.are_first(self.order):
            return self.decode(self._draw_posterior(given, rng), rng, given)
        candidates = given.repeated(N_CANDIDATES)
        z = self._draw_posterior(candidates, rng)
        rows = self._cells(z, rng, candidates)
        kept = keep_one(self._log_weights(z, rows, candidates.mask).view(-1, N_CANDIDATES), rng)
        return rows.take(kept).encoded(self.layout)

    def _log_weights(self, z: Tensor, rows: Batch, known: Tensor) -> Tensor:
        """Return log p(row | z) along the order less that with the known cells first **(batch,)** in nats."""

        def weigh(part: Tensor) -> Tensor:
            batch = Batch(rows.tokens[part], rows.values[part].float())
            ranks = (known_first(self.rank, known[part]), self.rank.expand(len(part), -1))
            drawn, along = (self.decoder.negative_log_likelihood(z[part], batch, rank, None).sum(1) for rank in ranks)
            return drawn - along

        return torch.cat(
            [weigh(part) for part in torch.split(torch.arange(len(z), device=z.device), self._rows_at_once)]
        )

    def _draw_posterior(self, given: Given, rng: torch.Generator) -> Tensor:
        """Return a latent vector for each row **(n, latent_size)**, drawn given its known cells."""
        pattern = given.patterns()
        n_rows = pattern.bincount()
        smallest = max(SMALLEST_POOL_OF_A_PATTERN, SMALLEST_POOL // len(n_rows))
        pools = torch.repeat_interleave((POOL * n_rows).clamp(min=smallest))
        first = torch.full_like(n_rows, len(pattern))
        first = first.scatter_reduce(0, pattern, torch.arange(len(pattern), device=pattern.device), "amin")
        z = self._draw_prior(len(pools), rng)
        log_weights = torch.cat(
            [
                self.decoder.log_prob_of_given(z[rows], given.take(first[pools[rows]]), self.order)
                for rows in torch.split(torch.arange(len(z), device=z.device), self._rows_at_once)
            ]
        )
        chosen = systematic_resample(log_weights, pools, n_rows, rng)
        return torch.empty_like(z[: len(given)]).index_copy(0, pattern.argsort(stable=True), z[chosen])

    def _draw_prior(self, n: int, rng: torch.Generator) -> Tensor:
        if self.prior is None:
            return torch.randn(n, self.config.latent_size, generator=rng, device=self.rank.device)
        return self.prior.sample(n, rng)

    def encode(self, batch: Batch, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return mean and log variance of the posterior of each row, both **(batch, latent_size)**.

        `rng` drives the dropout and is None but in training.
        """
        mean, log_variance = self.encoder(batch, rng)
        return mean, log_variance

    @torch.no_grad()
    def decode(self, z: Tensor, rng: torch.Generator | None, given: Given | None = None) -> Encoded:
        """Return a row for each latent vector **(batch, latent_size)**.

        Args:
            z: the latent vectors.
            rng: of the cells' draws; None takes the likeliest token of each cell and the centre of its value.
            given: the cells that are known, of as many rows.
        """
        return self._cells(z, rng, given or Given.nothing(len(z), self.layout).to(z.device)).encoded(self.layout)

    def _cells(self, z: Tensor, rng: torch.Generator | None, given: Given) -> Batch:
        tokens, positions = self.decoder.draw(z, given, self.order, rng)
        return Batch(tokens, given.complete(positions))

    def interpolate(self, first: Batch, last: Batch, n_steps: int) -> Encoded:
        """Return `n_steps` likeliest rows on the straight line between the encoded means of two rows, ends included.

        Args:
            first: one row.
            last: another.
            n_steps: rows to return, at least two.
        """
        (start, _), (end, _) = self.encode(first), self.encode(last)
        along = torch.linspace(0, 1, n_steps, device=start.device).unsqueeze(1)
        return self.decode(torch.lerp(start, end, along), None)

    def diagnostics(self, held_out: Batch, rng: torch.Generator) -> dict[str, Any]:
        """Return how much the latent vector is used, and how tight the bound is, on held-out rows in nats per row.

        A unit is active where its posterior mean varies between rows by more than 0.01 (Burda et al. 2016, section 5);
        a model without active units has collapsed: its decoder ignores the latent vector.
        """
        rows = held_out.take(torch.arange(min(len(held_out), DIAGNOSED_ROWS), device=held_out.tokens.device))
        mean, log_variance = self.encode(rows)
        return {
            "latent_size": self.config.latent_size,
            "active_units": int((mean.var(0) > ACTIVE_VARIANCE).sum()),
            "kl_per_dimension": [round(nats, 4) for nats in kl_divergence(mean, log_variance).mean(0).tolist()],
            "elbo": round(self._bound(rows, 1, rng).mean().item(), 4),
            f"iwae_{DIAGNOSED_SAMPLES}": round(self._bound(rows, DIAGNOSED_SAMPLES, rng).mean().item(), 4),
        }


def draw_posterior(mean: Tensor, log_variance: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return z = mean + sigma noise and the noise, both **(batch, latent_size)**.

    Source: Kingma and Welling 2014, arXiv:1312.6114, section 2.4.
    """
    noise = torch.randn(mean.shape, generator=rng, device=mean.device)
    return mean + torch.exp(log_variance / 2) * noise, noise
