"""How odd rows are under a fitted generator, why, and from where on a row is called odd.

The score of a row is its surprise in nats, the negative of its log density: a row of 23 nats is one in exp(23) to the
model. It falls apart into one term per column and, of some families, terms of several columns together; what each is
worth is told by `contributions`. Why a row is odd is another question: of each cell, how unlikely it is given all
others of its row (`surprise`, `reasons`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch
from scipy.stats import binomtest
from torch import Tensor

from pipeline.codecs.codec import MID
from pipeline.codecs.parts import put_together
from pipeline.errors import ConfigError, DataError
from pipeline.seeds import substream

from .base import TabularGenerator
from .device import arithmetic
from .drawing import in_parts
from .given import UNOBSERVED, Batch
from .model import DensityKind, Model
from .odd_cells import ReadRows, log_widths, read_rows, texts_of
from .registry import training_config

TOKENS_PER_PASS = 1 << 23
USUAL = 0.25
"""The least probability of a value that is worth naming as what was to be expected."""

FloatArray = npt.NDArray[np.float64]
Per = Literal["quantile", "axis"]
Work = Callable[[Model, Batch, torch.Generator], Tensor]


@dataclass(frozen=True)
class RowScores:
    """How odd rows are.

    Attributes:
        nats: the score **(n_rows,)**: the surprise of each row; more is odder.
        kind: of the log density that it is the negative of, as in `LogDensity`: "exact", "encoded_space", or
            "lower_bound", of which the score is an upper bound.
        n_outside: int64 **(n_rows,)**: how many cells no drawn row could have (`ReadRows.outside`); each counts at
            least log(n_train / protect) nats.
    """

    nats: FloatArray
    kind: DensityKind
    n_outside: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Reason:
    """A cell that makes its row odd.

    Attributes:
        column: its name.
        value: as text; "missing" where it is.
        chance: of a value so unlikely or less, given all other cells of the row.
        likeliest: the value that is the likeliest there, as text.
        share: its probability.
    """

    column: str
    value: str
    chance: float
    likeliest: str
    share: float

    def __str__(self) -> str:
        odds = f"1 in {_rounded(1 / max(self.chance, 1e-17))}"
        usual = f"; {self.share:.0%} would be {self.likeliest}" if self.share >= USUAL else ""
        return f"{self.column} = {self.value} ({odds}{usual})"


class AnomalyScorer:
    """Scores rows by a fitted generator.

    What a density is per is a choice, and other choices find other rows odd (Le Lan and Dinh 2021, "Perfect density
    models cannot guarantee anomaly detection", arXiv:2012.03808). Per train quantile, as `log_density` has it, numbers
    in a tail that train has as often as others are no odder than these, and what counts is how values go together; on
    the axes of the columns it counts as well how sparse the rows are where a number lies (`log_widths`).

    Args:
        generator: of any family that has a density.
        per: "quantile" or "axis".

    Raises:
        NotFittedError: the generator was not fitted.
        UnsupportedError: its family has no density.

    Example:
        >>> from generators import generator_config
        >>> people = pd.DataFrame({"sex": ["f", "m"] * 60, "age": [20, 30, 40, 50] * 30})
        >>> generator = TabularGenerator(generator_config("independent")).fit(people, seed=0)
        >>> scorer = AnomalyScorer(generator)
        >>> scorer.score(pd.DataFrame({"sex": ["f", "f"], "age": [20, 500]})).nats.round(2).tolist()
        [2.08, 6.64]
    """

    def __init__(self, generator: TabularGenerator, *, per: Per = "quantile") -> None:
        fitted = generator.fitted
        self.kind: DensityKind = fitted.model.density_kind
        self.transform, self.model, self.device = fitted.transform, fitted.model, fitted.device
        self._hidden = fitted.transform.missing_tokens if generator.config.hides_missing else None
        self.n_train, self.protect = fitted.n_rows, generator.transform_config.protect
        codecs = self.transform.inner.codecs.values()
        self._log_widths = [log_widths(codec) for codec in codecs] if per == "axis" else None
        self._arithmetic = training_config(generator.config).model_copy(update={"precision": "fp32"})

    @property
    def terms(self) -> tuple[str, ...]:
        """The names of what a score is made of: the token columns, then what is of several columns together."""
        return (*self.transform.layout.names, *self.model.joint_terms)

    def score(self, table: pa.Table | pd.DataFrame, *, seed: int = 0) -> RowScores:
        """Return how odd each row is.

        Args:
            table: rows of any values that the columns' types can hold; columns that are not modelled are left alone.
            seed: for the families whose density is an estimate; the same seed gives the same scores.

        A missing cell counts what the model learned of missing cells; nothing where it was told to leave them out.

        Raises:
            SchemaError: a modelled column is missing, or its values are of another type.
        """
        rows = read_rows(self.transform, table)
        return RowScores(self._terms(rows, seed).sum(1), self.kind, rows.outside.sum(1))

    def contributions(self, table: pa.Table | pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
        """Return the terms **(n_rows, len(self.terms))** that sum up to the score, in nats.

        The term of a column is the surprise of its cell given the cells before it, along the order in which rows are
        drawn: so an odd pair of cells is seen at the later of the two. What is of all columns together follows them. On
        the axes a term is less where rows are dense, and may be below 0.

        Raises:
            SchemaError: as `score`.
        """
        return pd.DataFrame(self._terms(read_rows(self.transform, table), seed), columns=list(self.terms))

    def surprise(self, table: pa.Table | pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
        """Return -log p(token | all other cells of its row) in nats, one column for each token column.

        The token of a number is its bin, or the number itself where train repeats it. These do not sum up to the score:
        of two cells that contradict each other both are surprising.

        Raises:
            SchemaError: as `score`.
        """
        rows = read_rows(self.transform, table)
        return pd.DataFrame(
            self._at_least(self._in_context(rows, seed).nats, rows), columns=self.transform.layout.names
        )

    def worst_cell(self, table: pa.Table | pd.DataFrame, *, seed: int = 0) -> FloatArray:
        """Return another score **(n_rows,)**: -log of the lowest chance of a cell given all others of its row, in nats.

        One impossible cell is seen here even where the others of a row vary by more than it counts in their sum; rows
        that are odd in many cells a little are not.

        Raises:
            SchemaError: as `score`.
        """
        rows = read_rows(self.transform, table)
        lowest = self._chance(rows, self._in_context(rows, seed)).min(1)
        return np.asarray(-np.log(np.minimum(lowest, 1.0)) + 0.0)

    def reasons(self, table: pa.Table | pd.DataFrame, n: int, *, seed: int = 0) -> list[list[Reason]]:
        """Return for each row the `n` cells that are the least expected given all others, the oddest first.

        A column of many values has none that is likely, so cells are compared by the chance of a value so unlikely or
        less. A point in time has two parts, of which the odder one counts.

        Raises:
            ConfigError: `n` is below 1.
            SchemaError: as `score`.
        """
        if n < 1:
            raise ConfigError("a row is explained by at least one cell", actual=str(n), remedy="give 1 or more")
        rows = read_rows(self.transform, table)
        found = self._in_context(rows, seed)
        chance = self._chance(rows, found)
        columns = self._by_column()
        least = np.column_stack([chance[:, parts].min(1) for parts in columns.values()])
        order = np.argsort(least, axis=1, kind="stable")[:, :n]
        names, shown = list(columns), {name: texts_of(self.transform, name, rows.table[name]) for name in columns}
        usual = {name: self._likeliest(name, found.likeliest[:, parts]) for name, parts in columns.items()}
        share = np.column_stack([found.share[:, parts].prod(1) for parts in columns.values()])

        def reason(i: int, j: int) -> Reason:
            name = names[j]
            return Reason(name, shown[name][i], float(least[i, j]), usual[name][i], float(share[i, j]))

        return [[reason(i, int(j)) for j in chosen] for i, chosen in enumerate(order)]

    def _chance(self, rows: ReadRows, found: _InContext) -> FloatArray:
        """Return the chance of a cell so unlikely or less **(n_rows, n_columns)**, small where it lies outside.

        Where the model holds a cell for impossible it is outside, and that alone counts.
        """
        most = np.exp(-rows.least_nats(self.n_train, self.protect))
        return np.where(found.chance > 0, np.minimum(found.chance, most), most)

    def _by_column(self) -> dict[str, list[int]]:
        """Return the places of each column's parts among the token columns."""
        places = {name: place for place, name in enumerate(self.transform.layout.names)}
        return {name: [places[part.name] for part in parts] for name, parts in self.transform.inner.parts.items()}

    def _likeliest(self, name: str, tokens: npt.NDArray[np.int32]) -> list[str]:
        """Return the values of a column's parts, each the likeliest, as text."""
        codecs = [self.transform.inner.codecs[part.name] for part in self.transform.inner.parts[name]]
        middle, rng = np.full(len(tokens), MID), np.random.default_rng(0)
        parts = [codec.decode(tokens[:, i], middle, rng) for i, codec in enumerate(codecs)]
        column = self.transform.inner.schema.column(name)
        return texts_of(self.transform, name, put_together(column, tuple(parts)))

    def _terms(self, rows: ReadRows, seed: int) -> FloatArray:
        terms = self._in_parts(rows, seed, lambda model, batch, rng: model.nats_by_term(batch, rng))
        n_columns = rows.outside.shape[1]
        terms[:, :n_columns] = self._at_least(terms[:, :n_columns], rows)
        if self._log_widths is not None:
            for i, widths in enumerate(self._log_widths):
                # Outside lies where train is sparsest.
                terms[:, i] += np.where(rows.outside[:, i], widths.max(), widths[rows.encoded.tokens[:, i]])
        return terms

    def _in_context(self, rows: ReadRows, seed: int) -> _InContext:
        n_rows = max(1, TOKENS_PER_PASS // self.transform.layout.n_tokens)

        def work(model: Model, batch: Batch, rng: torch.Generator) -> Tensor:
            rows = torch.split(torch.arange(len(batch), device=batch.tokens.device), n_rows)
            return torch.cat([_judged(model.conditionals(some, rng), some.tokens) for some in map(batch.take, rows)])

        nats, chance, likeliest, share = np.moveaxis(self._in_parts(rows, seed, work), 2, 0)
        return _InContext(nats, chance, likeliest.astype(np.int32), share)

    def _at_least(self, nats: FloatArray, rows: ReadRows) -> FloatArray:
        """Let cells outside count what they must; where the model holds one for impossible, that is all they count."""
        least = rows.least_nats(self.n_train, self.protect)
        return np.where(np.isinf(nats) | (rows.outside & (nats < least)), least, nats)

    def _in_parts(self, rows: ReadRows, seed: int, work: Work) -> FloatArray:
        encoded = rows.encoded
        if self._hidden is not None:
            missing = self._hidden[encoded.tokens + encoded.layout.offsets]
            encoded = replace(encoded, tokens=np.where(missing, np.int32(UNOBSERVED), encoded.tokens))
        batch = Batch.of(encoded)

        def part(start: int, stop: int) -> FloatArray:
            rng = torch.Generator(self.device).manual_seed(substream(seed, "density", str(start)))
            some = batch.take(torch.arange(start, stop)).to(self.device)
            with torch.no_grad(), arithmetic(self._arithmetic, self.device):
                nats: FloatArray = work(self.model, some, rng).double().cpu().numpy()
            return nats

        return np.concatenate(in_parts(len(batch), part, self.device))


@dataclass(frozen=True)
class _InContext:
    """Cells given all others of their row, each an array **(n_rows, n_columns)**.

    Attributes:
        nats: -log p of the token.
        chance: of a token so unlikely or less.
        likeliest: the likeliest token.
        share: its probability.
    """

    nats: FloatArray
    chance: FloatArray
    likeliest: npt.NDArray[np.int32]
    share: FloatArray


def _judged(columns: list[Tensor], tokens: Tensor) -> Tensor:
    """Return the four figures of `_InContext`, in order, **(batch, n_columns, 4)**; unobserved cells are not odd."""
    parts = []
    for column, log_probs in enumerate(columns):
        token = tokens[:, column : column + 1]
        own = log_probs.gather(1, token.clamp(min=0)).masked_fill(token == UNOBSERVED, 0.0)
        chance = torch.where(log_probs <= own, log_probs, -math.inf).logsumexp(1).exp()
        highest, likeliest = log_probs.double().max(1)
        parts.append(torch.stack([-own.squeeze(1).double(), chance.double(), likeliest.double(), highest.exp()], dim=1))
    return torch.stack(parts, dim=1)


@dataclass(frozen=True)
class Threshold:
    """From how many nats on a row is called odd, and how often that is wrong.

    Attributes:
        nats: rows above are odd.
        false_alarms: the share of ordinary rows that may be called odd, as it was asked for.
        n_reference: ordinary rows that the threshold was read from.
        n_alarms: how many of them lie above it.
        interval: Clopper and Pearson's 95 % interval of the share of ordinary rows that lie above it.
    """

    nats: float
    false_alarms: float
    n_reference: int
    n_alarms: int
    interval: tuple[float, float]

    def flags(self, nats: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which rows of the given scores are odd **(n_rows,)**."""
        return nats > self.nats


def threshold_of(reference: FloatArray, false_alarms: float) -> Threshold:
    """Return the threshold that ordinary rows exceed with at most the given probability.

    A new row is called odd where at most false_alarms (n + 1) - 1 of the n reference rows are at least as odd, which is
    the conformal test: Bates et al. 2023, "Testing for outliers with conformal p-values", arXiv:2104.08279, equation 1.
    It holds on average over reference tables; how far the rate of this one may lie off is said by the interval, which
    holds because the rate beyond the (k + 1)-th largest of n scores is distributed as Beta(k + 1, n - k).

    Args:
        reference: scores of ordinary rows that the generator did not learn from **(n,)**.
        false_alarms: the largest share, between 0 and 1.

    Raises:
        ConfigError: the share is not between 0 and 1.
        DataError: there are too few rows for so small a share.

    Example:
        >>> found = threshold_of(np.arange(1000.0), 0.01)
        >>> found.nats, found.n_alarms, [round(end, 4) for end in found.interval]
        (990.0, 9, [0.0041, 0.017])
    """
    if not 0 < false_alarms < 1:
        rule = "the share of false alarms lies between 0 and 1"
        raise ConfigError(rule, actual=str(false_alarms), remedy="such as 0.01")
    n = len(reference)
    n_above = math.floor(false_alarms * (n + 1) + 1e-9) - 1
    if n_above < 0:
        rule = f"a share of {false_alarms:g} false alarms needs {math.ceil(1 / false_alarms) - 1:,} reference rows"
        raise DataError(rule, actual=f"{n:,}", remedy="give more rows, or allow more false alarms")
    limit = float(np.sort(reference)[n - 1 - n_above])
    n_alarms = int((reference > limit).sum())
    found = binomtest(n_alarms, n).proportion_ci(0.95, method="exact")
    return Threshold(limit, false_alarms, n, n_alarms, (float(found.low), float(found.high)))


def _rounded(x: float) -> str:
    """Return a number with two digits, as a person says it.

    Example:
        >>> _rounded(1.26), _rounded(8_765.0), _rounded(3.4e7), _rounded(2e17)
        ('1.3', '8,800', '34 million', '2e+17')
    """
    if x >= 1e9:
        return f"{x:.0e}"
    if x >= 1e6:
        return f"{x / 1e6:.2g} million"
    rounded = float(f"{x:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:.2g}"
