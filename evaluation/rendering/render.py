"""The report as files: `report.json` for machines and `report.html`, one offline page without a script, for people."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..glossary import CONCEPTS, VERDICTS, term
from ..measurement import Family, Measurement
from ..report import PrivacyTest, Report
from ..wording import duration, number, percent, short, visible
from . import charts, distributions, heat_maps, since, view
from .model_card import model_card_of
from .trend_chart import trend_chart

MAX_PAIRS = 60
MAX_PARTS = 30
"""Of one privacy test: a wide table has hundreds, which nobody reads; `report.json` has all of them."""
OPEN_COLUMNS = 12
FAMILIES: dict[Family, str] = {
    "marginals": "Single columns",
    "pairs": "Pairs of columns",
    "joint": "Joint distribution",
    "detection": "Detection",
    "utility": "Utility",
    "subgroups": "Subgroups",
    "privacy": "Privacy",
}


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
    style = _style()
    return page.render(
        report=report,
        style=Markup(style),  # noqa: S704 - our own style sheet, no text of the report
        style_hash=_content_hash(style),
        decisions=_by_verdict(view.decisions_of(report)),
        judged={gate.name: gate for gate in report.gates if gate.limit is not None},
        changes=since.changes_of(report),
        trends=since.trends_of(report),
        earlier=since.earlier_releases(report.since_last) if report.since_last else (),
        families={family: _of_family(report, family) for family in FAMILIES},
        open_columns=OPEN_COLUMNS,
        missing=view.missing_rates(report.columns),
        pairs=report.pairs[:MAX_PAIRS],
        heat=heat_maps.heat_maps_of(report),
        subgroup_metrics=view.subgroup_metrics(report.subgroups),
        tests=_worst_first(report.privacy),
        most_parts=MAX_PARTS,
        best_point=view.best_point(report),
        calibration=view.calibration_of(report),
        card=model_card_of(report),
        anchors=view.anchors_of(report),
        terms=view.terms_used(report),
    )


@cache  # the templates are compiled once
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("evaluation.rendering"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_spelled_out,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    words = {"number": number, "percent": percent, "duration": duration, "short": short, "term": term}
    shown = {"in_words": view.in_words, "by_metric": view.by_metric, "part_scales": view.part_scales}
    shown |= {"typeset": view.typeset, "amount": view.amount}
    environment.filters |= words | shown | {"pair_difference": heat_maps.pair_difference}
    figures: list[Callable[..., Markup]] = [charts.range_chart, charts.part_chart, charts.bar_chart, charts.line_chart]
    figures += [
        trend_chart,
        distributions.column_chart,
        distributions.quantile_chart,
        heat_maps.heat_map,
        heat_maps.heat_names,
    ]
    environment.globals |= {figure.__name__: figure for figure in figures}
    environment.globals |= {"titles": FAMILIES, "concepts": CONCEPTS, "verdicts": VERDICTS}
    environment.globals |= {"decisions_taken": since.DECISIONS}
    return environment


def _spelled_out(value: Any) -> Any:
    """Spell out control characters in plain text; markup made by us (a subclass of str) passes as it is."""
    return visible(value) if type(value) is str else value


def _style() -> str:
    return resources.files("evaluation.rendering").joinpath("templates/report.css").read_text(encoding="utf-8")


def _content_hash(style: str) -> str:
    """Return what a content-security policy calls the one style sheet that it allows (CSP level 3, section 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _by_verdict(decisions: Sequence[view.Decision]) -> dict[str, list[view.Decision]]:
    return {verdict: [d for d in decisions if d.verdict == verdict] for verdict in view.VERDICT_ORDER}


def _worst_first(tests: Sequence[PrivacyTest]) -> list[PrivacyTest]:
    return sorted(tests, key=lambda test: view.VERDICT_ORDER.index(test.verdict))


def _of_family(report: Report, family: Family) -> list[Measurement]:
    return [measurement for measurement in report.measurements if measurement.family == family]
