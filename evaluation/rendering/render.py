"""The report as files: `report.json` for machines and `report.html`, one offline page without a script, for people."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..measurement import Family, Measured, Measurement
from ..report import MISSING_LABEL, ColumnProfile, GateResult, PairProfile, Report
from ..wording import CONCEPTS, duration, number, percent, short, term, visible
from . import charts

MAX_MAPPED = 25
MAX_PAIRS = 60
OPEN_COLUMNS = 12
_TABLES = ("train", "holdout", "synthetic")
FAMILIES: dict[Family, str] = {
    "marginals": "Single columns",
    "pairs": "Pairs of columns",
    "detection": "Detection",
    "utility": "Utility",
    "privacy": "Privacy",
}


@dataclass(frozen=True)
class HeatMap:
    """Two square maps over the same columns: train above and synthetic below the diagonal, and their difference."""

    names: tuple[str, ...]
    both: list[list[float | None]]
    difference: list[list[float | None]]


@dataclass(frozen=True)
class MissingRate:
    """The share of missing cells of one column in each table, None where the table was not profiled."""

    column: str
    train: float | None
    holdout: float | None
    synthetic: float | None


def write_report(report: Report, folder: Path | str) -> Path:
    """Write `report.json` and `report.html` into `folder`, which is made if needed, and return the page's path.

    The same report gives the same bytes.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(report_json(report), encoding="utf-8", newline="\n")
    page = folder / "report.html"
    page.write_text(report_html(report), encoding="utf-8", newline="\n")
    return page


def report_json(report: Report) -> str:
    """Return the report as JSON with sorted keys; non-finite numbers are refused.

    Raises:
        ValueError: a number in the report is not finite.

    """
    content = report.model_dump(mode="json")
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def report_html(report: Report) -> str:
    """Return the page. Every text is escaped, and characters that would steer the screen are spelled out."""
    page = _environment().get_template("report.html")
    return page.render(
        report=report,
        gates=_by_verdict(report.gates),
        judged={gate.name: gate for gate in report.gates if gate.limit is not None},
        families={title: _of_family(report, family) for family, title in FAMILIES.items()},
        open_columns=OPEN_COLUMNS,
        missing=missing_rates(report.columns),
        pairs=report.pairs[:MAX_PAIRS],
        heat=heat_map_of(report),
        best_point=_best_point(report),
        terms=_terms_used(report),
        concepts=CONCEPTS,
    )


def in_words(measured: Measured) -> str:
    """Return a sentence that places a number between its floor and its ceiling.

    Example:
        >>> auc = {"metric": "c2st_auc", "family": "detection", "best": 0.5, "worst": 1, "n_rows": 9}
        >>> in_words(Measured(value=0.6, ceiling=0.5, floor=0.9, **auc))
        '75 % of the way from the floor to the ceiling.'

    """
    value, ceiling, floor = measured.value, measured.ceiling, measured.floor
    if ceiling is None:
        return "No ceiling was measured for it."
    if measured.interval is not None and measured.interval[0] <= ceiling <= measured.interval[1]:
        return "Its interval holds the ceiling: no difference from original rows can be seen at this size."
    if _is_better(measured, value, ceiling):
        return "At least as good as original holdout rows."
    if measured.family == "privacy" or floor is None or not _is_better(measured, ceiling, floor):
        return f"{number(abs(value - ceiling))} worse than with original holdout rows."
    if not _is_better(measured, value, floor):
        return "No better than the floor, a table known to be bad."
    return f"{math.floor(100 * (value - floor) / (ceiling - floor))} % of the way from the floor to the ceiling."


def missing_rates(columns: Sequence[ColumnProfile]) -> list[MissingRate]:
    """Return the columns that have missing cells, the largest difference between train and synthetic first."""
    found = []
    for profile in columns:
        if MISSING_LABEL in profile.labels:
            place = profile.labels.index(MISSING_LABEL)
            shares: dict[str, float] = {series.table: series.shares[place] for series in profile.series}
            found.append(MissingRate(column=profile.column, **dict.fromkeys(_TABLES) | shares))
    return sorted(found, key=lambda rate: -abs((rate.train or 0.0) - (rate.synthetic or 0.0)))


def heat_map_of(report: Report, limit: int = MAX_MAPPED) -> HeatMap | None:
    """Return the association of pairs as a map, or None for fewer than two columns.

    Beyond `limit` columns it takes those of the worst pairs; a pair that the report does not hold stays None.
    """
    worst_first = dict.fromkeys(name for pair in report.pairs for name in (pair.first, pair.second))
    chosen = set(list(worst_first)[:limit])
    order = [column.name for column in report.schema_columns]
    names = tuple(sorted(chosen, key=lambda name: order.index(name) if name in order else len(order)))
    if len(names) < 2:
        return None
    place = {name: i for i, name in enumerate(names)}
    both: list[list[float | None]] = [[None] * len(names) for _ in names]
    difference: list[list[float | None]] = [[None] * len(names) for _ in names]
    for pair in report.pairs:
        if pair.first in place and pair.second in place:
            low, high = sorted((place[pair.first], place[pair.second]))
            both[low][high], both[high][low] = pair.train, pair.synthetic
            difference[low][high] = difference[high][low] = pair_difference(pair)
    return HeatMap(names, both, difference)


def pair_difference(pair: PairProfile) -> float | None:
    """Return the association in synthetic minus that in train, or None where one of them is not measured."""
    return None if pair.train is None or pair.synthetic is None else pair.synthetic - pair.train


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evaluation.rendering"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spelled_out,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = {"number": number, "percent": percent, "duration": duration, "short": short, "in_words": in_words}
    environment.filters |= words | {"term": term, "pair_difference": pair_difference}
    figures = (charts.range_chart, charts.column_chart, charts.heat_map, charts.bar_chart, charts.line_chart)
    environment.globals |= {figure.__name__: figure for figure in figures}
    return environment


def _spelled_out(value: Any) -> Any:
    """Spell out control characters in plain text; markup made by us (a subclass of str) passes as it is."""
    return visible(value) if type(value) is str else value


def _by_verdict(gates: Sequence[GateResult]) -> dict[str, list[GateResult]]:
    verdicts = ("FAIL", "PASS", "OFF", "NOT APPLICABLE")
    return {verdict: [gate for gate in gates if gate.verdict == verdict] for verdict in verdicts}


def _of_family(report: Report, family: Family) -> list[Measurement]:
    return [measurement for measurement in report.measurements if measurement.family == family]


def _is_better(measured: Measured, one: float, other: float) -> bool:
    """Return whether `one` is at least as near to the metric's best as `other`."""
    return abs(one - measured.best) <= abs(other - measured.best)


def _best_point(report: Report) -> tuple[float, float] | None:
    scored = [(p.validation_loss, p.elapsed_s) for p in report.training if p.validation_loss is not None]
    return min((point for point in scored if math.isfinite(point[0])), default=None)


def _terms_used(report: Report) -> list[str]:
    """Return the overall metrics in the report's order, one per meaning, for the glossary."""
    by_meaning = {term(m.metric).meaning: m.metric for m in reversed(report.measurements) if term(m.metric).meaning}
    return list(reversed(by_meaning.values()))
