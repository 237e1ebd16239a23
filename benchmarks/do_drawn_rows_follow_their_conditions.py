"""Do rows that are drawn under a condition follow it as freely drawn rows do?

    python benchmarks/do_drawn_rows_follow_their_conditions.py

learns 4,000 simulated days of `examples/weather_ensemble.py`, where rain comes with low pressure, by one model of each
family, and prints the correlation of pressure and rain among unseen days, among freely drawn rows, and among rows that
are drawn given the pressures of unseen days: with one candidate per row, and with as many as the families take.
"""

import sys
from pathlib import Path

import pandas as pd

from generators import (
    DDPMConfig,
    FlowMatchingConfig,
    GeneratorConfig,
    TabularGenerator,
    VAEConfig,
    WGANGPConfig,
    masked,
    vae,
)
from generators.given import N_CANDIDATES

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
from weather_ensemble import station

FAMILIES: tuple[GeneratorConfig, ...] = (
    FlowMatchingConfig(members=1),
    DDPMConfig(members=1),
    VAEConfig(members=1),
    WGANGPConfig(members=1),
)


def correlation(days: pd.DataFrame) -> float:
    """Return the correlation of pressure and rain."""
    return float(days["pressure"].corr(days["rain_next"].astype(float)))


def given_pressure(generator: TabularGenerator, days: pd.DataFrame, n_candidates: int) -> float:
    """Return the correlation among rows that are drawn given the pressure, of so many candidates each."""
    masked.N_CANDIDATES = vae.N_CANDIDATES = n_candidates
    return correlation(generator.complete(days[["pressure"]], ["pressure"]))


def main() -> None:
    days, unseen = station(4_000, seed=0), station(2_000, seed=1)
    print(f"unseen days: {correlation(unseen):.2f}")
    print(f"| family | drawn freely | given, 1 candidate | given, {N_CANDIDATES} candidates |\n|---|---|---|---|")
    for config in FAMILIES:
        generator = TabularGenerator(config).fit(days, seed=0)
        found = correlation(generator.sample(2_000)), *(given_pressure(generator, unseen, n) for n in (1, N_CANDIDATES))
        print(f"| {config.kind} | {' | '.join(f'{each:.2f}' for each in found)} |", flush=True)


if __name__ == "__main__":
    main()
