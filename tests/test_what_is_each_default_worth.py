"""The benchmark of the defaults: what it changes exists and is no default, and what its table says."""

import importlib
from pathlib import Path

import pytest

from generators import generator_config
from pipeline.transform import TransformConfig

PATH = Path(__file__).parents[1] / "benchmarks" / "what_is_each_default_worth.py"


@pytest.fixture(scope="module")
def benchmark():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PATH.parent)
        yield importlib.import_module(PATH.stem)


def test_every_change_is_one_of_an_existing_setting_and_no_default(benchmark):
    parse_settings = importlib.import_module("how_close_to_real").parse_settings
    for kind, settings in benchmark.CHANGES.items():
        for setting in settings:
            parsed = parse_settings([setting])
            changed = generator_config(kind, **parsed["generator"]), TransformConfig(**parsed["transform"])
            assert changed != (generator_config(kind), TransformConfig()), (kind, setting)


def test_a_row_shows_the_mean_over_seeds_and_the_difference_from_the_default_of_the_same_seed(benchmark):
    def figures(auc, loss):
        plain = {"shape_error": 0.01, "trend_error": 0.02, "train_loss": 9.0, "steps": 10, "fit_s": 3.0}
        return plain | {"c2st_auc": auc, "held_out_loss": loss, "fingerprint": "a"}

    default = [figures(0.6, 10.0), figures(0.8, 12.0)]
    assert (
        benchmark.shown("vae", "adult", "", default, default)
        == "| vae | adult | as it comes | 0.700 |  | 1.00 | 2.00 | 11.000 |  | 2.00 | 10 | 3 |"
    )
    changed = benchmark.shown("vae", "adult", "a=1", [figures(0.61, 10.5), figures(0.83, 12.5)], default)
    assert changed.startswith(
        "| vae | adult | `a=1` | 0.720 | +0.020 ± 0.010 | 1.00 | 2.00 | 11.500 | +0.500 ± 0.000 |"
    )
