from __future__ import annotations

import re
from typing import get_args

import pytest

from evaluation.glossary import CONCEPTS, PRIVACY_TESTS, TERMS, VERDICTS
from evaluation.rendering.render import report_html
from evaluation.rendering.view import anchors_of
from evaluation.report import TestName
from tests.evaluation.example_report import example_report


@pytest.mark.parametrize("name", [*TERMS, *CONCEPTS, *VERDICTS])
def test_every_term_says_in_one_sentence_each_what_it_means_and_cannot_show(name: str) -> None:
    words = (TERMS | CONCEPTS | VERDICTS)[name]
    for sentence in (words.meaning, words.limits):
        assert sentence.endswith(".")
        assert not re.search(r"[.?!] [A-Z]", sentence)


def test_every_privacy_test_has_words() -> None:
    assert set(PRIVACY_TESTS) == set(get_args(TestName))


def test_every_metric_with_words_leads_to_the_glossary() -> None:
    report = example_report()
    page = report_html(report)
    anchors = anchors_of(report)
    assert {"shape_error", "tstr_auc", "ks", "tvd"} <= anchors.keys()
    for anchor in anchors.values():
        assert page.count(f'id="{anchor}"') == 1
        assert page.count(f'href="#{anchor}"') >= (0 if anchor in {anchors["ks"], anchors["tvd"]} else 1)
