"""Defects of a machine, found by density: no defect is ever learned, and the sensor that is wrong is named.

    python examples/defect_detection.py

A simulated machine reports the product that it makes, eight sensors, and four channels that have nothing to do with it,
such as the weather outside. By the law in `machine` the sensors hang together: speed and load decide temperature,
current and vibration, with more noise under more load, and each product has its own settings. A defect is one sensor
that reports what it might report at another time: each reading alone is ordinary, only the combination is not. So a
limit for each sensor sees nothing, and a detector has to know how sensors go together.

A generator learns 6,000 ordinary records. The score of a record is its surprise in nats; the threshold is read from
ordinary records that were not learned, so that 1 % of ordinary records are called odd. Isolation Forest, local outlier
factor and the distance to the 10 nearest records stand beside it, on the same records. These measure distances, to
which idle channels count as much as any; without the four channels, and with even noise, they are the better choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler

from generators import FlowMatchingConfig, TabularGenerator
from generators.anomaly import AnomalyScorer, Threshold, threshold_of

N_LEARNED, N_REFERENCE, N_ORDINARY, N_DEFECTS, FALSE_ALARMS = 6_000, 2_000, 2_000, 300, 0.01
SENSORS = ["speed", "load", "temperature", "current", "vibration", "oil_pressure", "coolant", "torque"]

CONFIG = FlowMatchingConfig(members=1)


@dataclass(frozen=True)
class Found:
    """What the run found.

    Attributes:
        auc: ROC-AUC of defects against ordinary records, by detector; "density" is the generator's.
        threshold: from how many nats on a record is called odd.
        false_alarms: the part of other ordinary records above it.
        detected: the part of the defects above it.
        named: the part of the defects whose first reason is the sensor that is wrong.
        named_by_size: the same where the sensor furthest from its mean is named.
        among_three: the part of the defects whose first three reasons hold the sensor.
        example: the first reasons of one defect, and the sensor that is wrong there.
    """

    auc: Mapping[str, float]
    threshold: Threshold
    false_alarms: float
    detected: float
    named: float
    named_by_size: float
    among_three: float
    example: tuple[str, str]


def machine(n: int, seed: int) -> pd.DataFrame:
    """Return ordinary records: a product, two chosen settings, six sensors that follow, four idle channels."""
    rng = np.random.default_rng(seed)
    product = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    speed = np.array([40.0, 60.0, 75.0])[product] + rng.normal(0, 8, n)
    load = np.array([30.0, 50.0, 20.0])[product] + rng.gamma(4, 3, n)

    def noise(scale: float) -> np.ndarray:
        return rng.normal(0, scale, n) * load / 45

    temperature = 20 + 0.5 * speed + 0.3 * load + noise(1.5)
    readings = {
        "speed": speed,
        "load": load,
        "temperature": temperature,
        "current": 2 + 0.08 * load + 0.03 * speed + noise(0.3),
        "vibration": 0.5 + np.abs(speed - 55) / 20 + noise(0.12),
        "oil_pressure": 6 - 0.03 * temperature + noise(0.1),
        "coolant": 10 + 0.4 * temperature + noise(0.8),
        "torque": 5 + 0.9 * load + noise(2),
        "outside": 12 + 4 * rng.standard_t(3, n),
        "humidity": 60 + 8 * rng.standard_t(3, n),
        "mains": 230 + 1.5 * rng.standard_t(3, n),
        "water": 4 + 0.3 * rng.standard_t(3, n),
    }
    table = pd.DataFrame({name: values.round(3) for name, values in readings.items()})
    return table.assign(product=np.array(["plate", "rod", "wire"])[product])


def defects(seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Return records of which one sensor reports what belongs to another record, and which sensor it is.

    The foreign reading is at least one standard deviation from the right one: less is no defect to speak of.
    """
    rng = np.random.default_rng(seed)
    records, others = machine(N_DEFECTS, seed=seed + 1), machine(20_000, seed=seed + 2)
    wrong = list(rng.choice(SENSORS, N_DEFECTS))
    for i, sensor in enumerate(wrong):
        readings = others[sensor].to_numpy()
        far = readings[np.abs(readings - records.loc[i, sensor]) >= readings.std()]
        records.loc[i, sensor] = rng.choice(far)
    return records, wrong


def main() -> Found:
    """Learn ordinary records, score others, and tell."""
    learned, reference, ordinary = machine(N_LEARNED, 0), machine(N_REFERENCE, 1), machine(N_ORDINARY, 2)
    broken, wrong = defects(seed=3)
    scorer = AnomalyScorer(TabularGenerator(CONFIG).fit(learned, seed=0))
    threshold = threshold_of(scorer.score(reference).nats, FALSE_ALARMS)
    nats_ordinary, nats_broken = scorer.score(ordinary).nats, scorer.score(broken).nats
    reasons = [[reason.column for reason in row] for row in scorer.reasons(broken, 3)]
    scores = {"density": np.concatenate([nats_ordinary, nats_broken])}
    scores |= baselines(learned, pd.concat([ordinary, broken]))
    is_defect = np.repeat([0, 1], [N_ORDINARY, N_DEFECTS])
    standardised = ((broken[SENSORS] - learned[SENSORS].mean()) / learned[SENSORS].std()).abs()
    odd = int(nats_broken.argmax())
    found = Found(
        auc={name: float(roc_auc_score(is_defect, score)) for name, score in scores.items()},
        threshold=threshold,
        false_alarms=float(threshold.flags(nats_ordinary).mean()),
        detected=float(threshold.flags(nats_broken).mean()),
        named=float(np.mean([row[0] == sensor for row, sensor in zip(reasons, wrong, strict=True)])),
        named_by_size=float((standardised.idxmax(axis=1) == wrong).mean()),
        among_three=float(np.mean([sensor in row for row, sensor in zip(reasons, wrong, strict=True)])),
        example=("; ".join(map(str, scorer.reasons(broken.iloc[[odd]], 3)[0])), wrong[odd]),
    )
    tell(found)
    return found


def baselines(learned: pd.DataFrame, records: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return how odd records are to detectors that look at standardised sensors and flags of the product."""
    scale = StandardScaler().fit(pd.get_dummies(learned, columns=["product"]))
    train, test = (scale.transform(pd.get_dummies(table, columns=["product"])) for table in (learned, records))
    forest = IsolationForest(random_state=0).fit(train)
    factor = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(train)
    nearest = NearestNeighbors(n_neighbors=10).fit(train)
    return {
        "largest deviation of one sensor": np.abs(test).max(axis=1),
        "isolation forest": -forest.score_samples(test),
        "local outlier factor": -factor.score_samples(test),
        "distance to 10 neighbours": nearest.kneighbors(test)[0].mean(axis=1),
    }


def tell(found: Found) -> None:
    """Print what was found."""
    print(f"{N_LEARNED:,} ordinary records were learned, and no defect.\n")
    print(f"ROC-AUC of {N_DEFECTS} defects against {N_ORDINARY:,} ordinary records (0.5 is chance, 1 is best):")
    for name, auc in found.auc.items():
        print(f"  {auc:.3f}  {name}")
    print(f"\nAbove {found.threshold.nats:.1f} nats a record is called odd: {found.detected:.0%} of the", end=" ")
    print(f"defects are, and {found.false_alarms:.1%} of ordinary records; {FALSE_ALARMS:.0%} was asked for.\n")
    print(f"The first reason is the sensor that is wrong for {found.named:.0%} of the defects, and it is", end=" ")
    print(f"among the first three for {found.among_three:.0%};")
    print(f"naming the sensor furthest from its mean is right for {found.named_by_size:.0%}.")
    print(f"The oddest defect, of which {found.example[1]} is wrong, is explained as: {found.example[0]}")


if __name__ == "__main__":
    main()
