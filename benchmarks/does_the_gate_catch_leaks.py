"""Does the privacy gate refuse tables that leak train rows, and let honest rows pass?

    TABMINT_DATA=FOLDER python -m benchmarks.does_the_gate_catch_leaks --tables adult simulated_copula --seeds 0 1 2

draws train, holdout and fresh rows of one population, `--rows` of each: from `FOLDER/adult.csv.gz` (a header row, empty
cells missing) at random without overlap, or from a simulated population. The fresh rows stand for a perfect generator:
they are judged as they are ("honest"), with each leak of `tests/evaluation/leakers.py` planted in them, and with 5 % of
copies planted but train and holdout exchanged at random afterwards ("labels exchanged"), where nothing is left to find
by holding train against holdout. (A copied row may hold an extreme of train, which G2 refuses whatever holdout does;
of exchanged labels that part of G2 is left out.)

Every verdict is appended to `--out` (JSON lines) as soon as it is there. A run that is started again goes on after the
last one, and sums up what was asked for. Reproduced extremes are below the limit that the gate prints where the train
rows have so few telling ones that all of them together would be for review; such tables are counted apart. It is one
process; OMP_NUM_THREADS says how many threads it may use.

The exit code is 1 where a bar is missed: at least 99 % of the leaks refused, at most 2 % of the honest tables and of
those with exchanged labels.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import binomtest

from evaluation import EvaluationConfig, Tables
from evaluation.features import frames_of
from evaluation.privacy.value_support import EXTREMES, fewest_extremes
from evaluation.report import GateVerdict, PrivacyTest
from evaluation.suite import METRICS
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.seeds import numpy_rng
from pipeline.source import read
from tests.evaluation.leakers import LEAKERS, NothingToLeakError, verbatim_copies
from tests.evaluation.simulated import POPULATIONS

TARGETS = {
    "adult": "income",
    "bank_additional_full": "y",
    "california_housing": "median_house_value",
    "default": "default payment next month",
    "simulated_network": "smoker",
    "simulated_copula": "member",
}
HONEST, EXCHANGED = "none (honest rows)", "labels exchanged"
REPRODUCED = "reproduced extremes"
CONDITIONS = (HONEST, EXCHANGED, *(leaker.name for leaker in LEAKERS))
BELOW = "leaks below the limit that the gate prints"
MOST_MISSED, MOST_REFUSED = 0.01, 0.02
Record = dict[str, Any]


@dataclass(frozen=True)
class Sampled:
    """Disjoint rows of one population."""

    schema: Schema
    train: pa.Table
    holdout: pa.Table
    fresh: pa.Table
    target: str | None


@dataclass(frozen=True)
class Case:
    """One table to judge; `scale` is multiplied with the leaker's own strength."""

    table: str
    rows: int
    leaker: str
    scale: float
    seed: int


def sampled(name: str, n_rows: int, seed: int) -> Sampled:
    """Draw train, holdout and fresh rows, other ones for every seed.

    Raises:
        ValueError: the table has too few rows.
    """
    rng = numpy_rng(seed, "rows", name)
    if name in POPULATIONS:
        population = POPULATIONS[name]
        return Sampled(population.schema, *(population.draw(n_rows, rng) for _ in range(3)), TARGETS.get(name))
    whole = read(Path(os.environ["TABMINT_DATA"]) / f"{name}.csv.gz").table
    if whole.num_rows < 3 * n_rows:
        raise ValueError(f"{name} has {whole.num_rows} rows; three times {n_rows} are needed")
    parts = rng.permutation(whole.num_rows)[: 3 * n_rows].reshape(3, n_rows)
    return Sampled(infer(whole), *(whole.take(part) for part in parts), TARGETS.get(name))


def tables_of(case: Case, drawn: Sampled) -> Tables:
    """Plant what the case names.

    Raises:
        NothingToLeakError: this table cannot show the leak.
    """
    rng = numpy_rng(case.seed, "leak", case.leaker)
    train, holdout, synthetic = drawn.train, drawn.holdout, drawn.fresh
    if case.leaker == EXCHANGED:
        synthetic = verbatim_copies(train, holdout, synthetic, drawn.schema, 0.05, rng)
        pooled = pa.concat_tables([train, holdout])
        order = rng.permutation(pooled.num_rows)
        train, holdout = pooled.take(order[: train.num_rows]), pooled.take(order[train.num_rows :])
    elif case.leaker != HONEST:
        leaker = next(leaker for leaker in LEAKERS if leaker.name == case.leaker)
        synthetic = leaker.plant(train, holdout, synthetic, drawn.schema, strength_of(case), rng)
    return Tables(drawn.schema, train, holdout, synthetic, drawn.target)


def strength_of(case: Case) -> float:
    """Return the share that the case plants, at most 1; 0 for honest rows."""
    own = {leaker.name: leaker.strength for leaker in LEAKERS} | {EXCHANGED: 0.05, HONEST: 0.0}
    return own[case.leaker] if case.leaker == EXCHANGED else min(1.0, case.scale * own[case.leaker])


def judged(case: Case, drawn: Sampled, config: EvaluationConfig) -> Record:
    """Return the verdict of every test of the gate, and the worst of them.

    Raises:
        RuntimeError: the privacy metrics come without a gate.
    """
    began = time.perf_counter()
    known = {**vars(case), "strength": strength_of(case)}
    try:
        tables = tables_of(case, drawn)
    except NothingToLeakError as error:
        return known | {"verdict": "NOT APPLICABLE", "reason": str(error), "tests": {}}
    frames = frames_of(tables)
    below = case.leaker == REPRODUCED and fewest_extremes(frames) is None
    tests = [test for metric in METRICS["privacy"] for test in metric(frames, config, seed=case.seed).tests]
    if not tests:
        raise RuntimeError("the privacy metrics found nothing that a gate could judge: there is no test")
    verdicts = {test.name: _relative(test) if case.leaker == EXCHANGED else test.verdict for test in tests}
    seconds = time.perf_counter() - began
    return known | {"verdict": worst(verdicts.values()), "tests": verdicts, "below_limit": below, "seconds": seconds}


def _relative(test: PrivacyTest) -> GateVerdict:
    """Return what the test finds by holding train against holdout: extremes of train are judged by themselves."""
    parts = [part.verdict for part in test.parts if part.statistic != EXTREMES]
    return worst(parts) if test.name == "g2_value_support" and parts else test.verdict


def worst(verdicts: Iterable[GateVerdict]) -> GateVerdict:
    """Return the verdict that decides: FAIL before REVIEW before PASS; NOT TESTABLE where no test could be made."""
    met = set(verdicts)
    return next((verdict for verdict in ("FAIL", "REVIEW", "PASS") if verdict in met), "NOT TESTABLE")


def study(cases: Sequence[Case], out: Path, config: EvaluationConfig) -> list[Record]:
    """Judge every case that `out` does not hold yet, append its record, and return the records of all the cases."""
    known = recorded(out)
    for case in cases:
        if case not in known:
            known[case] = judged(case, sampled(case.table, case.rows, case.seed), config)
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known[case]) + "\n")
            print(f"{case.table:22} {case.leaker:22} seed {case.seed}  {known[case]['verdict']}", file=sys.stderr)
    return [known[case] for case in cases]


def recorded(out: Path) -> dict[Case, Record]:
    """Return what was judged before, by case; a line that a killed process left unfinished is cut off."""
    lines = out.read_text(encoding="utf-8").splitlines(keepends=True) if out.exists() else []
    if lines and not lines[-1].endswith("\n"):
        out.write_text("".join(lines[:-1]), encoding="utf-8")
        lines.pop()
    records = [json.loads(line) for line in lines]
    return {Case(*(record[field.name] for field in fields(Case))): record for record in records}


def as_markdown(records: Sequence[Record]) -> str:
    """Return one line for each leak and table, and below them the shares that have a bar."""
    lines = [
        "| leak | strength | table | rows | runs | refused (FAIL) | REVIEW | PASS | tests that failed it |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(tuple(record[k] for k in ("leaker", "strength", "table", "rows")), []).append(record)
    lines += [_line(key, group) for key, group in groups.items()]
    return "\n".join([*lines, "", *(f"- {name}: {share_text(found)}" for name, found in of_bars(records).items())])


def _line(key: tuple[Any, ...], group: Sequence[Record]) -> str:
    leaker, strength, table, rows = key
    applicable = [record for record in group if record["verdict"] != "NOT APPLICABLE"]
    head = f"| {leaker} | {strength:.3g} | {table} | {rows} | {len(applicable)} |"
    if not applicable:
        return f"{head} n/a | n/a | n/a | {group[0]['reason']} |"
    verdicts = Counter(record["verdict"] for record in applicable)
    failed = Counter(test for record in applicable for test, verdict in record["tests"].items() if verdict == "FAIL")
    n, below = len(applicable), sum(record["below_limit"] for record in applicable)
    by = ", ".join(f"{test.split('_')[0].upper()} {count / n:.0%}" for test, count in failed.most_common())
    shares = " | ".join(f"{verdicts[verdict] / n:.0%}" for verdict in ("FAIL", "REVIEW", "PASS"))
    return f"{head} {shares} | {by or '-'}{f' ({below} of {n} below the printed limit)' if below else ''} |"


def of_bars(records: Sequence[Record]) -> dict[str, list[bool]]:
    """Return which tables were refused: honest rows, exchanged labels, leaks, and those too weak to be seen."""
    applicable = [record for record in records if record["verdict"] != "NOT APPLICABLE"]
    found: dict[str, list[bool]] = {"honest rows": [], "exchanged labels": [], "leaks": [], BELOW: []}
    for record in applicable:
        leak = BELOW if record["below_limit"] else "leaks"
        kind = {HONEST: "honest rows", EXCHANGED: "exchanged labels"}.get(record["leaker"], leak)
        found[kind].append(record["verdict"] == "FAIL")
    return found


def share_text(refused: Sequence[bool]) -> str:
    """Return how many were refused, with the Clopper-Pearson interval of the share."""
    if not refused:
        return "not judged"
    low, high = binomtest(sum(refused), len(refused)).proportion_ci(0.95, method="exact")
    return f"{sum(refused)} of {len(refused)} refused ({np.mean(refused):.1%}, 95 % interval {low:.1%} to {high:.1%})"


def missed(records: Sequence[Record]) -> list[str]:
    """Return the bars that are missed."""
    found = of_bars(records)
    wrong = {name: found[name] for name in ("honest rows", "exchanged labels")}
    wrong = {name: refused for name, refused in wrong.items() if refused and np.mean(refused) > MOST_REFUSED}
    let_through = found["leaks"] and np.mean(found["leaks"]) < 1 - MOST_MISSED
    return [*wrong, *(["leaks"] if let_through else [])]


def main() -> None:
    """Judge what is asked for, print the table, and hold it against the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tables", nargs="+", default=["adult", "bank_additional_full", "california_housing", *POPULATIONS]
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[2_400])
    parser.add_argument("--leakers", nargs="+", choices=CONDITIONS, default=CONDITIONS)
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0], help="of the leakers' own strengths")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path, default=Path("leaks.jsonl"))
    arguments = parser.parse_args()
    cases = [
        Case(table, rows, leaker, scale, seed)
        for seed in arguments.seeds
        for table in arguments.tables
        for rows in arguments.rows
        for leaker in arguments.leakers
        for scale in (arguments.scales if leaker not in (HONEST, EXCHANGED) else [1.0])
    ]
    records = study(cases, arguments.out, EvaluationConfig())
    print(as_markdown(records))
    for name in missed(records):
        print(f"- MISSED: the bar on {name}")
    sys.exit(1 if missed(records) else 0)


if __name__ == "__main__":
    main()
