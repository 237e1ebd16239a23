"""Rows in parts of a fixed size, each from its own random stream, so that cores share the work and the bytes agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from .device import workers

ROWS_PER_PART = 16_384
ROWS_PER_PART_ON_GPU = 262_144

T = TypeVar("T")


def in_parts(n: int, work: Callable[[int, int], T], device: torch.device) -> list[T]:
    """Return `work(start, stop)` of consecutive parts of n rows, at least one; on a CPU several at a time.

    Each core works on parts of its own: unlike several threads inside a matrix product, this does not stall where
    something else runs. `work` must derive everything random from where its part starts.

    Example:
        >>> in_parts(20_000, lambda start, stop: stop - start, torch.device("cpu"))
        [16384, 3616]
    """
    size = ROWS_PER_PART if device.type == "cpu" else ROWS_PER_PART_ON_GPU
    starts = range(0, max(n, 1), size)
    stops = [min(start + size, n) for start in starts]
    with workers(len(starts), device) as pool:
        return list(pool.map(work, starts, stops))
