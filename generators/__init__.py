"""Generators of tables: learn a table, draw new ones, score rows.

Example:
    >>> import pyarrow as pa
    >>> table = pa.table({"colour": ["red", "green", "blue"] * 40})
    >>> generator = TabularGenerator(generator_config("independent")).fit(table, seed=0)
    >>> generator.sample(5, seed=1).num_rows
    5
"""

from .base import LogDensity, TabularGenerator
from .config import FlowMatchingConfig, GeneratorConfig, IndependentConfig, TrainingConfig
from .registry import KINDS, generator_config
from .training import Progress

__all__ = [
    "KINDS",
    "FlowMatchingConfig",
    "GeneratorConfig",
    "IndependentConfig",
    "LogDensity",
    "Progress",
    "TabularGenerator",
    "TrainingConfig",
    "generator_config",
]
