"""An index over reference rows: nearly all nearest neighbours in a tenth of the time, for large tables."""

from __future__ import annotations

import numpy as np

from ..statistics import IntArray
from ..threads import in_threads
from .neighbours import Nearest
from .space import BLOCK_CELLS, Float32Array, Points, Space, blocks_of

CELLS, PROBED = 256, 32
"""Parts into which the reference rows are cut, and those that are looked through for each query."""
CANDIDATES = 64
"""Rows of the index's own distance whose mixed distance is then computed exactly."""
ROWS_PER_CELL = 40
BUCKETS = 16
"""Levels beyond so many share a coordinate."""


class Index:
    """Reference rows that can be searched without a look at all of them; needs the extra `faiss`.

    Rows become points whose city-block distance is close to the mixed one: a numeric column is the mean of its rank and
    its place in units of the range, a categorical one is a corner of a simplex. Of the nearest such points the mixed
    distance is exact. A neighbour may be missed (of 100 about one; `benchmarks/does_the_index_find_the_nearest.py`);
    as train and holdout are searched in the same way, a miss costs power and never level.

    Source: Sivic and Zisserman 2003, doi:10.1109/ICCV.2003.1238663, for inverted files; Douze et al. 2024,
    arXiv:2401.08281.
    """

    def __init__(self, space: Space, references: Points) -> None:
        import faiss  # an extra: only who asks for the index needs it

        self._space, self._references = space, references
        points = _embedded(references)
        n_cells = int(np.clip(len(points) // ROWS_PER_CELL, 1, CELLS))
        quantizer = faiss.IndexFlat(points.shape[1], faiss.METRIC_L1)
        self._index = faiss.IndexIVFFlat(quantizer, points.shape[1], n_cells, faiss.METRIC_L1)
        self._index.train(points)
        self._index.add(points)
        self._index.nprobe = PROBED

    def nearest(self, queries: Points) -> Nearest:
        """Return the two nearest reference rows of every query, of those that the index finds."""
        k = min(CANDIDATES, len(self._references))
        found = np.asarray(self._index.search(_embedded(queries), k)[1], dtype=np.int64)
        blocks = in_threads(
            lambda rows: self._among(queries.take(rows), found[rows]),
            blocks_of(len(queries), k),
            length=BLOCK_CELLS,
        )
        return Nearest(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))

    def _among(self, queries: Points, candidates: IntArray) -> tuple[Float32Array, Float32Array, IntArray]:
        distances = self._space.distances(queries, self._references.take(candidates))
        distances[candidates < 0] = np.inf  # fewer were found
        first, second, place = _two_nearest(distances)
        return first, second, candidates[np.arange(len(place)), place]


def _embedded(points: Points) -> Float32Array:
    """Return the points as float32 **(n_rows, n_coordinates)**."""
    numeric = [0.5 * (points.ranks + points.places.clip(-1.0, 2.0))]
    corners = [0.5 * ((codes.astype(np.int64) + 1) % BUCKETS == np.arange(BUCKETS)[:, None]) for codes in points.codes]
    return np.ascontiguousarray(np.concatenate([*numeric, *corners]).T, dtype=np.float32)


def _two_nearest(distances: Float32Array) -> tuple[Float32Array, Float32Array, IntArray]:
    """Return the smallest and the second smallest number of every row, and the place of the smallest; overwrites it."""
    every = np.arange(len(distances))
    row = distances.argmin(axis=1)
    first = distances[every, row]
    distances[every, row] = np.inf
    return first, distances.min(axis=1), row.astype(np.int64)
