"""Names that are paths, markup or formulas: nothing lies outside the root, and no report comes alive."""

import csv
from datetime import date
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows.settings import build_config, load_config
from flows.steps import run_steps
from pipeline.errors import ConfigError, InputError
from pipeline.publish import current, open_output
from pipeline.sink import FORMULA_LEADS, write_csv
from tests.faults import nights

ENDS = ("", "x", "/", "/x", "\0", "\r\n", " ", ".parquet", "\u202e", "<b>")
ROOTS = (
    "..", "../y", "../../x", "/tmp/x", "/etc/passwd", "C:\\x", "\\\\host\\x", "~/x", "a/../../x", "./x", "a//b",
    "file:///tmp/x",
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "=CMD()", "+1", "@SUM(A1)", "x" * 10_000,
    "{{7*7}}", ".hidden",
)  # fmt: skip
HOSTILE = tuple(root + end for root in ROOTS for end in ENDS)
LIVE = {"script", "img", "iframe", "object", "embed", "form", "base"}


def listing(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_there_are_two_hundred_different_names():
    assert len(set(HOSTILE)) == 200


@pytest.mark.parametrize("place", ["output", "run id", "current", "config"])
def test_a_hostile_name_of_an_output_or_run_is_refused_and_writes_nothing(tmp_path, place):
    root = tmp_path / "parent" / "root"
    with open_output(root, "people") as output:
        before = listing(tmp_path)
        for name in HOSTILE:
            with pytest.raises(ConfigError):
                match place:
                    case "output":
                        with open_output(root, name):
                            pass
                    case "run id":
                        output.stage(name)
                    case "current":
                        current(root, name)
                    case _:
                        build_config({"name": name, "source": {"path": "a.csv"}}, origin="tabmint.toml")
    assert listing(tmp_path) == before


def test_the_path_of_a_config_file_is_only_read(tmp_path, monkeypatch):
    (tmp_path / "parent" / "root").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "parent" / "root")
    before = listing(tmp_path)
    for name in HOSTILE:
        with pytest.raises((InputError, ValueError)):
            load_config(tmp_path / "parent" / "root" / name / "tabmint.toml")
    assert listing(tmp_path) == before


def hostile_people():
    """Return a table whose columns and levels are called by the names."""
    rng = np.random.default_rng(0)
    levels = [name for name in HOSTILE if len(name) < 1_000]
    columns = {name: rng.choice(["a", "b"], 2_400) for name in levels[::12]}
    return pa.table(
        {**columns, "level": [levels[i % len(levels)] for i in range(2_400)], "x" * 9_000: rng.normal(size=2_400)}
    )


class Nodes(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.tags, self.attributes = set(), set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.mark.slow
def test_a_job_with_hostile_columns_and_levels_stays_inside_its_root_and_its_report_is_dead(tmp_path):
    nights.write_job(tmp_path / "parent", nights.UNTRAINED)
    pq.write_table(hostile_people(), tmp_path / "parent" / f"{nights.DATES[0]}.parquet")
    path = tmp_path / "parent" / "tabmint.toml"
    config = load_config(path, ("output.csv=true", 'sinks=[{kind="folder", url="' + str(tmp_path / "sink") + '"}]'))
    before = listing(tmp_path)
    run_steps(config, on=date.fromisoformat(nights.DATES[0]))
    new = set(listing(tmp_path)) - set(before)
    assert all(name == "sink" or name.startswith(("sink/", "parent/out")) for name in new)
    release = current(config.output.root, "people")
    nodes = Nodes((release / "report.html").read_text())
    assert not LIVE & nodes.tags
    assert not [name for name in nodes.attributes if name.startswith("on")]
    assert_spreadsheet_safe(release / "synthetic.csv")
    assert any("=CMD()" in text for text in pq.read_table(release / "synthetic.parquet")["level"].to_pylist())


def assert_spreadsheet_safe(path):
    with path.open(newline="", encoding="utf-8") as file:
        for record in csv.reader(file):
            for cell in record:
                assert not cell or cell[0] not in FORMULA_LEADS or _is_number(cell), repr(cell)[:60]


def _is_number(cell):
    try:
        float(cell)
    except ValueError:
        return False
    return True


def test_every_hostile_name_is_escaped_for_a_spreadsheet_and_kept_without(tmp_path):
    table = pa.table({"=name": HOSTILE, "x": ["+1", "-1", "\t=1", "\r=1", "\n=1"] * 40})
    write_csv(table, tmp_path / "safe.csv", spreadsheet_safe=True)
    with (tmp_path / "safe.csv").open(newline="", encoding="utf-8") as file:
        cells = [cell for record in csv.reader(file) for cell in record]
    assert len(cells) == 402
    assert not [cell for cell in cells if cell and cell[0] in FORMULA_LEADS]
