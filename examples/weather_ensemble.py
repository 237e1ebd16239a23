"""An ensemble of weather: many possible tomorrows for each today, and whether their spread can be trusted.

    python examples/weather_ensemble.py

Records of a simulated station hold today's pressure, temperature, season and wind, and what came the day after:
tomorrow's temperature, wind and rain. The law is in `station`, so the true distribution of tomorrow is known. A
generator learns 12,000 such days. For 500 other days tomorrow is hidden and drawn 39 times given today.

An ensemble is calibrated where the true tomorrow looks like one more member. Then its rank among the members is equally
often each of 0 to 39 (a flat rank histogram; Hamill 2001, doi:10.1175/1520-0493(2001)129<0550:IORHFV>2.0.CO;2), and the
interval from the 2nd to the 38th member holds it on 36 / 40 = 90 % of the days. Ensembles that are too narrow, as many
are, show a U in place of the flat line, and their intervals hold too little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from generators import FlowMatchingConfig, TabularGenerator

TODAY, TOMORROW = ["season", "pressure", "temperature", "wind"], ["temperature_next", "wind_next", "rain_next"]
N_DAYS, N_NEW_DAYS, N_MEMBERS, N_BINS = 12_000, 500, 39, 8
LEVEL, EDGE = 0.9, 2
"""The interval from the `EDGE`-th smallest to the `EDGE`-th largest of 39 members holds 1 - 2 EDGE / 40 of the days."""

# Half of the training rows are usually learned along one order of the columns. Here today is always given, so all are
# learned behind random sets of given cells.
CONFIG = FlowMatchingConfig(ordered_share=0.0, members=1)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Found:
    """What the run found, by column of tomorrow unless said otherwise.

    Attributes:
        coverage: the part of the new days whose true value lies in the 90 % interval of its members.
        coverage_of_all_days: the same where the members are other days' tomorrows, whatever today: climatology.
        histogram: the part of the days whose true value has a rank in each eighth of the ranks **(8,)**.
        width: the mean width of the interval.
        width_of_all_days: that of climatology.
        spread_calm: the mean standard deviation of tomorrow's temperature on the calmest quarter of the days, among the
            members and by the law.
        spread_windy: the same on the windiest quarter.
        rain: the Brier score of the drawn chance of rain, and that of always saying how often it rains.
    """

    coverage: Mapping[str, float]
    coverage_of_all_days: Mapping[str, float]
    histogram: Mapping[str, FloatArray]
    width: Mapping[str, float]
    width_of_all_days: Mapping[str, float]
    spread_calm: tuple[float, float]
    spread_windy: tuple[float, float]
    rain: tuple[float, float]


def station(n_days: int, seed: int) -> pd.DataFrame:
    """Return days as independent records.

    Tomorrow's temperature keeps 0.8 of today's departure from the season's mean, falls as the pressure does, and is the
    less certain the windier today is; rain comes with low pressure; wind has a long upper tail.
    """
    rng = np.random.default_rng(seed)
    season = rng.choice(["winter", "spring", "summer", "autumn"], n_days)
    mean = pd.Series(season).map({"winter": -2.0, "spring": 7.0, "summer": 18.0, "autumn": 9.0}).to_numpy()
    pressure = rng.normal(1013, 9, n_days)
    wind = rng.gamma(3.0, 1.2, n_days) * np.exp((1013 - pressure) / 40)
    temperature = mean + rng.normal(0, 4, n_days)
    after = mean + 0.8 * (temperature - mean) + (pressure - 1013) / 9 + rng.normal(0, 1, n_days) * uncertainty(wind)
    wind_after = 0.5 * wind + rng.gamma(2.0, 0.8, n_days)
    rain = rng.random(n_days) < 1 / (1 + np.exp((pressure - 1008) / 4))
    columns = {
        "season": season,
        "pressure": pressure.round(3),
        "temperature": temperature.round(3),
        "wind": wind.round(3),
        "temperature_next": after.round(3),
        "wind_next": wind_after.round(3),
        "rain_next": rain,
    }
    return pd.DataFrame(columns)


def uncertainty(wind: Any) -> Any:
    """Return the standard deviation of tomorrow's temperature given today."""
    return 0.8 + 0.35 * wind


def main() -> Found:
    """Learn, draw tomorrows, hold them against the true ones, and tell."""
    days, new_days = station(N_DAYS, seed=0), station(N_NEW_DAYS, seed=1)
    generator = TabularGenerator(CONFIG).fit(days, seed=0)
    todays = new_days[TODAY].loc[new_days.index.repeat(N_MEMBERS)].reset_index(drop=True)
    drawn = generator.complete(todays, TODAY, seed=2)
    ensemble = {name: drawn[name].to_numpy(float).reshape(N_NEW_DAYS, N_MEMBERS) for name in TOMORROW}
    rng = np.random.default_rng(3)
    others = rng.integers(0, N_DAYS, (N_NEW_DAYS, N_MEMBERS))
    climate = {name: days[name].to_numpy(float)[others] for name in TOMORROW}
    truth = {name: new_days[name].to_numpy(float) for name in TOMORROW}
    numbers = TOMORROW[:2]
    windiest = new_days["wind"].rank(pct=True).to_numpy()
    spread, by_law = ensemble["temperature_next"].std(axis=1, ddof=1), uncertainty(new_days["wind"]).to_numpy()
    found = Found(
        coverage={name: held(truth[name], ensemble[name]) for name in numbers},
        coverage_of_all_days={name: held(truth[name], climate[name]) for name in numbers},
        histogram={name: rank_histogram(truth[name], ensemble[name], rng) for name in numbers},
        width={name: width(ensemble[name]) for name in numbers},
        width_of_all_days={name: width(climate[name]) for name in numbers},
        spread_calm=(float(spread[windiest <= 0.25].mean()), float(by_law[windiest <= 0.25].mean())),
        spread_windy=(float(spread[windiest > 0.75].mean()), float(by_law[windiest > 0.75].mean())),
        rain=(
            brier(truth["rain_next"], ensemble["rain_next"].mean(axis=1)),
            brier(truth["rain_next"], days["rain_next"].mean()),
        ),
    )
    tell(found)
    return found


def bounds(members: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the interval of each day's members **(n_days, n_members)**."""
    ordered = np.sort(members, axis=1)
    return ordered[:, EDGE - 1], ordered[:, -EDGE]


def held(truth: FloatArray, members: FloatArray) -> float:
    """Return the part of the days whose true value lies in its interval."""
    low, high = bounds(members)
    return float(((low <= truth) & (truth <= high)).mean())


def width(members: FloatArray) -> float:
    """Return the mean width of the intervals."""
    low, high = bounds(members)
    return float((high - low).mean())


def rank_histogram(truth: FloatArray, members: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the part of the days in each eighth of the 40 ranks; among equals the rank is drawn."""
    below, equal = (members < truth[:, None]).sum(1), (members == truth[:, None]).sum(1)
    ranks = below + rng.integers(0, equal + 1)
    shares: FloatArray = np.bincount(ranks * N_BINS // (N_MEMBERS + 1), minlength=N_BINS) / len(truth)
    return shares


def brier(truth: FloatArray, chance: FloatArray | float) -> float:
    """Return the mean squared error of a chance."""
    return float(((chance - truth) ** 2).mean())


def tell(found: Found) -> None:
    """Print what was found."""
    print(f"For {N_NEW_DAYS:,} days that were not learned, {N_MEMBERS} tomorrows were drawn given today.\n")
    for name in found.coverage:
        print(f"{name}:")
        print(f"  the {LEVEL:.0%} interval holds the true value on {found.coverage[name]:.1%} of the days,")
        print(f"  and is {found.width[name]:.1f} wide. Without looking at today it would be", end=" ")
        print(f"{found.width_of_all_days[name]:.1f} wide, and hold {found.coverage_of_all_days[name]:.1%}.")
        shares = "  ".join(f"{share:.0%}" for share in found.histogram[name])
        print(f"  ranks of the true value, lowest to highest eighth (flat is {1 / N_BINS:.1%} each): {shares}\n")
    print(f"The spread of tomorrow's temperature is {found.spread_calm[0]:.1f} degrees after calm days", end=" ")
    print(f"({found.spread_calm[1]:.1f} by the law) and {found.spread_windy[0]:.1f} after windy ones", end=" ")
    print(f"({found.spread_windy[1]:.1f}): the ensemble knows when it cannot know.")
    print(f"Chance of rain: Brier score {found.rain[0]:.3f}, {found.rain[1]:.3f} for always saying the average.")


if __name__ == "__main__":
    main()
