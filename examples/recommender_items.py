"""Items of a shop in latent space: neighbours to recommend, and a smooth way from one category to another.

    python examples/recommender_items.py

An item has a category, spread over 20 columns of which one is 1, and 30 numbers such as a feature extractor gives. A
one-hot constraint tells the schema what the 20 columns are, so they are learned as a single column and every decoded
item has exactly one category. By the law in `shop`, the numbers are noisy mixtures of six hidden properties that an
item has, some of which depend on its category; categories overlap.

A variational autoencoder gives each item a place in its latent space. Two questions are asked of that space. Do items
that it places side by side share a category? And does the line between two items lead through valid items, from one
category to the other without flickering?
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from generators import TabularGenerator, VAEConfig, VAETraining
from generators.latent import LatentSpace
from pipeline.constraints import OneHot
from pipeline.inference import infer
from pipeline.schema import Schema

N_CATEGORIES, N_NUMBERS, N_PROPERTIES = 20, 30, 6
N_ITEMS, N_NEW_ITEMS, N_NEIGHBOURS, N_LINES, N_STEPS, N_DRAWS = 3_000, 500, 10, 20, 11, 40
CATEGORIES = [f"is_{i:02}" for i in range(N_CATEGORIES)]
NUMBERS = [f"x_{i:02}" for i in range(N_NUMBERS)]

# The decoder sees only half of an item's earlier cells while it learns: what is common to them must go through the
# latent vector, which is what this example is about.
CONFIG = VAEConfig(members=1, latent_size=8, cell_dropout=0.5, training=VAETraining(steps=150))

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What the run found.

    Attributes:
        n_modelled: columns that are learned: the 20 flags are one of 31.
        active_units: of the latent vector.
        same_category: the part of the 10 nearest learned items in latent space that share a new item's category.
        by_chance: the same of items taken at random.
        valid: the part of the items on all lines that have exactly one category.
        switches: how often the likeliest category changes along each line **(n_lines,)**.
        first: of items drawn at each step, the part that has the category of the first end **(n_steps,)**.
        last: the same of the last end.
    """

    n_modelled: int
    active_units: int
    same_category: float
    by_chance: float
    valid: float
    switches: IntArray
    first: FloatArray
    last: FloatArray


def shop(n_items: int, seed: int) -> pd.DataFrame:
    """Return items: flags of their category, and numbers that are mixtures of hidden properties.

    The mixtures and the centres of the categories are those of the shop, whatever the seed of its items.
    """
    law, rng = np.random.default_rng(20), np.random.default_rng(seed)
    centres = law.normal(0, 2.0, (N_CATEGORIES, N_PROPERTIES))
    mixture = law.normal(0, 1, (N_PROPERTIES, N_NUMBERS)) / np.sqrt(N_PROPERTIES)
    category = rng.choice(N_CATEGORIES, n_items, p=law.dirichlet(np.full(N_CATEGORIES, 5.0)))
    properties = centres[category] + rng.normal(0, 0.8, (n_items, N_PROPERTIES))
    numbers = properties @ mixture + rng.normal(0, 0.3, (n_items, N_NUMBERS))
    flags = pd.DataFrame(np.eye(N_CATEGORIES, dtype=np.int64)[category], columns=CATEGORIES)
    return flags.join(pd.DataFrame(numbers.round(3), columns=NUMBERS))


def main() -> Found:
    """Learn the shop, look at neighbours and lines, and tell."""
    items, new = shop(N_ITEMS, seed=0), shop(N_NEW_ITEMS, seed=1)
    columns = infer(pa.Table.from_pandas(items)).columns
    schema = Schema(columns=columns, constraints=(OneHot(columns=tuple(CATEGORIES)),))
    generator = TabularGenerator(CONFIG).fit(items, schema, seed=0)
    space = LatentSpace(generator)
    nearest = space.neighbours(new, items, k=N_NEIGHBOURS).rows
    own, known = category_of(new), category_of(items)
    pairs = [(a, a + 1) for a in range(0, N_NEW_ITEMS, 2) if own[a] != own[a + 1]][:N_LINES]
    likeliest = [space.interpolate(new.iloc[[a]], new.iloc[[b]], N_STEPS) for a, b in pairs]
    drawn = [draw_along(space, new.iloc[[a, b]]) for a, b in pairs]
    found = Found(
        n_modelled=generator.fitted.transform.layout.n_columns,
        active_units=len(space.usage(items).active),
        same_category=float((known[nearest] == own[:, None]).mean()),
        by_chance=float((known[:, None] == own).mean()),
        valid=float((pd.concat([*likeliest, *drawn])[CATEGORIES].sum(axis=1) == 1).mean()),
        switches=np.array([(np.diff(category_of(line)) != 0).sum() for line in likeliest]),
        first=share_along(drawn, own[[a for a, _ in pairs]]),
        last=share_along(drawn, own[[b for _, b in pairs]]),
    )
    tell(found)
    return found


def draw_along(space: LatentSpace, ends: pd.DataFrame) -> pd.DataFrame:
    """Return 40 items drawn at each step of the line between two, step by step."""
    first, last = space.encode(ends)
    line = first + np.linspace(0, 1, N_STEPS)[:, None] * (last - first)
    return space.decode(np.repeat(line, N_DRAWS, axis=0), seed=0)


def share_along(lines: list[pd.DataFrame], category: IntArray) -> FloatArray:
    """Return the part of the items at each step that have a category, one for each line; the mean over lines."""
    found = np.stack([category_of(line).reshape(N_STEPS, N_DRAWS) for line in lines])
    shares: FloatArray = (found == category[:, None, None]).mean(axis=(0, 2))
    return shares


def category_of(items: pd.DataFrame) -> IntArray:
    """Return the number of each item's category **(n_items,)**."""
    return np.asarray(items[CATEGORIES].to_numpy().argmax(axis=1))


def tell(found: Found) -> None:
    """Print what was found."""
    print(f"{N_ITEMS:,} items of {N_CATEGORIES} categories and {N_NUMBERS} numbers were learned as", end=" ")
    print(f"{found.n_modelled} columns: the {N_CATEGORIES} flags are one of them.")
    print(f"{found.active_units} of {CONFIG.latent_size} units of the latent vector are used;", end=" ")
    print(f"the law has {N_PROPERTIES} properties and a category.\n")
    print(f"Of the {N_NEIGHBOURS} learned items that lie nearest to a new one in latent space,", end=" ")
    print(f"{found.same_category:.0%} share its category; of items at random, {found.by_chance:.0%} would.\n")
    print(f"{len(found.switches)} lines of {N_STEPS} steps join two items of different categories.")
    print(f"  {found.valid:.0%} of all items on them have exactly one category.")
    print(f"  The likeliest category changes {found.switches.mean():.1f} times on the way,", end=" ")
    print(f"{found.switches.max()} times at most.")
    print(f"  Of {N_DRAWS} items drawn at each step, so many are of the first end's category, and of the last one's:")
    for name, shares in (("first", found.first), ("last", found.last)):
        print(f"    {name:<5} " + " ".join(f"{share:>4.0%}" for share in shares))


if __name__ == "__main__":
    main()
