"""The commented config that `tabmint init` writes."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path

from evaluation.gate import Gate, Gates
from pipeline.config import Config
from pipeline.drift_rules import DriftRules
from pipeline.schema import Schema

from .decision import ScheduleSection
from .inputs import target_candidates
from .settings import AlertSection, GeneratorSection, OutputSection

TEMPLATE = """\
# One tabmint job. Run it with: tabmint run {file}
# Paths are relative to this file. A line that begins with "#" shows a setting that may be given.
# ${{NAME}} in an address stands for a variable of the environment, ${{secret:name}} for a Prefect Secret block.

name = {name}
seed = 0   # the same seed, data and machine give the same split and the same draw
schema_path = {schema}   # the kind of every column, with the reason; edit it where a guess is wrong

[source]
path = {path}   # {{date}} in a path or query stands for the run's date
# delimiter = ";"   # of a text file; detected unless given
# null_values = ["", "NA"]   # what a missing cell holds in a text file; only the empty cell unless given
# uri = "postgresql://ada:${{PGPASSWORD}}@host/name"   # not a path but a database; give a query too

[split]
# holdout = 0.2   # the share of rows set aside for judging; follows from their number unless given
# entity = "customer_id"   # rows of one entity stay together, all in train or all in holdout

[transform]
# protect = 5   # a level or an extreme that fewer rows carry is never reproduced

[generator]
kind = "{kind}"   # or "ddpm", "vae", "wgan_gp"; "independent" is a baseline without dependence
budget = "{budget:g}s"   # the most time to train for

[sample]
# rows = 10000   # as many as train has unless given

[evaluation]
# target = {target}   # what downstream models predict
{candidates}# budget_s = "30m"   # no metric begins later; a gate on one that is missing fails; no limit unless given
# privacy.secrets = ["income"]   # what an attacker wants to infer; chosen from the columns unless given
# privacy.linkable = [["age"], ["income"]]   # what two parties hold; linkability is tested only where given
# privacy.quasi_identifiers = [["age", "postcode"]]   # what together may point to a person

[gates]   # the table is published only if no gate fails; "off" switches one off
{gates}
# g1_copies = "on"   # privacy tests g0 to g5 and g7 decide by their own statistics
# review = "publish"   # "refuse" keeps back a table on which a test says REVIEW

[drift]   # what differs from the last accepted source: "refuse", "warn" or "accept"
{drift}

[schedule]   # what a run does where little has changed since the last accepted release
{schedule}

[alert]   # whom to tell of a run that is refused, drifts or fails
# webhook = "${{TABMINT_WEBHOOK}}"   # a JSON object is posted there; nobody is told unless given
# timeout_s = {timeout_s:g}

[output]
root = "{root}"
csv = false   # true writes a CSV, safe to open in a spreadsheet, beside the Parquet file

# [[sinks]]   # where each release is delivered to; there may be several
# kind = "folder"
# url = "shared"   # or "s3://bucket/synthetic"

# [[sinks]]
# kind = "postgresql"
# uri = "postgresql://ada:${{PGPASSWORD}}@host/name"
# table = "analytics.synthetic"
# mode = "replace"   # or "partition": a column run_date, and only one date is replaced
"""
DRIFT = {
    "added": "a column that was not there",
    "dropped": "a column that is not there any more",
    "renamed": "a dropped and an added column that hold the same",
    "retyped": "values that do not pass unchanged into what the schema declares",
    "levels": "levels that were not there",
    "nulls": "a missing cell where none may be, or another share of them",
    "repeated_keys": "identifiers that repeat",
    "distribution": "cells that are distributed differently; a model is then fitted anew",
    "null_tolerance": "a share of missing cells may differ by less",
    "distribution_tolerance": "a total variation distance may be less",
}
SCHEDULE = {
    "unchanged": 'nothing changed; or "sample" draws a new table from the accepted model',
    "changed": 'only the records changed; or "warm_start", "refit" whatever they are like',
    "growth": "more rows than this share of train, or fewer, are learned from the beginning",
    "warm_starts": "in a row, then a model is fitted anew",
    "attempts": "refusals of the same inputs, then a person must look",
}
COMMENT_COLUMN = 36


def config_text(*, file: str, path: str, schema_file: str, schema: Schema) -> str:
    """Return the text of a config for the table at `path`, which is relative to the config's folder.

    The target is not guessed: it stays a comment that lists the candidates.
    """
    candidates = target_candidates(schema)
    text = TEMPLATE.format(
        file=file,
        name=quote(job_name(path)),
        schema=quote(schema_file),
        path=quote(path),
        kind=GeneratorSection().kind,
        budget=GeneratorSection().budget,
        target=quote(candidates[-1] if candidates else "column"),
        candidates=_candidate_lines(candidates),
        gates="\n".join(_gate_line(name, gate) for name, gate in Gates().named() if isinstance(gate, Gate)),
        drift=_default_lines(DriftRules(), DRIFT),
        schedule=_default_lines(ScheduleSection(), SCHEDULE),
        timeout_s=AlertSection().timeout_s,
        root=OutputSection().root,
    )
    return "\n".join(_aligned(line) for line in text.split("\n"))


def job_name(path: str) -> str:
    """Return a job's name made of a file's name.

    Example:
        >>> job_name("data/bank full-2.csv.gz")
        'bank-full-2'
    """
    stem = Path(path).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_]+", "-", stem).strip("-_")[:64] or "table"


def quote(text: str) -> str:
    r"""Return a TOML string.

    Example:
        >>> print(quote('a "b"'))
        "a \"b\""
    """
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # JSON's escapes are TOML's, but for DEL


def _aligned(line: str) -> str:
    """Put a comment that follows a setting into the column of the others."""
    setting, gap, comment = line.partition("   # ")
    return f"{setting.rstrip():<{COMMENT_COLUMN - 1}} # {comment}" if gap else line


def _candidate_lines(candidates: list[str]) -> str:
    named = ", ".join(quote(name) for name in candidates)
    wrapped = textwrap.wrap(f"It may be {named}." if named else "", 110, break_long_words=False)
    return "".join(f"# {line}\n" for line in wrapped)


def _default_lines(section: Config, comments: Mapping[str, str]) -> str:
    """Return each setting of a section with its default and what it means."""
    return "\n".join(f"# {name} = {json.dumps(getattr(section, name))}   # {text}" for name, text in comments.items())


def _gate_line(name: str, gate: Gate) -> str:
    side = "at_most" if gate.at_least is None else "at_least"
    return f"# {name} = {{ {side} = {gate.bound:g} }}"
