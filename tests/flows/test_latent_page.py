"""`tabmint latent` end to end, and the page: self-contained, escaped, one figure for each column that a unit moves."""

import json
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from flows.cli import main
from flows.latent_page import chart_of, page
from generators import TabularGenerator, generator_config
from generators.latent import Response, Traversal, Unit, Usage
from pipeline.source import read

STEPS = np.linspace(0.1, 0.9, 5)
HOSTILE = '<script>alert("x")</script>'


def traversal():
    """Return what one unit did to four columns, one of them named by an attacker and one hardly moved."""
    levels = {HOSTILE: STEPS, "b": (1 - STEPS) / 2, **{f"level {i}": (1 - STEPS) / 8 for i in range(4)}}
    responses = (
        Response("age", 0.8, STEPS, ("21", "67"), {"missing": STEPS / 10}),
        Response(HOSTILE, 0.8, None, None, levels),
        Response("still", 0.01, STEPS * 0, ("1", "1"), {}),
    )
    return Traversal(1, STEPS, (), responses)


USAGE = Usage((Unit(0, 0.0, 0.0, False, 0, 0), Unit(1, 1.25, 0.7, True, -1.5, 1.5)), 40)
FACTS = {"name": HOSTILE, "rows": "rows of a file", "member": 0, "n_members": 2}


def test_the_page_escapes_what_it_shows_and_needs_nothing_from_elsewhere():
    text = page(FACTS, USAGE, (traversal(),))
    assert "<script" not in text and text.count("&lt;script&gt;") >= 2
    assert "http" not in re.sub(r"http-equiv", "", text) and "default-src 'none'" in text
    assert "1 of 2 units are active" in text and "collapsed: it is the prior" in text
    assert "member 0 of 2" in text and text.count("<figure>") == 2 and "still" not in text


def test_a_figure_is_well_formed_and_says_what_it_shows():
    age, levels, _ = traversal().responses
    line, areas = chart_of(age), chart_of(levels)
    for drawn in (line, areas):
        ElementTree.fromstring(str(drawn.chart))
    assert str(line.chart).count("<polyline") == 1 and str(areas.chart).count("<polygon") == 5
    assert [part.text for part in line.caption] == [
        "from 21 to 67, mean train quantile 10.0 % to 90.0 %",
        "missing 1.0 % to 9.0 %",
    ]
    assert areas.caption[-1].text.startswith("2 others") and areas.caption[0].mark == "l0"


def test_areas_of_shares_fill_the_frame():
    chart = str(chart_of(traversal().responses[1]).chart)
    heights = [float(y) for points in re.findall(r'points="([^"]*)"', chart) for y in re.findall(r",([\d.]+)", points)]
    assert (min(heights), max(heights)) == (10.0, 110.0)


def test_a_model_that_has_collapsed_has_a_page_without_figures():
    dead = Usage((Unit(0, 0.0, 0.0, False, 0, 0),), 40)
    text = page(FACTS | {"n_members": 1}, dead, ())
    assert "has collapsed" in text and "<figure>" not in text and "by member" not in text


@pytest.fixture
def here(config_path, monkeypatch):
    monkeypatch.chdir(config_path.parent)
    training = {"steps": 40, "learning_rate": 0.02}
    config = generator_config("vae", latent_size=2, width=16, members=1, training=training)
    TabularGenerator(config).fit(read("people.parquet").table).save("people.model")
    return config_path.parent


def test_the_command_writes_the_page_and_the_same_as_json(here, capsys):
    capsys.readouterr()
    assert main(["latent", "people.model", "people.parquet", "-o", "space.html", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    written = json.loads((here / "space.json").read_text(encoding="utf-8"))
    assert written == {key: told[key] for key in written} and len(written["units"]) == 2
    assert written["n_rows"] == 300 and "rows of people.parquet were encoded" in " ".join(
        (here / "space.html").read_text().split()
    )
    assert len(written["traversals"]) == sum(unit["active"] for unit in written["units"])
    assert main(["latent", "people.model", "-o", "drawn.html"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Latent ") and "Page       drawn.html" in out


def test_what_cannot_be_is_refused(here, capsys):
    assert main(["fit", "people.parquet", "--generator", "independent", "-o", "other.model"]) == 0
    for tokens, said in [
        (["latent", "other.model"], "independent has no latent vector"),
        (["latent", "people.model", "-o", "space.txt"], "ends in .html"),
        (["latent", "people.model", "--member", "3"], "from 0 to 0"),
    ]:
        assert main(tokens) == 2
        assert said in capsys.readouterr().err
