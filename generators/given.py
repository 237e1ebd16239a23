"""Rows in encoded form on a device; and what is given to a draw: cells of each row, and which tokens may be drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.encoded import BoolArray, Encoded, Layout

N_CANDIDATES = 8
"""Of each row, where what is given is not what the order begins with; one is kept."""
UNOBSERVED = -1
"""In place of the token of a train cell of which nothing is known: it is not learned, and others are not told of it."""
Known = Mapping[int, tuple[int, float]]
"""The same cells for every row: column index -> (token, position in the bin)."""


@dataclass(frozen=True)
class Batch:
    """Rows in encoded form on a device: tokens int64 **(batch, n_columns)**, values float32 **(batch, n_valued)**."""

    tokens: Tensor
    values: Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def take(self, rows: Tensor) -> Batch:
        """Return the given rows."""
        return Batch(self.tokens[rows], self.values[rows])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(self.tokens.to(device), self.values.to(device))

    @classmethod
    def of(cls, encoded: Encoded) -> Batch:
        """Return a whole encoded table as one batch on the CPU."""
        return cls(torch.from_numpy(encoded.tokens).long(), torch.from_numpy(encoded.values).float())

    def encoded(self, layout: Layout) -> Encoded:
        """Return the rows as an encoded table."""
        return Encoded(layout, self.tokens.to(torch.int32).cpu().numpy(), self.values.double().cpu().numpy())


@dataclass(frozen=True)
class Given:
    """The cells that are known before a draw, of each row its own, and the tokens that the others may have.

    Attributes:
        layout: the columns.
        batch: the rows, their values in double precision; only their given cells are looked at.
        mask: bool **(n, n_columns)**, which cells are given.
        allowed: bool **(n_tokens,)**, which tokens may be drawn in the other cells, the same for all rows.

    Example:
        >>> from pipeline.encoded import TokenColumn
        >>> level = TokenColumn(
        ...     "smoker", np.array([5, 5]), np.ones(2, bool), np.zeros(2, bool), np.full(2, np.nan)
        ... )
        >>> Given.same(3, Layout((level,)), {0: (1, 0.5)}).mask.tolist()
        [[True], [True], [True]]
    """

    layout: Layout
    batch: Batch
    mask: Tensor
    allowed: Tensor

    @classmethod
    def nothing(cls, n: int, layout: Layout) -> Given:
        """Return n rows of which no cell is given; every token that a draw may return is allowed."""
        tokens = torch.zeros(n, layout.n_columns, dtype=torch.long)
        batch = Batch(tokens, torch.zeros(n, len(layout.valued), dtype=torch.float64))
        drawable = np.concatenate([column.drawable for column in layout.columns])
        return cls(layout, batch, torch.zeros_like(tokens, dtype=torch.bool), torch.from_numpy(drawable))

    @classmethod
    def same(cls, n: int, layout: Layout, known: Known) -> Given:
        """Return n rows that all have the same given cells."""
        found = cls.nothing(n, layout)
        for column, (token, value) in known.items():
            found.mask[:, column] = True
            found.batch.tokens[:, column] = token
            if column in layout.valued:
                found.batch.values[:, layout.valued.index(column)] = value
        return found

    @classmethod
    def rows(cls, encoded: Encoded, mask: BoolArray, allowed: BoolArray) -> Given:
        """Return the given cells of encoded rows; `mask` and `allowed` as the attributes."""
        batch = Batch(torch.from_numpy(encoded.tokens).long(), torch.from_numpy(encoded.values))
        return cls(encoded.layout, batch, torch.from_numpy(mask), torch.from_numpy(allowed))

    def __len__(self) -> int:
        return len(self.mask)

    def __bool__(self) -> bool:
        """Whether any cell is given."""
        return bool(self.mask.any())

    def take(self, rows: Tensor) -> Given:
        """Return the given rows."""
        return replace(self, batch=self.batch.take(rows), mask=self.mask[rows])

    def without(self, tokens: Tensor) -> Given:
        """Return the same without some tokens, bool **(n_tokens,)**: they are not given, and may not be drawn."""
        given = tokens[self.batch.tokens + torch.from_numpy(self.layout.offsets)]
        return replace(self, mask=self.mask & ~given, allowed=self.allowed & ~tokens)

    def to(self, device: torch.device) -> Given:
        """Return the same on a device."""
        return replace(self, batch=self.batch.to(device), mask=self.mask.to(device), allowed=self.allowed.to(device))

    def forbidden(self, column: int) -> Tensor:
        """Return bool **(size,)**: which tokens of a column may not be drawn."""
        a = int(self.layout.offsets[column])
        return ~self.allowed[a : a + self.layout.sizes[column]]

    def are_first(self, order: Sequence[int]) -> bool:
        """Return whether in every row the given cells are the first of an order of the columns."""
        along = self.mask[:, list(order)]
        return bool((along[:, 1:] <= along[:, :-1]).all())

    def repeated(self, n: int) -> Given:
        """Return each row n times in a row."""
        return self.take(torch.arange(len(self), device=self.mask.device).repeat_interleave(n))

    def token_patterns(self) -> Tensor:
        """Return int64 **(n,)**: a number from 0 on for each row, the same where the same tokens are given."""
        return _numbered(torch.where(self.mask, self.batch.tokens, -1))

    def patterns(self) -> Tensor:
        """Return int64 **(n,)**: a number from 0 on for each row, the same where the same cells are given."""
        positions = torch.where(self.mask[:, list(self.layout.valued)], self.batch.values, 0.0)
        tokens = torch.where(self.mask, self.batch.tokens, -1)
        return _numbered(torch.cat([tokens.double(), positions], dim=1))

    def complete(self, values: Tensor) -> Tensor:
        """Return positions **(n, n_valued)** in double precision, the given ones put in exactly."""
        given = self.mask[:, list(self.layout.valued)]
        return torch.where(given, self.batch.values, values.double())


def _numbered(rows: Tensor) -> Tensor:
    """Return int64 **(n,)**: the same number from 0 on for equal rows."""
    if (rows == rows[:1]).all():
        return torch.zeros(len(rows), dtype=torch.long, device=rows.device)
    numbers: Tensor = torch.unique(rows, dim=0, return_inverse=True)[1]
    return numbers
