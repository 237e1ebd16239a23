"""What the report draws of every column: shares over common bins, with nothing in them that points to one row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from ..features import ROLES, Feature, Frame, Frames, Role
from ..measurement import Measurement, Unmeasured
from ..report import MISSING_LABEL, OTHER_LABEL, ColumnProfile, Quantiles, Series
from ..statistics import FloatArray, IntArray, shares

MIN_CARRIERS = 5
"""Levels carried by fewer train rows are pooled, and so many train rows lie beyond the outermost edges."""
MAX_LEVELS = 20
N_BINS = 16
PROBABILITIES = np.arange(1, 20) / 20
TAIL = 0.01


@dataclass(frozen=True)
class Bins:
    """The bins of one column: `labels`, and for each role the bin of every row; -1 for missing."""

    labels: tuple[str, ...]
    codes: Mapping[Role, IntArray]


def profile_columns(frames: Frames, measurements: Mapping[str, tuple[Measurement, ...]]) -> tuple[ColumnProfile, ...]:
    """Return the profile of every column, worst first by its first measurement; unmeasured ones lead."""
    profiles = [_profile(frames, i, measurements.get(f.name, ())) for i, f in enumerate(frames.features)]
    return tuple(sorted(profiles, key=_badness, reverse=True))


def _badness(profile: ColumnProfile) -> float:
    first = next(iter(profile.measurements), None)
    return np.inf if first is None or isinstance(first, Unmeasured) else first.value


def _profile(frames: Frames, index: int, measurements: tuple[Measurement, ...]) -> ColumnProfile:
    feature = frames.features[index]
    bins = _with_missing(_bins(frames, index))
    series = [
        Series(table=role, shares=tuple(shares(bins.codes[role], len(bins.labels)).tolist()))
        for role in ROLES
        if len(bins.codes[role])
    ]
    return ColumnProfile(
        column=feature.name,
        kind=feature.column.kind,
        labels=bins.labels,
        series=tuple(series),
        measurements=measurements,
        quantiles=()
        if feature.categorical or _has_few_values(feature, _known(frames, index))
        else _quantiles(frames, index),
    )


def _known(frames: Frames, index: int) -> FloatArray:
    """Return the values of train that are not missing."""
    values = _column(frames, "train", index)
    return values[~np.isnan(values)]


def _has_few_values(feature: Feature, known: FloatArray) -> bool:
    """Say whether whole numbers are drawn like levels: so few that a quantile of one is far from that of the next."""
    return feature.column.kind == "integer" and len(np.unique(known)) <= MAX_LEVELS


def _quantiles(frames: Frames, index: int) -> tuple[Quantiles, ...]:
    """Return where the quantiles of holdout and synthetic lie among train; none where a table has no value."""
    known = {role: x[~np.isnan(x)] for role in ROLES for x in [_column(frames, role, index)]}
    if not all(map(len, known.values())):
        return ()
    train = np.sort(known["train"])
    own = _ranks(train, train)
    shifts = {role: _ranks(train, known[role]) - own for role in ROLES if role != "train"}
    return tuple(Quantiles(table=role, shifts=tuple(x.round(4).tolist())) for role, x in shifts.items())


def _ranks(train: FloatArray, values: FloatArray) -> FloatArray:
    """Return the share of sorted train values below each quantile of others; of equal ones half."""
    quantiles = np.quantile(values, PROBABILITIES, method="inverted_cdf")
    sides = [np.searchsorted(train, quantiles, side=side) for side in ("left", "right")]
    ranks: FloatArray = (sides[0] + sides[1]) / (2 * len(train))
    return ranks


def _with_missing(bins: Bins) -> Bins:
    """Make missing the last bin, where any cell is."""
    if not any((codes < 0).any() for codes in bins.codes.values()):
        return bins
    last = len(bins.labels)
    return Bins((*bins.labels, MISSING_LABEL), {role: np.where(x < 0, last, x) for role, x in bins.codes.items()})


def _bins(frames: Frames, index: int) -> Bins:
    feature, columns = frames.features[index], {role: _column(frames, role, index) for role in ROLES}
    if feature.categorical:
        codes = {role: np.where(np.isnan(x), -1, x).astype(np.int64) for role, x in columns.items()}
        return _pooled(feature.labels, codes)
    known = _known(frames, index)
    if _has_few_values(feature, known):
        values, counts = np.unique(known, return_counts=True)
        kept = values[counts >= MIN_CARRIERS]
        codes = {role: np.where(np.isnan(x), -1, _place(kept, x)) for role, x in columns.items()}
        return _pooled(tuple(_text(feature, value, 1.0) for value in kept), codes)
    edges = _edges(feature, known)
    codes = {role: np.where(np.isnan(x), -1, np.searchsorted(edges, x, side="right")) for role, x in columns.items()}
    return Bins(_range_labels(feature, edges), codes)


def _column(frames: Frames, role: Role, index: int) -> FloatArray:
    frame: Frame = getattr(frames, role)
    return frame.numbers(index)


def _place(levels: FloatArray, values: FloatArray) -> IntArray:
    """Return which level each value is; a number past the last for values that are none."""
    place = np.searchsorted(levels, values)
    return np.where(np.isin(values, levels), place, len(levels))


def _pooled(labels: tuple[str, ...], codes: Mapping[Role, IntArray]) -> Bins:
    """Keep the levels that enough train rows carry, up to the most a small chart can show; pool the others."""
    counts = np.bincount(codes["train"][codes["train"] >= 0], minlength=len(labels))[: len(labels)]
    carried = [int(k) for k in np.flatnonzero(counts >= MIN_CARRIERS)]
    kept = sorted(sorted(carried, key=lambda k: -counts[k])[:MAX_LEVELS])
    n_codes = max((int(x.max(initial=-1)) for x in codes.values()), default=-1) + 1
    target = np.full(max(n_codes, len(labels)) + 1, len(kept), dtype=np.int64)
    target[kept] = np.arange(len(kept))
    target[-1] = -1  # where missing, code -1, looks itself up
    pooled = {role: target[x] for role, x in codes.items()}
    other = (OTHER_LABEL,) if any((x == len(kept)).any() for x in pooled.values()) else ()
    return Bins((*(labels[k] for k in kept), *other), pooled)


def _edges(feature: Feature, known: FloatArray) -> FloatArray:
    """Return round bin edges between train's 1st and 99th percentile; the outer bins are open, so no extreme shows."""
    if not len(known):
        return np.array([])
    tail = min(0.5, max(TAIL, MIN_CARRIERS / len(known)))
    low, high = np.quantile(known, [tail, 1.0 - tail])
    if high <= low:
        return np.array([low])
    if pa.types.is_temporal(feature.column.arrow_type):
        return np.linspace(low, high, N_BINS + 1)
    step = _round_step((high - low) / N_BINS, whole=feature.column.kind == "integer")
    return step * np.arange(np.ceil(low / step), np.floor(high / step) + 1)


def _round_step(step: float, *, whole: bool) -> float:
    """Return the next larger of 1, 2, 5 times a power of ten, so that edges are no values of rows.

    Example:
        >>> _round_step(0.3, whole=False), _round_step(0.3, whole=True)
        (0.5, 1.0)
    """
    power = 10.0 ** np.floor(np.log10(step))
    larger = float(next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9)))
    return max(larger, 1.0) if whole else larger


def _range_labels(feature: Feature, edges: FloatArray) -> tuple[str, ...]:
    if not len(edges):
        return ("(any)",)
    span = float(edges[-1] - edges[0])
    texts = [_text(feature, edge, span) for edge in edges]
    inner = [f"{low} – {high}" for low, high in pairwise(texts)]
    return (f"< {texts[0]}", *inner, f"≥ {texts[-1]}")


def _text(feature: Feature, value: float, span: float) -> str:
    """Return a number as a person writes it, a time (UTC) to the day or, within few days, to the second."""
    arrow = feature.column.arrow_type
    if not pa.types.is_temporal(arrow) or pa.types.is_duration(arrow):
        return f"{value * feature.unit:.10g}"
    unit: Any = "D" if pa.types.is_date32(arrow) else "ms" if pa.types.is_date64(arrow) else arrow.unit
    few_days = np.timedelta64(int(span), unit) < np.timedelta64(N_BINS, "D")
    return str(np.datetime64(int(value), unit).astype("M8[s]" if few_days else "M8[D]")).replace("T", " ")
