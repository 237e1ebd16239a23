"""Attacks by counting: values, and pairs of values, that the synthetic table has more often than the population."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd

from pipeline.seeds import numpy_rng

from ...features import Frame
from ...statistics import FloatArray, IntArray
from .evidence import Evidence

N_BINS = 64
MAX_PAIRS = 200
SMOOTHING = 0.5


def value_ratio(evidence: Evidence, seed: int) -> FloatArray:
    """Score by the log ratio of each value's share in the synthetic and in the reference rows, summed over columns.

    Values count exactly, so that a value which one person alone has shows when it is repeated.
    """
    del seed
    columns = range(len(evidence.attacked.features))
    return np.asarray(np.sum([_log_ratio(*_exact_codes(evidence, i)) for i in columns], axis=0))


def pair_ratio(evidence: Evidence, seed: int) -> FloatArray:
    """Score by the same ratio over the cells of two columns' joint histogram, summed over pairs of columns.

    Numbers fall into up to 64 bins of equal share. Of many pairs, 200 are drawn.

    Source: the pairwise counts of Houssiau et al. 2022 (TAPAS), arXiv:2211.06550, as a likelihood ratio.
    """
    pairs = list(combinations(range(len(evidence.attacked.features)), 2))
    rng = numpy_rng(seed, "pair_ratio")
    drawn = [pairs[i] for i in rng.permutation(len(pairs))[:MAX_PAIRS]]
    binned = [_binned(evidence, i) for i in range(len(evidence.attacked.features))]
    ratios = [
        _log_ratio(*(one * (N_BINS + 2) + other for one, other in zip(binned[i], binned[j], strict=True)))
        for i, j in drawn
    ]
    return np.asarray(np.sum(ratios, axis=0)) if ratios else np.zeros(evidence.attacked.n_rows)


def bins(frame: Frame, index: int, like: Frame, n_bins: int = N_BINS) -> IntArray:
    """Return codes in [0, n_bins] of the column `index`: bins of equal share in `like`, or levels; missing is the last.

    Example:
        >>> from evaluation.features import Feature
        >>> from pipeline.columns import Integer
        >>> age = Feature("age", Integer(name="age", arrow="int64", nullable=True))
        >>> rows = Frame((age,), (np.array([20.0, 30.0, 40.0, np.nan]),), 4)
        >>> bins(rows, 0, rows, n_bins=2)
        array([0, 1, 1, 2])

    """
    if frame.features[index].categorical:
        levels = np.minimum(frame.columns[index], n_bins - 1)
    else:
        numbers = like.numbers(index)
        known = numbers[~np.isnan(numbers)]
        edges = np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins)) if len(known) else np.empty(0)
        levels = np.searchsorted(edges, frame.numbers(index), side="right")
    return np.where(frame.missing(index), n_bins, levels).astype(np.int64)


def _binned(evidence: Evidence, index: int) -> tuple[IntArray, IntArray, IntArray]:
    attacked, synthetic, reference = (
        bins(rows, index, evidence.reference) for rows in (evidence.attacked, evidence.synthetic, evidence.reference)
    )
    return attacked, synthetic, reference


def _exact_codes(evidence: Evidence, index: int) -> tuple[IntArray, IntArray, IntArray]:
    parts = [rows.columns[index] for rows in (evidence.attacked, evidence.synthetic, evidence.reference)]
    codes = (pd.factorize(np.concatenate(parts))[0] + 1).astype(np.int64)
    attacked, synthetic, reference = np.split(codes, np.cumsum([len(part) for part in parts])[:-1])
    return attacked, synthetic, reference


def _log_ratio(attacked: IntArray, synthetic: IntArray, reference: IntArray) -> FloatArray:
    n_codes = int(max(codes.max(initial=0) for codes in (attacked, synthetic, reference))) + 1
    shares = [
        (np.bincount(codes, minlength=n_codes)[attacked] + SMOOTHING) / (len(codes) + SMOOTHING)
        for codes in (synthetic, reference)
    ]
    return np.asarray(np.log(shares[0] / shares[1]))
