"""Flow matching on tables: a discrete flow on tokens, then a continuous flow on values given all tokens.

p(row) = p(tokens) p(values | tokens).

Tokens follow the masked path: at time t each cell is known with probability t and masked otherwise. The network
predicts the clean token of every masked cell (x1-prediction, cross-entropy); Gat et al. 2024, "Discrete flow matching",
arXiv:2407.15595. Sampled one cell at a time the process is exact and its likelihood is the chain rule, in any order
that was trained; Hoogeboom et al. 2022, "Autoregressive diffusion models", arXiv:2110.02037.

Values follow the linear path between standard normal noise and the probit of the position inside the bin; the network
predicts what the velocity adds to that of Gaussian data; Lipman et al. 2023, arXiv:2210.02747, equation 9.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.encoded import Encoded, Layout

from .config import FlowMatchingConfig
from .heads import ColumnHeads, TokenEmbedding, TokenHead, draw_tokens
from .model import Batch, Known, Model, Objective
from .nets import Trunk, fourier_features, linear
from .schedule import draw_known, linear_path, normal_velocity, stratified_times
from .solver import heun

N_TIME_FREQUENCIES = 4
ROWS_PER_DRAW = 32_768
CELLS_PER_DRAW = 1 << 24
DENSITY_STEPS = 32
SMALLEST_POSITION = 2.0**-20


class TokenFlow(nn.Module):
    """The discrete flow: the distribution of every masked token given the known ones."""

    rank: Tensor

    def __init__(self, layout: Layout, width: int, depth: int, rate: float, share: float, rng: torch.Generator) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(layout, width, rng)
        self.trunk = Trunk(width, depth, rng, rate=rate)
        self.head = TokenHead(layout, width, rng)
        self.ordered_share = share
        self.order = sampling_order(layout)
        self.register_buffer("rank", torch.tensor(self.order).argsort(), persistent=False)

    def hidden(self, tokens: Tensor, known: Tensor, rng: torch.Generator | None) -> Tensor:
        """Return **(batch, width)**; `rng` drives the dropout and is None while sampling."""
        hidden: Tensor = self.trunk(self.embedding(tokens, known), rng)
        return hidden

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return nats per row **(batch,)** with dropout, averaged over what the masked cells can tell of them."""
        known = draw_known(len(batch), self.rank, self.ordered_share, rng)
        nll = self.head.negative_log_likelihood(self.hidden(batch.tokens, known, rng), batch.tokens)
        masked = ~known
        return (nll * masked).sum(1) * (nll.shape[1] / masked.sum(1))

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return an unbiased estimate of -log p(tokens) along the sampling order **(batch,)**, without dropout.

        One random term of the chain rule per row, times the number of terms.
        """
        known = draw_known(len(batch), self.rank, 1.0, rng)
        nll = self.head.negative_log_likelihood(self.hidden(batch.tokens, known, None), batch.tokens)
        following = self.rank.argsort()[known.sum(1)]
        return nll.gather(1, following.unsqueeze(1)).squeeze(1) * nll.shape[1]

    def log_density(self, tokens: Tensor) -> Tensor:
        """Return log p(tokens) **(batch,)** in nats: the chain rule along the sampling order, exact."""
        known = torch.zeros_like(tokens, dtype=torch.bool)
        total = torch.zeros(len(tokens), device=tokens.device)
        for column in self.order:
            nll = self.head.negative_log_likelihood(self.hidden(tokens, known, None), tokens)
            total -= nll[:, column]
            known[:, column] = True
        return total


class ValueFlow(nn.Module):
    """The continuous flow on the values of all columns together, given all tokens."""

    valued_columns: Tensor
    valued_tokens: Tensor

    def __init__(self, layout: Layout, width: int, depth: int, rate: float, rng: torch.Generator) -> None:
        super().__init__()
        n = len(layout.valued)
        self.embedding = TokenEmbedding(layout, width, rng)
        self.state = linear(n, width, rng)
        self.time = linear(2 * N_TIME_FREQUENCIES + 1, width, rng)
        self.trunk = Trunk(width, depth, rng, rate=rate)
        self.out = linear(width, n, rng, scale=0.0)
        flags = np.concatenate([column.valued for column in layout.columns])
        self.register_buffer("valued_columns", torch.tensor(layout.valued), persistent=False)
        self.register_buffer("valued_tokens", torch.from_numpy(flags), persistent=False)

    def present(self, tokens: Tensor) -> Tensor:
        """Return bool **(batch, n_valued)**: which cells carry a value at all."""
        cells = tokens[:, self.valued_columns] + self.embedding.offsets[self.valued_columns]
        present: Tensor = self.valued_tokens[cells]
        return present

    def context(self, tokens: Tensor) -> Tensor:
        """Return **(batch, width)**: what the velocity knows of the tokens, the same at all times."""
        context: Tensor = self.embedding(tokens, torch.ones_like(tokens, dtype=torch.bool))
        return context

    def velocity(self, x: Tensor, t: Tensor, context: Tensor, rng: torch.Generator | None) -> Tensor:
        """Return **(batch, n_valued)** at states x of the same shape and times t **(batch, 1)**."""
        hidden = context + self.state(x) + self.time(fourier_features(t, N_TIME_FREQUENCIES).squeeze(1))
        change: Tensor = self.out(self.trunk(hidden, rng))
        return normal_velocity(x, t) + change.float()

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the flow-matching loss per row **(batch,)** with dropout: squared error of the cells with a value."""
        return self._loss(batch, rng, rng)

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return the loss per row **(batch,)** without dropout."""
        return self._loss(batch, rng, None)

    def _loss(self, batch: Batch, rng: torch.Generator, dropout_rng: torch.Generator | None) -> Tensor:
        present = self.present(batch.tokens)
        data = torch.where(present, to_normal(batch.values), 0.0)
        noise = torch.randn(data.shape, generator=rng, device=data.device) * present
        t = stratified_times(len(batch), rng, data.device).unsqueeze(1)
        x, target = linear_path(noise, data, t)
        error = self.velocity(x, t, self.context(batch.tokens), dropout_rng) - target
        return (error.square() * present).sum(1) / max(1, present.shape[1])

    def draw(self, tokens: Tensor, n_steps: int, rng: torch.Generator) -> Tensor:
        """Draw the positions in the bins **(batch, n_valued)** given all tokens."""
        present, context = self.present(tokens), self.context(tokens)
        noise = torch.randn(present.shape, generator=rng, device=tokens.device) * present

        def velocity(x: Tensor, t: float) -> Tensor:
            return self.velocity(x, x.new_full((len(x), 1), t), context, None) * present

        return to_position(heun(velocity, noise, n_steps))

    def log_density(self, tokens: Tensor, values: Tensor, n_steps: int) -> Tensor:
        """Return log p(values | tokens) **(batch,)** in nats; the base measure of a position is uniform on [0, 1).

        The instantaneous change of variables with the exact trace, solved backwards from data to noise together with
        the state: Chen et al. 2018, "Neural ordinary differential equations", arXiv:1806.07366, equation 8.
        """
        present, context = self.present(tokens), self.context(tokens)
        data = torch.where(present, to_normal(values), 0.0)

        def backwards(state: Tensor, elapsed: float) -> Tensor:
            x = state[:, :-1].detach().requires_grad_()
            t = x.new_full((len(x), 1), 1 - elapsed)
            with torch.enable_grad():
                velocity = self.velocity(x, t, context, None) * present
                divergence = trace(velocity, x)
            return -torch.cat([velocity.detach(), divergence.unsqueeze(1)], dim=1)

        start = torch.cat([data, data.new_zeros(len(data), 1)], dim=1)
        end = heun(backwards, start, n_steps)
        return end[:, -1] + ((data.square() - end[:, :-1].square()) / 2 * present).sum(1)


class FlowMatching(Model):
    """The family: a token flow and, where a column has a continuous part, a value flow."""

    def __init__(self, layout: Layout, config: FlowMatchingConfig, n_rows: int, rng: torch.Generator) -> None:
        super().__init__(layout)
        width = config.width or auto_width(n_rows)
        rate = auto_dropout(n_rows) if config.dropout is None else config.dropout
        self.value_steps = config.value_steps
        self.tokens = TokenFlow(layout, width, config.depth, rate, config.ordered_share, rng)
        self.values = ValueFlow(layout, config.value_width, 2, rate, rng) if layout.valued else None

    def objectives(self) -> tuple[Objective, ...]:
        """Return the token objective and, where there are values, the value objective."""
        flows = {"tokens": self.tokens} | ({"values": self.values} if self.values else {})
        return tuple(Objective(name, list(f.parameters()), f.loss, f.validation) for name, f in flows.items())

    @torch.no_grad()
    def log_density(self, batch: Batch) -> Tensor:
        """Return log p(tokens) + log p(values | tokens) **(batch,)** in nats."""
        parts = [
            self._log_density_part(batch.take(rows))
            for rows in torch.split(torch.arange(len(batch), device=batch.tokens.device), ROWS_PER_DRAW)
        ]
        return torch.cat(parts)

    def _log_density_part(self, batch: Batch) -> Tensor:
        total = self.tokens.log_density(batch.tokens)
        if self.values is None:
            return total
        return total + self.values.log_density(batch.tokens, batch.values, DENSITY_STEPS)

    @torch.no_grad()
    def sample(self, n: int, rng: torch.Generator, known: Known) -> Encoded:
        """Draw `n` rows: tokens cell by cell in the sampling order, the known ones first, then all values at once."""
        parts = [self._sample_part(min(ROWS_PER_DRAW, n - a), rng, known) for a in range(0, n, ROWS_PER_DRAW)]
        tokens = torch.cat([part for part, _ in parts]) if parts else torch.empty(0, self.layout.n_columns)
        values = torch.cat([part for _, part in parts]) if parts else torch.empty(0, len(self.layout.valued))
        return Encoded(self.layout, tokens.to(torch.int32).cpu().numpy(), values.double().cpu().numpy())

    def _sample_part(self, n: int, rng: torch.Generator, known: Known) -> tuple[Tensor, Tensor]:
        tokens = self._sample_tokens(n, rng, known)
        values = tokens.new_empty((n, 0), dtype=torch.float32)
        if self.values is not None:
            values = self.values.draw(tokens, self.value_steps, rng).double()  # a condition comes back exactly
            for place, column in enumerate(self.layout.valued):
                if column in known:
                    values[:, place] = known[column][1]
        return tokens, values

    def _sample_tokens(self, n: int, rng: torch.Generator, known: Known) -> Tensor:
        device = self.tokens.rank.device
        tokens = torch.zeros(n, self.layout.n_columns, dtype=torch.long, device=device)
        for column, (token, _) in known.items():
            tokens[:, column] = token
        heads = self.tokens.head.columns()
        done = list(known)
        # Rows with the same known cells have the same distribution: the network sees each such group once.
        group = torch.zeros(n, dtype=torch.long, device=device)
        for column in (c for c in self.tokens.order if c not in known):
            tokens[:, column] = self._draw_column(column, tokens, done, group, heads, rng)
            done.append(column)
            group = torch.unique(group * self.layout.sizes[column] + tokens[:, column], return_inverse=True)[1]
        return tokens

    def _draw_column(
        self, column: int, tokens: Tensor, done: list[int], group: Tensor, heads: ColumnHeads, rng: torch.Generator
    ) -> Tensor:
        forbidden = torch.from_numpy(~self.layout.columns[column].drawable).to(tokens.device)
        n_groups = int(group.max()) + 1 if len(group) else 0
        first = torch.full((n_groups,), len(group), device=tokens.device)
        first = first.scatter_reduce(0, group, torch.arange(len(group), device=tokens.device), "amin")
        drawn = torch.empty_like(group)
        step = max(1, CELLS_PER_DRAW // max(self.layout.sizes[column], self.tokens.embedding.masked.shape[1] * 4))
        for a in range(0, n_groups, step):
            b = min(a + step, n_groups)
            seen = tokens[first[a:b]]
            known = torch.zeros_like(seen, dtype=torch.bool)
            known[:, done] = True
            logits = heads.logits(self.tokens.hidden(seen, known, None), column).masked_fill(forbidden, -math.inf)
            rows = ((group >= a) & (group < b)).nonzero().squeeze(1)
            drawn[rows] = draw_tokens(logits, group[rows] - a, rng)
        return drawn


def sampling_order(layout: Layout) -> list[int]:
    """Return the columns from the smallest vocabulary to the largest: early prefixes repeat and are evaluated once.

    Ties keep the table's order.
    """
    return sorted(range(layout.n_columns), key=lambda column: layout.sizes[column])


def auto_width(n_rows: int) -> int:
    """Return the hidden width that the number of train rows supports."""
    return 128 if n_rows < 2_000 else 256 if n_rows < 100_000 else 384


def auto_dropout(n_rows: int) -> float:
    """Return the dropout rate: the fewer rows, the more."""
    return 0.3 if n_rows < 20_000 else 0.2 if n_rows < 100_000 else 0.05


def trace(velocity: Tensor, x: Tensor) -> Tensor:
    """Return the trace of d velocity / d x **(batch,)**, exactly: one backward pass per column of x."""
    total = torch.zeros(len(x), device=x.device)
    for i in range(x.shape[1]):
        (gradient,) = torch.autograd.grad(velocity[:, i].sum(), x, retain_graph=True)
        total += gradient[:, i]
    return total


def to_normal(position: Tensor) -> Tensor:
    """Return the probit of positions in [0, 1), kept off the ends by 2**-20."""
    z: Tensor = torch.special.ndtri(position.clamp(SMALLEST_POSITION, 1 - SMALLEST_POSITION))
    return z


def to_position(z: Tensor) -> Tensor:
    """Return the positions in [0, 1) of normal values: the inverse of `to_normal`."""
    position: Tensor = torch.special.ndtr(z)
    return position.clamp(0, 1 - SMALLEST_POSITION)
