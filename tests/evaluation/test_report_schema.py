from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from pydantic import ValidationError

from evaluation.rendering.render import report_json
from evaluation.report import REPORT_VERSION, Report, report_schema
from evaluation.write_schema import SCHEMA_FILE, schema_text
from tests.evaluation.example_report import example_report, with_history
from tests.evaluation.hostile_report import HOSTILE, with_texts

ROOT = Path(__file__).parents[2]


def test_the_published_schema_is_current() -> None:
    published = (ROOT / SCHEMA_FILE).read_text(encoding="utf-8")
    assert published == schema_text(), "run `python -m evaluation.write_schema` and look at what changed"


def test_the_schema_is_itself_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(report_schema())


REPORTS = {
    "PASS": example_report(target=False),
    "REVIEW": example_report(privacy="REVIEW"),
    "FAIL": example_report(leaking=True),
    "nightly": with_history(example_report()),
    "hostile": with_texts(HOSTILE),
}


@pytest.mark.parametrize("name", REPORTS)
def test_report_json_fits_the_schema_and_comes_back_equal(name: str) -> None:
    report = REPORTS[name]
    text = report_json(report)
    jsonschema.validate(json.loads(text), report_schema())
    assert Report.model_validate_json(text) == report


def test_the_schema_refuses_an_unknown_verdict_and_an_unknown_key() -> None:
    content = json.loads(report_json(example_report()))
    for change in ({"verdict": "MAYBE"}, {"rows": []}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(content | change, report_schema())


def test_a_report_of_another_version_is_refused_by_schema_and_model() -> None:
    content = json.loads(report_json(example_report()))
    assert content["version"] == report_schema()["properties"]["version"]["const"] == REPORT_VERSION
    older = content | {"version": REPORT_VERSION - 1}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(older, report_schema())
    with pytest.raises(ValidationError, match="version"):
        Report.model_validate(older)


def test_a_gate_without_its_statistic_does_not_fit() -> None:
    content = json.loads(report_json(example_report()))
    del content["gates"][0]["statistic"]
    with pytest.raises(jsonschema.ValidationError, match="statistic"):
        jsonschema.validate(content, report_schema())


def test_a_program_finds_the_verdict_and_each_gates_own() -> None:
    content = json.loads(report_json(REPORTS["FAIL"]))
    assert content["verdict"] == "FAIL"
    for gate in content["gates"]:
        assert {"verdict", "statistic", "value", "interval", "reason"} <= gate.keys()
        assert gate["statistic"]
    tests = {test["name"]: test for test in content["privacy"]}
    assert tests["g1_copies"]["verdict"] == "FAIL"
    assert {"statistic", "value", "interval", "reason", "detection_limit", "parts"} <= tests["g1_copies"].keys()
