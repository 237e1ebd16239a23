"""A generator of tables: a schema, a transform and a model behind `fit`, `sample`, `log_density`, `save` and `load`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch

from pipeline.artifact import Sealed, stage, verify, write_json
from pipeline.encoded import Encoded
from pipeline.errors import ArtifactError, ConfigError, DataError, NotFittedError
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.seeds import substream
from pipeline.source import read
from pipeline.transform import TableTransform, TransformConfig

from .checkpoint import load_state, save_state
from .config import FlowMatchingConfig, GeneratorConfig
from .device import arithmetic, choose_device
from .model import Batch, Known, Model
from .registry import build, generator_config, training_config
from .training import Progress, train

FORMAT = 1
STATE, WEIGHTS = "generator.json", "weights.safetensors"
FEWEST_ROWS = 20
FEWEST_VALIDATION_ROWS, MOST_VALIDATION_ROWS = 200, 5_000

Conditions = Mapping[str, Any]
DensityKind = Literal["exact", "lower_bound", "encoded_space"]


@dataclass(frozen=True)
class LogDensity:
    """Log densities of rows in nats **(n_rows,)**, and of what kind they are.

    `exact` is a probability of the row; `encoded_space` is a probability of its tokens times a density of the positions
    in the bins, which are uniform on [0, 1) in the base measure; `lower_bound` is below the exact figure.
    """

    values: npt.NDArray[np.float64]
    kind: DensityKind


class TabularGenerator:
    """Learns a table and draws new ones of exactly the same schema.

    Example:
        >>> people = pd.DataFrame({"sex": ["f", "m"] * 60, "age": list(range(20, 80)) * 2})
        >>> generator = TabularGenerator(generator_config("independent")).fit(people, seed=0)
        >>> generator.sample(3, seed=1).dtypes.equals(people.dtypes)
        True
    """

    def __init__(self, config: GeneratorConfig | None = None, *, transform: TransformConfig | None = None) -> None:
        self.config: GeneratorConfig = config or FlowMatchingConfig()
        self.transform_config = transform or TransformConfig()
        self.history: list[Progress] = []
        self._fitted: _Fitted | None = None

    @property
    def schema(self) -> Schema:
        """The schema that was learned.

        Raises:
            NotFittedError: before `fit` or `load`.
        """
        return self._need_fitted().transform.schema

    def fit(
        self,
        table: pa.Table | pd.DataFrame,
        schema: Schema | None = None,
        *,
        seed: int = 0,
        budget_s: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        checkpoint: Path | None = None,
    ) -> Self:
        """Learn a table.

        Args:
            table: the train rows; it is not changed.
            schema: their schema; inferred where None.
            seed: the root seed of everything random.
            budget_s: wall-clock seconds for training; the best state so far is kept when they are over.
            on_progress: called at every validation.
            checkpoint: a file for exact resume of an interrupted fit; removed when the fit is done.

        Raises:
            SchemaError: the table does not fit the schema.
            DataError: the table has too few rows, or nothing to learn.
            TrainingError: training failed and nothing usable is left.
        """
        arrow = read(table).table
        schema = schema or infer(arrow)
        schema.validate_table(arrow)
        _refuse_too_few(arrow)
        transform = TableTransform.fit(arrow, schema, self.transform_config)
        settings = training_config(self.config)
        device = choose_device(settings.device)
        rng = torch.Generator().manual_seed(substream(seed, "weights"))
        model = build(transform.layout, self.config, arrow.num_rows, rng).to(device)
        self.history = []
        if model.objectives():
            data, held_out = hold_out(transform.encode(arrow), settings.validation_fraction, seed)
            data, held_out = data.to(device), held_out.to(device)
            run = train(model, data, held_out, settings, seed=seed, budget_s=budget_s, checkpoint=checkpoint)
            for progress in run:
                self.history.append(progress)
                if on_progress:
                    on_progress(progress)
        self._fitted = _Fitted(transform, model.eval(), device, arrow.num_rows, _dtypes(table))
        if checkpoint:
            checkpoint.unlink(missing_ok=True)
        return self

    def sample(self, n: int, *, seed: int = 0, conditions: Conditions | None = None) -> Any:
        """Draw `n` rows, with the columns of `conditions` fixed to the given values.

        Returns:
            A pyarrow Table of exactly `schema.arrow()`, or a DataFrame where the generator was fitted on one.

        Raises:
            ConfigError: `n` is negative, or a condition names a column that is not modelled.
            DataError: a condition's value was not met in train, or by too few rows.
        """
        if n < 0:
            raise ConfigError("the number of rows must not be negative", actual=str(n), remedy="give 0 or more")
        fitted = self._need_fitted()
        known = self._known(conditions or {})
        rng = torch.Generator(fitted.device).manual_seed(substream(seed, "sample"))
        with arithmetic(training_config(self.config), fitted.device):
            encoded = fitted.model.sample(n, rng, known)
        table = fitted.transform.decode(encoded, seed=substream(seed, "decode"))
        if fitted.dtypes is None:
            return table
        return table.replace_schema_metadata({"pandas": fitted.dtypes}).to_pandas()

    def log_density(self, table: pa.Table | pd.DataFrame) -> LogDensity:
        """Return the log density of each row under the model, in nats.

        Raises:
            SchemaError: the table does not fit the schema.
            UnsupportedError: the family has no density.
        """
        fitted = self._need_fitted()
        arrow = read(table, schema=self.schema).table
        self.schema.validate_table(arrow)
        batch = Batch.of(fitted.transform.encode(arrow)).to(fitted.device)
        values = fitted.model.log_density(batch).double().cpu().numpy()
        return LogDensity(values, "encoded_space" if fitted.transform.layout.valued else "exact")

    def save(self, folder: str | Path) -> None:
        """Write the model as JSON and safetensors, atomically; no train row is in it.

        Raises:
            NotFittedError: before `fit` or `load`.
            ArtifactError: something that tabmint did not write lies at `folder`.
        """
        fitted = self._need_fitted()
        state = {
            "format": FORMAT,
            "tabmint": version("tabmint"),
            "config": self.config.model_dump(mode="json"),
            "transform_config": self.transform_config.model_dump(mode="json"),
            "transform": fitted.transform.to_json(),
            "n_rows": fitted.n_rows,
            "dtypes": fitted.dtypes,
            "history": [progress.to_json() for progress in self.history],
        }
        with stage(Path(folder)) as staged:
            write_json(staged / STATE, state)
            save_state(staged / WEIGHTS, fitted.model.state_dict(), {"format": FORMAT})

    @classmethod
    def load(cls, folder: str | Path) -> TabularGenerator:
        """Return a saved generator; the files are checked against their hashes, and no GPU is needed.

        Raises:
            ArtifactError: the folder is missing, damaged, or of another format.
        """
        verify(Path(folder), Sealed)
        state = _read_state(Path(folder) / STATE)
        transform = TableTransform.from_json(state["transform"])
        generator = cls(
            generator_config(**state["config"]), transform=TransformConfig.model_validate(state["transform_config"])
        )
        generator.history = [Progress.from_json(progress) for progress in state["history"]]
        device = choose_device("cpu" if training_config(generator.config).device == "cpu" else "auto")
        model = build(transform.layout, generator.config, state["n_rows"], torch.Generator().manual_seed(0))
        tensors, _ = load_state(Path(folder) / WEIGHTS)
        _load_weights(model, tensors)
        model = model.to(device).eval()
        generator._fitted = _Fitted(transform, model, device, state["n_rows"], state["dtypes"])
        return generator

    def describe(self) -> dict[str, Any]:
        """Return what a person wants to know of a fitted generator, as plain JSON values."""
        fitted = self._need_fitted()
        last_best = next((progress for progress in reversed(self.history) if progress.best), None)
        return {
            "kind": self.config.kind,
            "config": self.config.model_dump(mode="json"),
            "n_train": fitted.n_rows,
            "n_columns": len(self.schema.columns),
            "n_modelled": fitted.transform.layout.n_columns,
            "n_tokens": fitted.transform.layout.n_tokens,
            "n_parameters": sum(parameter.numel() for parameter in fitted.model.parameters()),
            "steps": self.history[-1].step if self.history else 0,
            "fit_s": self.history[-1].elapsed_s if self.history else 0.0,
            "best": last_best.to_json() if last_best else None,
        }

    def _need_fitted(self) -> _Fitted:
        if self._fitted is None:
            raise NotFittedError("a generator must be fitted first", remedy="call fit, or load a saved one")
        return self._fitted

    def _known(self, conditions: Conditions) -> Known:
        transform = self._need_fitted().transform
        known: dict[int, tuple[int, float]] = {}
        for name, value in conditions.items():
            if name not in transform.parts:
                remedy = f"condition on one of {', '.join(transform.parts)}"
                raise ConfigError("a condition must name a modelled column", actual=f'"{name}"', remedy=remedy)
            known |= transform.encode_value(name, value)
        return known


@dataclass(frozen=True)
class _Fitted:
    """What `fit` and `load` leave behind."""

    transform: TableTransform
    model: Model
    device: torch.device
    n_rows: int
    dtypes: str | None


def _dtypes(table: pa.Table | pd.DataFrame) -> str | None:
    """Return what Arrow notes of a frame's dtypes, as JSON, so that the frames that are drawn have them too."""
    if isinstance(table, pa.Table):
        return None
    metadata: bytes = pa.Schema.from_pandas(table.head(0), preserve_index=False).metadata[b"pandas"]
    return metadata.decode()


def hold_out(encoded: Encoded, fraction: float, seed: int) -> tuple[Batch, Batch]:
    """Split train rows at random into those that are learned and those that early stopping watches.

    At least 200 rows are held out where that is no more than a third of them, and at most 5,000.
    """
    n = len(encoded)
    n_held_out = min(MOST_VALIDATION_ROWS, max(round(fraction * n), min(FEWEST_VALIDATION_ROWS, n // 3)))
    order = np.random.default_rng(substream(seed, "validation rows")).permutation(n)
    return Batch.of(encoded.take(order[n_held_out:])), Batch.of(encoded.take(order[:n_held_out]))


def _refuse_too_few(table: pa.Table) -> None:
    if table.num_rows < FEWEST_ROWS:
        raise DataError(
            f"a generator needs at least {FEWEST_ROWS} rows to learn from",
            actual=f"{table.num_rows} rows",
            remedy="give more rows; so few cannot be learned without repeating them",
        )


def _read_state(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if state.get("format") != FORMAT:
        remedy = "fit again with this version"
        raise ArtifactError(f"{path} must be of format {FORMAT}", actual=str(state.get("format")), remedy=remedy)
    return state


def _load_weights(model: Model, tensors: dict[str, torch.Tensor]) -> None:
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        remedy = "fit again with this version"
        raise ArtifactError("weights must fit their model", actual=str(error), remedy=remedy) from error
