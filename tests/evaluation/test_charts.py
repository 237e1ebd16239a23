from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from evaluation.measurement import Measured
from evaluation.rendering import charts, distributions, heat_maps
from evaluation.report import MISSING_LABEL, OTHER_LABEL, Giveaway, Series, TestPart, TrainingPoint
from tests.evaluation.example_report import KINDS, measured, profile

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "&amp;'",
    "\u202eevil\x00",
    "🎉" * 30,
    "x" * 10_000,
)


def parsed(chart: Markup) -> ElementTree.Element:
    """Return the figure as XML, which fails on any text that was not escaped."""
    root = ElementTree.fromstring(chart)
    assert root.get("role") == "img"
    assert [child.tag for child in root[:2]] == ["title", "desc"]
    return root


def mark(chart: Markup, name: str) -> float:
    """Return the horizontal place of the middle of a mark on a range chart."""
    node = next(node for node in parsed(chart) if node.get("class") == name)
    if name == "value":
        return float(node.get("cx", "nan"))
    left = float(re.findall(r"[\d.]+", node.get("d", ""))[0])
    return left + 4.5 if name == "floor" else left


@pytest.mark.parametrize("metric", [
    measured("c2st_auc", "detection", 0.6, best=0.5, worst=1.0, floor=0.9, ceiling=0.5),
    measured("tstr_auc", "utility", 0.8, best=1.0, worst=0.5, floor=0.5, ceiling=0.9),
])  # fmt: skip
def test_better_is_to_the_right_whichever_way_the_metric_runs(metric: Measured) -> None:
    chart = charts.range_chart(metric, limit=0.7)
    assert mark(chart, "floor") < mark(chart, "value") < mark(chart, "ceiling")
    assert mark(chart, "floor") < mark(chart, "limit") < mark(chart, "value")


def test_a_range_is_drawn_to_scale() -> None:
    chart = charts.range_chart(measured("shape_error", "marginals", 0.25, floor=1.0, ceiling=0.0))
    assert mark(chart, "value") == pytest.approx(10 + 180 * 0.75, abs=0.1)


@pytest.mark.parametrize(
    "company", [{}, {"floor": 0.0, "ceiling": 0.0}, {"interval": (0.0, 0.0), "best": 0.0, "worst": 0.0}]
)
def test_a_range_without_width_or_company_is_drawn(company: dict[str, object]) -> None:
    assert 0 <= mark(charts.range_chart(measured("shape_error", "marginals", 0.0, **company)), "value") <= 200


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_shows_the_three_tables(kind: str) -> None:
    classes = " ".join(
        node.get("class", "") for node in parsed(distributions.column_chart(profile("a", kind, 0))).iter()
    )
    assert all(table in classes for table in ("train", "holdout", "synthetic"))


def test_many_levels_are_pooled_without_losing_a_share() -> None:
    found = profile("a", "categorical", 0, levels=[f"level {i}" for i in range(200)])
    root = parsed(distributions.column_chart(found))
    widths = [float(node.get("width", "nan")) for node in root.iter("rect") if node.get("class") == "train"]
    shares = found.series[0].shares
    assert len(widths) == distributions.MAX_LEVELS
    assert sum(widths) / max(widths) == pytest.approx(1 / max(shares), rel=0.01)
    assert OTHER_LABEL in list(root.itertext())


def test_what_is_no_number_stands_apart_from_the_steps() -> None:
    found = profile("a", "integer", 0).model_copy(
        update={
            "labels": ("1", "2", OTHER_LABEL, MISSING_LABEL),
            "series": (
                Series(table="train", shares=(0.4, 0.3, 0.2, 0.1)),
                Series(table="synthetic", shares=(0.25,) * 4),
            ),
        }
    )
    root = parsed(distributions.column_chart(found))
    bars = [(node.get("class"), float(node.get("height", "nan"))) for node in root.iter("rect")]
    assert bars == [("train", 46.0), ("synthetic", 57.5), ("train", 23.0), ("synthetic", 57.5)]
    assert [node.text for node in root.iter("text")][:4] == ["other", "missing", "1", "2"]
    assert [node.get("d", "").count("H") for node in root.iter("path")][:2] == [2, 2]


def test_a_heat_map_tells_sign_strength_and_absence() -> None:
    root = parsed(heat_maps.heat_map("map", ["a", "b"], [[None, 0.1], [-0.3, None]], scale=0.2))
    cells = [(node.get("class"), float(node.get("fill-opacity", "nan"))) for node in root.iter("rect")]
    assert cells == [("plus", 0.5), ("minus", 1.0)]
    root = parsed(heat_maps.heat_map("map", ["a", "b"], [[None, None], [None, None]]))
    assert {node.get("class") for node in root.iter("rect")} == {"none"}


def test_the_names_stand_beside_the_rows_of_the_map() -> None:
    names = ["a", "b", "c"]
    cells = [[None, 0.1, 0.2], [0.1, None, 0.3], [0.2, 0.3, None]]
    heights = [float(n.get("y", "nan")) for n in parsed(heat_maps.heat_names(names)).iter("text")]
    rows = sorted({(float(n.get("y", "nan")), float(n.get("height", "nan")))
                   for n in parsed(heat_maps.heat_map("map", names, cells)).iter("rect")})  # fmt: skip
    assert all(top < height < top + size for height, (top, size) in zip(heights, rows, strict=True))
    boxes = [parsed(chart).get("viewBox", "").split()[-1]
             for chart in (heat_maps.heat_names(names), heat_maps.heat_map("map", names, cells))]  # fmt: skip
    assert boxes[0] == boxes[1]


@pytest.mark.parametrize("scale", [(0.4, 0.8), (0.5, 0.5)])
def test_a_part_is_drawn_on_the_scale_of_its_statistic(scale: tuple[float, float]) -> None:
    part = TestPart(subject="nearest", statistic="AUC", value=0.5, interval=(0.4, 0.6), verdict="PASS")
    chart = charts.part_chart(part, scale)
    place = 6 + 108 * (0.25 if scale == (0.4, 0.8) else 0.5)
    assert mark(chart, "value") == pytest.approx(place, abs=0.1)


def test_giveaways_keep_their_order_and_never_run_backwards() -> None:
    bars = charts.bar_chart([Giveaway(column="a", importance=0.4), Giveaway(column="b", importance=-0.1)], "Bars")
    widths = [float(node.get("width", "nan")) for node in parsed(bars).iter("rect")]
    assert widths[0] > widths[1] > 0


def points(n: int, loss: float = 1.0) -> list[TrainingPoint]:
    return [TrainingPoint(step=i, elapsed_s=i, train_loss=loss, validation_loss=(i - 50) ** 2) for i in range(n)]


def test_a_long_training_is_thinned_and_its_best_point_marked() -> None:
    root = parsed(charts.line_chart(points(100_000)))
    lines = [node.get("points", "") for node in root.iter("polyline")]
    assert len(lines) == 2
    assert all(2 <= len(line.split()) <= charts.MAX_POINTS for line in lines)
    assert len(list(root.iter("circle"))) == 1


def test_thinning_keeps_rare_validation_points() -> None:
    rare = [p.model_copy(update={"validation_loss": 1.0 / p.step if p.step % 97 == 3 else None}) for p in points(9_700)]
    root = parsed(charts.line_chart(rare))
    lines = {node.get("class"): node.get("points", "").split() for node in root.iter("polyline")}
    assert len(lines["line validation"]) == 100
    assert len(lines["line train"]) <= charts.MAX_POINTS


def test_losses_that_are_not_numbers_are_left_out() -> None:
    drawn = charts.line_chart([*points(20), *points(5, loss=float("nan")), *points(5, loss=float("inf"))])
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert charts.line_chart([]) == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_names_and_levels_are_text_only(text: str) -> None:
    drawn = [
        distributions.column_chart(profile(text, "categorical", 0, levels=(text, "b"))),
        distributions.column_chart(profile(text, "continuous", 0)),
        heat_maps.heat_map(text[:50].replace("\x00", ""), [text, "b"], [[None, 0.1], [0.1, None]]),
        heat_maps.heat_names([text, "b"]),
        charts.bar_chart([Giveaway(column=text, importance=0.1)], "Bars"),
        charts.part_chart(TestPart(subject=text, statistic=text, value=0.5, verdict="PASS"), (0.0, 1.0)),
        charts.range_chart(measured(text, "privacy", 0.5)),
    ]
    for chart in drawn:
        assert {node.tag for node in parsed(chart).iter()} <= {
            "svg",
            "title",
            "desc",
            "g",
            "rect",
            "circle",
            "path",
            "text",
            "tspan",
        }
        assert len(chart) < 8_000
        assert "\x00" not in chart
        assert "\u202e" not in chart or text in HOSTILE[3]


def test_quantiles_are_drawn_against_those_of_train_on_a_scale_that_holds_them() -> None:
    chart = distributions.quantile_chart(profile("age", "integer", 9))
    heights = [float(y) for y in re.findall(r",(-?[\d.]+)", " ".join(re.findall(r'points="([^"]+)"', chart)))]
    assert chart.count("<polyline") == 2 and min(heights) >= 6 - 0.05 and max(heights) <= 58 + 0.05
