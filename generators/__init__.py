"""Generators of tables: learn a table, draw new ones, score rows.

Example:
    >>> import pyarrow as pa
    >>> table = pa.table({"colour": ["red", "green", "blue"] * 40})
    >>> generator = TabularGenerator(generator_config("independent")).fit(table, seed=0)
    >>> generator.sample(5, seed=1).num_rows
    5
"""

from .base import LogDensity, TabularGenerator, TokenNats
from .baselines import IndependentConfig
from .conditions import Range
from .config import TrainingConfig
from .ddpm import DDPMConfig
from .flow_matching import FlowMatchingConfig
from .registry import KINDS, GeneratorConfig, generator_config
from .training import Progress
from .vae import VAEConfig, VAETraining
from .wgan_gp import WGANGPConfig, WGANGPTraining

__all__ = [
    "KINDS",
    "DDPMConfig",
    "FlowMatchingConfig",
    "GeneratorConfig",
    "IndependentConfig",
    "LogDensity",
    "Progress",
    "Range",
    "TabularGenerator",
    "TokenNats",
    "TrainingConfig",
    "VAEConfig",
    "VAETraining",
    "WGANGPConfig",
    "WGANGPTraining",
    "generator_config",
]
