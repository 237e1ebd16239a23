"""What every generator must do, whatever its family.

Each `check_*` takes a `Family` (and fixtures of pytest, by name) and fails with a message that says what was broken.
`checks_of` chooses those that apply by what a family can do. `broken.py` has a family that must fail each of them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import logging
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from generators import GeneratorConfig, Progress, TabularGenerator, generator_config
from generators.model import DensityKind
from generators.storage import STATE, WEIGHTS
from pipeline.artifact import Sealed, seal, write_json
from pipeline.checks import check_table
from pipeline.errors import ArtifactError, ConfigError, InputError, NotFittedError, UnsupportedError
from pipeline.source import fingerprint

from .tables import N_ROWS, PLANTED_NUMBER, PLANTED_TEXT, people, people_frame, twins

ROOT = Path(__file__).parents[2]
CONDITIONS = {"city": "Oslo", "age": 40, "income": None, "smoker": True}
A_MOMENT = {"seen": dt.datetime(2024, 5, 17, 12, 30), "income": 3456.78125}
IMPOSSIBLE_CONDITIONS = (
    ("colour", "red"),  # no such column
    ("person", "planted-key-0001"),  # a key is issued, not modelled
    ("city", "Atlantis"),  # no row of train has it
    ("city", PLANTED_TEXT),  # one row has it
    ("age", "forty"),
)
FRESH_PROCESS = """
import sys
from generators import TabularGenerator
from pipeline.source import fingerprint
print(fingerprint(TabularGenerator.load(sys.argv[1]).sample(50, seed=3)))
"""


@dataclass(frozen=True)
class Family:
    """A configuration and the class that is given it.

    Attributes:
        config: of the kind under test, small enough to be quick.
        thorough: the same, with enough training to learn a dependence; None where the kind cannot.
        generator: the class; a broken one in the tests of the checks themselves.
        finishing: by which share what the family does after the last validation may move the loss.
    """

    config: GeneratorConfig
    thorough: GeneratorConfig | None = None
    generator: type[TabularGenerator] = TabularGenerator
    finishing: float = 0.0

    @property
    def trains(self) -> bool:
        """Whether there is something to train."""
        return "training" in type(self.config).model_fields

    def new(self) -> TabularGenerator:
        """Return an unfitted generator."""
        return self.generator(self.config)

    def fit(self, table: pa.Table | pd.DataFrame | None = None, **options: Any) -> TabularGenerator:
        """Return a generator that was fitted to `people` or to another table."""
        return self.new().fit(people() if table is None else table, **options)

    def fit_thoroughly(self, table: pa.Table) -> TabularGenerator:
        """Return a generator that had the time to learn `table`."""
        return self.generator(self.thorough or self.config).fit(table)


Check = Callable[..., None]


def checks_of(family: Family) -> list[Check]:
    """Return the checks that apply to a family."""
    return [
        *FOR_ALL,
        *(FOR_TRAINED if family.trains else ()),
        *(FOR_LEARNERS_OF_DEPENDENCE if family.thorough else ()),
    ]


def check_unfitted_use_is_refused(family: Family, tmp_path: Path) -> None:
    generator = family.new()
    uses: tuple[Callable[[], Any], ...] = (
        lambda: generator.sample(1),
        lambda: generator.rebalance(1, "city"),
        lambda: generator.log_density(people()),
        lambda: generator.save(tmp_path / "model"),
        lambda: generator.schema,
        generator.describe,
    )
    for use in uses:
        refused(use, NotFittedError, "unfitted use")
    assert not (tmp_path / "model").exists(), "an unfitted generator must not leave a folder"


def check_schema_and_row_counts(family: Family) -> None:
    generator = family.fit()
    wanted = generator.schema.arrow()
    assert wanted.names == people().schema.names, "the schema must keep the columns and their order"
    for n in (0, 1, 7, N_ROWS + 1):
        table = generator.sample(n, seed=n)
        assert table.num_rows == n, f"asked for {n} rows, got {table.num_rows}"
        assert table.schema.equals(wanted, check_metadata=True), f"the schema of {n} rows differs: {table.schema}"
        check_table(table, generator.schema)


def check_the_seed_of_sampling_decides(family: Family) -> None:
    generator = family.fit()
    first, again, other = (fingerprint(generator.sample(50, seed=seed)) for seed in (1, 1, 2))
    assert first == again, "the same seed must give the same table"
    assert first != other, "another seed must give another table"


def check_the_seed_of_fitting_decides(family: Family) -> None:
    first, again = family.fit(seed=1), family.fit(seed=1)
    assert weights(first) == weights(again), "the same seed must give the same weights"
    assert fingerprint(first.sample(50)) == fingerprint(again.sample(50)), "the same seeds must give the same table"


def check_another_seed_gives_other_weights(family: Family) -> None:
    assert weights(family.fit(seed=1)) != weights(family.fit(seed=2)), "another seed must give other weights"


def check_no_global_state_is_touched(family: Family, tmp_path: Path) -> None:
    before = global_state()
    generator = family.fit(checkpoint=tmp_path / "run.safetensors")
    generator.sample(20, conditions={"city": "Oslo"})
    with suppress(UnsupportedError):
        generator.log_density(people())
    generator.save(tmp_path / "model")
    family.generator.load(tmp_path / "model")
    after = global_state()
    changed = [name for name, value in before.items() if after[name] != value]
    assert not changed, f"global state was changed: {', '.join(changed)}"


def check_nothing_is_printed_logged_or_warned(
    family: Family,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    caplog.set_level(logging.DEBUG)
    generator = family.fit()
    generator.sample(20)
    generator.save(tmp_path / "model")
    family.generator.load(tmp_path / "model")
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", ""), f"printed: {printed}"
    assert not caplog.records, f"logged: {caplog.text}"
    assert not recwarn.list, f"warned: {[str(warning.message) for warning in recwarn.list]}"


def check_fit_does_not_change_its_input(family: Family) -> None:
    table, frame = people(), people_frame()
    family.fit(table)
    family.fit(frame)
    assert table.equals(people(), check_metadata=True), "fit changed its table"
    assert frame.equals(people_frame()), "fit changed its frame"


def check_what_comes_in_goes_out(family: Family) -> None:
    table = family.fit(people()).sample(30)
    assert isinstance(table, pa.Table), "an Arrow table in must give an Arrow table out"
    fitted = family.fit(people_frame())
    for n in (0, 30):
        frame = fitted.sample(n)
        assert isinstance(frame, pd.DataFrame), "a DataFrame in must give a DataFrame out"
        changed = frame.dtypes[frame.dtypes != people_frame().dtypes]
        assert changed.empty, f"the dtypes of {n} rows differ: {changed.to_dict()}"


def check_a_saved_generator_draws_the_same_in_a_fresh_process(family: Family, tmp_path: Path) -> None:
    generator = family.fit()
    generator.save(tmp_path / "model")
    command = [sys.executable, "-c", FRESH_PROCESS, str(tmp_path / "model")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"loading in a fresh process failed: {done.stderr}"
    here = fingerprint(generator.sample(50, seed=3))
    assert done.stdout == f"{here}\n", f"the fresh process drew another table, or printed: {done.stdout}"
    assert done.stderr == "", f"the fresh process printed: {done.stderr}"


def check_a_loaded_generator_is_the_saved_one(family: Family, tmp_path: Path) -> None:
    generator = family.fit()
    generator.save(tmp_path / "model")
    loaded = family.generator.load(tmp_path / "model")
    assert loaded.describe() == generator.describe(), "describe differs after loading"
    assert loaded.history == generator.history, "the history differs after loading"
    assert weights(loaded) == weights(generator), "the weights differ after loading"
    saved_again = tmp_path / "again"
    loaded.save(saved_again)
    assert contents(saved_again) == contents(tmp_path / "model"), "saving again must write the same bytes"


def check_conditions_are_honoured(family: Family) -> None:
    generator = family.fit()
    for conditions in (CONDITIONS, A_MOMENT, CONDITIONS | A_MOMENT):
        table = generator.sample(60, conditions=conditions)
        for name, value in conditions.items():
            drawn = set(table[name].to_pylist())
            assert drawn == {value}, f'column "{name}" was to be {value}, and is {drawn}'
        free = [name for name in ("age", "seen", "smoker") if name not in conditions]
        for name in free:
            assert len(set(table[name].to_pylist())) > 1, f'column "{name}" has no condition and must still be drawn'


def check_impossible_conditions_are_refused(family: Family) -> None:
    generator = family.fit()
    for name, value in (
        ("colour", "red"),
        ("person", "planted-key-0001"),
        ("city", "Atlantis"),
        ("city", PLANTED_TEXT),
    ):
        message = refused(lambda: generator.sample(3, conditions={name: value}), InputError, f"{name} = {value}")  # noqa: B023
        assert f'"{name}"' in message, f'the refusal must name the column "{name}": {message}'


def check_a_column_can_be_rebalanced(family: Family) -> None:
    generator = family.fit()
    first, again, other = (generator.rebalance(60, "smoker", {True: 1, False: 2}, seed=seed) for seed in (1, 1, 2))
    assert first.schema.equals(generator.schema.arrow(), check_metadata=True), f"the schema differs: {first.schema}"
    drawn = first["smoker"].to_pylist()
    counts = drawn.count(True), drawn.count(False)
    assert counts == (20, 40), f"20 rows were to be true and 40 false, and {counts} are"
    assert drawn not in (sorted(drawn), sorted(drawn, reverse=True)), "the rows must be shuffled"
    assert len(set(first["age"].to_pylist())) > 1, 'column "age" must still be drawn'
    assert fingerprint(first) == fingerprint(again), "the same seed must give the same table"
    assert fingerprint(first) != fingerprint(other), "another seed must give another table"


def check_guidance_is_followed_or_refused(family: Family) -> None:
    generator = family.fit()
    draw = partial(generator.sample, 60, conditions={"smoker": True})
    refused(lambda: draw(guidance=-1.0), ConfigError, "negative guidance")
    if generator.fitted.model.guided:
        assert fingerprint(draw(guidance=20.0)) != fingerprint(draw()), "guidance changes nothing"
    else:
        refused(lambda: draw(guidance=1.0), UnsupportedError, "guidance")


def check_a_density_is_finite_and_repeatable_or_refused(family: Family) -> None:
    generator = family.fit()
    try:
        first, again = (generator.log_density(people(), seed=1) for _ in range(2))
    except UnsupportedError as refusal:
        assert "density" in str(refusal), f"the refusal must speak of the density: {refusal}"
        return
    assert first.kind in get_args(DensityKind), f"densities cannot be of kind {first.kind}"
    assert first.values.shape == (N_ROWS,), f"{N_ROWS} rows have densities of shape {first.values.shape}"
    assert np.isfinite(first.values).all(), "the density of a train row must be positive and finite"
    assert np.array_equal(first.values, again.values), "the same seed must give the same densities"


def check_the_model_folder_holds_no_row(family: Family, tmp_path: Path) -> None:
    table = people()
    family.fit(table).save(tmp_path / "model")
    found = contents(tmp_path / "model")
    foreign = [name for name in found if not name.endswith((".json", ".safetensors"))]
    assert not foreign, f"only JSON and safetensors may lie in a model folder: {foreign}"
    everything = b"".join(found.values())
    numbers = [x for x in table["income"].to_pylist() if x is not None]
    leaked = [secret for secret in secrets_of(table) if secret.encode() in everything]
    leaked += [repr(x) for x in numbers if np.float64(x).tobytes() in everything]
    assert not leaked, f"train cells lie in the model folder: {leaked[:3]}"


def check_diagnostics_are_plain_and_hold_no_row(family: Family) -> None:
    table = people()
    diagnostics = family.fit(table).describe()["diagnostics"]
    try:
        text = json.dumps(diagnostics, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"diagnostics must be plain JSON: {error}") from error
    leaked = [secret for secret in secrets_of(table) if secret in text]
    assert not leaked, f"train cells are in the diagnostics: {leaked[:3]}"


def check_a_damaged_folder_is_refused(family: Family, tmp_path: Path) -> None:
    generator = family.fit()
    folder = tmp_path / "model"
    generator.save(folder)
    for path in sorted(folder.iterdir(), reverse=True):
        whole = path.read_bytes()
        for damage, content in {
            "changed": whole[:-1] + bytes([whole[-1] ^ 1]),
            "half": whole[: len(whole) // 2],
            "no": None,
        }.items():
            path.unlink() if content is None else path.write_bytes(content)
            refused(partial(family.generator.load, folder), ArtifactError, f"{damage} {path.name}")
            path.write_bytes(whole)
    refused(partial(family.generator.load, tmp_path / "nowhere"), ArtifactError, "a missing folder")
    family.generator.load(folder)


def check_another_format_is_refused(family: Family, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    family.fit().save(folder)
    state = json.loads((folder / STATE).read_text())
    write_json(folder / STATE, state | {"format": state["format"] + 1})
    seal(folder, Sealed())
    message = refused(partial(family.generator.load, folder), ArtifactError, "another format")
    assert "format" in message, f"the refusal must speak of the format: {message}"


def check_a_pickle_is_not_executed(family: Family, tmp_path: Path) -> None:
    folder, trap = tmp_path / "model", tmp_path / "executed"
    family.fit().save(folder)
    (folder / WEIGHTS).write_bytes(pickle.dumps(_Trap(trap)))
    seal(folder, Sealed())
    try:
        refused(partial(family.generator.load, folder), ArtifactError, "a pickle")
    finally:
        assert not trap.exists(), "the pickle was executed"


def check_every_parameter_is_in_exactly_one_objective(family: Family) -> None:
    model = family.fit().fitted.model
    moved = [id(parameter) for objective in model.objectives() for parameter in objective.parameters]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert names, "a family that trains must have parameters"
    missing = [name for key, name in names.items() if key not in moved]
    repeated = [name for key, name in names.items() if moved.count(key) > 1]
    assert not missing, f"no objective moves {', '.join(missing)}"
    assert not repeated, f"several objectives move {', '.join(repeated)}"
    assert set(moved) <= set(names), "an objective moves what is not in the model"


def check_sampling_is_in_eval_mode(family: Family) -> None:
    generator = family.fit()
    model = generator.fitted.model
    assert not model.training, "fit must leave the model in eval mode"
    random_calls: list[str] = []
    calls: list[str] = []

    def watch(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.append(type(module).__name__)
        if module.training or any(isinstance(given, torch.Generator) for given in (*args, *kwargs.values())):
            random_calls.append(type(module).__name__)

    for module in model.modules():
        module.register_forward_pre_hook(watch, with_kwargs=True)
    generator.sample(20)
    assert calls, "sampling must run a network"
    assert not random_calls, f"in train mode or with dropout while sampling: {sorted(set(random_calls))}"


def check_a_resumed_run_equals_an_uninterrupted_one(family: Family, tmp_path: Path) -> None:
    whole = family.fit(checkpoint=tmp_path / "whole.safetensors")
    stop_at = whole.history[len(whole.history) // 2].step

    before: list[Progress] = []

    def interrupt(progress: Progress) -> None:
        before.append(progress)
        if progress.step >= stop_at:
            raise _InterruptedError

    with pytest.raises(_InterruptedError):
        family.fit(on_progress=interrupt, checkpoint=tmp_path / "cut.safetensors")
    resumed = family.fit(checkpoint=tmp_path / "cut.safetensors")
    assert resumed.history[: len(before)] == before, "the resumed run began anew"
    assert losses(resumed)[-1] == losses(whole)[-1], "the resumed run ends with other losses"
    assert weights(resumed) == weights(whole), "the resumed run has other weights"


def check_a_warm_start_goes_on_from_the_earlier_model(family: Family) -> None:
    earlier = family.fit(twins())
    before, lowest = weights(earlier), min(progress.validation_loss for progress in earlier.history)
    first = family.fit(twins(), warm_start=earlier).history[0].validation_loss
    moved = family.finishing * abs(lowest)
    assert first <= lowest + moved + 1e-6, (
        f"the warm start begins at a loss of {first}, and the earlier model had {lowest}"
    )
    assert weights(earlier) == before, "the warm start changed the earlier model"


def check_a_setting_matters(family: Family, settings: tuple[dict[str, Any], dict[str, Any]]) -> None:
    one, other = (json.dumps(values, sort_keys=True) for values in settings)
    assert outcome(family, one) != outcome(family, other), f"{settings[0]} and {settings[1]} give the same outcome"


def check_a_dependence_is_learned(family: Family) -> None:
    table = family.fit_thoroughly(twins()).sample(400)
    agreeing = np.mean([mother == child for mother, child in zip(*table.to_pydict().values(), strict=True)])
    assert agreeing > 0.9, f"two equal columns agree in {agreeing:.0%} of the drawn rows"


def check_conditions_steer_the_other_columns(family: Family) -> None:
    generator = family.fit_thoroughly(twins())
    for condition, follower in (("mother", "child"), ("child", "mother")):
        drawn = generator.sample(200, conditions={condition: "west"})[follower].to_pylist()
        share = drawn.count("west") / len(drawn)
        assert share > 0.9, f'"{follower}" follows the condition on "{condition}" in {share:.0%} of the rows'


FOR_ALL: tuple[Check, ...] = (
    check_unfitted_use_is_refused,
    check_schema_and_row_counts,
    check_the_seed_of_sampling_decides,
    check_the_seed_of_fitting_decides,
    check_no_global_state_is_touched,
    check_nothing_is_printed_logged_or_warned,
    check_fit_does_not_change_its_input,
    check_what_comes_in_goes_out,
    check_a_saved_generator_draws_the_same_in_a_fresh_process,
    check_a_loaded_generator_is_the_saved_one,
    check_conditions_are_honoured,
    check_impossible_conditions_are_refused,
    check_a_column_can_be_rebalanced,
    check_guidance_is_followed_or_refused,
    check_a_density_is_finite_and_repeatable_or_refused,
    check_diagnostics_are_plain_and_hold_no_row,
    check_the_model_folder_holds_no_row,
    check_a_damaged_folder_is_refused,
    check_another_format_is_refused,
    check_a_pickle_is_not_executed,
)
FOR_TRAINED: tuple[Check, ...] = (
    check_another_seed_gives_other_weights,
    check_every_parameter_is_in_exactly_one_objective,
    check_sampling_is_in_eval_mode,
    check_a_resumed_run_equals_an_uninterrupted_one,
    check_a_warm_start_goes_on_from_the_earlier_model,
)
FOR_LEARNERS_OF_DEPENDENCE: tuple[Check, ...] = (
    check_a_dependence_is_learned,
    check_conditions_steer_the_other_columns,
)


def refused(call: Callable[[], Any], error: type[Exception], what: str) -> str:
    """Return the message with which `call` was refused; anything but the wanted refusal fails."""
    try:
        call()
    except error as refusal:
        return str(refusal)
    raise AssertionError(f"{what} must be refused with {error.__name__}")


def secrets_of(table: pa.Table) -> list[str]:
    """Return cells of `people` that nothing but a copy of its rows can hold."""
    numbers = [x for x in table["income"].to_pylist() if x is not None]
    assert PLANTED_NUMBER in numbers
    return [PLANTED_TEXT, *table["person"].to_pylist(), *table["note"].to_pylist(), *map(repr, numbers)]


def weights(generator: TabularGenerator) -> dict[str, bytes]:
    """Return the bytes of every tensor of the model."""
    tensors = generator.fitted.model.state_dict()
    return {name: tensor.cpu().numpy().tobytes() for name, tensor in tensors.items()}


def losses(generator: TabularGenerator) -> list[tuple[int, float, float, bool]]:
    """Return what a run went through, without its times."""
    return [(p.step, p.train_loss, p.validation_loss, p.best) for p in generator.history]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@cache
def outcome(family: Family, settings: str) -> str:
    """Return a digest of all that a fit leads to under the family's settings updated with `settings`, as JSON."""
    changed = _updated(family.config.model_dump(mode="json"), json.loads(settings))
    generator = family.generator(generator_config(**changed)).fit(people())
    digest = hashlib.sha256(fingerprint(generator.sample(50)).encode())
    digest.update(repr((losses(generator), sorted(weights(generator).items()))).encode())
    return digest.hexdigest()


def _updated(config: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    nested = {name: config[name] | value for name, value in settings.items() if isinstance(value, dict)}
    return config | settings | nested


def global_state() -> dict[str, Any]:
    """Return the state of every global generator and setting that a generator could be tempted to touch."""
    _, keys, *position = np.random.get_state()  # noqa: NPY002  the global state is what is watched
    return {
        "torch's random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's random state": (keys.tobytes(), position),
        "random's state": random.getstate(),
        "default dtype": torch.get_default_dtype(),
        "number of threads": torch.get_num_threads(),
        "denormal numbers": float(torch.tensor(5e-324, dtype=torch.float64) + 0.0),
        "gradients": torch.is_grad_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
    }


class _InterruptedError(Exception):
    """What a user's Ctrl-C is to a run."""


class _Trap:
    """A pickle that writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.path, "executed")
