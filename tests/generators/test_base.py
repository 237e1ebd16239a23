import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from generators import TabularGenerator, TrainingConfig, device, drawing, generator_config
from generators.base import hold_out
from generators.storage import STATE
from pipeline.artifact import Sealed, seal, write_json
from pipeline.columns import Categorical, Integer
from pipeline.errors import ArtifactError, ConfigError, DataError, NotFittedError, SchemaError, TrainingError
from pipeline.schema import Schema
from pipeline.source import fingerprint
from pipeline.transform import TransformConfig

from .broken import FLOW
from .tables import encoded_rows, people, token_layout, twins


def quick(**options):
    return TabularGenerator(FLOW, **options)


def independent():
    return TabularGenerator(generator_config("independent"))


@pytest.mark.parametrize(
    ("n", "fraction", "n_held_out"),
    [
        (20, 0.05, 6),
        (300, 0.05, 100),
        (1_000, 0.05, 200),
        (1_000, 0.4, 400),
        (10_000, 0.05, 500),
        (200_000, 0.05, 5_000),
    ],
)
def test_as_many_rows_are_held_out_as_the_rule_says(n, fraction, n_held_out):
    encoded = encoded_rows(token_layout(n), np.arange(n)[:, None])
    data, held_out = hold_out(encoded, fraction, seed=0)
    assert (len(data), len(held_out)) == (n - n_held_out, n_held_out)
    assert sorted(torch.cat([data.tokens, held_out.tokens]).flatten().tolist()) == list(range(n))


def test_the_seed_decides_which_rows_are_held_out():
    encoded = encoded_rows(token_layout(300), np.arange(300)[:, None])
    first, again, other = (hold_out(encoded, 0.05, seed=seed)[1].tokens for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_too_few_rows_are_refused():
    assert independent().fit(twins(20)).sample(1).num_rows == 1
    with pytest.raises(DataError, match="at least 20 rows to learn from; found 19 rows"):
        independent().fit(twins(19))


def test_a_negative_number_of_rows_is_refused():
    with pytest.raises(ConfigError, match="must not be negative; found -1"):
        independent().fit(twins()).sample(-1)


def test_a_table_that_does_not_fit_its_schema_is_refused_before_training():
    schema = Schema(columns=(Categorical(name="mother", arrow="string"), Integer(name="child", arrow="int64")))
    progress = []
    with pytest.raises(SchemaError, match='"child"'):
        quick().fit(twins(), schema, on_progress=progress.append)
    assert not progress


def test_a_given_schema_is_the_schema_of_what_is_drawn():
    levels = ("north", "east", "south", "west")
    columns = tuple(
        Categorical(name=name, arrow="string", nullable=True, levels=levels) for name in twins().column_names
    )
    generator = independent().fit(twins(), Schema(columns=columns))
    assert generator.schema.columns == columns
    assert generator.sample(3).schema == generator.schema.arrow()


def test_progress_is_told_as_it_is_recorded():
    progress = []
    generator = quick().fit(people(), on_progress=progress.append)
    assert generator.history == progress
    assert [p.step for p in progress] == list(range(7))
    assert generator.fit(people()).history[0].step == 0  # a second fit begins a history of its own


def test_a_checkpoint_stays_until_the_model_is_saved(tmp_path):
    path = tmp_path / "new" / "run.safetensors"
    done = quick().fit(people(), checkpoint=path)
    again = quick().fit(people(), checkpoint=path)
    assert again.history == done.history, "not one step is made again, and nothing is forgotten"
    assert again.sample(20).equals(done.sample(20))
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_fit_leaves_the_earlier_one_in_use():
    generator = independent().fit(twins())
    with pytest.raises(DataError):
        generator.fit(twins(5))
    assert generator.sample(3).column_names == ["mother", "child"]


def test_training_that_fails_is_an_error_and_leaves_nothing_fitted():
    generator = TabularGenerator(FLOW.model_copy(update={"training": TrainingConfig(steps=60, learning_rate=1e30)}))
    with pytest.raises(TrainingError, match="lower learning_rate"):
        generator.fit(people())
    with pytest.raises(NotFittedError):
        generator.sample(1)


def test_a_history_with_a_loss_that_is_not_finite_is_saved(tmp_path):
    generator = quick().fit(people())
    generator.history.append(replace(generator.history[-1], validation_loss=math.nan, best=False))
    generator.save(tmp_path / "model")
    assert math.isnan(TabularGenerator.load(tmp_path / "model").history[-1].validation_loss)


@pytest.mark.parametrize(("table", "kind"), [(twins(), "exact"), (people(), "encoded_space")])
def test_densities_say_of_what_kind_they_are(table, kind):
    density = quick().fit(table).log_density(table)
    assert density.kind == kind
    assert density.values.shape == (table.num_rows,)
    assert density.values.dtype == np.float64
    assert np.isfinite(density.values).all()


def test_a_row_of_the_table_is_likelier_than_one_that_breaks_its_dependence():
    config = {"width": 32, "depth": 1, "dropout": 0.0, "training": {"steps": 150, "learning_rate": 0.01}}
    generator = TabularGenerator(generator_config("flow_matching", **config)).fit(twins())
    rows = pa.table({"mother": ["north", "north"], "child": ["north", "west"]})
    likely, unlikely = np.exp(generator.log_density(rows).values)
    assert likely == pytest.approx(0.25, abs=0.05)
    assert unlikely < 0.02


def test_densities_do_not_depend_on_the_rows_around_them():
    generator = quick().fit(people())
    table = people()
    together = generator.log_density(table).values
    assert generator.log_density(table.slice(50, 3)).values == pytest.approx(together[50:53], abs=1e-3)


@pytest.fixture
def small_parts(monkeypatch):
    """Return what sets the number of cores that share parts of 16 rows."""
    monkeypatch.setattr(drawing, "ROWS_PER_PART", 16)
    return lambda n: monkeypatch.setattr(device, "n_cores", lambda: n)


def test_rows_are_drawn_in_parts_that_differ_and_do_not_depend_on_the_cores(small_parts):
    generator = quick().fit(people())
    small_parts(1)
    one = generator.sample(50)
    assert one.num_rows == 50
    assert len({tuple(one["seen"].to_pylist()[start : start + 16]) for start in (0, 16, 32)}) == 3
    small_parts(4)
    assert fingerprint(generator.sample(50)) == fingerprint(one)


def test_densities_of_several_parts_are_those_of_the_rows_and_do_not_depend_on_the_cores(small_parts):
    generator, rows = quick().fit(people()), people().slice(0, 40)
    together = np.concatenate([generator.log_density(rows.slice(start, 10)).values for start in (0, 10, 20, 30)])
    small_parts(1)
    one = generator.log_density(rows).values
    small_parts(4)
    four = generator.log_density(rows).values
    assert one == pytest.approx(together, abs=1e-3)
    assert np.array_equal(one, four)


def test_estimated_densities_depend_on_the_seed_and_not_on_the_part(small_parts, monkeypatch):
    generator = independent().fit(people())
    monkeypatch.setattr(
        generator.fitted.model, "log_density", lambda batch, rng: torch.randn(len(batch), generator=rng)
    )
    small_parts(2)
    first, again, other = (generator.log_density(people(), seed=seed).values for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert len(set(first)) == len(first)  # every part has a random stream of its own


def test_a_frame_may_be_scored_by_a_generator_of_a_table():
    generator = quick().fit(twins())
    assert generator.log_density(twins().to_pandas()).values == pytest.approx(generator.log_density(twins()).values)


def test_a_description_is_plain_json():
    generator = quick().fit(people())
    description = json.loads(json.dumps(generator.describe()))
    assert description["kind"] == "flow_matching"
    assert (description["n_train"], description["n_columns"]) == (200, 7)
    assert description["n_modelled"] == generator.fitted.transform.layout.n_columns
    assert description["n_parameters"] == sum(p.numel() for p in generator.fitted.model.parameters()) > 0
    assert description["steps"] == 6
    assert description["best"]["best"]


def test_the_transform_is_given_its_settings():
    coarse, fine = (
        quick(transform=TransformConfig(n_bins=n)).fit(people()).fitted.transform.layout.n_tokens for n in (1, 7)
    )
    assert coarse < fine


def resaved(folder, change):
    """Change the state of a saved generator, as an editor that knows of the manifest would."""
    state = json.loads((folder / STATE).read_text())
    change(state)
    write_json(folder / STATE, state)
    seal(folder, Sealed())
    return folder


@pytest.fixture
def saved(tmp_path):
    quick().fit(people()).save(tmp_path / "model")
    return tmp_path / "model"


def test_a_model_that_was_trained_on_a_gpu_loads_without_one(saved, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    resaved(saved, lambda state: state["config"]["training"].update(device="cuda"))
    generator = TabularGenerator.load(saved)
    assert generator.fitted.device.type == "cpu"
    assert generator.sample(5).num_rows == 5


def test_weights_of_another_model_are_refused(saved):
    resaved(saved, lambda state: state["config"].update(width=24))
    with pytest.raises(ArtifactError, match="weights must fit their model"):
        TabularGenerator.load(saved)


def test_a_model_of_half_a_save_is_not_there(tmp_path, monkeypatch):
    first = independent().fit(twins())
    first.save(tmp_path / "model")

    def fails(*_):
        raise OSError("disk full")

    monkeypatch.setattr("generators.storage.save_state", fails)
    with pytest.raises(OSError, match="disk full"):
        independent().fit(people()).save(tmp_path / "model")
    assert TabularGenerator.load(tmp_path / "model").schema == first.schema
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_folder_of_somebody_else_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactError, match="only a folder that tabmint wrote is replaced"):
        independent().fit(twins()).save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_what_was_fitted_on_a_frame_returns_frames_after_loading(tmp_path):
    independent().fit(twins().to_pandas()).save(tmp_path / "model")
    assert isinstance(TabularGenerator.load(tmp_path / "model").sample(3), pd.DataFrame)


def nullable_frame():
    """Return a frame of the dtypes that hold missing cells without changing their type."""
    n = 60
    return pd.DataFrame(
        {
            "children": pd.array([None if i % 9 == 0 else i % 4 for i in range(n)], dtype="Int64"),
            "smoker": pd.array([None if i % 8 == 0 else i % 3 == 0 for i in range(n)], dtype="boolean"),
            "city": pd.array([["Oslo", "Rome", None][i % 3] for i in range(n)], dtype="string"),
            "weight": pd.array([None if i % 7 == 0 else i / 4 for i in range(n)], dtype="Float64"),
        }
    )


@pytest.mark.parametrize("n", [0, 40])
def test_nullable_dtypes_come_back(n, tmp_path):
    independent().fit(nullable_frame()).save(tmp_path / "model")
    frame = TabularGenerator.load(tmp_path / "model").sample(n)
    assert frame.dtypes.to_dict() == nullable_frame().dtypes.to_dict()
