"""Named substreams of one root seed, so that no two steps share random numbers and no global generator is touched."""

from __future__ import annotations

import hashlib

import numpy as np


def substream(seed: int, *names: str) -> int:
    """Return the 63-bit seed of the substream `names` of the root `seed`.

    The same names give the same seed on every machine and in every process.

    Example:
        >>> substream(0, "sample") == substream(0, "sample") != substream(0, "fit")
        True
    """
    text = "\x1f".join((str(seed), *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_rng(seed: int, *names: str) -> np.random.Generator:
    """Return a numpy generator over the substream `names` of the root `seed`.

    Example:
        >>> numpy_rng(0, "split").integers(10) == numpy_rng(0, "split").integers(10)
        np.True_
    """
    return np.random.default_rng(substream(seed, *names))
