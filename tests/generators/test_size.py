"""Every family on many columns and on a column of many levels: it learns, draws and scores within bounded memory."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from generators import TabularGenerator, TrainingConfig, VAETraining, WGANGPTraining, generator_config

FAMILIES = ("flow_matching", "ddpm", "vae", "wgan_gp")
TRAINING = {"vae": VAETraining, "wgan_gp": WGANGPTraining}
LIMIT_MB = 2_500
MANY_LEVELS = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT_MB} << 20, {LIMIT_MB} << 20))
import numpy as np, pyarrow as pa
from generators import TabularGenerator
from pipeline.columns import Categorical, Integer
from pipeline.schema import Schema
from tests.generators.test_size import quick

kind = sys.argv[1]
codes = np.random.default_rng(0).permutation(np.repeat(np.arange(10_000), 6))
table = pa.table({{"level": [f"level-{{code}}" for code in codes], "x": codes % 7, "y": codes % 3}})
numbers = [Integer(name=name, arrow="int64") for name in "xy"]
schema = Schema(columns=(Categorical(name="level", arrow="string"), *numbers))
generator = TabularGenerator(quick(kind)).fit(table, schema, seed=0)
drawn = generator.sample(20_000, seed=0)
assert len(set(drawn["level"].to_pylist())) > 5_000, "most levels are drawn"
generator.sample(2_000, seed=0, conditions={{"x": 3}})
if kind != "wgan_gp":
    assert np.isfinite(generator.log_density(table.slice(0, 4_000), seed=0).values).all()
"""


def quick(kind):
    """A family with its own sizes, for a few steps."""
    training = TRAINING.get(kind, TrainingConfig)(steps=3, n_validations=1, warmup_steps=1)
    return generator_config(kind, members=1, training=training)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_ten_thousand_levels_are_learned_drawn_and_scored_in_bounded_memory(kind):
    done = subprocess.run([sys.executable, "-c", MANY_LEVELS, kind], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_a_table_of_120_columns_is_learned_and_drawn(kind):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(1_000, 80)).round(3)
    table = pd.DataFrame(numbers, columns=[f"n{i}" for i in range(80)])
    for i in range(40):
        table[f"c{i}"] = np.array(list("abcde"))[rng.integers(0, 5, 1_000)]
    generator = TabularGenerator(quick(kind)).fit(table, seed=0)
    drawn = generator.sample(500, seed=0)
    assert drawn.dtypes.equals(table.dtypes)
    assert (drawn["c7"].isin(list("abcde"))).all()
    assert drawn["n3"].between(table["n3"].min(), table["n3"].max()).all()
