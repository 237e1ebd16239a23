from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from evaluation.gate import Gates
from evaluation.measurement import Measured, Unmeasured
from evaluation.rendering.render import heat_map_of, in_words, missing_rates, report_html, report_json, write_report
from evaluation.report import Report, TrainingPoint
from tests.evaluation.example_report import example_report, profile

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><iframe src=//evil.example>",
    "{{ 7 * 7 }}{% for x in y %}",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066",
    "נתונים אישיים",
    "👩‍👩‍👧 family",
    "nul\x00 and\x1b[31m bell\x07",
    "&lt;b&gt; <!-- -->",
    "x" * 10_000,
    "</bdi></th></table>" * 500,
)
CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs the chromium binary")


class Nodes(HTMLParser):
    """The tags of a page in order, and all its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        self.tags.append("/" + tag)


def text_of(page: str) -> str:
    """Return the page's text as one line."""
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def with_texts(texts: tuple[str, ...]) -> Report:
    """Return a report that says `texts` wherever a report can carry the text of data, configuration or errors."""
    report = example_report(names=texts, leaking=True)
    say = texts[0]
    run = dict.fromkeys(("run_id", "name", "created", "generator", "data_sha256", "config_sha256", "code_sha256"), say)
    measurements = [m.model_copy(update={"subject": say, "source": say}) for m in report.measurements[:3]]
    unmeasured = Unmeasured(metric=say, family="privacy", reason=say)
    return report.model_copy(
        update={
            "gates": tuple(g.model_copy(update={"name": say, "reason": say, "rule": say}) for g in report.gates),
            "run": report.run.model_copy(update=run | {"versions": {say: say}}),
            "measurements": (*measurements, *report.measurements, unmeasured),
            "schema_columns": tuple(c.model_copy(update={"arrow": say, "reason": say}) for c in report.schema_columns),
            "columns": tuple(profile(text, "categorical", 0, levels=(say, "b", "c")) for text in texts),
            "notes": texts,
        }
    )


@pytest.mark.parametrize("start", range(len(HOSTILE)))
def test_hostile_texts_make_no_node(start: int) -> None:
    hostile = HOSTILE[start:] + HOSTILE[:start]
    page = Nodes(report_html(with_texts(hostile)))
    benign = Nodes(report_html(with_texts(tuple("abcdefghijkl"))))
    assert page.tags == benign.tags
    assert [name for name, _ in page.attributes] == [name for name, _ in benign.attributes]


def test_characters_that_steer_the_screen_are_spelled_out() -> None:
    page = report_html(with_texts(("a\x00b\u202ec\x1bd", "e")))
    assert not set(page) & set("\x00\x1b\u202e")
    assert "a⟨U+0000⟩b⟨U+202E⟩c⟨U+001B⟩d" in page
    assert "👩‍👩‍👧 family" in report_html(with_texts(("👩‍👩‍👧 family", "e")))


@pytest.mark.parametrize("leaking", [False, True])
def test_the_page_runs_nothing_and_loads_nothing(leaking: bool) -> None:
    page = report_html(example_report(leaking=leaking))
    nodes = Nodes(page)
    addresses = {value for name, value in nodes.attributes if name in {"href", "src", "data", "action", "srcset"}}
    assert not {"script", "img", "iframe", "object", "embed", "form", "base"} & set(nodes.tags)
    assert not [name for name, _ in nodes.attributes if name.startswith("on")]
    assert all(value is not None and (value.startswith("#") or value == "data:,") for value in addresses)
    assert "://" not in page
    assert "@import" not in page
    assert "url(" not in page
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
            "form-action 'none'") in nodes.attributes  # fmt: skip


def test_tags_close_and_links_lead_somewhere() -> None:
    nodes = Nodes(report_html(example_report()))
    void = {"meta", "link", "br", "hr", "path", "rect", "circle", "polyline"}
    opened: list[str] = []
    for tag in nodes.tags:
        if tag.startswith("/"):
            assert tag[1:] in void or opened.pop() == tag[1:]
        elif tag not in void:
            opened.append(tag)
    assert not opened
    ids = {f"#{value}" for name, value in nodes.attributes if name == "id"}
    assert {value for name, value in nodes.attributes if name == "href" and value != "data:,"} <= ids


def test_a_passed_report_says_so_first() -> None:
    page = report_html(example_report())
    assert "<title>PASS · flights" in page
    assert text_of(page).index("Every gate that applies was passed (8 of 8)") < text_of(page).index("Train rows")


def test_a_refused_report_gives_its_reasons_first() -> None:
    report = example_report(leaking=True, gates=Gates.model_validate({"missing_rate_error": "off"}))
    page = text_of(report_html(report))
    first_screen = page[: page.index("Train rows")]
    assert "This table was refused: 3 of 7 gates failed. It must not be released." in first_screen
    assert all(reason in first_screen for reason in report.failures())
    assert "1 gate was switched off in the configuration and not judged: missing_rate_error." in first_screen


def test_all_gates_off_is_not_praised() -> None:
    off = Gates.model_validate({name: "off" for name, _ in Gates().named()})
    page = text_of(report_html(example_report(gates=off)))
    assert "No gate was judged" in page
    assert "Every gate" not in page


def test_the_order_is_that_of_a_decision() -> None:
    ids = [value for name, value in Nodes(report_html(example_report())).attributes if name == "id"]
    assert ids == [
        "verdict", "run", "scorecard", "schema", "missing", "columns", "pairs", "detection", "utility", "privacy",
        "training", "notes", "glossary",
    ]  # fmt: skip


def test_privacy_says_what_it_cannot_show() -> None:
    assert "No formal guarantee. Nothing here rests on differential privacy" in text_of(report_html(example_report()))


def test_columns_keep_the_reports_order_and_say_what_was_not_measured() -> None:
    lost = Unmeasured(metric="tvd", family="marginals", reason="no value is left", subject="lost")
    columns = (
        profile("lost", "boolean", 0).model_copy(update={"measurements": (lost,)}),
        profile("bad", "boolean", 9),
        profile("good", "boolean", 1),
    )
    page = report_html(example_report().model_copy(update={"columns": columns}))
    section = page[page.index('id="columns"') : page.index('id="pairs"')]
    assert re.findall(r"<h3><bdi>(\w+)", section) == ["lost", "bad", "good"]
    assert "no value is left" in section


def test_missing_rates_come_from_the_missing_bin() -> None:
    report = example_report()
    rates = missing_rates(report.columns)
    assert {rate.column for rate in rates} == {column.column for column in report.columns}
    gaps = [abs((rate.train or 0) - (rate.synthetic or 0)) for rate in rates]
    assert gaps == sorted(gaps, reverse=True)
    assert missing_rates([profile("a", "categorical", 0, levels=("x", "y"))]) == []


def test_the_heat_map_holds_train_above_and_synthetic_below() -> None:
    report = example_report(names=("a", "b", "c"))
    heat = heat_map_of(report)
    assert heat is not None
    pair = next(pair for pair in report.pairs if (pair.first, pair.second) == ("a", "c"))
    assert heat.names == ("a", "b", "c")
    assert (heat.both[0][2], heat.both[2][0]) == (pair.train, pair.synthetic)
    assert pair.train is not None
    assert pair.synthetic is not None
    assert heat.difference[0][2] == heat.difference[2][0] == pair.synthetic - pair.train
    assert heat_map_of(example_report(names=("a",))) is None
    wide = heat_map_of(example_report(names=[f"c{i}" for i in range(40)]), limit=7)
    assert wide is not None
    assert len(wide.names) == 7


@pytest.mark.parametrize(
    ("company", "words"),
    [
        ({"value": 0.0, "ceiling": 0.1}, "At least as good as original holdout rows."),
        ({"value": 0.12, "ceiling": 0.1, "interval": (0.09, 0.15)}, "Its interval holds the ceiling"),
        ({"value": 0.2, "ceiling": 0.1, "floor": 0.5}, "75 % of the way"),
        ({"value": 0.6, "ceiling": 0.1, "floor": 0.5}, "No better than the floor"),
        ({"value": 0.2, "ceiling": 0.1}, "0.100 worse than with original holdout rows."),
        ({"value": 0.2, "ceiling": 0.1, "floor": 0.5, "family": "privacy"}, "0.100 worse than with original"),
        ({"value": 0.2}, "No ceiling was measured"),
    ],
)
def test_a_number_is_placed_in_words(company: dict[str, Any], words: str) -> None:
    settings = {"metric": "m", "family": "marginals", "best": 0.0, "worst": 1.0, "n_rows": 9} | company
    assert in_words(Measured.model_validate(settings)).startswith(words)


def test_an_empty_report_is_still_a_page() -> None:
    empty = dict.fromkeys(
        ("gates", "measurements", "schema_columns", "columns", "pairs", "giveaways", "training", "notes"), ()
    )
    page = text_of(report_html(example_report().model_copy(update=empty)))
    assert "No pair of columns was profiled." in page
    assert "No training curve came with this table." in page


def test_a_hundred_columns_stay_under_two_megabytes(tmp_path: Path) -> None:
    page = write_report(example_report(names=[f"column {i} " + "x" * 60 for i in range(100)]), tmp_path)
    assert page.stat().st_size < 2_000_000
    assert Nodes(page.read_text(encoding="utf-8")).tags.count("article") == 100


def test_files_are_written_once_more_with_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_report(example_report(), tmp_path / name) for name in ("one", "two/deep"))
    assert first.name == "report.html"
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".json").read_bytes() == second.with_suffix(".json").read_bytes()
    keys = list(json.loads(first.with_suffix(".json").read_text(encoding="utf-8")))
    assert keys == sorted(keys)


def test_json_refuses_what_is_not_a_number() -> None:
    point = TrainingPoint(step=1, elapsed_s=1.0, train_loss=float("nan"), validation_loss=None)
    with pytest.raises(ValueError, match="JSON compliant"):
        report_json(example_report().model_copy(update={"training": (point,)}))


def browse(address: str, folder: Path) -> tuple[str, str]:
    """Return the page as Chromium holds it after loading, and the lines of its console."""
    assert CHROMIUM is not None
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--window-size=1400,1000"]
    command = [CHROMIUM, *options, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=3000", "--dump-dom"]
    done = subprocess.run([*command, address], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@needs_chromium
@pytest.mark.slow
def test_a_browser_runs_nothing_and_complains_of_nothing(tmp_path: Path) -> None:
    page = write_report(with_texts(HOSTILE), tmp_path)
    content, console = browse(page.as_uri(), tmp_path)
    nodes = Nodes(content)
    assert console == ""
    assert not {"script", "img", "iframe"} & set(nodes.tags)
    assert nodes.tags.count("article") == len(HOSTILE)


@needs_chromium
@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_never_scrolls_the_page_sideways(width: int, tmp_path: Path) -> None:
    pages = (with_texts(HOSTILE), example_report(names=[f"column_number_{i}" for i in range(30)]))
    frames = [
        f'<iframe width="{width}" height="900" srcdoc="{html.escape(report_html(report))}"></iframe>'
        for report in pages
    ]
    measure = (
        "onload = () => document.title = [...document.querySelectorAll('iframe')]"
        ".map(frame => frame.contentDocument.documentElement.scrollWidth).join()"
    )
    outer = tmp_path / "outer.html"
    outer.write_text(f"<meta charset=utf-8>{''.join(frames)}<script>{measure}</script>", encoding="utf-8")
    content, console = browse(outer.as_uri(), tmp_path)
    found = re.search(r"<title>([\d,]+)</title>", content)
    assert found is not None
    assert all(0 < int(measured_width) <= width for measured_width in found[1].split(","))
    assert console == ""
