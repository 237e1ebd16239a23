"""The network of masked tokens: the distribution of every unknown token given the known ones, and drawing from it.

Flow matching and diffusion share it. The masked path of a discrete flow and absorbing-state diffusion are one process:
at time t each cell is known with some probability and masked otherwise, and what is learned is the clean token of a
masked cell, which does not depend on t (Ou et al. 2024, arXiv:2406.03736, theorem 1). Drawn one cell at a time the
process is exact and its likelihood is the chain rule; Hoogeboom et al. 2022, arXiv:2110.02037.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.encoded import Layout

from .given import N_CANDIDATES, UNOBSERVED, Batch, Given
from .heads import ColumnHeads, TokenHead, draw_tokens, log_marginal
from .loss_curve import LossCurve, Losses, loss_curve, strata
from .nets import Trunk
from .prior import keep_one
from .schedule import draw_known, known_first
from .token_matrix import TokenMatrix

CELLS_PER_PASS = 1 << 21


class MaskedTokens(nn.Module):
    """The distribution of a masked token given the known ones, for any column and any set of known cells.

    The hidden state is a function of the sum of the known tokens' vectors and of a vector that says which column is
    asked for. Along an order of the columns all such sums of a row come from one product with a triangular matrix, so
    that training sees every term of the chain rule at once; Larochelle and Murray 2011, "The neural autoregressive
    distribution estimator", and for any order Uria et al. 2014, arXiv:1310.1757.

    Attributes:
        order: the columns in the order in which they are drawn.
        rank: int64 **(n_columns,)**, each column's place in it.
    """

    rank: Tensor
    offsets: Tensor

    def __init__(self, layout: Layout, width: int, depth: int, rate: float, share: float, rng: torch.Generator) -> None:
        super().__init__()
        self.layout = layout
        self.matrix = TokenMatrix(layout, width, rng, scale=1 / math.sqrt(layout.n_columns))
        self.asked = nn.Parameter(torch.empty(layout.n_columns, width).normal_(generator=rng))
        self.trunk = Trunk(width, depth, rng, rate=rate, expansion=1)
        self.head = TokenHead(layout, width, rng)
        self.ordered_share = share
        self.order = sampling_order(layout)
        self.register_buffer("rank", torch.tensor(self.order).argsort(), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(layout.offsets), persistent=False)

    def hidden(self, tokens: Tensor, known: Tensor, column: Tensor | int, matrix: Tensor) -> Tensor:
        """Return the hidden state **(batch, width)** for a column, or for one of each row.

        Args:
            tokens: int64 **(batch, n_columns)**; those of unknown cells are not looked at.
            known: bool **(batch, n_columns)**.
            column: which is asked for, an index or int64 **(batch,)**.
            matrix: what `self.matrix()` returns.
        """
        weights = known.to(matrix.dtype)
        state = F.embedding_bag(tokens + self.offsets, matrix, mode="sum", per_sample_weights=weights)
        hidden: Tensor = self.trunk(state + self.asked[column], None)
        return hidden

    def nats(self, tokens: Tensor, rank: Tensor, rng: torch.Generator | None) -> Tensor:
        """Return -log p(token | those of lower rank) of each cell **(batch, n_columns)**.

        Args:
            tokens: int64 **(batch, n_columns)**; cells that are `UNOBSERVED` have no nats, and no other cell sees them.
            rank: int64 of the same shape, an order of the columns for each row.
            rng: of the dropout; None where there is none.
        """
        observed = tokens != UNOBSERVED
        nats = self.head.negative_log_likelihood(self.along(tokens, rank, rng), tokens.clamp(min=0))
        return torch.where(observed, nats, 0.0)

    def along(self, tokens: Tensor, rank: Tensor, rng: torch.Generator | None) -> Tensor:
        """Return the hidden state of each cell given those of lower rank **(batch, n_columns, width)**; see `nats`."""
        vectors = self.matrix.vectors(tokens.clamp(min=0))
        earlier = (rank.unsqueeze(1) < rank.unsqueeze(2)) & (tokens != UNOBSERVED).unsqueeze(1)
        hidden: Tensor = self.trunk(torch.bmm(earlier.to(vectors.dtype), vectors) + self.asked, rng)
        return hidden

    def conditionals(self, tokens: Tensor) -> list[Tensor]:
        """Return log p(token | all others of its row) of every token of each column **(batch, size)**.

        No cell is told of those that are `UNOBSERVED`.
        """
        vectors = self.matrix.vectors(tokens.clamp(min=0)) * (tokens != UNOBSERVED).unsqueeze(2)
        others = vectors.sum(1, keepdim=True) - vectors
        return self.head.log_probs(self.trunk(others + self.asked, None))

    def loss(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Return nats per row **(batch,)** with dropout, along the sampling order or behind a random set of cells."""
        known = draw_known(len(batch), self.rank, self.ordered_share, rng)
        return self.nats(batch.tokens, known_first(self.rank, known), rng).sum(1)

    def validation(self, batch: Batch, rng: torch.Generator) -> Tensor:  # noqa: ARG002  nothing is random
        """Return -log p(tokens) along the sampling order **(batch,)**, without dropout."""
        return -self.log_density(batch.tokens)

    def log_density(self, tokens: Tensor) -> Tensor:
        """Return log p(tokens) **(batch,)** in nats: the chain rule along the sampling order, exact."""
        return -self.nats_by_column(tokens).sum(1)

    def nats_by_column(self, tokens: Tensor) -> Tensor:
        """Return -log p(token | those before it in the sampling order) of each cell **(batch, n_columns)**."""
        return self._in_passes(self.nats, tokens, self.rank.expand_as(tokens))

    def entropy_by_column(self, tokens: Tensor) -> Tensor:
        """Return the mean of `nats_by_column` over tokens that the model itself would draw **(batch, n_columns)**.

        It is the entropy of p(token | those before it in the sampling order), 0 for cells that are `UNOBSERVED`.
        """
        return self._in_passes(self._entropy, tokens, self.rank.expand_as(tokens))

    def _entropy(self, tokens: Tensor, rank: Tensor, rng: torch.Generator | None) -> Tensor:
        return torch.where(tokens != UNOBSERVED, self.head.entropy(self.along(tokens, rank, rng)), 0.0)

    def _in_passes(
        self, work: Callable[[Tensor, Tensor, torch.Generator | None], Tensor], tokens: Tensor, rank: Tensor
    ) -> Tensor:
        n_rows = max(1, CELLS_PER_PASS // max(self.asked.numel(), *self.layout.sizes))
        passes = zip(torch.split(tokens, n_rows), torch.split(rank, n_rows), strict=True)
        return torch.cat([work(part, order, None) for part, order in passes])

    def loss_by_time(self, batch: Batch, rng: torch.Generator) -> LossCurve:
        """Return the mean nats of a hidden cell by the share of cells that are known, which are random in each row.

        The share is the time of absorbing-state diffusion and of the masked flow; see `draw_known`. A network that
        learned nothing has the nats of the cell in train's marginals. Cells that are `UNOBSERVED` are not hidden.
        """
        tokens = batch.tokens
        order = torch.rand(tokens.shape, generator=rng, device=tokens.device).argsort(dim=1)
        nats = self._in_passes(self.nats, tokens, order.argsort(dim=1)).gather(1, order)
        marginal, observed = self._marginal_nats(tokens).gather(1, order), (tokens != UNOBSERVED).gather(1, order)
        places = strata(self.layout.n_columns)

        def losses(stratum: int) -> Losses:
            here = slice(places[stratum].start, places[stratum].stop)
            return nats[:, here], marginal[:, here], observed[:, here]

        starts = [stratum.start / self.layout.n_columns for stratum in places]
        return loss_curve("Nats of a hidden cell's token", "Share of cells known", starts, losses)

    def _marginal_nats(self, tokens: Tensor) -> Tensor:
        cells = zip(self.layout.columns, tokens.clamp(min=0).unbind(1), strict=True)
        return torch.stack([-log_marginal(column).to(token.device)[token] for column, token in cells], dim=1)

    def draw(self, given: Given, rng: torch.Generator, guidance: float) -> Tensor:
        """Draw tokens int64 **(n, n_columns)** cell by cell in the sampling order, the given ones first.

        What follows on given cells is learned from fewer rows than what follows along the order. So where the given
        cells are not the first of the order, each row has 8 candidates, of which one is kept in proportion to p / q:
        p is the row's probability along the order, and q that with which it was drawn. Then rows follow p(row | given)
        up to an error of order one over the candidates: Rubin 1988, "Using the SIR algorithm to simulate posterior
        distributions". Rows under guidance follow another distribution, and have one candidate.
        """
        if (guidance and given) or given.are_first(self.order):
            return self._drawn(given, rng, guidance if given else 0.0).tokens
        drawing = self._drawn(given.repeated(N_CANDIDATES), rng, 0.0)
        log_weights = self.log_density(drawing.tokens) - drawing.log_prob
        return drawing.tokens[keep_one(log_weights.view(-1, N_CANDIDATES), rng)]

    def _drawn(self, given: Given, rng: torch.Generator, guidance: float) -> _Drawing:
        drawing = _Drawing(self, given, guidance)
        # Rows with the same known cells have the same distribution: the network sees each such group once.
        group = given.token_patterns()
        for column in self.order:
            drawing.column(column, group, rng)
            group = torch.unique(group * self.layout.sizes[column] + drawing.tokens[:, column], return_inverse=True)[1]
        return drawing


class _Drawing:
    """The state of one draw: the tokens so far, which of them were drawn, and the log of their probability."""

    def __init__(self, net: MaskedTokens, given: Given, guidance: float) -> None:
        self.net, self.given, self.guidance = net, given, guidance
        self.tokens = torch.where(given.mask, given.batch.tokens, 0)
        self.drawn = torch.zeros_like(given.mask)
        self.log_prob = torch.zeros(len(given), device=given.mask.device)
        self.matrix: Tensor = net.matrix()
        self.heads: ColumnHeads = net.head.columns()

    def column(self, column: int, group: Tensor, rng: torch.Generator) -> None:
        """Draw a column's tokens where they are not given, for rows whose known cells agree within each group."""
        open_rows = (~self.given.mask[:, column]).nonzero().squeeze(1)
        if len(open_rows):
            among = torch.unique(group[open_rows], return_inverse=True)[1]
            self.tokens[open_rows, column] = self._draw(column, open_rows, among, rng)
            self.drawn[open_rows, column] = True

    def _draw(self, column: int, rows: Tensor, group: Tensor, rng: torch.Generator) -> Tensor:
        """Return tokens int64 **(len(rows),)** of the given rows, which form groups 0, 1, ... of equal known cells."""
        n_groups = int(group.max()) + 1
        first = torch.full((n_groups,), len(group), device=group.device)
        first = first.scatter_reduce(0, group, torch.arange(len(group), device=group.device), "amin")
        found = torch.empty_like(group)
        step = max(1, CELLS_PER_PASS // max(self.net.layout.sizes[column], self.matrix.shape[1] * 4))
        for a in range(0, n_groups, step):
            b = min(a + step, n_groups)
            members = ((group >= a) & (group < b)).nonzero().squeeze(1)
            logits, local = self._logits(column, rows[first[a:b]]).float(), group[members] - a
            found[members] = draw_tokens(logits, local, rng)
            self.log_prob[rows[members]] += logits[local, found[members]]
        return found

    def _logits(self, column: int, rows: Tensor) -> Tensor:
        """Return **(batch, size)**; with guidance w they are (1 + w) those given the conditions - w those without.

        Source: Ho and Salimans 2022, "Classifier-free diffusion guidance", arXiv:2207.12598, equation 6.
        """
        drawn = self.drawn[rows]
        logits = self._log_probs(column, rows, drawn | self.given.mask[rows])
        if self.guidance:
            logits = (1 + self.guidance) * logits - self.guidance * self._log_probs(column, rows, drawn)
        return logits.masked_fill(self.given.forbidden(column), -math.inf)

    def _log_probs(self, column: int, rows: Tensor, known: Tensor) -> Tensor:
        hidden = self.net.hidden(self.tokens[rows], known, column, self.matrix)
        return self.heads.logits(hidden, column).log_softmax(dim=1)


def sampling_order(layout: Layout) -> list[int]:
    """Return the columns from the smallest vocabulary to the largest: early prefixes repeat and are evaluated once.

    Ties keep the table's order.
    """
    return sorted(range(layout.n_columns), key=lambda column: layout.sizes[column])


def auto_width(n_rows: int) -> int:
    """Return the hidden width that the number of train rows supports."""
    return 64 if n_rows < 2_000 else 128 if n_rows < 100_000 else 256


def auto_dropout(n_rows: int, n_columns: int) -> float:
    """Return the dropout rate: the fewer rows, the more.

    From ten columns on, nearly every row is the only one of its kind, and few rows are learned by heart: with rates of
    .3 and .4 the privacy gate refused 15,849 flights of 17 columns, with .5 it did not. Narrow tables repeat their
    rows, and more than .3 only blurs them.
    """
    if n_rows >= 20_000:
        return 0.2 if n_rows < 100_000 else 0.05
    return 0.5 if n_columns >= 10 else 0.3
