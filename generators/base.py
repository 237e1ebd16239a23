"""A generator of tables: a schema, a transform and a model behind `fit`, `sample`, `log_density`, `save` and `load`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import torch

from pipeline.codecs.unmodelled import issue
from pipeline.columns import Identifier
from pipeline.constrained import ConstrainedTransform, Narrowed
from pipeline.encoded import BoolArray, Encoded, FloatArray, Rows
from pipeline.errors import ConfigError, DataError, NotFittedError, UnsupportedError
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.seeds import substream
from pipeline.source import read
from pipeline.transform import TransformConfig, typed_cell

from .completion import Known as Completed
from .completion import known_cells, put_beside, read_incomplete
from .conditions import Conditioned, Conditions, conditioned, drawable, values_of, without_missing
from .device import arithmetic, choose_device
from .drawing import in_parts
from .fitted import Fitted
from .flow_matching import FlowMatchingConfig
from .given import UNOBSERVED, Batch, Given
from .margins import Shares, apportion, drawn_counts, members, refuse_bad_shares
from .masked import sampling_order
from .model import DensityKind
from .redraw import Redrawn, redraw
from .registry import GeneratorConfig, build, planned_members, training_config
from .storage import Stored, read_folder, write_folder
from .training import Progress, finish, train

FEWEST_ROWS = 20
FEWEST_VALIDATION_ROWS, MOST_VALIDATION_ROWS = 200, 5_000

POOL, SMALLEST_POOL = 4, 20_000
N_PROBED = 2_000
"""So many rows are drawn after training to see how many hold each constraint."""

Where = Callable[[Any], npt.ArrayLike]
"""Says of drawn rows, in the form in which they are returned, which to keep."""


@dataclass(frozen=True)
class LogDensity:
    """Log densities of rows in nats **(n_rows,)**, and of what kind they are.

    Attributes:
        values: the log densities.
        kind: what they are.

    `exact` is a probability of the row; `encoded_space` is a probability of its tokens times a density of the positions
    in the bins, which are uniform on [0, 1) in the base measure; `lower_bound` is below the exact figure.
    """

    values: npt.NDArray[np.float64]
    kind: DensityKind


@dataclass(frozen=True)
class TokenNats:
    """What the tokens of rows cost, and what the model expects them to cost, given the tokens drawn before them.

    Over rows that a model drew itself both are the same on average. Where rows cost more than is expected, the model is
    surer of itself than it is right. In a mixture both are the means over the members, each along its own chain. Cells
    that are not observed are NaN.

    Attributes:
        columns: the token columns in the order in which they are drawn.
        realised: -log p(token | tokens before it) in nats, float64 **(n_rows, n_columns)**.
        expected: the entropy of the same p in nats, of the same shape.
    """

    columns: tuple[str, ...]
    realised: FloatArray
    expected: FloatArray


class TabularGenerator:
    """Learns a table and draws new ones of exactly the same schema.

    Attributes:
        config: the settings of the family.
        transform_config: how tables are encoded.
        history: what the training went through.
        acceptance: the part of the rows drawn by the last call that met what no token ensures, which are conditions on
            ranges and collections and the constraints of the schema; the others were drawn anew.

    Example:
        >>> from generators import generator_config
        >>> people = pd.DataFrame({"sex": ["f", "m"] * 60, "age": list(range(20, 80)) * 2})
        >>> generator = TabularGenerator(generator_config("independent")).fit(people, seed=0)
        >>> generator.sample(3, seed=1).dtypes.equals(people.dtypes)
        True
    """

    def __init__(self, config: GeneratorConfig | None = None, *, transform: TransformConfig | None = None) -> None:
        self.config: GeneratorConfig = config or FlowMatchingConfig()
        self.transform_config = transform or TransformConfig()
        self.history: list[Progress] = []
        self.acceptance = 1.0
        self._fitted: Fitted | None = None

    @property
    def schema(self) -> Schema:
        """The schema that was learned.

        Raises:
            NotFittedError: before `fit` or `load`.
        """
        return self.fitted.transform.schema

    def fit(
        self,
        table: pa.Table | pd.DataFrame,
        schema: Schema | None = None,
        *,
        seed: int = 0,
        budget_s: float | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        checkpoint: Path | None = None,
        warm_start: TabularGenerator | None = None,
    ) -> Self:
        """Learn a table.

        Args:
            table: the train rows; it is not changed.
            schema: their schema; inferred where None.
            seed: the root seed of everything random.
            budget_s: wall-clock seconds for training and its diagnostics; the best state until then is kept.
            on_progress: called at every validation.
            checkpoint: a file for exact resume of an interrupted fit; for the caller to remove once the model is saved.
            warm_start: a fitted generator of the same settings, whose weights, schema and vocabularies are the start.

        Raises:
            ConfigError: `warm_start` has other settings, or another schema is given beside it.
            UnsupportedError: the family has no weights to start from.
            SchemaError: the table does not fit the schema, or breaks one of its constraints.
            DataError: the table has too few rows, or nothing to learn.
            TrainingError: training failed and nothing usable is left.
        """
        arrow = read(table).table
        _refuse_too_few(arrow)
        start = self._start(arrow, schema, seed, warm_start)
        model, device = start.model, start.device
        self.history = []
        diagnostics: dict[str, Any] = {}
        if model.objectives():
            settings = training_config(self.config)
            data, held_out = hold_out(self._encoded(start.transform, arrow), settings.validation_fraction, seed)
            data, held_out = data.to(device), held_out.to(device)
            run = train(model, data, held_out, settings, seed=seed, budget_s=budget_s, checkpoint=checkpoint)
            for progress in run:
                self.history.append(progress)
                if on_progress:
                    on_progress(progress)
            diagnostics = finish(model.eval(), held_out, settings, seed=seed)
        self._fitted = replace(start, model=model.eval(), diagnostics=diagnostics, dtypes=_dtypes(table))
        if self.schema.constraints:
            self._fitted.diagnostics["constraints"] = self._probe(seed)
        return self

    def _probe(self, seed: int) -> list[dict[str, Any]]:
        """Return for each constraint how it is kept, and the part of drawn rows that hold it at the first try."""
        transform = self.fitted.transform
        drawn = self._drawn_under(conditioned(transform, {}), N_PROBED, substream(seed, "constraints"), 0.0)
        kept, broken = transform.kept(), transform.broken(drawn)
        return [
            {
                "constraint": rule,
                "by": "construction" if kept.get(rule) else "drawing anew",
                "acceptance": float(1 - marks.mean()),
            }
            for rule, marks in broken.items()
        ]

    def _start(self, table: pa.Table, schema: Schema | None, seed: int, warm_start: TabularGenerator | None) -> Fitted:
        """Return an untrained generator, or a copy of an earlier one."""
        if warm_start is not None:
            return self._warm(table, schema, warm_start)
        encoding = self.config.encoding(self.transform_config)
        transform = ConstrainedTransform.fit(table, schema or infer(table), encoding)
        device = choose_device(training_config(self.config).device)
        rng = torch.Generator().manual_seed(substream(seed, "weights"))
        n_members = planned_members(self.config, table.num_rows)
        model = build(self.config, transform.layout, table.num_rows, n_members, rng).to(device)
        return Fitted(transform, model, device, table.num_rows)

    def _warm(self, table: pa.Table, schema: Schema | None, earlier: TabularGenerator) -> Fitted:
        fitted = earlier.fitted
        if _untrained(earlier) != _untrained(self):
            remedy = "give both the same settings; those of `training` may differ"
            raise ConfigError("a warm start needs a model of the same settings", actual="others", remedy=remedy)
        if not fitted.model.objectives():
            remedy = "fit from the beginning"
            raise UnsupportedError(f"{self.config.kind} has nothing to start from", actual="no weights", remedy=remedy)
        if schema is not None and schema != earlier.schema:
            remedy = "leave the schema out, or fit from the beginning"
            raise ConfigError("a warm start keeps the earlier model's schema", actual="another schema", remedy=remedy)
        earlier.schema.validate_table(table)
        return replace(fitted, model=copy.deepcopy(fitted.model))

    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        conditions: Conditions | None = None,
        where: Where | None = None,
        guidance: float = 0.0,
    ) -> pa.Table | pd.DataFrame:
        """Draw `n` rows that meet conditions; the columns without one are drawn given the others.

        Rows hold the constraints of the schema. Those that break one, or that `where` does not keep, are drawn anew, up
        to 1,000 times; `acceptance` tells how often that was needed.

        Args:
            n: rows.
            seed: of everything random; the same seed gives the same rows.
            conditions: by column a value, a collection of values, or a `Range`. Under a collection or a range the
                column keeps its train frequencies, cut to what is allowed.
            where: of drawn rows, in the form in which they are returned, which to keep, bool **(n_rows,)**: the last
                resort, because rows are drawn and thrown away.
            guidance: how much values that are given are strengthened; 0 draws from the learned distribution, more gives
                rows that are more typical of the conditions and less varied.

        Returns:
            A pyarrow Table of exactly `schema.arrow()`, or a DataFrame where the generator was fitted on one.

        Raises:
            ConfigError: `n` or `guidance` is negative, or a condition names a column that is not modelled.
            DataError: a condition's value was not met in train, or by too few rows; or too few drawn rows fit.
            UnsupportedError: the family cannot be given such a condition, or cannot be guided; or a column is given
                that a constraint makes relative to others, without them.

        Example:
            >>> from generators import Range, generator_config
            >>> people = pd.DataFrame({"sex": ["f", "m"] * 60, "age": list(range(20, 80)) * 2})
            >>> generator = TabularGenerator(generator_config("independent")).fit(people)
            >>> old = generator.sample(50, conditions={"sex": "f", "age": Range(60, None)})
            >>> set(old.sex), bool((old.age >= 60).all())
            ({'f'}, True)
            >>> even = generator.sample(50, where=lambda rows: rows.age % 2 == 0)
            >>> bool((even.age % 2 == 0).all()), 0 < generator.acceptance < 1
            (True, True)
        """
        _refuse_negative_rows(n)
        self._refuse_guidance(guidance)
        wanted = self._conditioned(conditions or {})
        self._refuse_other_conditions(wanted.places)
        return self._returned(self._sample([(wanted, n)], substream(seed, "sample"), guidance, where))

    def _sample(
        self, parts: Sequence[tuple[Conditioned, int]], seed: int, guidance: float, where: Where | None = None
    ) -> pa.Table:
        """Draw so many rows under each of several conditions, one after the other."""
        part_of = np.repeat(np.arange(len(parts)), [count for _, count in parts])

        def draw(rows: Rows, turn: int) -> pa.Table:
            def drawn(part: int, places: Rows) -> pa.Table:
                at = substream(seed, str(part), str(turn))
                return self._drawn_under(parts[part][0], len(places), at, guidance)

            return _by_group(part_of[rows], drawn)

        def broken(table: pa.Table, rows: Rows) -> dict[str, BoolArray]:
            found = self.fitted.transform.broken(table)
            for part, fits in ((i, wanted.fits) for i, (wanted, _) in enumerate(parts)):
                if fits is not None:
                    missed = (part_of[rows] == part) & ~fits(table)
                    found["the conditions"] = found.get("the conditions", False) | missed
            if where is not None:
                found["what where keeps"] = ~_kept(where(self._returned(table)), len(table))
            return found

        n = len(part_of)
        if not (self.schema.constraints or where or any(wanted.fits for wanted, _ in parts)):
            return self._met(Redrawn(draw(np.arange(n), 0), n, n))
        return self._met(redraw(n, draw, broken))

    def _drawn_under(self, wanted: Conditioned, n: int, seed: int, guidance: float) -> pa.Table:
        """Draw n rows under conditions, whether they fit or not."""
        encoded = self._draw(
            n, seed, lambda start, stop: wanted.given(stop - start, substream(seed, "given", str(start))), guidance
        )
        return self.fitted.transform.decode(encoded, seed=substream(seed, "decode"))

    def _met(self, redrawn: Redrawn) -> pa.Table:
        """Return rows that fit, after noting how many were drawn for them."""
        self.acceptance = redrawn.acceptance
        return _issued_anew(redrawn.table, self.schema)

    def rebalance(
        self, n: int, column: str, shares: Shares | None = None, *, seed: int = 0, guidance: float = 0.0
    ) -> pa.Table | pd.DataFrame:
        """Draw `n` rows in which a column has the given shares, and the others are drawn given it.

        Args:
            n: rows.
            column: its name.
            shares: positive numbers by value, which need not add up to 1; equal ones for all levels of a categorical or
                boolean column where None. Counts are rounded by largest remainder.
            seed: of everything random.
            guidance: as in `sample`.

        Raises:
            ConfigError: `n` is negative, a share is not positive, or none are given for a column without levels.
            DataError, UnsupportedError: as in `sample`.

        Example:
            >>> from generators import generator_config
            >>> people = pd.DataFrame({"sick": [True] * 10 + [False] * 110})
            >>> generator = TabularGenerator(generator_config("independent")).fit(people)
            >>> int(generator.rebalance(50, "sick").sick.sum())
            25
        """
        _refuse_negative_rows(n)
        self._refuse_guidance(guidance)
        shares = self._equal_shares(column) if shares is None else shares
        parts = [(self._conditioned({column: value}), count) for value, count in apportion(n, shares).items()]
        for wanted, _ in parts:
            self._refuse_other_conditions(wanted.places)
        table = self._sample(parts, substream(seed, "rebalance"), guidance)
        order = np.random.default_rng(substream(seed, "order")).permutation(n)
        return self._returned(table.take(pa.array(order)))

    def meet_margins(
        self, n: int, margins: Mapping[str, Shares], *, seed: int = 0, guidance: float = 0.0
    ) -> pa.Table | pd.DataFrame:
        """Draw `n` rows in which several columns have given shares at once.

        The named columns are taken from a pool of drawn rows, weighted so that each has its shares and that their joint
        distribution is the nearest to the learned one (`margins.rake`); the other columns are drawn given them. Values
        of a named column that have no share do not occur.

        Args:
            n: rows.
            margins: positive shares by value, by column.
            seed: of everything random.
            guidance: as in `sample`.

        Raises:
            ConfigError: `n` is negative, no column is named, or a share is not positive.
            DataError: a value is never drawn, or the margins are not possible together.
            UnsupportedError: as in `sample`.

        Example:
            >>> from generators import generator_config
            >>> people = pd.DataFrame({"sex": ["f", "m", "m", "m"] * 30, "sick": [True] * 30 + [False] * 90})
            >>> generator = TabularGenerator(generator_config("independent")).fit(people)
            >>> half = generator.meet_margins(100, {"sex": {"f": 1, "m": 1}, "sick": {True: 3, False: 1}})
            >>> int((half.sex == "f").sum()), int(half.sick.sum())
            (50, 75)
        """
        _refuse_negative_rows(n)
        self._refuse_guidance(guidance)
        if not margins:
            raise ConfigError("margins must name a column", actual="none", remedy="give shares, or draw by sample")
        for column, shares in margins.items():
            refuse_bad_shares(shares)
            self._conditioned({column: list(shares)})  # every value can be drawn
        pool_size = max(POOL * n, SMALLEST_POOL)
        pool = self._sample([(self._conditioned({}), pool_size)], substream(seed, "pool"), 0.0)
        cells = {
            column: {value: typed_cell(self.schema.column(column), value)[0] for value in shares}
            for column, shares in margins.items()
        }
        groups = members(pool, cells)
        rng = np.random.default_rng(substream(seed, "margins"))
        counts = drawn_counts(n, list(groups.values()), [list(shares.values()) for shares in margins.values()], rng)
        chosen = pool.take(pa.array(rng.permutation(np.repeat(np.arange(len(pool)), counts))))
        return self._returned(self._complete(chosen, known_cells(chosen, list(margins), self.schema), seed, guidance))

    def complete(
        self,
        table: pa.Table | pd.DataFrame,
        known: Completed,
        *,
        seed: int = 0,
        guidance: float = 0.0,
        missing: Literal["draw", "never"] = "draw",
    ) -> pa.Table | pd.DataFrame:
        """Draw the unknown cells of each row given its known ones, which stay exactly as they are.

        Args:
            table: the rows; columns of which nothing is known may be absent. Like the known cells, known keys and texts
                are kept; others are issued.
            known: names of columns that are known in every row, or by column which cells are, bool **(n_rows,)**.
            seed: of everything random.
            guidance: as in `sample`.
            missing: "never" does not draw a cell as missing, but in columns where train has nothing else.

        Returns:
            As many rows in the same order, otherwise as `sample`.

        Raises:
            ConfigError: a known column is not in the table, or what is known of it is not one truth value per row.
            DataError: a known cell is missing in a column that is never missing; known cells break a constraint, or too
                few drawn rows hold it.
            SchemaError: the table does not fit the schema.
            UnsupportedError: the family cannot be given such a column, or cannot be guided; or a column is given that a
                constraint makes relative to others, without them.

        Example:
            >>> from generators import generator_config
            >>> people = pd.DataFrame({"sex": ["f", "m"] * 60, "age": list(range(20, 80)) * 2})
            >>> generator = TabularGenerator(generator_config("independent")).fit(people)
            >>> generator.complete(pd.DataFrame({"sex": ["f", "f", "m"]}), ["sex"]).sex.tolist()
            ['f', 'f', 'm']
        """
        self._refuse_guidance(guidance)
        arrow = read_incomplete(
            table, self.schema.model_copy(update={"constraints": ()})
        )  # unknown cells may break them
        return self._returned(
            self._complete(arrow, known_cells(arrow, known, self.schema), seed, guidance, missing == "never")
        )

    def _complete(
        self, table: pa.Table, known: Mapping[str, BoolArray], seed: int, guidance: float, present: bool = False
    ) -> pa.Table:
        transform = self.fitted.transform
        table, known = transform.deduced(table, known)
        transform.refuse_contradictions(table, known)
        encoded, mask = transform.encode_cells(table, known)
        narrowed = transform.narrowed(table, known)
        places = {*np.flatnonzero(mask.any(0)).tolist(), *(place for tokens in narrowed.tokens for place in tokens)}
        self._refuse_other_conditions(places)
        given = _given(encoded, mask, without_missing(transform) if present else drawable(transform), narrowed)

        def draw(rows: Rows, turn: int) -> pa.Table:
            def drawn(group: int, places: Rows) -> pa.Table:
                at, numbers = substream(seed, "complete", str(turn), str(group)), torch.from_numpy(rows[places])
                given_here = partial(_part, given[group], numbers)
                found = self._draw(len(numbers), at, given_here, guidance)
                return transform.decode(found, seed=substream(at, "decode"))

            own = {name: marks[rows] for name, marks in known.items()}
            return put_beside(_by_group(narrowed.group[rows], drawn), table.take(pa.array(rows)), own)

        rows = np.arange(len(table))
        if not self.schema.constraints:
            self.acceptance = 1.0
            return draw(rows, 0)
        found = self._met(redraw(len(table), draw, lambda drawn, _: transform.broken(drawn)))
        return put_beside(found, table, known)  # keys too

    def log_density(self, table: pa.Table | pd.DataFrame, *, seed: int = 0) -> LogDensity:
        """Return the log density of each row under the model, in nats; the seed serves the families that estimate it.

        Raises:
            SchemaError: the table does not fit the schema.
            UnsupportedError: the family has no density.
        """
        batch, model = self._rows_to_score(table), self.fitted.model
        return LogDensity(self._scores(batch, seed, model.log_density), model.density_kind)

    def token_nats(self, table: pa.Table | pd.DataFrame) -> TokenNats:
        """Return what each token of the rows costs given those drawn before it, and what the model expects it to.

        Raises:
            SchemaError: the table does not fit the schema.
            UnsupportedError: the family does not draw tokens along a chain that has a likelihood.

        Example:
            >>> from generators import generator_config
            >>> coins = pd.DataFrame({"coin": ["head", "tail"] * 40})
            >>> config = generator_config("flow_matching", members=1, training={"steps": 2})
            >>> found = TabularGenerator(config).fit(coins).token_nats(coins)
            >>> found.columns, found.expected.mean().round(1).item()  # log 2 is .69
            (('coin',), 0.7)
        """
        batch, layout = self._rows_to_score(table), self.fitted.transform.layout
        both = self._scores(batch, 0, lambda rows, _: torch.stack(self.fitted.model.token_nats(rows)).movedim(0, 2))
        both[(batch.tokens == UNOBSERVED).numpy()] = np.nan
        order = sampling_order(layout)
        return TokenNats(tuple(layout.names[i] for i in order), both[:, order, 0], both[:, order, 1])

    def _rows_to_score(self, table: pa.Table | pd.DataFrame) -> Batch:
        arrow = read(table, schema=self.schema).table
        self.schema.validate_table(arrow)
        return Batch.of(self._encoded(self.fitted.transform, arrow))

    def _scores(self, batch: Batch, seed: int, work: Callable[[Batch, torch.Generator], torch.Tensor]) -> FloatArray:
        """Return what `work` makes of the rows, float64 **(n_rows, ...)**, in full precision."""
        settings, device = training_config(self.config).model_copy(update={"precision": "fp32"}), self.fitted.device

        def score(start: int, stop: int) -> FloatArray:
            rng = torch.Generator(device).manual_seed(substream(seed, "density", str(start)))
            part = batch.take(torch.arange(start, stop)).to(device)
            with arithmetic(settings, device):
                values: FloatArray = work(part, rng).double().cpu().numpy()
            return values

        return np.concatenate(in_parts(len(batch), score, device))

    def save(self, folder: str | Path) -> None:
        """Write the model as JSON and safetensors, atomically; no train row is in it.

        Raises:
            NotFittedError: before `fit` or `load`.
            ArtifactError: something that tabmint did not write lies at `folder`.
        """
        write_folder(Stored(self.config, self.transform_config, self.fitted, self.history), Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> TabularGenerator:
        """Return a saved generator; the files are checked against their hashes, and no GPU is needed.

        Raises:
            ArtifactError: the folder is missing, damaged, or of another format.
        """
        stored = read_folder(Path(folder))
        generator = cls(stored.config, transform=stored.transform_config)
        generator._fitted, generator.history = stored.fitted, stored.history
        return generator

    def describe(self) -> dict[str, Any]:
        """Return what a person wants to know of a fitted generator, as plain JSON values."""
        fitted = self.fitted
        last_best = next((progress for progress in reversed(self.history) if progress.best), None)
        return {
            "kind": self.config.kind,
            "config": self.config.model_dump(mode="json"),
            "n_train": fitted.n_rows,
            "n_members": fitted.n_members,
            "n_columns": len(self.schema.columns),
            "n_modelled": fitted.transform.layout.n_columns,
            "n_tokens": fitted.transform.layout.n_tokens,
            "n_parameters": sum(parameter.numel() for parameter in fitted.model.parameters()),
            "steps": self.history[-1].step if self.history else 0,
            "fit_s": self.history[-1].elapsed_s if self.history else 0.0,
            "best": last_best.to_json() if last_best else None,
            "diagnostics": fitted.diagnostics,
        }

    @property
    def fitted(self) -> Fitted:
        """What `fit` and `load` leave behind.

        Raises:
            NotFittedError: before either.
        """
        if self._fitted is None:
            raise NotFittedError("a generator must be fitted first", remedy="call fit, or load a saved one")
        return self._fitted

    def _refuse_other_conditions(self, known: Iterable[int]) -> None:
        model = self.fitted.model
        allowed = set(model.condition_columns)
        refused = [model.layout.names[column] for column in known if column not in allowed]
        if refused:
            names = ", ".join(model.layout.names[column] for column in sorted(allowed)) or "no column"
            rule = f'{self.config.kind} cannot be given column "{refused[0]}", which is none of its condition columns'
            raise UnsupportedError(rule, actual=refused[0], remedy=f"condition on {names}, or use flow_matching")

    def _conditioned(self, conditions: Conditions) -> Conditioned:
        """Return conditions in encoded form; a model that hides missing cells cannot be asked for them."""
        asked = [name for name, wanted in conditions.items() if any(value is None for value in values_of(wanted))]
        if asked and self.config.hides_missing:
            rule = f'a model with missing = "unobserved" draws no missing cell, so "{asked[0]}" cannot be missing'
            raise UnsupportedError(rule, actual="a condition of None", remedy="leave it out, or fit with the default")
        return conditioned(self.fitted.transform, conditions)

    def _refuse_guidance(self, guidance: float) -> None:
        if not 0 <= guidance < math.inf:
            raise ConfigError("guidance must be finite and not negative", actual=str(guidance), remedy="give 0 or more")
        if guidance and not self.fitted.model.guided:
            remedy = "leave guidance at 0, or use flow_matching or ddpm"
            raise UnsupportedError(f"{self.config.kind} cannot be guided", actual=str(guidance), remedy=remedy)

    def _encoded(self, transform: ConstrainedTransform, table: pa.Table) -> Encoded:
        """Return a table in encoded form, of which missing cells are unobserved where the family hides them."""
        encoded = transform.encode(table)
        if not self.config.hides_missing:
            return encoded
        missing = transform.missing_tokens[encoded.tokens + transform.layout.offsets]
        return replace(encoded, tokens=np.where(missing, np.int32(UNOBSERVED), encoded.tokens))

    def _draw(self, n: int, seed: int, given: Callable[[int, int], Given], guidance: float) -> Encoded:
        """Draw n rows; `given` says what the rows of a part are given, from its start to its stop."""
        fitted, settings = self.fitted, training_config(self.config)
        hidden = drawable(fitted.transform) & ~without_missing(fitted.transform) & self.config.hides_missing

        def draw(start: int, stop: int) -> Encoded:
            rng = torch.Generator(fitted.device).manual_seed(substream(seed, str(start)))
            rows = given(start, stop).without(torch.from_numpy(hidden))
            with arithmetic(settings, fitted.device):
                return fitted.model.sample(rows.to(fitted.device), rng, guidance)

        return Encoded.concat(in_parts(n, draw, fitted.device))

    def _returned(self, table: pa.Table) -> pa.Table | pd.DataFrame:
        """Return what the user gave: an Arrow table, or a frame with the same dtypes."""
        dtypes = self.fitted.dtypes
        return table if dtypes is None else table.replace_schema_metadata({"pandas": dtypes}).to_pandas()

    def _equal_shares(self, column: str) -> Shares:
        levels = self.fitted.transform.levels(column)
        if not levels:
            rule = f'shares must be given for column "{column}", which has no levels'
            raise ConfigError(rule, actual="none", remedy="give a share for each value that is wanted")
        return dict.fromkeys(levels, 1.0)


def _untrained(generator: TabularGenerator) -> tuple[GeneratorConfig, TransformConfig]:
    """Return the settings that decide the model's form."""
    return generator.config.model_copy(update={"training": None}), generator.transform_config


def _dtypes(table: pa.Table | pd.DataFrame) -> str | None:
    """Return what Arrow notes of a frame's dtypes, as JSON, so that the frames that are drawn have them too."""
    if isinstance(table, pa.Table):
        return None
    metadata: bytes = pa.Schema.from_pandas(table.head(0), preserve_index=False).metadata[b"pandas"]
    return metadata.decode()


def _by_group(groups: Rows, draw: Callable[[int, Rows], pa.Table]) -> pa.Table:
    """Return rows of several groups, drawn apart, in their places; `draw` is given a group and these places."""
    places = {int(group): np.flatnonzero(groups == group) for group in np.unique(groups)} or {0: np.arange(0)}
    drawn = pa.concat_tables([draw(group, here) for group, here in places.items()])
    return drawn if len(places) == 1 else drawn.take(pa.array(np.argsort(np.concatenate([*places.values()]))))


def _given(encoded: Encoded, mask: BoolArray, allowed: BoolArray, narrowed: Narrowed) -> list[Given]:
    """Return what the rows are given, once for each group of them, with the tokens that this group may have."""
    found = []
    for group in narrowed.tokens:
        own = allowed.copy()
        for place, kept in group.items():
            start = int(encoded.layout.offsets[place])
            tokens = own[start : start + len(kept)]
            tokens[:] = tokens & kept if (tokens & kept).any() else kept
        found.append(Given.rows(encoded, mask, own))
    return found


def _part(given: Given, rows: torch.Tensor, start: int, stop: int) -> Given:
    return given.take(rows[start:stop])


def _kept(marks: npt.ArrayLike, n: int) -> BoolArray:
    """Return marks as an array.

    Raises:
        ConfigError: they are not one truth value for each row.
    """
    found = np.asarray(marks)
    if found.dtype != np.bool_ or found.shape != (n,):
        rule, remedy = "where must return one truth value for each row", "return a boolean for each row"
        raise ConfigError(rule, actual=f"{found.dtype} of shape {found.shape} for {n} rows", remedy=remedy)
    return found


def _issued_anew(table: pa.Table, schema: Schema) -> pa.Table:
    """Return a table that was drawn in several parts with keys of one count."""
    for column in schema.columns:
        if isinstance(column, Identifier):
            place = table.column_names.index(column.name)
            table = table.set_column(place, table.schema.field(place), issue(column, len(table)))
    return table


def hold_out(encoded: Encoded, fraction: float, seed: int) -> tuple[Batch, Batch]:
    """Split train rows at random into those that are learned and those that early stopping watches.

    At least 200 rows are held out where that is no more than a third of them, and at most 5,000.
    """
    n = len(encoded)
    n_held_out = min(MOST_VALIDATION_ROWS, max(round(fraction * n), min(FEWEST_VALIDATION_ROWS, n // 3)))
    order = np.random.default_rng(substream(seed, "validation rows")).permutation(n)
    return Batch.of(encoded.take(order[n_held_out:])), Batch.of(encoded.take(order[:n_held_out]))


def _refuse_negative_rows(n: int) -> None:
    if n < 0:
        raise ConfigError("the number of rows must not be negative", actual=str(n), remedy="give 0 or more")


def _refuse_too_few(table: pa.Table) -> None:
    if table.num_rows < FEWEST_ROWS:
        raise DataError(
            f"a generator needs at least {FEWEST_ROWS} rows to learn from",
            actual=f"{table.num_rows} rows",
            remedy="give more rows; so few cannot be learned without repeating them",
        )
