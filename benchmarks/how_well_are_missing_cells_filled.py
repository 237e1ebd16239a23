"""How well are missing cells filled, and do intervals hold what they promise?

    TABMINT_DATA=FOLDER python benchmarks/how_well_are_missing_cells_filled.py --tables adult california_housing

hides 30 % of the cells of train and holdout rows (MCAR, MAR, MNAR), learns the train rows as they are left, fills the
holdout rows, and compares with what was hidden: 90 % intervals of numbers, mean absolute and root mean squared error in
standard deviations of the column, CRPS, and the share of categories that are right. Beside the families: mean and mode,
nearest neighbours, and chained equations (scikit-learn), the last as they are by default and with draws. A family fills
with the settings of `imputer`; "vae_drawing" and the like are the models that `tabmint fit` makes.

Tables, split and masks follow DiffPuter (Zhang et al. 2024, arXiv:2405.20690, and its published code): complete rows,
70/30 at random with numpy's legacy seed 1234, the target left out; MAR: three in ten columns are never hidden, and each
other one by a random logistic model of these; MNAR: the same, and the columns that decide are hidden at random too.
Other than there, masks are drawn without the target, at most `--rows` rows are learned and `--holdout` are filled.
`FOLDER` holds adult.csv.gz and so on (a header row, empty cells missing); flights is the table in `examples/`.

Each result is one line of JSON in `--results`; those that are there already are not measured again. `--show` measures
nothing and prints what is there.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.experimental import enable_iterative_imputer  # noqa: F401  makes the next import possible
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer

from flows.duration import parse_seconds
from generators import TabularGenerator, generator_config
from generators.imputation import impute, imputer, place_of_bounds
from pipeline.seeds import numpy_rng

CATEGORIES = {
    "adult": [1, 3, 5, 6, 7, 8, 9, 13],
    "beijing_pm25": [0, 1, 2, 3, 8],
    "california_housing": [],
    "default": [1, 2, 3, 5, 6, 7, 8, 9, 10],
    "flights": [0, 1, 2, 4],
}
"""The places of the columns that are categories in the published protocol; of flights, our own choice."""
TARGETS = {
    "adult": "income",
    "beijing_pm25": "pm2.5",
    "california_housing": "ocean_proximity",
    "default": "default payment next month",
}
MECHANISMS = ("MCAR", "MAR", "MNAR")
FAMILIES = ("flow_matching", "ddpm", "vae", "wgan_gp")
SHARE, DECIDING, LEVEL, FREQUENT = 0.3, 0.3, 0.9, 0.01
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """Complete rows, and which of their cells are hidden: bool of the same shape."""

    train: pd.DataFrame
    holdout: pd.DataFrame
    hidden_train: Bools
    hidden: Bools

    @property
    def numbers(self) -> list[str]:
        """The columns that are numbers; the others are categories."""
        return [name for name in self.train.columns if self.train[name].dtype == np.float64]


@dataclass(frozen=True)
class Filled:
    """Filled holdout rows: the means, the medians (of categories both times the mode), and draws if there are any."""

    mean: pd.DataFrame
    median: pd.DataFrame
    draws: list[pd.DataFrame]


def published(name: str) -> pd.DataFrame:
    """Return complete rows without target and key: numbers as float64, categories as text."""
    if name == "flights":
        table = pd.read_parquet(Path(__file__).parents[1] / "examples" / "flights.parquet")
        table = table.drop(columns=["flight_key", "time_hour", "cancelled"])
    else:
        path = Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz"
        table = pd.read_csv(path, keep_default_na=False, na_values=[""]).drop(columns=["No"], errors="ignore")
    if name == "adult":
        table = table.head(32_561).fillna("?")  # the file that the protocol uses, in which "?" is a level
    categories = [table.columns[place] for place in CATEGORIES[name]]
    table = table.dropna().drop(columns=TARGETS.get(name, [])).reset_index(drop=True)
    return table.apply(lambda column: column.astype(str if column.name in categories else np.float64))


def case_of(name: str, mechanism: str, mask: int, rows: int, holdout: int) -> Case:
    """Return the rows of a table and what is hidden of them by a mask."""
    table = published(name)
    order = np.random.RandomState(1234).permutation(len(table))
    n_train = int(0.7 * len(table))
    train, test = (table.iloc[part].reset_index(drop=True) for part in (order[:n_train], order[n_train:]))
    hidden_train, hidden = (
        hide(codes(part), mechanism, numpy_rng(mask, name, mechanism, words))
        for part, words in ((train, "train"), (test, "holdout"))
    )
    return Case(train.head(rows), test.head(holdout), hidden_train[:rows], hidden[:holdout])


def codes(table: pd.DataFrame) -> Floats:
    """Return the table as numbers, categories as their places in order of appearance."""
    columns = (table[c] if table[c].dtype == np.float64 else pd.factorize(table[c])[0] for c in table.columns)
    return np.column_stack([np.asarray(column, np.float64) for column in columns])


def hide(x: Floats, mechanism: str, rng: np.random.Generator) -> Bools:
    """Return which cells are hidden **(n, n_columns)**, about three in ten."""
    n, n_columns = x.shape
    if mechanism == "MCAR":
        hidden: Bools = rng.random((n, n_columns)) < SHARE
        return hidden
    deciding = rng.choice(n_columns, max(int(DECIDING * n_columns), 1), replace=False)
    share = SHARE / (1 - DECIDING) if mechanism == "MAR" else SHARE
    hidden = np.zeros((n, n_columns), np.bool_)
    for column in np.setdiff1d(np.arange(n_columns), deciding):
        score = x[:, deciding] @ rng.standard_normal(len(deciding))
        score /= score.std()
        shift = brentq(lambda s, score=score: expit(score + s).mean() - share, -500, 500)
        hidden[:, column] = rng.random(n) < expit(score + shift)
    if mechanism == "MNAR":
        hidden[:, deciding] = rng.random((n, len(deciding))) < SHARE
    return hidden


def with_gaps(table: pd.DataFrame, hidden: Bools) -> pd.DataFrame:
    """Return the table without the hidden cells."""
    return table.mask(hidden)


class Dummies:
    """A table as standardised numbers and one indicator for each level, and back: the form that scikit-learn needs.

    Levels that less than one in a hundred rows carry have none: with all of them chained equations take minutes.
    """

    def __init__(self, train: pd.DataFrame, numbers: list[str]) -> None:
        self.numbers, self.names = numbers, list(train.columns)
        self.mean, self.std = train[numbers].mean(), train[numbers].std().replace(0, 1)
        shares = {c: train[c].value_counts(normalize=True) for c in self.names if c not in numbers}
        self.levels = {c: sorted(share.index[share >= FREQUENT]) for c, share in shares.items()}

    def encode(self, table: pd.DataFrame) -> Floats:
        """Return **(n, n_numbers + n_levels)**; NaN where missing."""
        parts = [((table[self.numbers] - self.mean) / self.std).to_numpy()]
        for name, levels in self.levels.items():
            places = pd.Index(levels).get_indexer(table[name])
            known = (places[:, None] == np.arange(len(levels))).astype(np.float64)
            parts.append(np.where(table[name].isna().to_numpy()[:, None], np.nan, known))
        return np.concatenate(parts, axis=1)

    def decode(self, x: Floats, table: pd.DataFrame) -> pd.DataFrame:
        """Return the table with its missing cells filled from x."""
        found = pd.DataFrame(x[:, : len(self.numbers)], columns=self.numbers) * self.std + self.mean
        start = len(self.numbers)
        for name, levels in self.levels.items():
            stop = start + len(levels)
            found[name] = np.array(levels, object)[x[:, start:stop].argmax(axis=1)]
            start = stop
        return table.where(table.notna(), found[self.names])


def by_sklearn(imputer: Any, n_draws: int, case: Case) -> Filled:
    """Fill by an imputer of scikit-learn, several times where it draws."""
    train, holdout = with_gaps(case.train, case.hidden_train), with_gaps(case.holdout, case.hidden)
    dummies = Dummies(train, case.numbers)
    imputer.fit(dummies.encode(train))
    found = [imputer.transform(dummies.encode(holdout)) for _ in range(max(n_draws, 1))]
    mean, median = (dummies.decode(centre(found, axis=0), holdout) for centre in (np.mean, np.median))
    return Filled(mean, median, [dummies.decode(x, holdout) for x in found[:n_draws]])


def by_family(generator: TabularGenerator, budget_s: float | None, n_draws: int, case: Case) -> Filled:
    """Fill by one of our families."""
    train, holdout = with_gaps(case.train, case.hidden_train), with_gaps(case.holdout, case.hidden)
    generator.fit(train, seed=0, budget_s=budget_s)
    imputed = impute(generator, holdout, n_imputations=n_draws, seed=0)
    return Filled(imputed.single("mean"), imputed.single("median"), list(imputed.tables))


def drawing(kind: str, **settings: Any) -> TabularGenerator:
    """Return a generator with the settings that `tabmint fit` has: made to draw rows, those with missing cells too."""
    return TabularGenerator(generator_config(kind, **settings))


def scores(case: Case, filled: Filled) -> dict[str, Any]:
    """Return the figures of hidden holdout cells."""
    numbers, places = case.numbers, [list(case.holdout.columns).index(name) for name in case.numbers]
    std = case.train[numbers].std().to_numpy()
    hidden = case.hidden[:, places]
    truth = case.holdout[numbers].to_numpy() / std
    others = [name for name in case.holdout.columns if name not in numbers]

    def errors(found: pd.DataFrame) -> Floats:
        return np.abs(found[numbers].to_numpy(np.float64) / std - truth)[hidden]

    figures: dict[str, Any] = {
        "mae": errors(filled.mean).mean(),
        "mae_of_median": errors(filled.median).mean(),
        "rmse": np.sqrt((errors(filled.mean) ** 2).mean()),
    }
    if others:
        hits = (filled.mean[others].to_numpy() == case.holdout[others].to_numpy())[case.hidden[:, _rest(case, places)]]
        figures["accuracy"] = hits.mean()
    if filled.draws:
        draws = np.sort([draw[numbers].to_numpy(np.float64) / std for draw in filled.draws], axis=0)
        figures |= _of_draws(draws, truth, hidden, numbers)
    return {name: value if isinstance(value, dict) else float(value) for name, value in figures.items()}


def _rest(case: Case, places: list[int]) -> list[int]:
    return [place for place in range(len(case.holdout.columns)) if place not in places]


def _of_draws(draws: Floats, truth: Floats, hidden: Bools, numbers: list[str]) -> dict[str, Any]:
    """Return coverage and width of the intervals, and the CRPS (Gneiting and Raftery 2007, equation 21).

    Where values repeat, closed intervals cover more than their level. Whether the draws are spread as they should be
    is seen where ties between a value and its draws are broken at random; Czado, Gneiting and Held 2009,
    doi:10.1111/j.1541-0420.2009.01191.x.
    """
    m = len(draws)
    k = place_of_bounds(LEVEL, m)
    low, high = draws[k - 1], draws[m - k]
    tiny = 1e-9 * (1 + np.abs(truth))
    covered = (low - tiny <= truth) & (truth <= high + tiny)
    below, ties = (draws < truth - tiny).sum(axis=0), (np.abs(draws - truth) <= tiny).sum(axis=0)
    place = below + np.random.default_rng(0).integers(0, ties + 1)
    inside = (k <= place) & (place <= m - k)
    spread = 2 * np.tensordot(2 * np.arange(1, m + 1) - m - 1, draws, axes=1) / (m * (m - 1))
    crps = np.abs(draws - truth).mean(axis=0) - spread / 2
    return {
        "coverage": covered[hidden].mean(),
        "coverage_without_ties": inside[hidden].mean(),
        "width": (high - low)[hidden].mean(),
        "crps": crps[hidden].mean(),
        "coverage_by_column": {
            name: float(covered[hidden[:, i], i].mean()) for i, name in enumerate(numbers) if hidden[:, i].any()
        },
    }


def methods(arguments: argparse.Namespace) -> dict[str, Callable[[Case], Filled]]:
    """Return what fills, by name."""
    n, settings = arguments.draws, {"members": arguments.members, "training": {"steps": arguments.steps}}

    def chained(case: Case, *, draw: bool) -> Filled:
        return by_sklearn(IterativeImputer(sample_posterior=draw, random_state=0), n * draw, case)

    known: dict[str, Callable[[Case], Filled]] = {
        "mean": lambda case: by_sklearn(SimpleImputer(keep_empty_features=True), 0, case),
        "knn": lambda case: by_sklearn(KNNImputer(), 0, case),
        "mice": lambda case: chained(case, draw=False),
        "mice_draws": lambda case: chained(case, draw=True),
    }
    for kind in FAMILIES:
        known[kind] = lambda case, kind=kind: by_family(imputer(kind, **settings), arguments.budget, n, case)
        known[f"{kind}_drawing"] = lambda case, kind=kind: by_family(
            drawing(kind, **settings), arguments.budget, n, case
        )
    return {name: known[name] for name in arguments.methods}


def done_before(path: Path) -> list[dict[str, Any]]:
    """Return the results so far."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def show(results: list[dict[str, Any]]) -> None:
    """Print the mean over the masks of every figure as Markdown."""
    frame = pd.DataFrame(results).drop(columns=["coverage_by_column"], errors="ignore")
    names = ["table", "mechanism", "method"]
    means = frame.groupby(names, sort=False).mean(numeric_only=True).drop(columns=["mask"]).reset_index()
    print("| " + " | ".join(means.columns) + " |\n|" + "---|" * len(means.columns))
    for row in means.itertuples(index=False):
        print("| " + " | ".join(x if isinstance(x, str) else "" if np.isnan(x) else f"{x:.3f}" for x in row) + " |")


def main() -> None:
    """Measure what is asked for and not there yet, and print everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="*", choices=CATEGORIES, default=list(CATEGORIES))
    parser.add_argument("--mechanisms", nargs="+", choices=MECHANISMS, default=list(MECHANISMS))
    baselines = ["mean", "knn", "mice", "mice_draws"]
    ours = [*FAMILIES, *(f"{kind}_drawing" for kind in FAMILIES)]
    parser.add_argument("--methods", nargs="+", default=[*baselines, "flow_matching"], choices=[*baselines, *ours])
    parser.add_argument("--budget", type=parse_seconds, help="of each fit; otherwise what is planned")
    parser.add_argument("--steps", type=int, help="of each fit; otherwise what is planned")
    parser.add_argument("--members", type=int, help="of each family; otherwise what is planned")
    parser.add_argument("--draws", type=int, default=39)
    parser.add_argument("--rows", type=int, default=5_000)
    parser.add_argument("--holdout", type=int, default=600)
    parser.add_argument("--masks", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path("missing-cells.jsonl"))
    parser.add_argument("--show", action="store_true", help="measure nothing")
    arguments = parser.parse_args()
    wanted = [
        {"table": table, "mechanism": mechanism, "mask": mask, "method": method}
        for mask in range(arguments.masks)
        for mechanism in arguments.mechanisms
        for table in arguments.tables
        for method in arguments.methods
    ]
    known = [
        {name: row[name] for name in ("table", "mechanism", "mask", "method")} for row in done_before(arguments.results)
    ]
    for one in [] if arguments.show else [one for one in wanted if one not in known]:
        case = case_of(one["table"], one["mechanism"], one["mask"], arguments.rows, arguments.holdout)
        started = time.perf_counter()
        filled = methods(arguments)[one["method"]](case)
        row = one | {"seconds": time.perf_counter() - started} | scores(case, filled)
        with arguments.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    show(done_before(arguments.results))


if __name__ == "__main__":
    main()
