"""The section on what changed since the last accepted release."""

from __future__ import annotations

import re
from datetime import date

import pytest
from pydantic import ValidationError

from evaluation.config import EvaluationConfig
from evaluation.gate import Gates
from evaluation.history import FOLLOWED, figures, privacy_verdicts
from evaluation.rendering.render import report_html
from evaluation.rendering.since import Trend, changes_of, earlier_releases, trends_of
from evaluation.rendering.trend_chart import trend_chart
from evaluation.report import EarlierRelease, Report, SinceLast, Verdict
from evaluation.suite import evaluate
from tests.evaluation.example_report import earlier_release, example_report, with_history
from tests.evaluation.mixed_table import draw, tables
from tests.evaluation.test_render import Nodes, text_of


def release(run_id: str = "2026-01-01-aaaaaaaaaaaa", verdict: Verdict = "PASS", **figure: float) -> EarlierRelease:
    return EarlierRelease(
        run_id=run_id, date=date(2026, 1, 1), verdict=verdict, n_rows=100, action="refit", figures=figure
    )


def after(*releases: EarlierRelease) -> Report:
    since = SinceLast(decision="sample", reason="The source is unchanged.", last=releases[-1], history=releases)
    return example_report().model_copy(update={"since_last": since, "n_published": len(releases)})


def section(report: Report) -> str:
    page = report_html(report)
    return page[page.index('<section id="since"') : page.index('<section id="scorecard"')]


# figures


def test_figures_are_the_overall_measured_values() -> None:
    report = example_report()
    found = figures(report)
    assert found["shape_error"] == 0.0123
    assert list(found) == [name for name in FOLLOWED if report.measured(name)]
    assert "utility_gap" not in figures(example_report(target=False))


def test_the_verdict_of_every_privacy_test_is_kept_even_of_one_that_is_off() -> None:
    report = example_report(leaking=True, gates=Gates.model_validate({"g1_copies": "off"}))
    assert privacy_verdicts(report)["g1_copies"] == "FAIL"
    assert len(privacy_verdicts(report)) == len(report.privacy)


def test_evaluate_passes_on_what_is_known_of_earlier_runs() -> None:
    given = with_history(example_report(), 2).since_last
    few = EvaluationConfig(families=("marginals",))
    report = evaluate(tables(draw(20, 3)), few, seed=0, since_last=given)
    assert (report.since_last, report.n_published, report.version) == (given, 0, 4)


def test_a_history_longer_than_the_page_shows_is_refused() -> None:
    many = tuple(release(str(i)) for i in range(61))
    with pytest.raises(ValidationError, match="at most 60"):
        SinceLast(decision="refit", reason="", history=many)


# changes


@pytest.mark.parametrize(
    ("metric", "last", "direction"),
    [
        ("c2st_auc", 0.70, "better"),  # now 0.562, within 0.551 and 0.573
        ("c2st_auc", 0.51, "worse"),
        ("c2st_auc", 0.57, "no clear change"),
        (
            "dcr_share",
            0.43,
            "no clear change",
        ),  # further from train than 0.5 is as good as 0.5, which is in the interval
        ("dcr_share", 0.56, "better"),
        ("exact_copies", 0.0006, "no clear change"),  # no interval, equal as shown
        ("exact_copies", 0.0002, "worse"),
        ("linkability_risk", 0.01, "not measured now"),
    ],
)
def test_a_change_is_told_in_words(metric: str, last: float, direction: str) -> None:
    (found,) = [change for change in changes_of(after(release(**{metric: last}))) if change.metric == metric]
    assert found.direction == direction


def test_a_figure_that_the_last_release_lacked_is_new() -> None:
    found = changes_of(after(release()))
    assert {change.direction for change in found} == {"new"}
    assert {change.difference for change in found} == {"–"}
    assert [change.metric for change in found] == list(figures(example_report()))


def test_differences_have_a_sign() -> None:
    found = {
        c.metric: c.difference for c in changes_of(after(release(c2st_auc=0.6, shape_error=0.01, exact_copies=0.0006)))
    }
    assert (found["c2st_auc"], found["shape_error"], found["exact_copies"]) == ("−0.038", "+0.0023", "0.000")


def test_nothing_is_compared_without_an_earlier_release() -> None:
    first = with_history(example_report(), 0)
    assert changes_of(first) == changes_of(example_report()) == []
    assert trends_of(first) == trends_of(example_report()) == []


# over time


def test_trends_hold_every_release_and_this_one_last() -> None:
    report = with_history(example_report(privacy="REVIEW"), 12)
    rows, *others = trends_of(report)
    assert (rows.title, len(rows.values), rows.values[-1], rows.first) == ("Rows", 13, 12_000.0, "2026-01-18")
    assert rows.verdicts[3] == rows.verdicts[-1] == "REVIEW"
    assert [trend.title for trend in others][:2] == ["Exact copies", "Closer to train than to holdout"]
    assert next(t for t in others if t.title == "Detector AUC").values[4] is None


def test_a_figure_of_one_release_alone_has_no_trend() -> None:
    assert [trend.title for trend in trends_of(after(release(linkability_risk=0.1)))] == ["Rows"]


def test_the_last_release_is_shown_even_where_the_history_lacks_it() -> None:
    old, last = release("old"), release("last")
    since = SinceLast(decision="sample", reason="", last=last, history=(old,))
    assert earlier_releases(since) == (old, last)
    assert earlier_releases(since.model_copy(update={"history": (old, last)})) == (old, last)


def test_the_chart_has_a_mark_per_measured_release_and_breaks_where_one_is_missing() -> None:
    trend = Trend(
        "AUC", (0.5, 0.6, None, 0.55, 0.52), ("PASS", "REVIEW", "PASS", "FAIL", "PASS"), "2026-01-01", (0.5, 0.7)
    )
    chart = str(trend_chart(trend))
    assert [chart.count(f'class="mark {verdict}"') for verdict in ("pass", "review", "fail")] == [2, 1, 1]
    assert chart.count("<polyline") == 2
    assert chart.count('class="ring"') == chart.count('class="interval"') == 1
    assert "5 releases since 2026-01-01 (3 PASS, 1 REVIEW, 1 FAIL), between 0.500 and 0.600, now 0.520" in chart
    numbers = [float(x) for x in re.findall(r'(?:cx|cy|x|y)="([\d.]+)"', chart)]
    assert all(0 <= number <= 280 for number in numbers)


def test_the_chart_of_a_constant_and_of_close_numbers_has_readable_ends() -> None:
    constant = str(trend_chart(Trend("Rows", (90.0, 90.0), ("PASS", "PASS"), "2026-01-01")))
    assert constant.count('class="grid"') == 1
    close = str(trend_chart(Trend("x", (0.50001, 0.50002), ("PASS", "PASS"), "2026-01-01")))
    assert ">0.50001<" in close
    assert ">0.50002<" in close


# the section


def test_the_section_stands_after_the_run_and_only_where_there_is_something_to_show() -> None:
    page = report_html(with_history(example_report()))
    assert re.findall(r'<section id="(\w+)"', page)[:3] == ["run", "since", "scorecard"]
    assert re.findall(r'<li><a href="#(\w+)">', page)[:4] == ["verdict", "run", "since", "scorecard"]
    without = report_html(example_report())
    assert 'id="since"' not in without
    assert "#since" not in without


def test_the_section_says_what_was_decided_and_why() -> None:
    text = text_of(section(with_history(example_report())))
    assert "Trained on from the accepted model. 312 rows were appended" in text
    assert "Last release 2026-01-29 Its verdict ✓ PASS Its rows 11,867" in text
    assert "Train rows then 11,688 Train rows now 12,000 Releases judged together 13" in text
    assert 'Column "carrier" has 2 new levels, which were accepted.' in text
    assert "month population stability index 0.310 0.200 has moved" in text
    assert "carrier population stability index 0.155 0.200 within the threshold" in text


def test_the_first_release_says_that_there_is_none_before_it() -> None:
    text = text_of(section(with_history(example_report(), 0)))
    assert "Fitted from scratch. First release. There is no earlier release to compare with." in text
    assert "Over time" not in text
    assert "The source" not in text


def test_better_and_worse_are_words_and_no_mere_colour() -> None:
    text = text_of(section(after(release(c2st_auc=0.7, exact_copies=0.0002))))
    assert "Detector AUC 0.700 0.562 −0.138 better" in text
    assert "Exact copies 0.0002 0.0006 +0.0004 worse" in text


def test_every_release_of_the_history_is_listed_newest_first() -> None:
    report = with_history(example_report(), 60)
    listed = re.findall(r'<th scope="row" class="nowrap">([\d-]+)</th>', section(report))
    assert listed == [f"{earlier_release(night, report).date}" for night in range(59, -1, -1)]
    assert Nodes(section(report)).tags.count("figure") == len(trends_of(report))


def test_privacy_tests_show_which_releases_their_parts_are_of() -> None:
    page = text_of(report_html(with_history(example_report())))
    assert "12 earlier releases of this output were published: each test but G0 judges this release alone" in page
    assert "whole row this release" in page
    assert "whole row all 13 published releases together (20,000 of 157,000 rows)" in page
    assert "earlier release" not in text_of(report_html(example_report()))
