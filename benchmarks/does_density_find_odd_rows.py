"""Does the density of a generator find odd rows, and does it find them better than the usual detectors?

    TABMINT_DATA=FOLDER python benchmarks/does_density_find_odd_rows.py --seeds 0 1 2 -o odd_rows.jsonl

reads `FOLDER/mammography.csv.gz` and the others (a header row, empty cells missing). Every method learns ordinary rows
only, without their label: those of the larger class, of kdd99 those of the class "normal".
It then ranks rows it has not seen, ordinary ones and those of the other class. The table of flights that ships with the
project has no such class: of its odd rows three cells were exchanged for those of another row.

Against: isolation forest, local outlier factor and the distance to the fifth neighbour, on standardised numbers (a gap
is the median, with a mark) and one-hot categories. Of a generator four scores are ranked: `nats` of the row, which is
what `tabmint score` writes; `nats per axis`, which is what it writes with `--per axis`; `surprise`, the sum over the
cells of their nats given all others; `worst cell`, the lowest chance of a cell given all others. A tenth of the
ordinary train rows is kept from the generator and gives the threshold of 5 % false alarms. A generator is one member
and trains as long as it plans to, about ten seconds of a core: no clock decides a figure.

A line of JSON is written for each table, method and seed; what the file has already is not done again. With
`--markdown` nothing is run and the tables are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from generators import TabularGenerator, generator_config
from generators.anomaly import AnomalyScorer, threshold_of

FLIGHTS = Path(__file__).parents[1] / "examples" / "flights.parquet"
ORDINARY = {
    "mammography": ("class", -1),
    "kdd99_10pct": ("label", "normal"),
    "bank_additional_full": ("y", "no"),
    "default": ("default payment next month", 0),
    "adult": ("income", "<=50K"),
    "german_credit": ("class", 1),
}
"""The label of each table, and its value for ordinary rows."""
TABLES = (*ORDINARY, "flights")
MOST_TRAIN, MOST_ORDINARY, MOST_ODD = 3_000, 1_000, 200
N_EXCHANGED = 3
FALSE_ALARMS = 0.05
SETTINGS: dict[str, dict[str, Any]] = {"flow_matching": {}, "ddpm": {}, "vae": {"importance_samples": 8}}
Row = dict[str, Any]


@dataclass(frozen=True)
class Problem:
    """Ordinary rows to learn, ordinary rows for the threshold, and rows to rank, of which some are odd."""

    train: pd.DataFrame
    reference: pd.DataFrame
    tested: pd.DataFrame
    odd: np.ndarray
    exchanged: np.ndarray | None = None


def problem(name: str, seed: int) -> Problem:
    """Return a table's problem; another seed draws other rows."""
    rng = np.random.default_rng(seed)
    ordinary, odd = (flights if name == "flights" else labelled)(name, rng)
    n_train = min(MOST_TRAIN, int(0.7 * len(ordinary)))
    n_reference = n_train // 10
    seen, unseen = ordinary.iloc[:n_train], ordinary.iloc[n_train : n_train + MOST_ORDINARY]
    exchanged = None
    if odd is None:
        odd, exchanged = with_exchanged_cells(ordinary.iloc[n_train + MOST_ORDINARY :].head(MOST_ODD), seen, rng)
    tested = pd.concat([unseen, odd.iloc[:MOST_ODD]], ignore_index=True)
    marks = np.arange(len(tested)) >= len(unseen)
    return Problem(seen.iloc[n_reference:], seen.iloc[:n_reference], tested, marks, exchanged)


def labelled(name: str, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the ordinary and the odd rows of a table in random order, without their label; repeated rows once."""
    table = pd.read_csv(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz", keep_default_na=False, na_values=[""])
    table = table.drop_duplicates().iloc[rng.permutation(len(table.drop_duplicates()))]
    label, value = ORDINARY[name]
    is_ordinary = table[label] == value
    assert 0 < is_ordinary.sum() < len(table), f"{name} has no row at {label} = {value!r}, or no other"
    rows = table.drop(columns=[label])
    return rows[is_ordinary].reset_index(drop=True), rows[~is_ordinary].reset_index(drop=True)


def flights(name: str, rng: np.random.Generator) -> tuple[pd.DataFrame, None]:  # noqa: ARG001
    """Return the flights in random order."""
    table = pd.read_parquet(FLIGHTS)
    return table.iloc[rng.permutation(len(table))].reset_index(drop=True), None


def with_exchanged_cells(
    rows: pd.DataFrame, others: pd.DataFrame, rng: np.random.Generator
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return rows in which cells were exchanged for another row's that differ, and which columns **(n, columns)**."""
    changed, marks = rows.reset_index(drop=True).astype(object), np.zeros(rows.shape, bool)
    for i in range(len(changed)):
        donor = others.iloc[rng.integers(len(others))]
        differ = [j for j in range(rows.shape[1]) if not same(changed.iat[i, j], donor.iloc[j])]
        for j in rng.permutation(differ)[:N_EXCHANGED]:
            changed.iat[i, j] = donor.iloc[j]
            marks[i, j] = True
    return changed.astype(rows.dtypes.to_dict()), marks


def same(a: object, b: object) -> bool:
    """Return whether two cells are equal, two missing ones too."""
    return bool(pd.isna(a) and pd.isna(b)) or bool(a == b)


def features(p: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return the train rows, those for the threshold included, and the tested rows as numbers."""
    numeric = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False, min_frequency=5)
    prepared = ColumnTransformer(
        [
            ("numbers", numeric, make_column_selector(dtype_include="number")),
            ("levels", levels, make_column_selector(dtype_exclude="number")),
        ]
    )
    train, tested = (plain(rows) for rows in (pd.concat([p.reference, p.train]), p.tested))
    return prepared.fit_transform(train), prepared.transform(tested)


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Return dates as hours, truth values as text, and gaps among levels as a level."""
    columns = {}
    for name, column in rows.items():
        if isinstance(column.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(column):
            columns[name] = (column - column.dt.normalize().min()).dt.total_seconds() / 3600
        elif pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            columns[name] = column
        else:
            columns[name] = column.astype(str)
    return pd.DataFrame(columns)


def isolation_forest(train: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
    """Return scores; Liu et al. 2008, doi:10.1109/ICDM.2008.17."""
    return -IsolationForest(n_estimators=200, random_state=seed).fit(train).score_samples(tested)


def lof(train: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG001
    """Return scores; Breunig et al. 2000, doi:10.1145/335191.335388."""
    return -LocalOutlierFactor(n_neighbors=20, novelty=True).fit(train).score_samples(tested)


def knn(train: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:  # noqa: ARG001
    """Return the distance to the fifth neighbour; Ramaswamy et al. 2000, doi:10.1145/335191.335437."""
    return NearestNeighbors(n_neighbors=5).fit(train).kneighbors(tested)[0][:, -1]


DETECTORS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "isolation forest": isolation_forest,
    "LOF": lof,
    "kNN": knn,
}


METHODS = (*DETECTORS, *SETTINGS)


def by_detector(p: Problem, name: str, seed: int) -> Iterator[Row]:
    """Yield the figures of a usual detector."""
    started = time.perf_counter()
    scores = DETECTORS[name](*features(p), seed)
    yield {"score": name, **ranked(p, scores), "seconds": time.perf_counter() - started}


def by_generator(p: Problem, kind: str, seed: int) -> Iterator[Row]:
    """Yield the figures of each score of a family."""
    started = time.perf_counter()
    config = generator_config(kind, members=1, **SETTINGS[kind])
    generator = TabularGenerator(config).fit(p.train, seed=seed)
    scorer = AnomalyScorer(generator)
    fitted = time.perf_counter()
    nats = scorer.score(p.tested, seed=seed).nats
    scored = time.perf_counter()
    limit = threshold_of(scorer.score(p.reference, seed=seed).nats, FALSE_ALARMS)
    alarms = limit.flags(nats)
    yield {
        "score": f"{kind}, nats",
        **ranked(p, nats),
        "fit_s": fitted - started,
        "score_s": scored - fitted,
        "alarms": float(alarms[~p.odd].mean()),
        "caught": float(alarms[p.odd].mean()),
    }
    yield {
        "score": f"{kind}, nats per axis",
        **ranked(p, AnomalyScorer(generator, per="axis").score(p.tested, seed=seed).nats),
    }
    surprise = scorer.surprise(p.tested, seed=seed).sum(axis=1).to_numpy()
    yield {"score": f"{kind}, surprise", **ranked(p, surprise)}
    reasons = scorer.reasons(p.tested, 1, seed=seed)
    yield {
        "score": f"{kind}, worst cell",
        **ranked(p, -np.log(np.maximum([why[0].chance for why in reasons], 1e-300))),
        **blamed(p, [why[0].column for why in reasons]),
    }


def ranked(p: Problem, scores: np.ndarray) -> Row:
    """Return how well scores rank odd rows first."""
    return {"roc_auc": float(roc_auc_score(p.odd, scores)), "pr_auc": float(average_precision_score(p.odd, scores))}


def blamed(p: Problem, columns: list[str]) -> Row:
    """Return how often the first reason of an odd row is one of its exchanged cells, and how often a guess would be."""
    if p.exchanged is None:
        return {}
    names = list(p.tested)
    hits = [p.exchanged[i, names.index(name)] for i, name in enumerate(np.array(columns)[p.odd])]
    return {"blamed": float(np.mean(hits)), "blamed_by_chance": float(p.exchanged.mean())}


def measure(table: str, method: str, seed: int) -> Iterator[Row]:
    """Yield the figures of a method, with what they are of."""
    p = problem(table, seed)
    found = by_detector(p, method, seed) if method in DETECTORS else by_generator(p, method, seed)
    sizes = {"n_train": len(p.train), "n_tested": len(p.tested), "n_odd": int(p.odd.sum())}
    for row in found:
        yield {"table": table, "method": method, "seed": seed, **sizes, **row}


def markdown(rows: list[Row]) -> str:
    """Return what was measured as tables and sentences."""
    frame = pd.DataFrame(rows)
    seeds = frame.groupby("table", sort=False).seed.nunique()
    spread = frame.groupby(["table", "score"]).roc_auc.std().mean()
    parts = [ranking(frame, "roc_auc"), ranking(frame, "pr_auc")]
    parts.append(f"Seeds: {', '.join(f'{table} {n}' for table, n in seeds.items())}.")
    parts.append(f"ROC-AUC differs between seeds by {spread:.3f} (standard deviation, mean over all cells).")
    if "alarms" in frame:
        parts.append(thresholds(frame[frame.alarms.notna()]))
    if "blamed" in frame:
        parts += blame(frame[frame.blamed.notna()])
    return "\n\n".join(parts)


def ranking(frame: pd.DataFrame, figure: str) -> str:
    """Return a table of means over the seeds; the means over tables are of those that every score has."""
    cells = frame.pivot_table(index="score", columns="table", values=figure, sort=False)
    cells = cells[[table for table in TABLES if table in cells]]
    complete = cells.dropna(axis=1)
    cells["mean"], cells["mean rank"] = complete.mean(axis=1), complete.rank(ascending=False).mean(axis=1)
    best = cells.drop(columns="mean rank").max()
    lines = [f"| {figure} | {' | '.join(cells)} |", "|---" * (cells.shape[1] + 1) + "|"]
    for score, row in cells.iterrows():
        texts = [f"**{x:.3f}**" if x == best[name] else f"{x:.3f}" for name, x in row[:-1].items()]
        lines.append(f"| {score} | {' | '.join(texts)} | {row.iloc[-1]:.1f} |")
    return "\n".join(lines)


def thresholds(rates: pd.DataFrame) -> str:
    """Return how often ordinary rows raised an alarm, and odd ones."""
    lines = ["| table | score | seeds | alarms among ordinary rows | caught of the odd rows |", "|---|---|---|---|---|"]
    for (table, score), some in rates.groupby(["table", "score"], sort=False):
        lines.append(f"| {table} | {score} | {len(some)} | {some.alarms.mean():.1%} | {some.caught.mean():.1%} |")
    low, mean, high = rates.alarms.min(), rates.alarms.mean(), rates.alarms.max()
    said = f"On average {mean:.1%} of ordinary rows raised an alarm ({low:.1%} to {high:.1%} in {len(rates)} runs)"
    return "\n".join(lines) + f"\n\n{said}; asked for were {FALSE_ALARMS:.0%}."


def blame(told: pd.DataFrame) -> list[str]:
    """Return how often the first reason was right."""
    return [
        f"{score}: the first reason is an exchanged cell in {some.blamed.mean():.0%}"
        f" (by chance {some.blamed_by_chance.mean():.0%})."
        for score, some in told.groupby("score", sort=False)
    ]


def read_lines(path: Path) -> list[Row]:
    """Return what has been measured."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def main() -> None:
    """Measure what is not there yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    done = {(row["table"], row["method"], row["seed"]) for row in read_lines(arguments.output)}
    wanted = [(t, m, s) for s in arguments.seeds for t in arguments.tables for m in arguments.methods]
    for table, method, seed in wanted if not arguments.markdown else []:
        if (table, method, seed) in done:
            continue
        lines = [json.dumps(row) + "\n" for row in measure(table, method, seed)]
        with arguments.output.open("a") as file:
            file.writelines(lines)
        print("".join(lines), end="", flush=True)
    print(markdown(read_lines(arguments.output)))


if __name__ == "__main__":
    main()
