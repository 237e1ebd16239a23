"""What docs/operations.md says is what the commands do: their names and options, exit codes, alerts and rules."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from flows.alert import Alert
from flows.cli import app, main
from flows.cli.outcome import outcome_of
from flows.settings import AlertSection
from pipeline import errors
from pipeline.drift_rules import DriftRules

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def block(language):
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("line", re.findall(r"tabmint (\w+[^\n#`]*)", "".join(block("console"))))
def test_the_commands_and_their_options_exist(line, capsys):
    command, *rest = line.split()
    assert app[command]
    assert main([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert all(option.split("=")[0] in shown for option in rest if option.startswith("--"))


def test_the_alert_shown_is_one_and_its_settings_too():
    (shown,) = block("json")
    assert Alert.model_validate(json.loads(shown)).model_fields_set == set(Alert.model_fields)
    (settings,) = block("toml")
    AlertSection.model_validate(tomllib.loads(settings)["alert"])


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.DriftError("x"), "drift"),
        (errors.ArtifactError("x"), "a damaged release"),
        (errors.RefusedError("x"), "refused by a gate"),
        (errors.TrainingError("x"), "training"),
        (errors.PublishError("x"), "another run holds"),
        (KeyboardInterrupt(), "interrupted"),
    ],
)
def test_the_exit_codes_are_those_of_the_commands(error, words):
    meanings = dict(re.findall(r"^\| (\d+) \| (.*) \|$", TEXT, re.MULTILINE))
    assert words in meanings[str(outcome_of(error).exit_code)]


def test_every_rule_of_drift_stands_with_its_default():
    rows = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| .* \| (refuse|warn|accept) \|$", TEXT, re.MULTILINE)
    shown = {name: default for names, default in rows for name in re.findall(r"\w+", names)}
    rules = DriftRules().model_dump()
    assert shown == {name: rule for name, rule in rules.items() if isinstance(rule, str)}


def test_the_links_within_the_page_lead_somewhere():
    titles = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    places = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([\w-]+)\)", TEXT)) <= places
    files = re.findall(r"\]\(([^#)]+)\)", TEXT)
    assert files and all((ROOT / "docs" / file).is_file() for file in files)


def test_the_image_and_the_unit_hold_no_secret_and_no_rights():
    image = (ROOT / "Dockerfile").read_text()
    assert "USER tabmint" in image and "-c constraints.txt" in image and "VOLUME /job/out" in image
    assert not re.search(r"(?i)^ENV .*(?:passw|token|secret)", image, re.MULTILINE)
    unit = (ROOT / "examples" / "tabmint.service").read_text()
    wanted = {"User=tabmint", "ProtectSystem=strict", "NoNewPrivileges=true", "CapabilityBoundingSet="}
    assert wanted <= set(unit.splitlines())
