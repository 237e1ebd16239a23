"""Where and how precisely the arithmetic runs."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from pipeline.cores import n_cores
from pipeline.errors import ConfigError

from .config import TrainingConfig


def choose_device(name: str) -> torch.device:
    """Return the device; "auto" takes a GPU where there is one.

    Raises:
        ConfigError: a GPU is asked for and there is none.
    """
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise ConfigError('device "cuda" needs a GPU', actual="none on this machine", remedy='set device = "auto"')
    return torch.device("cuda" if available and name != "cpu" else "cpu")


def n_workers(n_tasks: int, device: torch.device) -> int:
    """Return how many tasks that share nothing run at the same time: on a CPU one on each core, on a GPU one."""
    return min(n_tasks, n_cores()) if device.type == "cpu" else 1


@contextmanager
def workers(n_tasks: int, device: torch.device) -> Iterator[ThreadPoolExecutor]:
    """Give `n_workers` threads for tasks that share nothing.

    Workers that end `arithmetic` in another order than they began it leave their number of threads to every thread
    that the process starts later; the caller's is put back at the end.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(n_workers(n_tasks, device)) as pool:
            yield pool
    finally:
        torch.set_num_threads(threads)


def chooses_bf16(config: TrainingConfig, device: torch.device) -> bool:
    """Return whether matrix products run in bfloat16; "auto" does where the processor has instructions for it."""
    if config.precision != "auto":
        return config.precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


@contextmanager
def arithmetic(config: TrainingConfig, device: torch.device) -> Iterator[None]:
    """Run the body with bfloat16 products where chosen; on a CPU with so many threads, and denormals flushed to zero.

    Denormals make small gradients and moments many times slower on a CPU and carry nothing. What is changed for the
    whole process is put back at the end.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    denormal = torch.tensor(5e-324, dtype=torch.float64)  # read as zero where they are flushed already
    flushed = device.type == "cpu" and bool(denormal + 0.0 > 0.0) and torch.set_flush_denormal(True)
    try:
        bf16 = chooses_bf16(config, device)
        # The cache is one for all threads, and it would go on with a weight's old value after an optimiser's step.
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16, cache_enabled=False):
            yield
    finally:
        torch.set_num_threads(threads)
        if flushed:
            torch.set_flush_denormal(False)
