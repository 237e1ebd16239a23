"""One column at a time: how far the synthetic distribution lies from train's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Interval, Measured, Measurement
from ..metric import Definition, Findings
from ..references import at_size, uniform
from ..statistics import Estimate, average, shares, total_variation, witnessed
from ..threads import in_threads
from .distances import (
    CATEGORY_COVERAGE,
    COARSE,
    JENSEN_SHANNON,
    KS,
    MISSING,
    RANGE_COVERAGE,
    TVD,
    WASSERSTEIN,
    Distances,
    column_distances,
)
from .published import SDMETRICS_SHAPE, compatible, shape_score

SHAPE = Definition("shape_error", "marginals", 0.0, 1.0, "mean of KS over numbers and TVD over categories")
PATTERN = Definition(
    "missing_pattern_error", "marginals", 0.0, 1.0, "total variation between the patterns of missing cells in a row"
)

NO_ROWS = "a table has no row"
NOTHING_SHARED = "no column has values in train and synthetic"
TOO_LITTLE = "no column has enough distinct values in train, and any in synthetic, to compare"
NO_SUCH_COLUMN = "no column is of this kind"
NOT_NULLABLE = "no column may be missing"
OF_NUMBERS = (KS, JENSEN_SHANNON, WASSERSTEIN, RANGE_COVERAGE)
OF_CATEGORIES = (TVD, JENSEN_SHANNON, CATEGORY_COVERAGE)
COVERAGES = (CATEGORY_COVERAGE, RANGE_COVERAGE)
ROUNDING = 1e-9


def measure_marginals(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure the distance of every column from train by several measures, and the mean of each over the columns.

    Numbers and times are compared over present values. Ceiling: holdout rows; those of coverages are not brought to
    the synthetic table's size. Floor: cells drawn evenly over the column's levels or range, since shuffling would keep
    marginals; for coverages, a table that repeats one row.

    The intervals cover the chance in both samples, not the upward bias of a distance between finite samples; the
    ceiling shows that.
    """
    del config  # every row counts
    if not min(frames.train.n_rows, frames.holdout.n_rows, frames.synthetic.n_rows):
        overall = (SHAPE, MISSING, PATTERN, JENSEN_SHANNON, WASSERSTEIN, *COVERAGES, SDMETRICS_SHAPE)
        return Findings(tuple(definition.unmeasured(NO_ROWS) for definition in overall))
    floor = uniform(frames.train, frames.synthetic.n_rows, numpy_rng(seed, "marginals", "floor"))
    found = in_threads(partial(_column, frames, floor), range(len(frames.features)), length=frames.n_rows)
    columns = {feature.name: own for feature, (_, own) in zip(frames.features, found, strict=True)}
    estimates = [distances for distances, _ in found]
    measurements = (
        _shape(frames, columns, estimates),
        _missing(frames, columns, estimates),
        _pattern(frames, floor),
        *(_over_columns(d, frames, columns, estimates) for d in (JENSEN_SHANNON, WASSERSTEIN, *COVERAGES)),
        compatible(SDMETRICS_SHAPE, shape_score, frames, floor, numpy_rng(seed, "marginals", "groups")),
    )
    return Findings(measurements, columns)


def _column(frames: Frames, floor: Frame, index: int) -> tuple[Distances, tuple[Measurement, ...]]:
    """Return every distance of one column and their measurements; the first is its part in the shape error."""
    feature = frames.features[index]
    found, ceiling, worst = (
        column_distances(frames.train, frame, index) for frame in (frames.synthetic, frames.holdout, floor)
    )
    wanted = [*(OF_CATEGORIES if feature.categorical else OF_NUMBERS), *([MISSING] if feature.column.nullable else [])]
    return found, tuple(
        definition.measured(
            found[definition].value,
            n_rows=frames.synthetic.n_rows,
            interval=_interval(definition, found[definition]),
            ceiling=_ceiling(definition, ceiling, frames),
            floor=_floor(definition, worst, len(feature.labels)),
            subject=feature.name,
        )
        if definition in found
        else definition.unmeasured("train or synthetic has too little to compare", subject=feature.name)
        for definition in wanted
    )


def _interval(definition: Definition, estimate: Estimate) -> Interval:
    """Return the interval, that of range coverage in the steps of its value: finer, it would tell what they hide."""
    with np.errstate(over="ignore"):  # an infinite interval becomes the reason why there is no number
        low, high = estimate.interval(0.0, 1.0 if definition in COVERAGES else np.inf)
    if definition == RANGE_COVERAGE:
        return COARSE * np.floor(low / COARSE + ROUNDING), COARSE * np.ceil(high / COARSE - ROUNDING)
    return low, high


def _ceiling(definition: Definition, honest: Distances, frames: Frames) -> float | None:
    if definition not in honest:
        return None
    value = honest[definition].value
    return value if definition in COVERAGES else _same_sized(value, frames)


def _floor(definition: Definition, worst: Distances, n_levels: int) -> float | None:
    """Return what even cells score; for coverages, what one value repeated scores."""
    if definition in COVERAGES:
        return 1.0 / n_levels if definition == CATEGORY_COVERAGE else 0.0
    return worst[definition].value if definition in worst else None


def _shape(frames: Frames, columns: dict[str, tuple[Measurement, ...]], estimates: list[Distances]) -> Measurement:
    parts = [own[0] for own in columns.values()]
    found = [distances[definition] for distances in estimates for definition in (KS, TVD) if definition in distances]
    if not found:
        return SHAPE.unmeasured(NOTHING_SHARED)
    return _mean(SHAPE, [part for part in parts if isinstance(part, Measured)], found, frames)


def _missing(frames: Frames, columns: dict[str, tuple[Measurement, ...]], estimates: list[Distances]) -> Measurement:
    nullable = [i for i, feature in enumerate(frames.features) if feature.column.nullable]
    if not nullable:
        return MISSING.unmeasured(NOT_NULLABLE, applicable=False)
    return _mean(MISSING, _parts(MISSING, columns), [estimates[i][MISSING] for i in nullable], frames)


def _pattern(frames: Frames, floor: Frame) -> Measurement:
    nullable = [i for i, feature in enumerate(frames.features) if feature.column.nullable]
    if not nullable:
        return PATTERN.unmeasured(NOT_NULLABLE, applicable=False)
    value, ceiling, worst = (
        pattern_error(frames.train, other, nullable) for other in (frames.synthetic, frames.holdout, floor)
    )
    return PATTERN.measured(
        value.value,
        n_rows=frames.synthetic.n_rows,
        interval=value.interval(0.0, 1.0),
        ceiling=_same_sized(ceiling.value, frames),
        floor=worst.value,
    )


def pattern_error(train: Frame, other: Frame, columns: list[int]) -> Estimate:
    """Return the total variation between the sets of `columns` that are missing together in a row.

    Unlike the missing rates it sees whether cells go missing together.
    """
    masks = [np.concatenate([other.missing(i), train.missing(i)]) for i in columns]
    packed = np.packbits(np.array(masks), axis=0)
    _, codes = np.unique(packed, axis=1, return_inverse=True)
    ours, theirs = codes[: other.n_rows], codes[other.n_rows :]
    n_patterns = int(codes.max()) + 1
    return witnessed(total_variation(shares(ours, n_patterns), shares(theirs, n_patterns)), ours, theirs)


def _over_columns(
    definition: Definition, frames: Frames, columns: dict[str, tuple[Measurement, ...]], estimates: list[Distances]
) -> Measurement:
    """Return the mean over the columns that have this distance; there may be none of their kind."""
    found = [distances[definition] for distances in estimates if definition in distances]
    if found:
        return _mean(definition, _parts(definition, columns), found, frames)
    kinds = (OF_CATEGORIES if feature.categorical else OF_NUMBERS for feature in frames.features)
    expected = any(definition in kind for kind in kinds)
    return definition.unmeasured(TOO_LITTLE if expected else NO_SUCH_COLUMN, applicable=expected)


def _parts(definition: Definition, columns: dict[str, tuple[Measurement, ...]]) -> list[Measured]:
    parts = [part for own in columns.values() for part in own if part.metric == definition.metric]
    return [part for part in parts if isinstance(part, Measured)]


def _mean(
    definition: Definition, parts: Sequence[Measured], estimates: Sequence[Estimate], frames: Frames
) -> Measurement:
    """Return the mean over columns of the value, of the ceiling and of the floor."""
    overall = average(estimates)
    low, high = _interval(definition, overall)
    return definition.measured(
        overall.value,
        n_rows=frames.synthetic.n_rows,
        interval=(low, min(high, max(1.0, overall.value))),  # Wasserstein may exceed 1
        ceiling=_mean_known([part.ceiling for part in parts]),
        floor=_mean_known([part.floor for part in parts]),
    )


def _mean_known(bounds: Sequence[float | None]) -> float | None:
    known = [bound for bound in bounds if bound is not None]
    return float(np.mean(known)) if known else None


def _same_sized(error: float, frames: Frames) -> float:
    n_train, n_holdout, n_rows = (f.n_rows for f in (frames.train, frames.holdout, frames.synthetic))
    return at_size(error, measured_on=n_holdout, n_rows=n_rows, n_train=n_train)
