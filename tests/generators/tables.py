"""Small tables, layouts and encoded rows that the tests of the generators learn from."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from generators.given import Batch, Given, Known
from generators.model import Model
from pipeline.encoded import Encoded, Layout, TokenColumn

N_ROWS = 200
PLANTED_TEXT = "planted-village"
PLANTED_NUMBER = 987_654.321987


def people(n: int = N_ROWS) -> pa.Table:
    """Return rows of every sort: a key, free text, missing cells, a rare level and an extreme."""
    rng = np.random.default_rng(0)
    income = [None if i % 9 == 0 else float(x) for i, x in enumerate(rng.lognormal(8, 0.4, n))]
    city = [None if i % 11 == 0 else str(x) for i, x in enumerate(rng.choice(["Oslo", "Rome", "Lima"], n))]
    income[1], city[1] = PLANTED_NUMBER, PLANTED_TEXT
    start = dt.datetime(2024, 1, 1)
    return pa.table(
        {
            "person": [f"planted-key-{i:04d}" for i in range(n)],
            "age": rng.integers(18, 60, n),
            "income": income,
            "city": city,
            "smoker": rng.random(n) < 0.3,
            "seen": [start + dt.timedelta(minutes=int(m)) for m in rng.integers(0, 500_000, n)],
            "note": [f"planted note number {i} of the nurse" for i in range(n)],
        }
    )


def people_frame() -> pd.DataFrame:
    """Return rows as pandas holds them: writable arrays, a category, and no level that is too rare to be drawn."""
    frame = people().drop_columns(["note"]).to_pandas()
    city = frame["city"].replace(PLANTED_TEXT, "Oslo").astype("category")
    return frame.assign(city=city, age=frame["age"].astype("int32"))


def twins(n: int = N_ROWS) -> pa.Table:
    """Return two columns that are always equal, four levels of the same frequency."""
    levels = np.array(["north", "east", "south", "west"])[np.random.default_rng(0).permutation(np.arange(n) % 4)]
    return pa.table({"mother": levels, "child": levels})


def token_layout(*sizes: int) -> Layout:
    """Return columns of categories, `sizes` tokens each, all met equally often."""
    return Layout(tuple(token_column(f"c{i}", np.full(size, 10)) for i, size in enumerate(sizes)))


def token_column(name: str, counts: Sequence[int]) -> TokenColumn:
    """Return a column of categories that were met `counts` times each."""
    size = len(counts)
    marks = np.ones(size, np.bool_)
    return TokenColumn(name, np.asarray(counts, np.int64), marks, ~marks, np.full(size, np.nan))


def binned_column(name: str, n_bins: int, *, n_categories: int = 0) -> TokenColumn:
    """Return a column of bins, which carry values, after some categories, which do not."""
    size = n_categories + n_bins
    valued = np.arange(size) >= n_categories
    coordinate = np.where(valued, (np.arange(size) - n_categories + 0.5) / n_bins, np.nan)
    return TokenColumn(name, np.full(size, 10, np.int64), np.ones(size, np.bool_), valued, coordinate)


def every_row(layout: Layout) -> Batch:
    """Return each combination of tokens once, without values."""
    rows = torch.cartesian_prod(*(torch.arange(size) for size in layout.sizes)).reshape(-1, layout.n_columns)
    return Batch(rows, torch.empty(len(rows), 0))


def encoded_rows(layout: Layout, tokens: np.ndarray, values: np.ndarray | None = None) -> Encoded:
    """Return rows in encoded form; without values where none are given."""
    values = np.full((len(tokens), len(layout.valued)), 0.5) if values is None else values
    return Encoded(layout, tokens.astype(np.int32), values)


def normal_pair(n: int) -> np.ndarray:
    """Positions **(n, 2)** of a normal pair with correlation 0.9."""
    x = np.random.default_rng(0).normal(size=(n, 2)) @ np.array([[1, 0.9], [0, math.sqrt(1 - 0.81)]])
    positions: np.ndarray = torch.special.ndtr(torch.from_numpy(x)).numpy()
    return positions


def second_given_first(model: Model, given: float) -> float:
    """The mean of 1,000 positions of the second column, given that of the first, which must come back."""
    encoded = draw_rows(model, 1000, {0: (0, given)})
    assert (encoded.values[:, 0] == given).all()
    assert len(set(encoded.values[:, 1])) == 1000
    return float(encoded.values[:, 1].mean())


def rng(seed: int = 0) -> torch.Generator:
    """Return a generator of its own."""
    return torch.Generator().manual_seed(seed)


def draw_rows(model: Model, n: int, known: Known | None = None, *, guidance: float = 0.0, seed: int = 0) -> Encoded:
    """Draw n rows of a model that all have the same known cells."""
    return model.sample(Given.same(n, model.layout, known or {}), rng(seed), guidance)
