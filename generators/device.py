"""Where and how precisely the arithmetic runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

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
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=chooses_bf16(config, device)):
            yield
    finally:
        torch.set_num_threads(threads)
        if flushed:
            torch.set_flush_denormal(False)
