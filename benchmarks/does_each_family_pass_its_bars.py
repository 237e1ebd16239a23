"""Does each family reach what it is held to, on rows that nothing was learned from?

    TABMINT_DATA=FOLDER python benchmarks/does_each_family_pass_its_bars.py --kinds flow_matching ddpm --tables adult

fits and judges every seed as `how_close_to_real.py` does, each in a fresh process, and prints for each family and table
the mean over the seeds of every figure that has a bar, with the bar and whether it is met. The exit code is 1 where one
is missed.
"""

from __future__ import annotations

import argparse
import sys

from how_close_to_real import fit_of, in_fresh_process, mean, show

from flows.duration import parse_seconds

Bars = dict[str, tuple[float, float]]  # figure -> its lowest and highest value

ANY, ONE = float("-inf"), float("inf")
COPYING: Bars = {"dcr_share": (0.49, 0.515), "exact_copies_p": (0.01, ONE)}


def close(c2st: float) -> dict[str, Bars]:
    """Return the bars of the tables that only have to be hard to tell from real ones."""
    tables = ("news_39000", "california_housing", "bank_additional_full")
    return {name: {"c2st_auc": (ANY, c2st)} | COPYING for name in tables}


def bars(
    c2st: float, shape: float, trend: float, tstr: float, default: float, beijing: tuple[float, float], s: float
) -> dict[str, Bars]:
    """Return the bars of one family by table; errors in percent, the seconds for 32,561 rows."""
    adult = {"c2st_auc": (ANY, c2st), "shape_error": (ANY, shape / 100), "trend_error": (ANY, trend / 100)}
    return {
        "adult": adult | {"tstr_auc": (tstr, ONE), "sample_s": (ANY, s)} | COPYING,
        "default": {"c2st_auc": (ANY, default)} | COPYING,
        "beijing_pm25": {"shape_error": (ANY, beijing[0] / 100), "trend_error": (ANY, beijing[1] / 100)} | COPYING,
    }


BARS: dict[str, dict[str, Bars]] = {
    "flow_matching": bars(0.54, 0.9, 2.0, 0.915, 0.60, (1.2, 2.8), 2) | close(0.70),
    "ddpm": bars(0.54, 0.9, 2.0, 0.915, 0.60, (1.2, 2.8), 3) | close(0.70),
    "vae": bars(0.65, 2, 3.5, 0.90, 0.75, (3, 5), 1),
    "wgan_gp": bars(0.80, 4, 5, 0.89, 0.90, (5, 7), 1),
}


def judge(kind: str, table: str, figures: dict[str, float | str]) -> bool:
    """Print each figure beside its bar, and return whether all are met."""
    met = []
    for figure, (low, high) in BARS[kind][table].items():
        value = float(figures[figure])
        met.append(low <= value <= high)
        bar = (
            f"{low:.4g} to {high:.4g}"
            if low > ANY and high < ONE
            else f"<= {high:.4g}"
            if low == ANY
            else f">= {low:.4g}"
        )
        print(f"{kind:14} {table:22} {figure:12} {value:8.4f}  {bar:16} {'met' if met[-1] else 'MISSED'}", flush=True)
    return all(met)


def main() -> None:
    """Measure what is asked for and hold it against the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=BARS, default=list(BARS))
    parser.add_argument("--tables", nargs="+", default=None, help="all that have bars unless given")
    parser.add_argument("--budget", type=lambda text: None if text == "none" else parse_seconds(text), default=120.0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    met = []
    for kind in arguments.kinds:
        for table in arguments.tables or BARS[kind]:
            one = fit_of(kind, table, budget=arguments.budget)
            rows = [in_fresh_process(one, seed, True) for seed in arguments.seeds]
            for row in rows:
                show(row)
            met.append(judge(kind, table, mean(rows)))
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
