"""The networks of the variational autoencoder: a row into a normal posterior, a latent vector into a row, cell by cell.

A cell is a token and, where the token is a bin, the probit of the position inside it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Layout

from .given import Batch, Given
from .heads import TokenEmbedding, TokenHead
from .masked import CELLS_PER_PASS
from .nets import Trunk, linear
from .token_matrix import TokenMatrix
from .values import CellValues, to_position

LOG_VARIANCES = (-12.0, 4.0)
LOG_SCALES = (-4.0, 2.0)


class RowEncoder(nn.Module):
    """All cells of a row into the mean and log variance of its latent vector."""

    def __init__(
        self, layout: Layout, width: int, depth: int, latent_size: int, rate: float, rng: torch.Generator
    ) -> None:
        super().__init__()
        self.values = CellValues(layout)
        self.embedding = TokenEmbedding(layout, width, rng)
        self.slopes = nn.Parameter(torch.zeros(len(layout.valued), width))
        self.trunk = Trunk(width, depth, rng, rate=rate)
        self.out = linear(width, 2 * latent_size, rng, scale=0.3)

    def forward(self, batch: Batch, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Return mean and log variance **(batch, latent_size)** in float32; `rng` drives the dropout."""
        everything = torch.ones_like(batch.tokens, dtype=torch.bool)
        hidden = self.embedding(batch.tokens, everything) + self.values.normal(batch) @ self.slopes
        mean, log_variance = self.out(self.trunk(hidden, rng)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(*LOG_VARIANCES)


class CellDecoder(nn.Module):
    """The distribution of every cell given the latent vector and the cells before it, in any order."""

    offsets: Tensor

    def __init__(
        self,
        layout: Layout,
        width: int,
        depth: int,
        latent_size: int,
        n_components: int,
        rate: float,
        rng: torch.Generator,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.latent = linear(latent_size, width, rng)
        self.latent_trunk = Trunk(width, 1, rng, rate=rate)
        self.matrix = TokenMatrix(layout, width, rng, scale=1 / math.sqrt(layout.n_columns))
        self.slopes = nn.Parameter(torch.zeros(len(layout.valued), width))
        self.column = nn.Parameter(torch.empty(layout.n_columns, width).normal_(generator=rng))
        self.trunk = Trunk(width, depth, rng, rate=rate, expansion=1)
        self.token_head = TokenHead(layout, width, rng)
        self.values = CellValues(layout)
        self.value_head = ValueHead(len(layout.valued), width, n_components, rng)
        self.register_buffer("offsets", torch.from_numpy(layout.offsets), persistent=False)

    def start(self, z: Tensor, rng: torch.Generator | None) -> Tensor:
        """Return the hidden state **(batch, width)** before the first cell."""
        start: Tensor = self.latent_trunk(self.latent(z), rng)
        return start

    def negative_log_likelihood(
        self, z: Tensor, batch: Batch, rank: Tensor | None, rng: torch.Generator | None, cell_dropout: float = 0.0
    ) -> Tensor:
        """Return -log p(cell | z, earlier cells) in nats **(batch, n_columns)**.

        Args:
            z: the latent vectors **(batch, latent_size)**.
            batch: the rows.
            rank: **(batch, n_columns)**: a cell is earlier than those of higher rank; None: than all others.
            rng: of the dropout; None where there is none.
            cell_dropout: the part of earlier cells that is hidden.
        """
        x, tokens, cells = self._vectors(batch)
        earlier = _others(batch.tokens) if rank is None else rank.unsqueeze(1) < rank.unsqueeze(2)
        if cell_dropout:
            earlier &= torch.rand(earlier.shape, generator=rng, device=z.device) >= cell_dropout
        state = self.start(z, rng).unsqueeze(1) + torch.bmm(earlier.to(cells.dtype), cells)
        cell_states = self.trunk(state + self.column, rng)
        nll = list(self.token_head.negative_log_likelihood(cell_states, batch.tokens).unbind(1))
        # Unbound, not sliced: the gradient of a slice is as large as the whole.
        hidden, vectors = cell_states.unbind(1), tokens.unbind(1)
        values = zip(self.layout.valued, x.unbind(1), self.values.present(batch.tokens).unbind(1), strict=True)
        for place, (column, value, present) in enumerate(values):
            density = self.value_head.log_density(hidden[column], vectors[column], value, place)
            nll[column] = nll[column] - density * present
        return torch.stack(nll, dim=1)

    def log_probs_given_others(self, z: Tensor, batch: Batch) -> list[Tensor]:
        """Return log p(token | z, all other cells) of every token of each column **(batch, size)** in nats."""
        cells = self._vectors(batch)[2]
        state = self.start(z, None).unsqueeze(1) + cells.sum(1, keepdim=True) - cells
        return self.token_head.log_probs(self.trunk(state + self.column, None))

    def _vectors(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Return values on the normal scale **(batch, n_valued)**, and the vectors of tokens and of whole cells."""
        x = self.values.normal(batch)
        tokens = self.matrix.vectors(batch.tokens)
        return x, tokens, tokens.index_add(1, self.values.columns, (x.unsqueeze(2) * self.slopes).to(tokens.dtype))

    def log_prob_of_given(self, z: Tensor, given: Given, order: Iterable[int]) -> Tensor:
        """Return log p(given cells | z) **(batch,)** in nats, in each row along an order of all columns.

        Args:
            z: the latent vectors **(batch, latent_size)**.
            given: as many rows.
            order: of the columns.
        """
        chain, cells = Chain(self, z), _GivenCells(self, given)
        total = torch.zeros(len(z), device=z.device)
        for column in order:
            rows, token, value = cells.of(column)
            if len(rows):
                total[rows] += chain.log_prob(column, rows, token, value)
                chain.add(column, rows, token, value)
        return total

    def draw(self, z: Tensor, given: Given, order: list[int], rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw rows cell by cell along an order of all columns, the given cells first.

        Args:
            z: the latent vectors **(batch, latent_size)**.
            given: as many rows.
            order: of the columns.
            rng: of the draws; None takes the likeliest of each cell.

        Returns:
            tokens int64 **(batch, n_columns)** and positions in the bins **(batch, n_valued)**, which are not
            set where they are given.
        """
        chain, cells = Chain(self, z), _GivenCells(self, given)
        tokens = torch.where(given.mask, given.batch.tokens, 0)
        values = torch.zeros(len(z), len(self.layout.valued), device=z.device)
        for column in order:
            chain.add(column, *cells.of(column))
        for column in order:
            rows = (~given.mask[:, column]).nonzero().squeeze(1)
            token, value = chain.draw(column, rows, given.forbidden(column), rng)
            chain.add(column, rows, token, value)
            tokens[rows, column] = token
            if column in chain.places:
                values[rows, chain.places[column]] = value
        return tokens, to_position(values)


class _GivenCells:
    """The given cells, column by column: their rows, tokens and values on the normal scale."""

    def __init__(self, decoder: CellDecoder, given: Given) -> None:
        self.given, self.places = given, {column: place for place, column in enumerate(decoder.layout.valued)}
        self.values = decoder.values.given(given)[1]

    def of(self, column: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return rows, tokens and values, each **(n_given,)**."""
        rows = self.given.mask[:, column].nonzero().squeeze(1)
        token = self.given.batch.tokens[rows, column]
        value = self.values[rows, self.places[column]] if column in self.places else torch.zeros_like(token)
        return rows, token, value


class ValueHead(nn.Module):
    """A mixture of normals on the probit scale for the value of each valued column; it starts near the uniform one.

    Source: Uria et al. 2013, "RNADE", arXiv:1306.0186, equation 8, for the mixture given earlier cells.
    """

    def __init__(self, n_valued: int, width: int, n_components: int, rng: torch.Generator) -> None:
        super().__init__()
        self.hidden = linear(2 * width, width, rng)
        self.weight = nn.Parameter(torch.zeros(n_valued, 3 * n_components, width))
        bias = torch.zeros(n_valued, 3, n_components)
        bias[:, 1] = torch.linspace(-0.1, 0.1, n_components)
        self.bias = nn.Parameter(bias.flatten(1))

    def mixture(self, hidden: Tensor, token: Tensor, place: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return log weights, means and log scales of a column, each **(batch, n_components)**.

        Args:
            hidden: the column's hidden state **(batch, width)**.
            token: the vector of its token, of the same shape.
            place: of the column among the valued ones.
        """
        hidden = F.silu(self.hidden(torch.cat([hidden.to(token.dtype), token], dim=1)))
        out = F.linear(hidden, self.weight[place]).float() + self.bias[place]
        logits, means, log_scales = out.chunk(3, dim=1)
        return logits.log_softmax(1), means, log_scales.clamp(*LOG_SCALES)

    def log_density(self, hidden: Tensor, token: Tensor, value: Tensor, place: int) -> Tensor:
        """Return the log density in nats **(batch,)** of values on the probit scale.

        The base measure is that of positions uniform on [0, 1), which is a standard normal value.
        """
        logits, means, log_scales = self.mixture(hidden, token, place)
        squares = ((value.unsqueeze(1) - means) * torch.exp(-log_scales)).square()
        return torch.logsumexp(logits - log_scales - squares / 2, dim=1) + value.square() / 2

    def draw(self, hidden: Tensor, token: Tensor, place: int, rng: torch.Generator | None) -> Tensor:
        """Draw a value per row **(batch,)** on the probit scale; `rng` None takes the heaviest component's mean."""
        logits, means, log_scales = self.mixture(hidden, token, place)
        component = pick(logits, rng).unsqueeze(1)
        mean = means.gather(1, component).squeeze(1)
        if rng is None:
            return mean
        noise = torch.randn(len(mean), generator=rng, device=mean.device)
        return mean + log_scales.gather(1, component).squeeze(1).exp() * noise


class Chain:
    """Rows that are decoded one column at a time. A cell is its token and its value, 0 where the token has none.

    Attributes:
        state: the latent vector and all cells so far, summed up **(batch, width)**.
        places: valued column -> its place among them.
    """

    def __init__(self, decoder: CellDecoder, z: Tensor) -> None:
        self.decoder, self.matrix, self.head = decoder, decoder.matrix(), decoder.token_head.matrix()
        self.state = decoder.start(z, None).float()
        self.places = {column: place for place, column in enumerate(decoder.layout.valued)}

    def add(self, column: int, rows: Tensor, token: Tensor, value: Tensor) -> None:
        """Put the cells of some rows in a column into the state."""
        added = self._vector(column, token)
        if column in self.places:
            added = added + value.unsqueeze(1) * self.decoder.slopes[self.places[column]]
        self.state = self.state.index_add(0, rows, added.to(self.state.dtype))

    def draw(self, column: int, rows: Tensor, forbidden: Tensor, rng: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Draw the cells of some rows in a column: token and value, both **(n_rows,)**.

        Args:
            column: which.
            rows: int64 **(n_rows,)**.
            forbidden: bool **(size,)**, the tokens that may not be drawn.
            rng: None takes the likeliest.
        """
        hidden = self._hidden(column, rows)

        def tokens(hidden: Tensor) -> Tensor:
            return pick(self._logits(column, hidden).masked_fill(forbidden, -math.inf), rng)

        token = self._in_parts(column, tokens, hidden)
        present = self._present(column, token)
        if column not in self.places:
            return token, present
        value = self.decoder.value_head.draw(hidden, self._vector(column, token), self.places[column], rng)
        return token, present * value

    def log_prob(self, column: int, rows: Tensor, token: Tensor, value: Tensor) -> Tensor:
        """Return the log density of the cells of some rows in a column **(n_rows,)** in nats."""
        hidden = self._hidden(column, rows)

        def log_probs(hidden: Tensor, token: Tensor) -> Tensor:
            return -F.cross_entropy(self._logits(column, hidden), token, reduction="none")

        log_prob = self._in_parts(column, log_probs, hidden, token)
        if column not in self.places:
            return log_prob
        vector, place = self._vector(column, token), self.places[column]
        density = self.decoder.value_head.log_density(hidden, vector, value, place)
        return log_prob + density * self._present(column, token)

    def _hidden(self, column: int, rows: Tensor) -> Tensor:
        hidden: Tensor = self.decoder.trunk(self.state[rows] + self.decoder.column[column], None)
        return hidden

    def _in_parts(self, column: int, work: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
        """Return `work` of the tensors, so many rows at a time that memory does not grow with the column's size."""
        n_rows = max(1, CELLS_PER_PASS // self.decoder.layout.sizes[column])
        return torch.cat([work(*parts) for parts in zip(*(torch.split(x, n_rows) for x in tensors), strict=True)])

    def _logits(self, column: int, hidden: Tensor) -> Tensor:
        a, b = self.decoder.token_head.bounds[column]
        return F.linear(hidden, self.head[a:b]).float() + self.decoder.token_head.bias[a:b]

    def _vector(self, column: int, token: Tensor) -> Tensor:
        vector: Tensor = self.matrix[self.decoder.offsets[column] + token]
        return vector

    def _present(self, column: int, token: Tensor) -> Tensor:
        """Return 1 where the token carries a value and 0 elsewhere **(batch,)**."""
        valued = torch.from_numpy(self.decoder.layout.columns[column].valued).to(token.device)
        return valued[token].float()


def _others(tokens: Tensor) -> Tensor:
    """Return bool **(batch, n_columns, n_columns)**: of each cell, which are not itself."""
    return ~torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device).expand(len(tokens), -1, -1)


def pick(logits: Tensor, rng: torch.Generator | None) -> Tensor:
    """Draw an index per row of **(batch, size)** logits by inversion; `rng` None takes the likeliest."""
    if rng is None:
        return logits.argmax(1)
    cumulative = logits.softmax(1).cumsum(1)
    # Points in (0, total]: the first sum to reach one never belongs to an index of probability zero.
    points = cumulative[:, -1:] * (1 - torch.rand(len(logits), 1, generator=rng, device=logits.device))
    return torch.searchsorted(cumulative, points).squeeze(1)
