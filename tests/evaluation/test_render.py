from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from evaluation.gate import Gates
from evaluation.glossary import term
from evaluation.measurement import Family, Measured, Unmeasured
from evaluation.rendering.render import FAMILIES, MAX_PARTS, report_html, report_json, write_report
from evaluation.rendering.view import decisions_of
from evaluation.report import MOST_EARLIER, Report, RunIdentity, TrainingPoint
from tests.evaluation.example_report import example_report, profile, with_history, with_parts_of_every_column
from tests.evaluation.hostile_report import HOSTILE, with_texts


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
    style = page[page.index("<style>") + len("<style>") : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    assert ("content", policy) in nodes.attributes
    assert "style" not in {name for name, _ in nodes.attributes}


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
    assert text_of(page).index("Every gate that applies was passed (11 of 11)") < text_of(page).index("Train rows")
    assert "What could not be tested" not in page


def test_a_refused_report_gives_its_reasons_first() -> None:
    report = example_report(leaking=True, gates=Gates.model_validate({"missing_rate_error": "off"}))
    page = text_of(report_html(report))
    first_screen = page[: page.index("All gates, the worst first")]
    refused = "This table was refused: 3 of 10 gates failed and 1 could not be tested. It must not be released."
    assert refused in first_screen
    failed = report.failures()
    assert len(failed) == 4
    titles = [decision.title for decision in decisions_of(report)]
    assert all(reason in first_screen or _rest(reason, titles) in first_screen for reason in failed)
    assert "1 gate was switched off in the configuration and not judged: Missing rate error." in first_screen
    assert "150 unusual records are too few; 200 are needed." in first_screen


def _rest(reason: str, titles: list[str]) -> str:
    """Return the reason without the title at its start, which is a link."""
    title = next(title for title in titles if reason.startswith(title))
    return reason.removeprefix(title).strip()


def test_a_report_to_review_says_what_a_person_must_decide() -> None:
    report = example_report(privacy="REVIEW")
    page = text_of(report_html(report))
    assert "<title>REVIEW" in report_html(report)
    assert "No gate failed, but 2 of 11 need a person’s decision before this table is released." in page
    assert page.index("What a person must decide") < page.index("hardly chance") < page.index("All gates")
    assert "None until a person has decided" in page


def test_want_of_evidence_refuses_too() -> None:
    report = example_report()
    blind = tuple(
        gate.model_copy(update={"verdict": "NOT TESTABLE", "value": None}) if gate.name == "g5_outliers" else gate
        for gate in report.gates
    )
    page = text_of(report_html(report.model_copy(update={"gates": blind, "verdict": "FAIL"})))
    assert "1 of 11 gates could not be tested, and a gate passes only on evidence. It must not be released." in page
    assert "Why it was refused" not in page
    assert "What could not be tested" in page


def test_all_gates_off_is_not_praised() -> None:
    off = Gates.model_validate({name: "off" for name, _ in Gates().named()})
    page = text_of(report_html(example_report(gates=off).model_copy(update={"privacy": ()})))
    assert "No gate was judged" in page
    assert "No privacy test was run." in page
    assert "Every gate" not in page


def test_the_order_is_that_of_a_decision() -> None:
    page = report_html(example_report())
    order = [
        "verdict", "run", "scorecard", "schema", "missing", "columns", "pairs", "joint", "detection", "utility",
        "subgroups", "privacy", "training", "likelihood", "card", "glossary",
    ]  # fmt: skip
    assert re.findall(r'<(?:header|section) id="(\w+)"', page) == order
    assert re.findall(r'<li><a href="#(\w+)">[^<]+</a></li>', page) == order


def test_what_is_unknown_of_a_run_is_left_out() -> None:
    report = example_report()
    bare = report.model_copy(update={"run": RunIdentity(n_train=7, n_holdout=7, n_synthetic=7)})
    known, unknown = text_of(report_html(report)), text_of(report_html(bare))
    for name in ("Generator", "Created", "Fit", "Data (SHA-256)", "Fingerprints and versions"):
        assert f" {name} " in known
        assert f" {name} " not in unknown
    assert "Unnamed run" in unknown


def test_privacy_says_what_it_cannot_show() -> None:
    assert "No formal guarantee. Nothing here rests on differential privacy" in text_of(report_html(example_report()))


def test_every_privacy_test_shows_its_rule_its_limit_and_its_parts() -> None:
    report = example_report(leaking=True)
    page = text_of(report_html(report))
    section = page[page.index("No formal guarantee.") : page.index("Numbers behind the privacy gate")]
    for test in report.privacy:
        for said in (term(test.name).title, test.reason, test.detection_limit, test.verdict, term(test.name).limits):
            assert said in section
        assert test.rule.replace("<=", "≤").replace(">=", "≥") in section
        assert all(part.subject in section for part in test.parts)
    shown = re.findall(r"G\d [A-Z]\w+(?: \w+)* [✕?!✓–]", section)
    assert [title[:2] for title in shown] == ["G1", "G3", "G4", "G5", "G2", "G7", "G0"]


def test_subgroups_show_their_shares_intervals_and_reasons() -> None:
    report = example_report()
    page = text_of(report_html(report))
    section = page[page.index("The levels whose rows") : page.index("Over all subgroups")]
    assert "carrier F9 3.0 % 2.4 % 0.120 0.100 to 0.150 ceiling 0.050 Not measured: fewer than 50" in section
    nobody = text_of(report_html(report.model_copy(update={"subgroups": ()})))
    assert "No level of any column was looked at on its own." in nobody


def test_every_family_has_a_title() -> None:
    assert set(FAMILIES) == set(get_args(Family))


def test_every_overall_number_has_its_source() -> None:
    report = example_report()
    sourced = tuple(
        m.model_copy(update={"source": f"author {i} of {m.family}"}) if isinstance(m, Measured) else m
        for i, m in enumerate(report.measurements)
    )
    text = text_of(report_html(report.model_copy(update={"measurements": sourced})))
    wanted = [m for m in sourced if isinstance(m, Measured)]
    assert {m.family for m in wanted} == set(FAMILIES)
    assert [m.source for m in wanted if m.source not in text] == []


def test_families_that_were_not_measured_say_so() -> None:
    report = example_report()
    few = tuple(m for m in report.measurements if m.family != "joint")
    assert "Nothing of this family was measured." in text_of(
        report_html(report.model_copy(update={"measurements": few}))
    )
    assert "Nothing of this family was measured." not in text_of(report_html(report))


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


def test_an_empty_report_is_still_a_page() -> None:
    empty = dict.fromkeys(
        ("gates", "measurements", "schema_columns", "columns", "pairs", "giveaways", "privacy", "subgroups", "training",
         "notes"), ()
    )  # fmt: skip
    page = text_of(report_html(example_report().model_copy(update=empty)))
    assert "No pair of columns was profiled." in page
    assert "No training curve came with this table." in page


def test_a_hundred_columns_stay_under_two_megabytes(tmp_path: Path) -> None:
    report = example_report(names=[f"column {i} " + "名" * 60 for i in range(100)])
    report = with_history(with_parts_of_every_column(report), MOST_EARLIER)
    page = write_report(report, tmp_path)
    assert page.stat().st_size < 2_000_000
    assert page.read_text(encoding="utf-8").count('<article class="card">') == 100


def test_a_test_of_many_parts_shows_the_worst_and_says_how_many_more_there_are() -> None:
    report = with_history(with_parts_of_every_column(example_report(names=[f"column {i}" for i in range(100)])), 2)
    page = report_html(report)
    copies, values = (
        page[page.index(f'<article class="test pass" id="{name}"') :] for name in ("g1_copies", "g2_value_support")
    )
    for section, n_parts in ((copies, 200), (values, 600)):
        own = section[: section.index("</article>")]
        assert own.count('<td class="picture">') == MAX_PARTS
        assert f"{n_parts} parts, worst first" in own
        assert f"{n_parts - MAX_PARTS} more parts are not shown here; report.json holds all." in own
    kept = {test["name"]: len(test["parts"]) for test in json.loads(report_json(report))["privacy"]}
    assert (kept["g1_copies"], kept["g2_value_support"]) == (200, 600)
    assert "not shown here" not in report_html(example_report())


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


def likelihood_section(report: Report) -> str:
    return text_of(report_html(report)).partition("Likelihood How surprising")[2].partition("Model card")[0]


def test_the_likelihood_section_says_what_the_differences_mean() -> None:
    section = likelihood_section(example_report())
    assert "knows the rows that it learned from better" in section
    assert "about as sure of itself as it is right" in section
    assert "2 of 3 latent units vary from row to row" in section


def test_the_likelihood_section_says_whether_the_model_may_be_shared() -> None:
    report = example_report()
    assert "Share the table, and not the model" in likelihood_section(report)
    assert report.likelihood is not None and report.likelihood.loss_attack is not None
    guessing = {"auc_interval": (0.47, 0.55), "tpr_interval": (0.002, 0.03)}
    harmless = report.likelihood.loss_attack.model_copy(update=guessing)
    told = report.model_copy(update={"likelihood": report.likelihood.model_copy(update={"loss_attack": harmless})})
    assert "guessing does as well" in likelihood_section(told)
    none = report.model_copy(update={"likelihood": report.likelihood.model_copy(update={"loss_attack": None})})
    assert "Who holds the model" not in likelihood_section(none)


def test_columns_of_the_likelihood_come_farthest_from_what_is_expected_first_and_the_others_are_folded() -> None:
    section = likelihood_section(example_report(names=[f"column {i:02d}" for i in range(30)]))
    places = [section.index(f"column {i:02d}") for i in range(29, 4, -1)]
    assert places == sorted(places)
    assert "column 00 3.000 3.060 −0.060 −0.110 to −0.010" in section
    assert "18 more columns" in section


def test_every_loss_has_a_table_of_its_own() -> None:
    section = likelihood_section(example_report())
    for title, unit in (("Nats of a hidden cell", "Share of cells known"), ("Squared error", "Time t")):
        assert f"{title} {title} {unit} Loss Learned nothing 0 0.900 1.000 0.062 0.867" in section


def test_a_family_without_chain_and_time_has_no_empty_tables() -> None:
    report = example_report()
    assert report.likelihood is not None
    bare = report.likelihood.model_copy(update={"columns": (), "curves": ()})
    section = likelihood_section(report.model_copy(update={"likelihood": bare}))
    assert "Nats per row" in section
    assert "Expected" not in section and "Loss by time" not in section


def test_a_collapsed_latent_vector_and_a_model_without_a_density_are_told() -> None:
    report = example_report()
    assert report.likelihood is not None
    collapsed = report.likelihood.model_copy(update={"n_active_units": 0})
    assert "has collapsed" in likelihood_section(report.model_copy(update={"likelihood": collapsed}))
    assert 'id="likelihood"' not in report_html(report.model_copy(update={"likelihood": None}))
