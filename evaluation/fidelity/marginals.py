"""One column at a time: how far the synthetic distribution lies from train's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.seeds import numpy_rng

from ..config import EvaluationConfig
from ..features import Frame, Frames
from ..measurement import Measured, Measurement
from ..metric import Definition, Findings
from ..references import at_size, uniform
from ..statistics import (
    Estimate,
    FloatArray,
    IntArray,
    average,
    kolmogorov_smirnov,
    shares,
    total_variation,
    wasserstein,
    witnessed,
)

SHAPE = Definition("shape_error", "marginals", 0.0, 1.0, "mean of KS and TVD: 1 - SDMetrics' Column Shapes")
KS = Definition("ks", "marginals", 0.0, 1.0, "Massey 1951, doi:10.1080/01621459.1951.10500769")
TVD = Definition("tvd", "marginals", 0.0, 1.0, "total variation distance; missing is a level")
WASSERSTEIN = Definition("wasserstein", "marginals", 0.0, 1.0, "Wasserstein-1 / train's range from 2.5 % to 97.5 %")
MISSING = Definition("missing_rate_error", "marginals", 0.0, 1.0, "difference between the shares of missing cells")

NO_ROWS = "a table has no row"
Distances = dict[Definition, Estimate]


def measure_marginals(frames: Frames, config: EvaluationConfig, *, seed: int) -> Findings:
    """Measure the distance of every column from train, and their mean, the shape error.

    Numbers and times: Kolmogorov-Smirnov and Wasserstein-1 over present values. Categories: total variation. Ceiling:
    holdout rows. Floor: cells drawn evenly over the column's levels or range, since shuffling would keep marginals.

    The intervals cover the chance in both samples, not the upward bias of a distance between finite samples; the
    ceiling shows that.
    """
    del config  # every row counts
    if not min(frames.train.n_rows, frames.holdout.n_rows, frames.synthetic.n_rows):
        return Findings((SHAPE.unmeasured(NO_ROWS), MISSING.unmeasured(NO_ROWS)))
    floor = uniform(frames.train, frames.synthetic.n_rows, numpy_rng(seed, "marginals", "floor"))
    columns: dict[str, tuple[Measurement, ...]] = {}
    estimates: list[Distances] = []
    for i, feature in enumerate(frames.features):
        estimates.append(_distances(frames.train, frames.synthetic, i))
        columns[feature.name] = _column(frames, floor, i, estimates[-1])
    return Findings((_shape(frames, columns, estimates), _missing(frames, columns, estimates)), columns)


def _column(frames: Frames, floor: Frame, index: int, found: Distances) -> tuple[Measurement, ...]:
    """Return every measurement of one column; the first is its part in the shape error."""
    feature = frames.features[index]
    ceiling, worst = (_distances(frames.train, frame, index) for frame in (frames.holdout, floor))
    wanted = [TVD] if feature.categorical else [KS, WASSERSTEIN]
    wanted += [MISSING] if feature.column.nullable else []
    return tuple(
        definition.measured(
            found[definition].value,
            n_rows=frames.synthetic.n_rows,
            interval=found[definition].interval(0.0),
            ceiling=_same_sized(ceiling[definition].value, frames) if definition in ceiling else None,
            floor=worst[definition].value if definition in worst else None,
            subject=feature.name,
        )
        if definition in found
        else definition.unmeasured("train or synthetic has too little to compare", subject=feature.name)
        for definition in wanted
    )


def _shape(frames: Frames, columns: dict[str, tuple[Measurement, ...]], estimates: list[Distances]) -> Measurement:
    parts = [own[0] for own in columns.values()]
    found = [distances[definition] for distances in estimates for definition in (KS, TVD) if definition in distances]
    if not found:
        return SHAPE.unmeasured("no column has values in train and synthetic")
    return _mean(SHAPE, [part for part in parts if isinstance(part, Measured)], found, frames)


def _missing(frames: Frames, columns: dict[str, tuple[Measurement, ...]], estimates: list[Distances]) -> Measurement:
    nullable = [i for i, feature in enumerate(frames.features) if feature.column.nullable]
    if not nullable:
        return MISSING.unmeasured("no column may be missing", applicable=False)
    parts = [part for own in columns.values() for part in own if part.metric == MISSING.metric]
    known = [part for part in parts if isinstance(part, Measured)]
    return _mean(MISSING, known, [estimates[i][MISSING] for i in nullable], frames)


def _mean(
    definition: Definition, parts: Sequence[Measured], estimates: Sequence[Estimate], frames: Frames
) -> Measurement:
    """Return the mean over columns of the value, of the ceiling and of the floor."""
    overall = average(estimates)
    return definition.measured(
        overall.value,
        n_rows=frames.synthetic.n_rows,
        interval=overall.interval(0.0, 1.0),
        ceiling=float(np.mean([part.ceiling or 0.0 for part in parts])),
        floor=float(np.mean([part.floor or 0.0 for part in parts])),
    )


def _same_sized(error: float, frames: Frames) -> float:
    n_train, n_holdout, n_rows = (f.n_rows for f in (frames.train, frames.holdout, frames.synthetic))
    return at_size(error, measured_on=n_holdout, n_rows=n_rows, n_train=n_train)


def _distances(train: Frame, other: Frame, index: int) -> Distances:
    """Return what can be measured; the influences are those of the other table's rows, then of train's."""
    gone = [frame.missing(index).astype(np.int64) for frame in (other, train)]
    p, q = (shares(codes, 2) for codes in gone)
    found = {MISSING: witnessed(total_variation(p, q), *gone)}
    if not train.features[index].categorical:
        return found | _between_numbers(train, other, index)
    n_levels = len(train.features[index].labels) + 1
    ours, theirs = other.codes(index), train.codes(index)
    witness = total_variation(shares(ours, n_levels), shares(theirs, n_levels))
    return found | {TVD: witnessed(witness, ours, theirs)}


def _between_numbers(train: Frame, other: Frame, index: int) -> Distances:
    """Compare over the values that occur in either table; where one has none at all, the gap is as wide as can be."""
    ours, theirs = other.numbers(index), train.numbers(index)
    points, codes = _ordered(np.concatenate([ours, theirs]))
    first, second = codes[: len(ours)], codes[len(ours) :]
    p, q = shares(first, len(points)), shares(second, len(points))
    if not len(points):
        return {}
    if not (p.any() and q.any()):
        return {KS: Estimate(1.0, np.zeros(len(codes)))}
    found = {KS: witnessed(kolmogorov_smirnov(p, q), first, second)}
    low, high = np.nanquantile(theirs, [0.025, 0.975])
    if high > low:
        found[WASSERSTEIN] = witnessed(wasserstein(p, q, points) / (high - low), first, second)
    return found


def _ordered(values: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the distinct values in order, and for each cell its place among them; -1 for missing."""
    present = ~np.isnan(values)
    codes = np.full(len(values), -1, dtype=np.int64)
    points, codes[present] = np.unique(values[present], return_inverse=True)
    return points, codes
