"""How far drawn rows are from held-out ones, without a likelihood and without training a classifier."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.encoded import Layout, TokenColumn

MOST_GROUPS = 16
POWER = 4
FREQUENT, MISSED = 0.01, 0.1


class DetectionScore(nn.Module):
    """Compares rows by how many of their cells fall into the same groups: bins of like size, or single categories."""

    group: Tensor
    offsets: Tensor

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.n_columns, self.n_groups = layout.n_columns, MOST_GROUPS * layout.n_columns
        groups = [_groups(column) + MOST_GROUPS * i for i, column in enumerate(layout.columns)]
        self.register_buffer("group", torch.from_numpy(np.concatenate(groups)), persistent=False)
        self.register_buffer("offsets", torch.from_numpy(layout.offsets), persistent=False)

    def forward(self, held_out: Tensor, drawn: Tensor) -> Tensor:
        """Return each held-out row's share **(batch,)** of the squared maximum mean discrepancy, in thousandths.

        The kernel is the share of cells in which two rows agree to the fourth power, so that the score is 0 only where
        all distributions of up to four columns are the same, and an unbiased estimate: Gretton et al. 2012, "A kernel
        two-sample test", JMLR 13, equation 3.

        Args:
            held_out: tokens **(batch, n_columns)**.
            drawn: tokens **(n, n_columns)**, two rows at least.
        """
        train, drawn = self._indicators(held_out), self._indicators(drawn)
        half = len(drawn) // 2
        among_drawn = self._kernel(drawn[:half], drawn[half:]).mean()
        among_train = (self._kernel(train, train).sum(1) - 1) / max(1, len(train) - 1)
        return 1_000 * (among_drawn + among_train - 2 * self._kernel(train, drawn).mean(1))

    def modes(self, held_out: Tensor, drawn: Tensor) -> dict[str, float]:
        """Return how many groups and pairs of groups hold 1 % of the held-out rows, and the share that is missed.

        Missed are those with less than a tenth of the frequency among the drawn rows.
        """
        train, drawn = (self._pairs(self._indicators(tokens)) for tokens in (held_out, drawn))
        frequent = (train >= FREQUENT).triu()
        missed = frequent & (drawn < MISSED * train)
        n = int(frequent.sum())
        return {"modes": n, "missed_share": float(missed.sum()) / max(1, n)}

    def _indicators(self, tokens: Tensor) -> Tensor:
        """Return 1 for the groups that a row falls into **(batch, n_groups)**."""
        places = self.group[tokens + self.offsets]
        return torch.zeros(len(tokens), self.n_groups, device=tokens.device).scatter(1, places, 1.0)

    def _kernel(self, a: Tensor, b: Tensor) -> Tensor:
        return ((a @ b.T).float() / self.n_columns) ** POWER

    def _pairs(self, indicators: Tensor) -> Tensor:
        """Return the share of rows **(n_groups, n_groups)** that fall into two groups; on the diagonal, into one."""
        return (indicators.T @ indicators).float() / len(indicators)


def _groups(column: TokenColumn) -> npt.NDArray[np.int64]:
    """Return the group of each token: ordered ones by their quantile, the most common of the others one by one."""
    ordered = np.isfinite(column.coordinate)
    n_ordered = MOST_GROUPS // 2 if ordered.any() and not ordered.all() else MOST_GROUPS * int(ordered.any())
    rank = np.empty(column.size, np.int64)
    rank[np.argsort(-np.where(ordered, -1, column.counts), kind="stable")] = np.arange(column.size)
    by_quantile = np.minimum(n_ordered - 1, (np.nan_to_num(column.coordinate) * n_ordered).astype(np.int64))
    by_rank = np.minimum(MOST_GROUPS - 1, rank + n_ordered)
    groups: npt.NDArray[np.int64] = np.where(ordered, by_quantile, by_rank)
    return groups
