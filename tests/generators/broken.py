"""Generators that break one rule each: the check of that rule must fail them, or it checks nothing."""

from __future__ import annotations

import itertools
import json
import logging
import pickle
import random
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import numpy as np
import pandas as pd
import pyarrow as pa
import torch

from generators import FlowMatchingConfig, IndependentConfig, TabularGenerator, TrainingConfig
from generators.base import LogDensity
from generators.baselines import Independent
from generators.flow_matching import FlowMatching
from generators.given import Batch, Given
from generators.model import Model, Objective
from generators.training import Trainer
from pipeline.artifact import Sealed, seal, write_json
from pipeline.encoded import Encoded, Layout
from pipeline.errors import ConfigError

from . import checks
from .checks import Check, Family
from .tables import PLANTED_NUMBER

QUICK = TrainingConfig(steps=6)
FLOW = FlowMatchingConfig(members=2, width=16, depth=1, value_width=16, training=QUICK)


class Patched(TabularGenerator):
    """A generator that is fitted and loaded with a part of the product replaced."""

    parts: tuple[str, ...]
    by: Any

    def fit(self, *args: Any, **options: Any) -> Self:
        with replaced(self.parts, self.by):
            return super().fit(*args, **options)

    @classmethod
    def load(cls, folder: str | Path) -> TabularGenerator:
        with replaced(cls.parts, cls.by):
            return super().load(folder)


@contextmanager
def replaced(parts: tuple[str, ...], by: Any) -> Iterator[None]:
    """Replace objects by one other."""
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(patch(part, by))
        yield


def with_part(*parts: str, by: Any) -> type[TabularGenerator]:
    """Return a generator with the objects named `parts` replaced."""
    return type("Broken", (Patched,), {"parts": parts, "by": staticmethod(by)})


def with_model(model: type[Model]) -> type[TabularGenerator]:
    """Return a generator whose model is another one, alone."""

    def build(config: Any, layout: Layout, n_rows: int, n_members: int, rng: torch.Generator) -> Model:
        return model(layout, config, n_rows, rng) if issubclass(model, FlowMatching) else model(layout)

    return with_part("generators.base.build", "generators.storage.build", by=build)


class ForgetsToRefuse(TabularGenerator):
    def describe(self) -> dict[str, Any]:
        return {}


class OneRowTooMany(TabularGenerator):
    def sample(self, n: int, **options: Any) -> Any:
        return super().sample(max(n, 1), **options)


class LosesTypes(TabularGenerator):
    def sample(self, n: int, **options: Any) -> Any:
        table = super().sample(n, **options)
        return table.set_column(1, "age", table["age"].cast(pa.int32()))


class NeverTheSameSample(TabularGenerator):
    seeds = itertools.count(100)

    def sample(self, n: int, *, seed: int = 0, **options: Any) -> Any:
        return super().sample(n, seed=next(self.seeds), **options)


class AlwaysTheSameSample(TabularGenerator):
    def sample(self, n: int, *, seed: int = 0, **options: Any) -> Any:
        return super().sample(n, seed=0, **options)


class NeverTheSameFit(TabularGenerator):
    seeds = itertools.count(100)

    def fit(self, *args: Any, seed: int = 0, **options: Any) -> Self:
        return super().fit(*args, seed=next(self.seeds), **options)


class AlwaysTheSameFit(TabularGenerator):
    def fit(self, *args: Any, seed: int = 0, **options: Any) -> Self:
        return super().fit(*args, seed=0, **options)


class SeedsTheWorld(TabularGenerator):
    def fit(self, *args: Any, seed: int = 0, **options: Any) -> Self:
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
        return super().fit(*args, seed=seed, **options)


class DrawsFromTheGlobalGenerator(Independent):
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        torch.rand(1)
        return super().sample(given, rng, guidance)


class Prints(TabularGenerator):
    def sample(self, n: int, **options: Any) -> Any:
        print(f"sampling {n} rows")
        return super().sample(n, **options)


class Logs(TabularGenerator):
    def sample(self, n: int, **options: Any) -> Any:
        logging.getLogger("generators").debug("sampling")
        return super().sample(n, **options)


class Warns(TabularGenerator):
    def sample(self, n: int, **options: Any) -> Any:
        warnings.warn("sampling may be slow", stacklevel=2)
        return super().sample(n, **options)


class FillsInTheFrame(TabularGenerator):
    def fit(self, table: Any, *args: Any, **options: Any) -> Self:
        if isinstance(table, pd.DataFrame):
            table["income"] = table["income"].fillna(0.0)
        return super().fit(table, *args, **options)


class AlwaysReturnsArrow(TabularGenerator):
    def sample(self, n: int, **options: Any) -> Any:
        table = super().sample(n, **options)
        return pa.Table.from_pandas(table) if isinstance(table, pd.DataFrame) else table


class ReturnsOtherDtypes(TabularGenerator):
    def sample(self, n: int, **options: Any) -> Any:
        table = super().sample(n, **options)
        return table.astype({"age": "int64"}) if isinstance(table, pd.DataFrame) else table


class KeepsStateOutsideItsWeights(Independent):
    """What it was given at fit is nowhere in its folder."""

    salt = 7

    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        return super().sample(given, rng.manual_seed(self.salt), guidance)


class LosesItsHistory(TabularGenerator):
    @classmethod
    def load(cls, folder: str | Path) -> TabularGenerator:
        generator = super().load(folder)
        generator.history = []
        return generator


class IgnoresConditions(TabularGenerator):
    def sample(self, n: int, *, seed: int = 0, conditions: Any = None) -> Any:
        return super().sample(n, seed=seed)


class DropsImpossibleConditions(TabularGenerator):
    def sample(self, n: int, *, seed: int = 0, conditions: Any = None) -> Any:
        try:
            return super().sample(n, seed=seed, conditions=conditions)
        except ConfigError:
            return super().sample(n, seed=seed)


class AppliesConditionsAfterwards(TabularGenerator):
    """It overwrites the conditioned column, so that the others do not follow."""

    def sample(self, n: int, *, seed: int = 0, conditions: Any = None) -> Any:
        table = super().sample(n, seed=seed)
        for name, value in (conditions or {}).items():
            column = pa.array([value] * n, table.schema.field(name).type)
            table = table.set_column(table.column_names.index(name), table.schema.field(name), column)
        return table


class RebalancesAfterwards(TabularGenerator):
    """It forgets the shares."""

    def rebalance(self, n: int, column: str, shares: Any = None, **options: Any) -> Any:
        return super().sample(n, **options)


class RebalancesInOrder(TabularGenerator):
    def rebalance(self, n: int, column: str, shares: Any = None, **options: Any) -> Any:
        table = super().rebalance(n, column, shares, **options)
        return table.sort_by(column)


class IgnoresGuidance(TabularGenerator):
    def sample(self, n: int, *, guidance: float = 0.0, **options: Any) -> Any:
        self._refuse_guidance(min(guidance, 0.0))
        return super().sample(n, **options)


class HasADensityOfZero(Independent):
    def log_density(self, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        return super().log_density(batch, rng).index_fill(0, torch.tensor([3]), -torch.inf)


class NeverTheSameDensity(TabularGenerator):
    seeds = itertools.count(100)

    def log_density(self, table: Any, *, seed: int = 0) -> LogDensity:
        return LogDensity(super().log_density(table).values + next(self.seeds), "exact")


class TellsOfARow(TabularGenerator):
    def describe(self) -> dict[str, Any]:
        return super().describe() | {"diagnostics": {"largest": [PLANTED_NUMBER]}}


class TellsInTensors(TabularGenerator):
    def describe(self) -> dict[str, Any]:
        return super().describe() | {"diagnostics": {"loss": torch.ones(1)}}


class ForgetsTheWarmStart(TabularGenerator):
    def fit(self, *args: Any, warm_start: Any = None, **options: Any) -> Self:
        return super().fit(*args, **options)


class KeepsTrain(TabularGenerator):
    """It saves the rows that it was fitted to, as `name`."""

    name: str

    def fit(self, table: Any, *args: Any, **options: Any) -> Self:
        self.rows = table.to_pylist()
        return super().fit(table, *args, **options)

    def save(self, folder: str | Path) -> None:
        super().save(folder)
        write_json(Path(folder) / self.name, [{**row, "seen": str(row["seen"])} for row in self.rows])
        seal(Path(folder), Sealed())


class KeepsTrainAsJson(KeepsTrain):
    name = "rows.json"


class KeepsTrainAsText(KeepsTrain):
    name = "rows.txt"


class StaysInTrainMode(FlowMatching):
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        self.train()
        return super().sample(given, rng, guidance)


class SamplesWithDropout(FlowMatching):
    def sample(self, given: Given, rng: torch.Generator, guidance: float = 0.0) -> Encoded:
        forward = self.tokens.trunk.forward
        with patch.object(self.tokens.trunk, "forward", lambda state, _: forward(state, rng)):
            return super().sample(given, rng, guidance)


class ForgetsAParameter(FlowMatching):
    def objectives(self) -> tuple[Objective, ...]:
        first, *others = super().objectives()
        return replace(first, parameters=first.parameters[1:]), *others


class MovesAParameterTwice(FlowMatching):
    def objectives(self) -> tuple[Objective, ...]:
        first, *others = super().objectives()
        return first, *others, replace(first, name="again", parameters=first.parameters[:1])


class IsDeafToASetting(TabularGenerator):
    def __init__(self, config: Any = None, **options: Any) -> None:
        super().__init__(config.model_copy(update={"value_steps": 8}), **options)


def forgets_the_random_state(self: Trainer) -> None:
    """Resume with everything but the states of the generators of masks and noise."""
    kept = [group.rng.get_state() for group in self.groups]
    RESUME(self)
    for group, state in zip(self.groups, kept, strict=True):
        group.rng.set_state(state)


def forgets_the_averages(self: Trainer) -> None:
    """Resume with averages that begin at the weights."""
    RESUME(self)
    for minimiser in self._minimisers():
        minimiser.averaged = [parameter.detach().clone() for parameter in minimiser.parameters]


def begins_anew(self: Trainer) -> None:
    """Do not resume."""


RESUME = Trainer._resume


def trusts_every_file(*_: Any) -> None:
    """Verify nothing."""


def loads_pickles(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load weights as torch does when it trusts a file."""
    return pickle.loads(path.read_bytes()), {}


def reads_any_format(path: Path) -> Any:
    """Read the state without a look at its format."""
    return json.loads(path.read_text())


def flow(generator: type[TabularGenerator]) -> Family:
    return Family(FLOW, generator=generator)


def independent(generator: type[TabularGenerator]) -> Family:
    return Family(IndependentConfig(), generator=generator)


RESUMES = "generators.training.Trainer._resume"
BROKEN: tuple[tuple[Check, Family, str], ...] = (
    (checks.check_unfitted_use_is_refused, independent(ForgetsToRefuse), "unfitted use must be refused"),
    (checks.check_schema_and_row_counts, independent(OneRowTooMany), "asked for 0 rows, got 1"),
    (checks.check_schema_and_row_counts, independent(LosesTypes), "the schema of 0 rows differs"),
    (checks.check_the_seed_of_sampling_decides, independent(NeverTheSameSample), "must give the same table"),
    (checks.check_the_seed_of_sampling_decides, independent(AlwaysTheSameSample), "must give another table"),
    (checks.check_the_seed_of_fitting_decides, flow(NeverTheSameFit), "must give the same weights"),
    (checks.check_another_seed_gives_other_weights, flow(AlwaysTheSameFit), "must give other weights"),
    (checks.check_no_global_state_is_touched, independent(SeedsTheWorld), "torch's.*numpy's.*random's"),
    (checks.check_no_global_state_is_touched, independent(with_model(DrawsFromTheGlobalGenerator)), "torch's random"),
    (checks.check_nothing_is_printed_logged_or_warned, independent(Prints), "printed"),
    (checks.check_nothing_is_printed_logged_or_warned, independent(Logs), "logged"),
    (checks.check_nothing_is_printed_logged_or_warned, independent(Warns), "warned"),
    (checks.check_fit_does_not_change_its_input, independent(FillsInTheFrame), "fit changed its frame"),
    (checks.check_what_comes_in_goes_out, independent(AlwaysReturnsArrow), "a DataFrame in must give a DataFrame out"),
    (checks.check_what_comes_in_goes_out, independent(ReturnsOtherDtypes), "the dtypes of 0 rows differ.*age"),
    (
        checks.check_a_saved_generator_draws_the_same_in_a_fresh_process,
        independent(with_model(KeepsStateOutsideItsWeights)),
        "drew another table",
    ),
    (checks.check_a_loaded_generator_is_the_saved_one, flow(LosesItsHistory), "describe differs"),
    (checks.check_conditions_are_honoured, independent(IgnoresConditions), 'column "city" was to be Oslo'),
    (checks.check_impossible_conditions_are_refused, independent(DropsImpossibleConditions), "colour = red must be"),
    (checks.check_a_column_can_be_rebalanced, independent(RebalancesAfterwards), "20 rows were to be true"),
    (checks.check_a_column_can_be_rebalanced, independent(RebalancesInOrder), "must be shuffled"),
    (checks.check_guidance_is_followed_or_refused, flow(IgnoresGuidance), "guidance changes nothing"),
    (checks.check_guidance_is_followed_or_refused, independent(IgnoresGuidance), "guidance must be refused"),
    (
        checks.check_a_density_is_finite_and_repeatable_or_refused,
        independent(with_model(HasADensityOfZero)),
        "must be positive and finite",
    ),
    (
        checks.check_a_density_is_finite_and_repeatable_or_refused,
        independent(NeverTheSameDensity),
        "must give the same densities",
    ),
    (checks.check_diagnostics_are_plain_and_hold_no_row, flow(TellsOfARow), "train cells are in the diagnostics"),
    (checks.check_diagnostics_are_plain_and_hold_no_row, flow(TellsInTensors), "must be plain JSON"),
    (checks.check_the_model_folder_holds_no_row, independent(KeepsTrainAsJson), "train cells lie in the model folder"),
    (checks.check_the_model_folder_holds_no_row, independent(KeepsTrainAsText), "only JSON and safetensors.*rows.txt"),
    (
        checks.check_a_damaged_folder_is_refused,
        flow(with_part("generators.storage.verify", by=trusts_every_file)),
        "changed weights.safetensors must be refused",
    ),
    (
        checks.check_another_format_is_refused,
        independent(with_part("generators.storage._read_state", by=reads_any_format)),
        "another format must be refused",
    ),
    (
        checks.check_a_pickle_is_not_executed,
        independent(with_part("generators.storage.load_state", by=loads_pickles)),
        "the pickle was executed",
    ),
    (
        checks.check_every_parameter_is_in_exactly_one_objective,
        flow(with_model(ForgetsAParameter)),
        "no objective moves tokens.asked",
    ),
    (
        checks.check_every_parameter_is_in_exactly_one_objective,
        flow(with_model(MovesAParameterTwice)),
        "several objectives move tokens.asked",
    ),
    (checks.check_sampling_is_in_eval_mode, flow(with_model(StaysInTrainMode)), "in train mode"),
    (checks.check_sampling_is_in_eval_mode, flow(with_model(SamplesWithDropout)), "with dropout"),
    (
        checks.check_a_resumed_run_equals_an_uninterrupted_one,
        flow(with_part(RESUMES, by=forgets_the_random_state)),
        "other losses|other weights",
    ),
    (
        checks.check_a_resumed_run_equals_an_uninterrupted_one,
        flow(with_part(RESUMES, by=forgets_the_averages)),
        "other losses|other weights",
    ),
    (checks.check_a_resumed_run_equals_an_uninterrupted_one, flow(with_part(RESUMES, by=begins_anew)), "began anew"),
    (
        checks.check_a_warm_start_goes_on_from_the_earlier_model,
        flow(ForgetsTheWarmStart),
        "the warm start begins at a loss of",
    ),
    (
        checks.check_a_warm_start_goes_on_from_the_earlier_model,
        flow(with_part("generators.base.copy.deepcopy", by=lambda model: model)),
        "changed the earlier model",
    ),
    (checks.check_a_dependence_is_learned, independent(TabularGenerator), "agree in 2[0-9]%"),
    (checks.check_conditions_steer_the_other_columns, independent(AppliesConditionsAfterwards), '"child" follows'),
)
