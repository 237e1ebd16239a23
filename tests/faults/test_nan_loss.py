"""Losses and gradients that are not finite, at any step of any family: no such weight is kept or published."""

import math
from dataclasses import replace
from datetime import date

import numpy as np
import pyarrow as pa
import pytest
import torch

import generators.base
from flows.settings import load_config
from flows.steps import run_steps
from generators import TabularGenerator
from generators.registry import generator_config
from pipeline.errors import TrainingError
from pipeline.ledger import Ledger
from pipeline.manifest import verify_release
from pipeline.publish import current
from tests.faults import nights

FAMILIES = ("vae", "wgan_gp", "ddpm", "flow_matching")
N_STEPS = 60
FIRST, MIDDLE, LAST = (0,), (N_STEPS // 2,), (N_STEPS - 1,)
FROM_THE_FIRST, FROM_THE_MIDDLE = tuple(range(N_STEPS)), tuple(range(N_STEPS // 2, N_STEPS))


class _PoisonedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, loss, poison):
        ctx.poison = poison
        return loss.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.poison, None


def poisoned(objective, steps, poison, *, gradient):
    """Return the objective with a loss, or gradients, that are not finite at these steps."""
    calls = 0

    def loss(batch, rng, progress):
        nonlocal calls
        step, calls = calls // objective.repeats, calls + 1
        found = objective.loss(batch, rng, progress)
        if step not in steps:
            return found
        return _PoisonedGradient.apply(found, poison) if gradient else found * poison

    return replace(objective, loss=loss)


@pytest.fixture
def inject(monkeypatch):
    """Make every model that is built from now on meet the poison."""
    build = generators.base.build

    def start(steps, poison, *, gradient=False):
        def build_poisoned(*args, **kwargs):
            model = build(*args, **kwargs)
            objectives = model.objectives
            model.objectives = lambda: tuple(poisoned(o, steps, poison, gradient=gradient) for o in objectives())
            return model

        monkeypatch.setattr(generators.base, "build", build_poisoned)

    return start


def fitted(kind):
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.choice(["a", "b"], 200), "y": rng.normal(size=200)})
    training = {"steps": N_STEPS, "n_validations": 10, "patience": 10, "device": "cpu"}
    return TabularGenerator(generator_config(kind, training=training, members=2 if kind == "wgan_gp" else 1)).fit(
        table, seed=0
    )


def assert_finite(generator):
    assert all(bool(tensor.isfinite().all()) for tensor in generator.fitted.model.state_dict().values())
    drawn = generator.sample(50, seed=1)
    assert bool(np.isfinite(drawn["y"].to_numpy()).all())


@pytest.mark.slow
@pytest.mark.parametrize(("poison", "gradient"), [(math.nan, False), (math.inf, True)])
@pytest.mark.parametrize("kind", FAMILIES)
def test_single_poisoned_steps_are_passed_over(kind, poison, gradient, inject):
    inject(FIRST + MIDDLE + LAST, poison, gradient=gradient)
    generator = fitted(kind)
    assert generator.history[-1].step == N_STEPS
    assert_finite(generator)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_lasting_poison_stops_with_the_best_finite_state_or_an_error(kind, inject):
    inject(FROM_THE_MIDDLE, math.nan)
    if kind == "wgan_gp":  # so few steps of a critic leave nothing that was judged better than the start
        with pytest.raises(TrainingError, match="must be finite"):
            fitted(kind)
        return
    generator = fitted(kind)
    assert "non-finite" in generator.history[-1].message
    assert generator.history[-1].step < N_STEPS
    assert_finite(generator)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAMILIES)
def test_poison_from_the_first_step_is_a_training_error(kind, inject):
    inject(FROM_THE_FIRST, math.inf, gradient=True)
    with pytest.raises(TrainingError, match="must be finite"):
        fitted(kind)


@pytest.mark.slow
def test_a_run_that_ends_in_a_training_error_leaves_the_last_release_current(tmp_path, inject):
    nights.write_job(tmp_path / "job")
    config = load_config(tmp_path / "job" / "tabmint.toml")
    first, second = map(date.fromisoformat, nights.DATES)
    run_steps(config, on=first)
    root = config.output.root
    before = current(root, "people")
    models = sorted(path.name for path in (root / "models" / "people").iterdir())
    inject(FROM_THE_FIRST, math.nan)
    with pytest.raises(TrainingError):
        run_steps(config, on=second, forced="refit")
    assert current(root, "people") == before
    assert verify_release(before).record.date == first
    assert Ledger(root, "people").entries()[-1].event == "failed"
    kept = [path.name for path in (root / "models" / "people").iterdir() if not path.name.endswith(".checkpoint")]
    assert sorted(kept) == models
