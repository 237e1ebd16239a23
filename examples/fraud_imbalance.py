"""One payment in fifty is fraud: do synthetic frauds help a classifier? Measured before it is believed.

    python examples/fraud_imbalance.py

Payments are simulated by the law in `payments`: frauds come in two kinds, small tests of stolen cards at night and
large purchases abroad, and both overlap with honest payments. As the law is known, so is the best PR-AUC that any
classifier can reach.

A generator learns payments together with their class and draws frauds until there is one for every five honest ones.
Whether that helps is tried on splits of the table, beside what costs nothing: leaving the rows as they are, weighting
them, repeating the rare ones, and SMOTE where imbalanced-learn is installed. Thresholds are tuned and probabilities
corrected for the changed share for every remedy alike. The advice follows from the paired intervals, and says no where
these do not say yes; see docs/augmentation.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sklearn.metrics import average_precision_score

from evaluation.utility.advice import Advice, advise, compare, table_of
from evaluation.utility.augmentation import LEARNERS, REAL, Splits, WeighingLearner, trials
from evaluation.utility.resampling import remedies
from generators import FlowMatchingConfig, TabularGenerator
from generators.augmentation import GenerativeOverSampler, draw_classes
from pipeline.inference import infer

N_PAYMENTS, SHARE, RATIO, N_SPLITS = 6_000, 0.02, 0.2, 3
GENERATED = "flow matching"
COUNTRIES = ["home", "neighbour", "far"]

CONFIG = FlowMatchingConfig(members=1)


@dataclass(frozen=True)
class Found:
    """What the run found.

    Attributes:
        n_frauds: among the payments.
        n_after: after rows were added.
        unchanged: whether the original rows came back first, as they were.
        median_amount: of real frauds and of synthetic ones.
        share_abroad: the part of them that was not paid at home, of real and of synthetic frauds.
        pr_auc: the mean over splits by remedy, of the learner that does best on real rows.
        best_possible: the PR-AUC of the law's own probability.
        advice: whether to use synthetic rows, in words.
        table: every remedy and learner, as Markdown.
    """

    n_frauds: int
    n_after: int
    unchanged: bool
    median_amount: tuple[float, float]
    share_abroad: tuple[float, float]
    pr_auc: Mapping[str, float]
    best_possible: float
    advice: Advice
    table: str


def payments(n: int, seed: int) -> tuple[pd.DataFrame, npt.NDArray[np.float64]]:
    """Return payments, and the probability by the law that each is a fraud.

    A payment is honest, a test of a stolen card, or a large purchase with one; given that, columns are independent.
    """
    rng = np.random.default_rng(seed)
    kinds = ("honest", "test", "purchase")
    prior = np.array([1 - SHARE, 0.6 * SHARE, 0.4 * SHARE])
    # by kind: mean and deviation of log amount; of log days since the card was issued; hour; countries; payments today
    amount = {"honest": (3.2, 1.0), "test": (1.2, 0.7), "purchase": (5.6, 0.8)}
    age = {"honest": (6.0, 1.0), "test": (5.2, 1.2), "purchase": (5.6, 1.2)}
    hour = {"honest": (14, 4.5), "test": (4, 2.5), "purchase": (20, 4)}
    abroad = {"honest": (0.9, 0.07, 0.03), "test": (0.6, 0.2, 0.2), "purchase": (0.25, 0.25, 0.5)}
    today = {"honest": 1.2, "test": 4.0, "purchase": 1.5}
    kind = rng.choice(3, n, p=prior)

    def normal(by_kind: Mapping[str, tuple[float, float]]) -> npt.NDArray[np.float64]:
        centre, spread = np.array([by_kind[name] for name in kinds])[kind].T
        return np.asarray(rng.normal(centre, spread))

    log_amount, log_age = normal(amount), normal(age)
    hours = normal(hour)
    country = np.array([rng.choice(3, p=abroad[kinds[k]]) for k in kind])
    count = rng.poisson(np.array([today[name] for name in kinds])[kind])

    def log_normal(x: npt.NDArray[np.float64], centre: float, spread: float) -> npt.NDArray[np.float64]:
        return np.asarray(-0.5 * ((x - centre) / spread) ** 2 - np.log(spread))

    log_likelihood = np.stack(
        [
            log_normal(log_amount, *amount[name]) + log_normal(log_age, *age[name]) + log_normal(hours, *hour[name])
            + np.log(np.array(abroad[name]))[country] + count * np.log(today[name]) - today[name]
            for name in kinds
        ]
    )  # fmt: skip
    weighted = prior[:, None] * np.exp(log_likelihood - log_likelihood.max(axis=0))
    table = pd.DataFrame(
        {
            "amount": np.exp(log_amount).round(2),
            "card_age": np.exp(log_age).round(0).astype(int),
            "hour": (hours % 24).round(2),
            "country": np.array(COUNTRIES)[country],
            "payments_today": count,
            "fraud": kind > 0,
        }
    )
    return table, 1 - weighted[0] / weighted.sum(axis=0)


def main(n_splits: int = N_SPLITS, learners: Sequence[WeighingLearner] = LEARNERS) -> Found:
    """Add frauds, try on splits whether they help, and tell."""
    table, chance = payments(N_PAYMENTS, seed=0)
    features, fraud = table.drop(columns="fraud"), table["fraud"]
    sampler = GenerativeOverSampler(CONFIG, sampling_strategy=RATIO)
    more, more_fraud = sampler.fit_resample(features, fraud)
    real, synthetic = features[fraud], more.iloc[N_PAYMENTS:]
    rows = pa.Table.from_pandas(table)
    schema = infer(rows)

    def augment(known: pa.Table, wanted: Mapping[Any, int], seed: int) -> pa.Table:
        return draw_classes(TabularGenerator(CONFIG).fit(known, schema, seed=seed), "fraud", wanted, seed=seed)

    splits = Splits(rows, schema, "fraud", n=n_splits, ratio=RATIO, seed=0)
    tried = list(trials(splits, remedies(), {GENERATED: augment}, learners))
    best = max((learner.name for learner in learners), key=lambda name: compare(tried, REAL, name, "pr_auc").value)
    found = Found(
        n_frauds=int(fraud.sum()),
        n_after=int(more_fraud.sum()),
        unchanged=more.iloc[:N_PAYMENTS].equals(features),
        median_amount=(float(real["amount"].median()), float(synthetic["amount"].median())),
        share_abroad=(float((real["country"] != "home").mean()), float((synthetic["country"] != "home").mean())),
        pr_auc={name: compare(tried, name, best, "pr_auc").value for name in dict.fromkeys(t.remedy for t in tried)},
        best_possible=float(average_precision_score(fraud, chance)),
        advice=advise(tried, GENERATED, "pr_auc"),
        table=table_of(tried),
    )
    tell(found)
    return found


def tell(found: Found) -> None:
    """Print what was found."""
    print(f"{N_PAYMENTS:,} payments, {found.n_frauds} of them frauds; {found.n_after - found.n_frauds:,}", end=" ")
    print("synthetic frauds are added behind them.")
    print("Real and synthetic frauds should look alike, for only their number is to change:")
    print(f"  median amount {found.median_amount[0]:.2f} and {found.median_amount[1]:.2f},", end=" ")
    print(f"paid abroad {found.share_abroad[0]:.0%} and {found.share_abroad[1]:.0%}\n")
    print("Means over the splits; in brackets the difference from real rows only with its 95 % interval:")
    print(found.table)
    print(f"\nNo classifier can have a PR-AUC above about {found.best_possible:.2f} here: that is the law's own.")
    print(found.advice.sentence)


if __name__ == "__main__":
    main()
