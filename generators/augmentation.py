"""More rows of rare classes, drawn given the class: `fit_resample` for scikit-learn and imbalanced-learn.

A generator learns the features together with the class; rows are then drawn with the class given. What is drawn follows
the learned P(x | y), so that only P(y) changes; the original rows stay as they are, and come first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.utils import InputTags, Tags, TargetTags, check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import validate_data

from pipeline.columns import Categorical
from pipeline.errors import ConfigError, DataError
from pipeline.inference import infer
from pipeline.schema import Schema
from pipeline.source import read
from pipeline.transform import TransformConfig

from .base import TabularGenerator
from .baselines import IndependentConfig
from .registry import GeneratorConfig, generator_config

Name = Literal["auto", "minority", "not minority", "not majority", "all"]
Strategy = Name | float | Mapping[Any, int]
Class = TypeVar("Class", bound=Hashable)
LARGEST_SEED = 2**31 - 1


class ResamplingError(DataError, ValueError):
    """A table cannot be resampled; also the ValueError that scikit-learn's callers expect."""


def rows_to_add(counts: Mapping[Class, int], strategy: Strategy = "auto") -> dict[Class, int]:
    """Return how many rows each class lacks; classes that lack none are left out.

    Args:
        counts: the rows that each class has.
        strategy: "auto" or "not majority" brings every class up to the most frequent one, as "all" does and, for the
            classes that their names say, "minority" and "not minority"; a number in (0, 1] brings every class up to
            that part of the most frequent one; a mapping gives the rows that a class is to have in the end.

    Raises:
        ResamplingError: there are fewer than two classes, the strategy is none of these, it names a class that is
            absent, it would remove rows, or it is a number and adds no row.

    Example:
        >>> rows_to_add({"ill": 10, "well": 90}), rows_to_add({"ill": 10, "well": 90}, 0.5)
        ({'ill': 80}, {'ill': 35})
        >>> rows_to_add({"ill": 10, "well": 90}, {"ill": 30, "well": 90})
        {'ill': 20}
    """
    if len(counts) < 2:
        actual = f"{len(counts)} class" if counts else "no row"
        raise ResamplingError("rows can be added to a class beside another class", actual=actual)
    wanted = _wanted(counts, strategy)
    fewer = [f"{wanted[c]} of {c!r}, which has {counts[c]}" for c in wanted if wanted[c] < counts[c]]
    if fewer:
        raise ResamplingError("no row is removed", actual=", ".join(fewer), remedy="ask for at least as many")
    return {c: n - counts[c] for c, n in wanted.items() if n > counts[c]}


def _wanted(counts: Mapping[Class, int], strategy: Strategy) -> dict[Class, int]:
    """Return how many rows the classes that a strategy is about shall have."""
    if isinstance(strategy, Mapping):
        return _counted(counts, strategy)
    if isinstance(strategy, str):
        return dict.fromkeys(_named(counts, strategy), max(counts.values()))
    if not (isinstance(strategy, float | int) and 0 < strategy <= 1):
        rule = "a sampling strategy is a name, a number in (0, 1] or the rows that each class is to have"
        raise ResamplingError(rule, actual=repr(strategy))
    goal = int(strategy * max(counts.values()))
    wanted = {c: goal for c, n in counts.items() if n < goal}
    if not wanted:
        rule = "the ratio must be above that of the rarest class"
        actual = f"{strategy}, and {min(counts.values()) / max(counts.values()):.3g}"
        raise ResamplingError(rule, actual=actual, remedy="raise the ratio")
    return wanted


def _counted(counts: Mapping[Class, int], wanted: Mapping[Class, int]) -> dict[Class, int]:
    unknown = [repr(c) for c in wanted if c not in counts]
    if unknown:
        remedy = f"use {', '.join(repr(c) for c in counts)}"
        raise ResamplingError("a class must be there", actual=", ".join(unknown), remedy=remedy)
    return dict(wanted)


def _named(counts: Mapping[Class, int], name: str) -> list[Class]:
    rarest, most_frequent = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    match name:
        case "auto" | "not majority":
            return [c for c in counts if c != most_frequent]
        case "minority":
            return [rarest]
        case "not minority":
            return [c for c in counts if c != rarest]
        case "all":
            return list(counts)
    raise ResamplingError("a sampling strategy must have a known name", actual=repr(name), remedy='such as "auto"')


def refuse_unlearnable(counts: Mapping[Any, int], added: Mapping[Any, int], fewest: int) -> None:
    """Refuse to add rows to classes that fewer than `fewest` rows carry: such a level is never reproduced.

    Raises:
        ResamplingError: names every such class.

    Example:
        >>> refuse_unlearnable({"ill": 3, "well": 90}, {"ill": 87}, fewest=5)
        Traceback (most recent call last):
        generators.augmentation.ResamplingError: a class needs at least 5 rows to be learned; found 3 of 'ill'; \
leave it out of the classes to add to, or collect more rows
    """
    few = [f"{counts[c]} of {c!r}" for c in added if counts[c] < fewest]
    if few:
        remedy = "leave it out of the classes to add to, or collect more rows"
        raise ResamplingError(
            f"a class needs at least {fewest} rows to be learned", actual=", ".join(few), remedy=remedy
        )


def refuse_unconditional(config: GeneratorConfig) -> None:
    """Refuse a family whose rows do not depend on the class that they are given.

    Raises:
        ConfigError: it is the baseline.
    """
    if isinstance(config, IndependentConfig):
        rule = "rows of a class need a generator that learns how columns go together"
        raise ConfigError(rule, actual=f'"{config.kind}"', remedy='use "flow_matching"')


def draw_classes(
    generator: TabularGenerator, target: str, wanted: Mapping[Any, int], *, seed: int = 0, guidance: float = 0.0
) -> pa.Table | pd.DataFrame:
    """Draw so many rows of each class, given the class, in random order.

    Args:
        generator: fitted on rows with their class.
        target: the column of the classes.
        wanted: how many rows to draw by class; classes of none are left out.
        seed: of everything random.
        guidance: as of `TabularGenerator.sample`.

    Raises:
        ConfigError, DataError, UnsupportedError: as `TabularGenerator.rebalance`, or `refuse_unconditional`.

    Example:
        >>> from generators import FlowMatchingConfig, TrainingConfig
        >>> people = pd.DataFrame({"age": list(range(20, 80)) * 2, "state": ["ill"] * 20 + ["well"] * 100})
        >>> quick = FlowMatchingConfig(members=1, width=16, training=TrainingConfig(steps=2))
        >>> draw_classes(TabularGenerator(quick).fit(people), "state", {"ill": 3, "well": 0}).state.tolist()
        ['ill', 'ill', 'ill']
    """
    refuse_unconditional(generator.config)
    shares = {value: float(n) for value, n in wanted.items() if n}
    return generator.rebalance(sum(wanted.values()), target, shares, seed=seed, guidance=guidance)


class GenerativeOverSampler(OneToOneFeatureMixin, BaseEstimator):  # type: ignore[misc]
    """Adds rows of the rare classes that a generator draws given the class.

    It keeps imbalanced-learn's contract of a sampler, `fit_resample`, and passes its estimator checks, without
    importing it: it works inside `imblearn.pipeline.Pipeline`, and with scikit-learn's `clone` and searches. The rows
    that are given come back first, unchanged and in order. Whether more rows help is for `tabmint augment --advise` to
    measure; docs/augmentation.md says when they did.

    Args:
        generator: a kind of generator, such as "flow_matching", "ddpm", "vae" or "wgan_gp", or its configuration.
        sampling_strategy: as of `rows_to_add`, or a function from y to the rows that each class is to have.
        guidance: how much the class is strengthened; 0 draws from the learned P(x | y), more is less varied.
        budget_s: wall-clock seconds for training; None trains as long as the generator's settings say.
        random_state: of everything random, as in scikit-learn, but repeatable unless None is given.

    Attributes:
        sampling_strategy_: how many rows were added to each class.
        generator_: the fitted `TabularGenerator`, or None where nothing was to be added.
        n_features_in_: the number of features.
        feature_names_in_: their names **(n_features,)**, where X is a DataFrame with names of text.

    There are no `sample_indices_`: synthetic rows are nobody's.

    Example:
        >>> from generators import FlowMatchingConfig, TrainingConfig
        >>> X = pd.DataFrame({"age": list(range(20, 80)) * 2, "sex": ["f", "m"] * 60})
        >>> y = ["ill"] * 20 + ["well"] * 100
        >>> quick = FlowMatchingConfig(members=1, width=16, training=TrainingConfig(steps=2))
        >>> X_more, y_more = GenerativeOverSampler(quick, sampling_strategy=0.5).fit_resample(X, y)
        >>> y_more.count("ill"), X_more[:120].equals(X)
        (50, True)
    """

    def __init__(
        self,
        generator: str | GeneratorConfig = "flow_matching",
        *,
        sampling_strategy: Strategy | Callable[[Any], Mapping[Any, int]] = "auto",
        guidance: float = 0.0,
        budget_s: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.generator = generator
        self.sampling_strategy = sampling_strategy
        self.guidance = guidance
        self.budget_s = budget_s
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Check X and y and settle how many rows each class lacks, without training; `fit_resample` does all.

        Raises:
            ResamplingError: as `fit_resample`.
        """
        self._settle(X, y)
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:  # noqa: N803 - scikit-learn's name
        """Learn X and y, and return them with the rows that the strategy asks for.

        Args:
            X: **(n_rows, n_features)**: a DataFrame with columns of any type that a table may have, an array or a list
                of rows. Cells may be missing.
            y: **(n_rows,)**: classes as an array, Series, list or one column, or one indicator column per class.

        Returns:
            Both of the types in which they were given; a DataFrame has a new index.

        Raises:
            ResamplingError: y has missing cells, fewer than two classes or several at once, or as `rows_to_add` and
                `refuse_unlearnable`.
            ValueError: y is a quantity, or has not as many rows as X.
            ConfigError: the generator cannot be given a class, or is no generator.
            DataError, TrainingError, UnsupportedError: as `TabularGenerator.fit` and `sample`.
        """
        classes = self._settle(X, y)
        self.generator_ = None
        if not self.sampling_strategy_:
            return _appended(X, pd.DataFrame()), _taken(y, np.arange(classes.n_rows))
        seed = int(check_random_state(self.random_state).randint(LARGEST_SEED))
        features = _features(X)
        target = _free_name(features)
        schema = Schema(columns=(*infer(read(features).table).columns, Categorical(name=target, arrow="string")))
        table = features.assign(**{target: pd.Series(classes.codes).astype(str).to_numpy()})
        self.generator_ = TabularGenerator(self._config()).fit(table, schema, seed=seed, budget_s=self.budget_s)
        wanted = {str(code): n for code, n in classes.lacking.items()}
        drawn = cast("pd.DataFrame", draw_classes(self.generator_, target, wanted, seed=seed, guidance=self.guidance))
        alike = classes.first[drawn[target].astype(int).to_numpy()]  # a row of the class that each new row is of
        return _appended(X, drawn.drop(columns=target)), _taken(y, np.concatenate([np.arange(classes.n_rows), alike]))

    def _config(self) -> GeneratorConfig:
        return generator_config(self.generator) if isinstance(self.generator, str) else self.generator

    def _settle(self, X: Any, y: Any) -> _Classes:  # noqa: N803 - scikit-learn's name
        """Check what was given, and set the fitted attributes."""
        refuse_unconditional(self._config())
        labels = _labels(y)
        check_consistent_length(X, labels)
        validate_data(self, X, skip_check_array=True)
        values, first, codes, counted = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
        counts = dict(zip(values.tolist(), counted.tolist(), strict=True))
        strategy = self.sampling_strategy(y) if callable(self.sampling_strategy) else self.sampling_strategy
        self.sampling_strategy_ = rows_to_add(counts, strategy)
        refuse_unlearnable(counts, self.sampling_strategy_, TransformConfig().protect)
        lacking = {k: self.sampling_strategy_[c] for k, c in enumerate(counts) if c in self.sampling_strategy_}
        return _Classes(codes, first, lacking)

    def __sklearn_tags__(self) -> Tags:
        """Return what scikit-learn and imbalanced-learn want to know before they check an estimator."""
        return _Tags(
            estimator_type="sampler",
            target_tags=TargetTags(required=True),
            input_tags=_InputTags(string=True, allow_nan=True),
        )


@dataclass(frozen=True)
class _Classes:
    """The classes of y.

    Attributes:
        codes: the number of every row's class **(n_rows,)**.
        first: a row of every class **(n_classes,)**.
        lacking: how many rows to draw of the classes that lack some, by their number.
    """

    codes: npt.NDArray[np.intp]
    first: npt.NDArray[np.intp]
    lacking: Mapping[int, int]

    @property
    def n_rows(self) -> int:
        return len(self.codes)


@dataclass(slots=True)
class _InputTags(InputTags):  # type: ignore[misc]
    """What imbalanced-learn asks for beyond scikit-learn."""

    dataframe: bool = True


@dataclass(slots=True)
class _SamplerTags:
    sample_indices: bool = False


@dataclass(slots=True)
class _Tags(Tags):  # type: ignore[misc]
    sampler_tags: _SamplerTags = field(default_factory=_SamplerTags)


def _labels(y: Any) -> npt.NDArray[Any]:
    """Return the class of every row **(n_rows,)**; of indicators, the number of their column."""
    if np.any(pd.isna(np.asarray(y))):
        remedy = "leave these rows out, or fill them in"
        raise ResamplingError("every row needs a class", actual="missing cells in y", remedy=remedy)
    check_classification_targets(y)
    labels = np.asarray(y)
    if type_of_target(y) == "multilabel-indicator":
        if np.any(labels.sum(axis=1) != 1):
            raise ResamplingError(
                "a row is of one class", actual="several, or none", remedy="resample one label a time"
            )
        return np.asarray(labels.argmax(axis=1))
    return labels.ravel()


def _features(X: Any) -> pd.DataFrame:  # noqa: N803 - scikit-learn's name
    """Return the features as a frame with names of text, sparse columns filled, and columns of objects typed."""
    frame = X if isinstance(X, pd.DataFrame) else pd.DataFrame(X).infer_objects()
    if not all(isinstance(name, str) for name in frame.columns):
        frame = frame.set_axis([str(i) for i in range(frame.shape[1])], axis=1)
    sparse = {name: each.subtype for name, each in frame.dtypes.items() if isinstance(each, pd.SparseDtype)}
    return frame.astype(sparse).reset_index(drop=True)


def _free_name(features: pd.DataFrame) -> str:
    """Return a name that no feature has."""
    name = "class"
    while name in features.columns:
        name += "_"
    return name


def _appended(X: Any, drawn: pd.DataFrame) -> Any:  # noqa: N803 - scikit-learn's name
    """Return the rows of X, then the drawn ones, in the type and with the dtypes of X."""
    if isinstance(X, pd.DataFrame):
        if drawn.empty:
            return X.reset_index(drop=True)
        return pd.concat([X, drawn.set_axis(X.columns, axis=1).astype(X.dtypes)], ignore_index=True)
    if isinstance(X, np.ndarray):
        return np.concatenate([X, drawn.to_numpy(X.dtype)]) if len(drawn) else X.copy()
    return [*X, *drawn.to_numpy().tolist()]


def _taken(y: Any, rows: npt.NDArray[np.intp]) -> Any:
    """Return rows of y, in its type."""
    if isinstance(y, pd.Series | pd.DataFrame):
        return y.iloc[rows].reset_index(drop=True)
    return y[rows] if isinstance(y, np.ndarray) else [y[i] for i in rows]
