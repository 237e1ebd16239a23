"""The page in a real browser: it runs nothing, fetches nothing, and can be read by anybody.

The tests install nothing. They are skipped where playwright or the system's Chromium is missing.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluation.config import EvaluationConfig
from evaluation.rendering.render import report_html, write_report
from evaluation.report import Report
from evaluation.suite import evaluate
from evaluation.tables import Tables
from pipeline.inference import infer
from tests.evaluation.example_report import example_report, with_history
from tests.evaluation.hostile_report import HOSTILE, with_texts
from tests.evaluation.mixed_table import bootstrap, draw, tables

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright for Python")
CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the system's chromium binary"),
]

READABLE = 4.5
"""The least contrast of text against its ground that WCAG 2.2 asks for (success criterion 1.4.3)."""

QUICK = EvaluationConfig(detection_folds=2, detection_rows=300, utility_rows=300, utility_replicates=0)


def evaluated(synthetic: pa.Table) -> Report:
    """Return the report of an evaluation, with everything that one measures."""
    return evaluate(tables(synthetic, n_train=700, n_holdout=700, target="member"), QUICK, seed=0)


def evaluated_hostile() -> Report:
    """Return the report of tables whose columns and levels try to become part of the page."""
    rng = np.random.default_rng(0)
    texts = [text.replace("\x00", "") for text in HOSTILE]
    parts = [
        pa.table({"number": rng.normal(size=600)} | {text: rng.choice(texts, size=600) for text in texts[:4]})
        for _ in range(3)
    ]
    return evaluate(Tables(infer(parts[0]), *parts, texts[0]), QUICK, seed=0)


REPORTS = {
    "honest": lambda: example_report(),
    "review": lambda: example_report(privacy="REVIEW"),
    "copying": lambda: example_report(leaking=True),
    "a hundred columns": lambda: example_report(names=[f"column_number_{i}" for i in range(100)]),
    "nightly": lambda: with_history(example_report(privacy="REVIEW")),
    "sixty nights": lambda: with_history(example_report(), 60),
    "hostile": lambda: with_texts(HOSTILE),
    "evaluated": lambda: evaluated(draw(700, 3)),
    "evaluated copies": lambda: evaluated(bootstrap(draw(700, 1), 700)),
    "evaluated hostile": evaluated_hostile,
}

CONTRASTS = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = css => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = css; canvas.fillRect(0, 0, 1, 1);
                        return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map(x => x / 255)
    .map(x => x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = node => {
    for (; node; node = node.parentElement) {
      const own = rgba(getComputedStyle(node).backgroundColor);
      if (own[3] === 255) return own;
    }
    return [255, 255, 255];
  };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = new Map();
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || node.closest('title, desc')) continue;
    const ink = getComputedStyle(node)[node.closest('svg') ? 'fill' : 'color'];
    const [a, b] = [light(rgba(ink)), light(ground(node))].sort((x, y) => y - x);
    found.set(`${ink} on ${ground(node)}`, (a + 0.05) / (b + 0.05));
  }
  return [...found];
}"""
CLOSED = "() => [...document.querySelectorAll('main details:not([open])')].length"
FOCUSED = """() => { const at = document.activeElement; const style = getComputedStyle(at);
  return [at.tagName, at.getAttribute('href') || at.getAttribute('aria-label') || '',
          parseFloat(style.outlineWidth) > 0 && style.outlineStyle !== 'none']; }"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    return {name: write_report(make(), folder / name.replace(" ", "_")) for name, make in REPORTS.items()}


class Visit:
    """A page that was opened, with everything it complained of and everything it asked for."""

    def __init__(self, browser: Any, path: Path, width: int = 1280, scheme: str = "light") -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri(), wait_until="load")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.close()

    def ask(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.mark.parametrize("name", REPORTS)
def test_nothing_runs_nothing_is_fetched_and_nothing_complains(browser: Any, pages: dict[str, Path], name: str) -> None:
    with Visit(browser, pages[name]) as visit:
        assert visit.complaints == []
        assert [url for url in visit.requests if not url.startswith("data:,")] == [pages[name].as_uri()]
        assert (
            visit.ask("() => document.querySelectorAll('script, img, iframe, object, embed, form, base').length") == 0
        )
        handlers = "() => [...document.querySelectorAll('*')].flatMap(n => n.getAttributeNames())"
        assert not [attribute for attribute in visit.ask(handlers) if attribute.startswith("on")]


def test_the_policy_allows_one_style_sheet_only(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    with Visit(browser, pages["honest"]) as visit:
        assert visit.ask("() => getComputedStyle(document.querySelector('.verdict')).borderLeftWidth") == "6px"
    smuggled = (
        "<style>body { display: none }</style><p style='color: red'>x</p>"
        "<img src='https://a.example/x'><script>document.title = 'owned'</script>"
    )
    broken = tmp_path / "smuggled.html"
    broken.write_text(report_html(example_report()).replace("</main>", smuggled + "</main>"), encoding="utf-8")
    with Visit(browser, broken) as visit:
        assert sum("Content Security Policy" in complaint for complaint in visit.complaints) >= 4
        assert visit.ask("() => getComputedStyle(document.body).display") == "block"
        assert visit.page.title() != "owned"


def test_hostile_texts_are_text(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["hostile"]) as visit:
        count = "() => [...document.querySelectorAll('body *')].map(n => n.tagName.toLowerCase())"
        benign = tuple("abcdefghijkl")
        hostile_tags = visit.ask(count)
        visit.page.set_content(report_html(with_texts(benign)))
        assert visit.ask(count) == hostile_tags
        assert visit.complaints == []


@pytest.mark.parametrize("name", REPORTS)
def test_every_link_leads_somewhere_in_the_page(browser: Any, pages: dict[str, Path], name: str) -> None:
    with Visit(browser, pages[name]) as visit:
        links = visit.ask("() => [...document.querySelectorAll('a')].map(a => a.getAttribute('href'))")
        ids = visit.ask("() => [...document.querySelectorAll('[id]')].map(n => n.id)")
        assert len(ids) == len(set(ids))
        assert set(links) <= {f"#{found}" for found in ids}
        assert len(links) > 15


@pytest.mark.parametrize("width", [390, 768, 1280])
@pytest.mark.parametrize("name", REPORTS)
def test_the_page_never_scrolls_sideways(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    with Visit(browser, pages[name], width) as visit:
        visit.ask("() => document.querySelectorAll('details').forEach(d => d.open = true)")
        assert visit.ask("() => document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["honest", "review", "copying", "nightly", "evaluated", "evaluated copies"])
def test_text_stands_out_from_its_ground(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    with Visit(browser, pages[name], scheme=scheme) as visit:
        visit.ask("() => document.querySelectorAll('details').forEach(d => d.open = true)")
        contrasts = dict(visit.ask(CONTRASTS))
        assert len(contrasts) > 4
        assert {pair: round(ratio, 2) for pair, ratio in contrasts.items() if ratio < READABLE} == {}


def test_the_schemes_differ(browser: Any, pages: dict[str, Path]) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        with Visit(browser, pages["honest"], scheme=scheme) as visit:
            grounds.append(visit.ask("() => getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2


def test_the_tab_key_reaches_everything_and_shows_where_it_is(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["copying"]) as visit:
        stops = []
        while (stop := _next_stop(visit)) is not None and len(stops) < 500:
            stops.append(stop)
        assert stops[0][:2] == ["A", "#run"]
        assert all(shown for _, _, shown in stops)
        n_details = visit.ask("() => document.querySelectorAll('summary').length")
        assert sum(tag == "SUMMARY" for tag, _, _ in stops) == n_details > 4


def _next_stop(visit: Visit) -> list[Any] | None:
    visit.page.keyboard.press("Tab")
    stop: list[Any] = visit.ask(FOCUSED)
    return None if stop[0] in {"BODY", "HTML"} else stop


def test_a_key_opens_what_is_folded(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["honest"]) as visit:
        before = visit.ask(CLOSED)
        visit.page.locator("main details:not([open]) summary").first.press("Enter")
        assert visit.ask(CLOSED) == before - 1


def test_a_screen_reader_finds_landmarks_headings_tables_and_pictures(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["copying"]) as visit:
        page = visit.page
        assert page.get_by_role("main").count() == page.get_by_role("navigation").count() == 1
        assert page.get_by_role("contentinfo").count() == 1
        levels = visit.ask("() => [...document.querySelectorAll('h1,h2,h3,h4')].map(h => +h.tagName[1])")
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))
        unnamed = "() => [...document.querySelectorAll('table')].filter(t => !t.caption).length"
        unscoped = "() => document.querySelectorAll('th:not([scope])').length"
        silent = """() => [...document.querySelectorAll('svg')].filter(s => s.getAttribute('aria-hidden') !== 'true'
          && !(s.getAttribute('role') === 'img' && s.querySelector(':scope > title')?.textContent)).length"""
        assert [visit.ask(script) for script in (unnamed, unscoped, silent)] == [0, 0, 0]
        assert page.get_by_role("img", name="Distribution of month").count() == 1
        assert page.get_by_role("rowheader", name="G1 Copies").count() >= 1


def test_the_way_over_time_is_told_to_a_screen_reader(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["nightly"]) as visit:
        page = visit.page
        assert page.get_by_role("img", name="Exact copies over time").count() == 1
        assert page.get_by_role("table", name="Figures of the last accepted release and of this one").count() == 1
        said = page.locator("svg.trend desc").first.text_content()
        assert said.startswith("13 releases since 2026-01-18")
        outside = """() => [...document.querySelectorAll('svg.trend')].flatMap(s => [...s.querySelectorAll('text')]
          .filter(t => { const [a, b] = [t.getBoundingClientRect(), s.getBoundingClientRect()];
                         return a.left < b.left - 1 || a.right > b.right + 1; })).length"""
        assert visit.ask(outside) == 0


@pytest.mark.parametrize("name", REPORTS)
def test_the_verdict_fills_the_first_screen(browser: Any, pages: dict[str, Path], name: str) -> None:
    with Visit(browser, pages[name], width=390) as visit:
        box = visit.page.locator(".sentence").bounding_box()
        assert 0 < box["y"] < box["y"] + box["height"] < 900


def test_it_prints_in_full_on_white_paper(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["copying"], width=688, scheme="dark") as visit:
        visit.page.emulate_media(media="print", color_scheme="dark")
        assert visit.ask("() => getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert visit.ask("() => document.documentElement.scrollWidth") <= 688
        assert visit.ask("() => getComputedStyle(document.querySelector('nav')).display") == "none"
        folded = "() => document.querySelector('main details:not([open]) > :last-child').getBoundingClientRect().height"
        assert visit.ask(folded) > 0
        document = visit.page.pdf(format="A4")
        assert document.startswith(b"%PDF")
        assert len(re.findall(rb"/Type\s*/Page\b", document)) > 5


def test_a_hundred_columns_are_there_at_once(browser: Any, pages: dict[str, Path]) -> None:
    with Visit(browser, pages["a hundred columns"]) as visit:
        loaded = "() => performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd"
        assert visit.ask("() => document.querySelectorAll('article.card').length") == 100
        assert visit.ask(loaded) < 5_000


def test_the_reports_are_what_their_names_say() -> None:
    verdicts = {name: _made(name).verdict for name in ("honest", "review", "copying", "evaluated copies")}
    assert verdicts == {"honest": "PASS", "review": "REVIEW", "copying": "FAIL", "evaluated copies": "FAIL"}


def _made(name: str) -> Report:
    return REPORTS[name]()
