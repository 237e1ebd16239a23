from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file, save_file

from evaluation.config import EvaluationConfig
from evaluation.privacy.artifact_scan import Planted, scan
from evaluation.rendering.render import write_report
from evaluation.suite import evaluate
from evaluation.tables import Tables
from generators import TabularGenerator, TrainingConfig, generator_config
from pipeline.columns import Categorical
from pipeline.inference import infer
from pipeline.schema import Schema
from tests.evaluation.simulated import COPULA, NETWORK, draw_copula, draw_network
from tests.generators.tables import people

TRAIN = draw_network(400, np.random.default_rng(0))
LEAKED = TRAIN.slice(17, 1).to_pylist()[0]
CELLS = [str(cell) for cell in LEAKED.values()]


def kinds(found: list[Planted]) -> set[str]:
    return {planted.kind for planted in found}


def numbers(name: str, train: pa.Table = TRAIN) -> np.ndarray:
    return train[name].to_numpy().astype(np.float64)


# honest artifacts pass


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model, fitted to a table with keys, notes, a rare level and an extreme."""
    config = generator_config("flow_matching", members=1, training=TrainingConfig(steps=3))
    folder = tmp_path_factory.mktemp("honest") / "model"
    TabularGenerator(config).fit(people(400), seed=0).save(folder)
    return folder


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real report on a table of which every row is unique."""
    rng = np.random.default_rng(1)
    tables = Tables(NETWORK, TRAIN, draw_network(300, rng), draw_network(300, rng), "smoker")
    config = EvaluationConfig(families=("marginals", "pairs"))
    return write_report(evaluate(tables, config, seed=0), tmp_path_factory.mktemp("report")).parent


def test_a_real_model_passes(model: Path) -> None:
    assert sorted(path.name for path in model.iterdir()) == ["generator.json", "manifest.json", "weights.safetensors"]
    assert scan(model, people(400), infer(people(400))) == []
    assert scan(model, people(400)) == []


@pytest.mark.parametrize("kind", ["independent", "vae", "wgan_gp", "ddpm"])
def test_a_model_of_every_family_passes(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    train = draw_copula(300, rng)
    settings: dict[str, Any] = {} if kind == "independent" else {"training": {"steps": 3}}
    TabularGenerator(generator_config(kind, **settings)).fit(train, COPULA, seed=0).save(tmp_path / "model")
    assert scan(tmp_path / "model", train, COPULA) == []


def test_a_real_report_passes(report: Path) -> None:
    assert sorted(path.name for path in report.iterdir()) == ["report.html", "report.json"]
    assert scan(report, TRAIN, NETWORK) == []


def test_summaries_pass(tmp_path: Path) -> None:
    """Vocabularies in any order, quantiles, histograms and extremes of train are no rows of it."""
    income = np.sort(numbers("income"))
    summaries = {
        "levels": {name: sorted(set(TRAIN[name].to_pylist())) for name in ("region", "trade")},
        "age": {
            "atoms": sorted(set(TRAIN["age"].to_pylist())),
            "counts": np.bincount(TRAIN["age"].to_numpy()).tolist(),
        },
        "visits": np.unique(TRAIN["visits"].to_numpy())[::-1].tolist(),
        "edges": income[:: len(income) // 30].tolist(),
        "extremes": [income[0], income[-1]],
        "flags": [True, False] * 40,
    }
    (tmp_path / "summary.json").write_text(json.dumps(summaries))
    assert scan(tmp_path, TRAIN, NETWORK) == []


def test_hours_in_row_order_are_not_found_in_the_list_of_hours(tmp_path: Path) -> None:
    hourly = pa.table({"hour": np.tile(np.arange(24), 50), "x": np.random.default_rng(0).normal(size=1_200)})
    (tmp_path / "model.json").write_text(json.dumps({"atoms": list(range(24))}))
    assert scan(tmp_path, hourly) == []
    (tmp_path / "model.json").write_text(json.dumps({"cells": list(range(24)) * 2}))
    assert kinds(scan(tmp_path, hourly)) == {"run"}


@pytest.mark.parametrize("n_columns", [1, 2, 3, 8])
def test_small_numbers_and_flags_are_met_by_chance(n_columns: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    train = pa.table({f"c{i}": rng.integers(4, size=500) for i in range(n_columns)})
    (tmp_path / "model.json").write_text(json.dumps({"shape": rng.integers(6, size=(15, 40)).tolist()}))
    save_file({"counts": torch.tensor(rng.integers(4, size=(500, 3)))}, tmp_path / "weights.safetensors")
    assert scan(tmp_path, train) == []


def test_random_weights_of_as_many_rows_as_train_pass(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    sizes = {"square": (400, 400), "wide": (3, 400), "bias": (400,), "deep": (2, 400, 4), "one": ()}
    save_file(
        {name: torch.randn(size, generator=rng) for name, size in sizes.items()}
        | {"zeros": torch.zeros(400), "half": torch.randn(400, 9, generator=rng).to(torch.bfloat16)},
        tmp_path / "weights.safetensors",
    )
    assert scan(tmp_path, TRAIN, NETWORK) == []


# one row


ROW_FILES: dict[str, Callable[[], tuple[str, str]]] = {
    "json array": lambda: ("a.json", json.dumps({"config": 1, "sample": list(LEAKED.values())}, default=str)),
    "json object": lambda: ("a.json", json.dumps({"best": {"row": LEAKED}}, default=str, sort_keys=True)),
    "json text": lambda: ("a.json", json.dumps({"note": ", ".join(CELLS)})),
    "json escapes": lambda: ("a.json", json.dumps({"note": CELLS}).replace("n", "\\u006e")),
    "json keys": lambda: ("a.json", json.dumps(dict.fromkeys(dict.fromkeys(CELLS), 0))),
    "names and values": lambda: ("a.json", json.dumps({"t": "; ".join(f"{k}={v}" for k, v in LEAKED.items())})),
    "html cells": lambda: ("a.html", "<table><tr>" + "".join(f"<td>{cell}</td>" for cell in CELLS) + "</tr></table>"),
    "html comment": lambda: ("a.html", f"<p>fine</p><!-- {' '.join(CELLS)} -->"),
    "html attribute": lambda: ("a.html", f'<p title="{"|".join(CELLS)}">fine</p>'),
    "another text": lambda: ("a.log", "step 3, loss 0.5\n" + "\t".join(CELLS) + "\n"),
}  # fmt: skip


@pytest.mark.parametrize("written", ROW_FILES)
def test_a_planted_row_is_found_in(written: str, tmp_path: Path) -> None:
    name, text = ROW_FILES[written]()
    (tmp_path / name).write_text(text)
    found = scan(tmp_path, TRAIN, NETWORK)
    assert {(planted.file, planted.kind) for planted in found} == {(name, "rows")}
    assert all(planted.count == 1 for planted in found)


@pytest.mark.parametrize("written", ROW_FILES)
def test_a_row_of_another_table_of_the_population_is_not(written: str, tmp_path: Path) -> None:
    name, text = ROW_FILES[written]()
    (tmp_path / name).write_text(text)
    assert scan(tmp_path, draw_network(400, np.random.default_rng(5)), NETWORK) == []


def test_a_row_planted_in_a_real_model_or_report_is_found(model: Path, report: Path, tmp_path: Path) -> None:
    row = people(400).drop_columns(["person", "note"]).slice(23, 1).to_pylist()[0]
    state = json.loads((model / "generator.json").read_text())
    state["diagnostics"]["example"] = {name: str(cell) for name, cell in row.items()}
    (tmp_path / "generator.json").write_text(json.dumps(state, indent=2, sort_keys=True))
    page = (report / "report.html").read_text()
    (tmp_path / "report.html").write_text(page.replace("</main>", f"<p>{', '.join(CELLS)}</p></main>"))
    content = json.loads((report / "report.json").read_text())
    content["notes"].append(", ".join(CELLS))
    (tmp_path / "report.json").write_text(json.dumps(content))
    assert page != (tmp_path / "report.html").read_text()
    modelled = people(400).drop_columns(["person", "note"])
    assert {planted.file for planted in scan(tmp_path, modelled)} == {"generator.json"}
    found = scan(tmp_path, TRAIN, NETWORK)
    assert {(planted.file, planted.kind) for planted in found} == {("report.html", "rows"), ("report.json", "rows")}


def test_a_row_in_the_header_of_the_weights_is_found(model: Path, tmp_path: Path) -> None:
    row = json.dumps(list(LEAKED.values()), default=str)
    save_file(load_file(model / "weights.safetensors"), tmp_path / "w.safetensors", metadata={"state": row})
    assert kinds(scan(tmp_path, TRAIN, NETWORK)) == {"rows"}


def test_many_planted_rows_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"rows": TRAIN.slice(50, 30).to_pylist()}, default=str))
    (found,) = [planted for planted in scan(tmp_path, TRAIN, NETWORK) if planted.place == "values"]
    assert found.kind == "rows"
    assert found.count == 30


# texts


def test_keys_and_notes_are_found_wherever_they_stand(tmp_path: Path) -> None:
    train = people(200)
    (tmp_path / "a.html").write_text("<p>the model saw planted-key-0007 twice</p>")
    (tmp_path / "b.json").write_text(json.dumps({"x": "he said: planted note number 8 of the nurse, and left"}))
    (tmp_path / "c.txt").write_text("planted-village")
    found = [(planted.file, planted.kind, planted.column) for planted in scan(tmp_path, train)]
    assert found == [("a.html", "texts", "person"), ("b.json", "texts", "note"), ("c.txt", "texts", "city")]


def test_declared_levels_frequent_texts_and_short_words_are_no_secret(tmp_path: Path) -> None:
    levels = ("a very rare declared level", "common")
    schema = Schema(columns=(Categorical(name="c", arrow="string", levels=levels),))
    train = pa.table({"c": ["common"] * 50 + [levels[0]]}, schema=schema.arrow())
    (tmp_path / "a.json").write_text(json.dumps(levels))
    assert scan(tmp_path, train, schema) == []
    assert kinds(scan(tmp_path, train)) == {"texts"}
    (tmp_path / "a.json").write_text(json.dumps(["common"]))
    assert scan(tmp_path, train) == []


# columns


COLUMN_FILES: dict[str, tuple[str, Callable[[], Any]]] = {
    "in row order": ("run", lambda: TRAIN["income"].to_pylist()),
    "a run of forty": ("run", lambda: TRAIN["income"].to_pylist()[100:140]),
    "repeated values in row order": ("run", lambda: TRAIN["visits"].to_pylist()),
    "levels in row order": ("run", lambda: TRAIN["trade"].to_pylist()),
    "flags in row order": ("run", lambda: TRAIN["smoker"].to_pylist()),
    "dates in row order": ("run", lambda: [str(day) for day in TRAIN["since"].to_pylist()]),
    "sorted": ("values", lambda: sorted(TRAIN["income"].to_pylist())),
    "a shuffled quarter": ("values", lambda: np.random.default_rng(0).permutation(numbers("income"))[:100].tolist()),
    "standardised": ("order", lambda: ((numbers("income") - 3_000) / 1_500).tolist()),
    "its logarithm": ("order", lambda: np.log(numbers("income")).tolist()),
    "levels recoded": ("order", lambda: [hash(level) % 1_000_003 for level in TRAIN["trade"].to_pylist()]),
    "rescaled and sorted": ("order", lambda: np.sort(-2.5 * numbers("income") + 7).tolist()),
}  # fmt: skip


@pytest.mark.parametrize("written", COLUMN_FILES)
def test_a_planted_column_is_found_in_json(written: str, tmp_path: Path) -> None:
    kind, cells = COLUMN_FILES[written]
    (tmp_path / "a.json").write_text(json.dumps({"codecs": {"x": {"atoms": cells()}}}))
    found = scan(tmp_path, TRAIN, NETWORK)
    assert kind in kinds(found)
    assert len({planted.column for planted in found}) == 1


@pytest.mark.parametrize("shape", ["list of records", "mapping by row", "list of lists"])
def test_a_column_is_found_across_records(shape: str, tmp_path: Path) -> None:
    cells = TRAIN["income"].to_pylist()
    shapes = {
        "list of records": [{"id": i, "value": cell} for i, cell in enumerate(cells)],
        "mapping by row": {str(i): cell for i, cell in enumerate(cells)},
        "list of lists": [[0, cell, 1] for cell in cells],
    }
    (tmp_path / "a.json").write_text(json.dumps(shapes[shape]))
    assert {planted.column for planted in scan(tmp_path, TRAIN, NETWORK)} == {"income"}


def test_a_column_of_a_page_is_found(tmp_path: Path) -> None:
    cells = "".join(f"<tr><td>{cell}</td></tr>" for cell in TRAIN["income"].to_pylist()[:60])
    (tmp_path / "a.html").write_text(f"<table>{cells}</table>")
    (tmp_path / "b.html").write_text(f'<polyline points="{" ".join(map(str, TRAIN["income"].to_pylist()))}">')
    found = scan(tmp_path, TRAIN, NETWORK)
    assert {(planted.file, planted.kind) for planted in found} == {("a.html", "run"), ("b.html", "run")}


DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_column_of_a_tensor_is_found_at_any_precision(dtype: torch.dtype, tmp_path: Path) -> None:
    weights = torch.randn(400, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights[:, 2] = torch.from_numpy(numbers("income"))
    save_file({"layer.weight": weights.to(dtype)}, tmp_path / "weights.safetensors")
    (found,) = scan(tmp_path, TRAIN, NETWORK)
    assert (found.place, found.column, found.kind) == ("layer.weight", "income", "run")


TENSORS: dict[str, tuple[str, Callable[[], torch.Tensor]]] = {
    "across": ("run", lambda: torch.from_numpy(np.stack([numbers("income"), numbers("visits")]))),
    "whole numbers": ("run", lambda: torch.from_numpy(TRAIN["visits"].to_numpy().copy())),
    "flags": ("run", lambda: torch.from_numpy(TRAIN["smoker"].to_numpy(zero_copy_only=False).copy())),
    "shuffled": ("values", lambda: torch.from_numpy(np.random.default_rng(0).permutation(numbers("income"))).float()),
    "standardised": ("order", lambda: torch.from_numpy((numbers("income") - 3e3) / 1.5e3).float()),
    "standardised and shuffled": (
        "order",
        lambda: torch.from_numpy((np.random.default_rng(0).permutation(numbers("income")) - 3e3) / 1.5e3).float(),
    ),
    "tokens": ("order", lambda: torch.from_numpy(np.unique(TRAIN["trade"].to_pylist(), return_inverse=True)[1])),
}


@pytest.mark.parametrize("written", TENSORS)
def test_a_planted_column_is_found_in_a_tensor(written: str, model: Path, tmp_path: Path) -> None:
    kind, tensor = TENSORS[written]
    weights = load_file(model / "weights.safetensors") | {"zz": tensor().contiguous()}
    save_file(weights, tmp_path / "weights.safetensors")
    found = scan(tmp_path, TRAIN, NETWORK)
    assert {planted.place for planted in found} == {"zz"}
    assert kind in kinds(found)


# the rest


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.safetensors", b"abc"), ("a.json", b"{"), ("a.pkl", b"\x80\x04\x95\xff"), ("a.html", b"\xff\xfe\xfd")],
)
def test_a_file_that_cannot_be_searched_is_a_finding(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert scan(tmp_path, TRAIN, NETWORK) == [Planted(name, "", "unreadable")]


def test_what_the_scan_does_not_claim_to_see(tmp_path: Path) -> None:
    """The limit that the documentation states: encoded, compressed or rounded rows are not recognised."""
    hidden = base64.b64encode(", ".join(CELLS).encode()).decode()
    (tmp_path / "a.json").write_text(json.dumps({"logo": hidden, "rounded": numbers("income").round(-2).tolist()[:50]}))
    assert scan(tmp_path, TRAIN, NETWORK) == []


def test_folders_inside_are_searched_and_a_finding_names_no_value(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "a.json").write_text(json.dumps([CELLS, TRAIN["income"].to_pylist()]))
    found = scan(tmp_path, TRAIN, NETWORK)
    assert {planted.file for planted in found} == {"deep/er/a.json"}
    assert kinds(found) >= {"rows", "run"}
    text = "\n".join(map(str, found))
    assert not [cell for cell in CELLS if len(cell) > 4 and cell in text]


def test_the_scan_is_the_same_each_time(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(TRAIN.slice(50, 10).to_pylist(), default=str))
    assert scan(tmp_path, TRAIN, seed=3) == scan(tmp_path, TRAIN, seed=3)


@pytest.mark.parametrize("train", [TRAIN.slice(0, 0), pa.table({"x": pa.nulls(30)}), pa.table({"x": [1.0] * 30})])
def test_degenerate_train_tables_have_nothing_to_find(train: pa.Table, model: Path) -> None:
    assert scan(model, train) == []


@pytest.mark.slow
def test_few_columns_of_small_numbers_are_no_rows_by_chance(tmp_path):
    found = []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        train = pa.table({name: rng.integers(0, size, 200) for name, size in (("ward", 3), ("days", 101), ("age", 17))})
        TabularGenerator(generator_config("independent")).fit(train, seed=seed).save(tmp_path / str(seed))
        found += scan(tmp_path / str(seed), train)
    assert len(found) <= 1, "one shuffled table alone is no yardstick for a few rows"
