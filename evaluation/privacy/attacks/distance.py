"""Attacks by distance: members lie nearer to synthetic rows than the density of the population explains."""

from __future__ import annotations

import numpy as np

from pipeline.seeds import numpy_rng

from ...references import subsample
from ...statistics import FloatArray
from ..neighbours import k_nearest
from ..space import Float32Array
from .evidence import N_NEIGHBOURS, Evidence

NEAR = 1e-4
"""Added to every distance before a ratio is taken: below one step of one column, and finite where a copy lies at 0."""
TAIL = 4.0
"""The kernel falls with the fourth power of the distance: it needs no width, and was measured to find twice the members
that an exponential kernel as wide as ten neighbours finds."""
LOCAL_REFERENCE_ROWS = 2_000


def nearest_distance(evidence: Evidence, seed: int) -> FloatArray:
    """Score by how much nearer the nearest synthetic row is than reference rows are on average.

    Source: the calibrated attack of Chen et al. 2020 (GAN-Leaks), arXiv:1909.03935, as a ratio.
    """
    del seed
    usual = evidence.in_reference.distances.mean(axis=1)
    return _log(usual) - _log(evidence.in_synthetic.distances[:, 0])


def isolated_neighbour(evidence: Evidence, seed: int) -> FloatArray:
    """Score by how much nearer the nearest synthetic row is than the second: a copy stands alone beside its original.

    Source: Zhao et al. 2021 (CTAB-GAN), nearest-neighbour distance ratio, arXiv:2102.08369.
    """
    del seed
    distances = evidence.in_synthetic.distances
    return _log(distances[:, 1]) - _log(distances[:, 0])


def density_ratio(evidence: Evidence, seed: int) -> FloatArray:
    """Score by the logarithm of the synthetic over the reference density at the record, with one kernel for both.

    Source: van Breugel et al. 2023 (DOMIAS), eq. 2, arXiv:2302.12580.
    """
    del seed
    return _log_density(evidence.in_synthetic.distances) - _log_density(evidence.in_reference.distances)


def local_likelihood(evidence: Evidence, seed: int) -> FloatArray:
    """Score by how much the record, added to the reference, raises the likelihood of the synthetic row beside it.

    Source: Gen-LRA as described by Ward et al. 2025, arXiv:2509.18014, over the one nearest row.
    """
    rows, place = np.unique(evidence.in_synthetic.rows[:, 0], return_inverse=True)
    reference = subsample(evidence.reference, LOCAL_REFERENCE_ROWS, numpy_rng(seed, "local_likelihood"))
    space = evidence.space
    near = k_nearest(space, space.place(evidence.synthetic.take(rows)), space.place(reference), N_NEIGHBOURS)
    explained = _log_density(near.distances)[place]
    return np.asarray(np.logaddexp(explained, _log_density(evidence.in_synthetic.distances[:, :1])) - explained)


def _log(distances: Float32Array) -> FloatArray:
    return np.log(distances.astype(np.float64) + NEAR)


def _log_density(distances: Float32Array) -> FloatArray:
    return np.asarray(np.logaddexp.reduce(-TAIL * _log(distances), axis=1))
