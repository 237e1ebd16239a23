"""The commented config that `tabmint init` writes."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

from evaluation.gate import Gate, Gates
from pipeline.schema import Schema

from .inputs import target_candidates
from .settings import GeneratorSection, OutputSection

TEMPLATE = """\
# One tabmint job. Run it with: tabmint run {file}
# Paths are relative to this file. A line that begins with "#" shows a setting that may be given.

name = {name}
seed = 0   # the same seed, data and machine give the same split, and the same draw from a model
schema_path = {schema}   # the kind of every column, with the reason; edit it where a guess is wrong

[source]
path = {path}
# delimiter = ";"   # of a text file; detected unless given
# null_values = ["", "NA"]   # what a missing cell holds in a text file; only the empty cell unless given
# uri = "postgresql://..."   # a database instead of a path, with query = "select ..."

[split]
# holdout = 0.2   # the share of rows set aside for judging; follows from their number unless given
# entity = "customer_id"   # rows of one entity stay together, all in train or all in holdout

[transform]
# protect = 5   # a level or an extreme that fewer rows carry is never reproduced

[generator]
kind = "{kind}"   # or "ddpm", "vae", "wgan_gp"; "independent" is the baseline that knows no dependence
budget = "{budget:g}s"   # the most time to train for

[sample]
# rows = 10000   # as many as train has unless given

[evaluation]
# target = {target}   # what downstream models predict
{candidates}
[gates]   # the table is published only if no gate fails; "off" switches one off
{gates}
# g1_copies = "on"   # privacy tests g0 to g5 and g7 decide by their own statistics
# review = "publish"   # "refuse" keeps back a table on which a test says REVIEW

[output]
root = "{root}"
csv = false   # true writes a CSV, safe to open in a spreadsheet, beside the Parquet file
"""
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
    return f"{setting.rstrip():<{COMMENT_COLUMN}}# {comment}" if gap else line


def _candidate_lines(candidates: list[str]) -> str:
    named = ", ".join(quote(name) for name in candidates)
    wrapped = textwrap.wrap(f"It may be {named}." if named else "", 110, break_long_words=False)
    return "".join(f"# {line}\n" for line in wrapped)


def _gate_line(name: str, gate: Gate) -> str:
    side = "at_most" if gate.at_least is None else "at_least"
    return f"# {name} = {{ {side} = {gate.bound:g} }}"
