"""The contract of the generators, over the registry: `generators/checks.py` here, `generators/broken.py` against it."""

import inspect
import re
from pathlib import Path

import pytest

from generators import (
    KINDS,
    DDPMConfig,
    FlowMatchingConfig,
    IndependentConfig,
    TrainingConfig,
    VAEConfig,
    VAETraining,
    WGANGPConfig,
    WGANGPTraining,
)
from tests.generators import checks
from tests.generators.broken import BROKEN, FLOW, IsDeafToASetting, flow
from tests.generators.checks import Family

FAMILIES = {
    "flow_matching": Family(
        FLOW,
        thorough=FlowMatchingConfig(
            members=2,
            width=32,
            depth=1,
            dropout=0.0,
            training=TrainingConfig(steps=150, n_validations=3, learning_rate=0.01),
        ),
    ),
    "ddpm": Family(
        DDPMConfig(width=16, depth=1, value_width=16, training=TrainingConfig(steps=6)),
        thorough=DDPMConfig(
            width=32, depth=1, dropout=0.0, training=TrainingConfig(steps=150, n_validations=3, learning_rate=0.01)
        ),
    ),
    "vae": Family(
        VAEConfig(members=2, latent_size=4, width=16, depth=1, prior_depth=2, training=VAETraining(steps=6)),
        thorough=VAEConfig(
            members=2,
            latent_size=4,
            width=32,
            depth=1,
            dropout=0.0,
            training=VAETraining(steps=250, n_validations=3, learning_rate=0.01),
        ),
    ),
    "wgan_gp": Family(
        WGANGPConfig(
            members=2, width=16, critic_width=16, critic_depth=1, training=WGANGPTraining(steps=6, n_validations=3)
        ),
        thorough=WGANGPConfig(
            members=1,
            width=32,
            critic_width=64,
            condition_share=0.8,
            training=WGANGPTraining(steps=400, batch_size=128, n_validations=3, learning_rate=0.003),
        ),
        finishing=0.03,  # the drawn marginals are moved to those of train
    ),
    "independent": Family(IndependentConfig()),
}

THIRTY_STEPS = {"steps": 30, "n_validations": 3}


def training(**settings):
    return {"training": THIRTY_STEPS | settings}


# Every setting with two values that must lead to two outcomes, or the test that shows its effect.
TRAINED = {
    "training.steps": (training(), training(steps=20)),
    "training.epochs": "generators/test_training.py::test_the_plan_is_so_many_epochs_and_has_the_least_steps",
    "training.least_steps": "generators/test_training.py::test_the_plan_is_so_many_epochs_and_has_the_least_steps",
    "training.batch_size": (training(), training(batch_size=50)),
    "training.learning_rate": (training(), training(learning_rate=0.01)),
    "training.warmup_steps": (training(), training(warmup_steps=1)),
    "training.weight_decay": (training(), training(weight_decay=0.9)),
    "training.clip_norm": (training(), training(clip_norm=0.001)),
    "training.ema_decay": (training(), training(ema_decay=0.1)),
    "training.validation_fraction": (training(), training(validation_fraction=0.4)),
    "training.n_validations": (training(), training(n_validations=5)),
    "training.precision": (training(precision="fp32"), training(precision="bf16")),
    "training.patience": "generators/test_training.py::test_a_run_without_improvement_stops_early",
    "training.threads": "generators/test_device.py::test_products_run_on_so_many_threads_and_only_inside",
    "training.device": "generators/test_device.py::test_the_device_is_the_one_asked_for",
    "members": ({"members": 1}, {"members": 2}),
}

SETTINGS = {
    "flow_matching": {
        "width": ({"width": 16}, {"width": 24}),
        "depth": ({"depth": 1}, {"depth": 2}),
        "dropout": ({"dropout": 0.0}, {"dropout": 0.5}),
        "ordered_share": ({"ordered_share": 0.0}, {"ordered_share": 1.0}),
        "missing": ({"missing": "level"}, {"missing": "unobserved"}),
        "value_width": ({"value_width": 16}, {"value_width": 24}),
        "condition_share": ({"condition_share": 0.0}, {"condition_share": 0.5}),
        "value_steps": ({"value_steps": 1}, {"value_steps": 3}),
        "value_times": ({"value_times": "uniform"}, {"value_times": "logit_normal"}),
        "value_solver": ({"value_solver": "euler"}, {"value_solver": "rk4"}),
        "value_tolerance": (
            {"value_solver": "dopri5", "value_tolerance": 0.5},
            {"value_solver": "dopri5", "value_tolerance": 1e-4},
        ),
        "value_noise": (
            {"value_solver": "euler", "value_noise": 0.0},
            {"value_solver": "euler", "value_noise": 1.0},
        ),
        **TRAINED,
    },
    "ddpm": {
        "width": ({"width": 16}, {"width": 24}),
        "depth": ({"depth": 1}, {"depth": 2}),
        "dropout": ({"dropout": 0.0}, {"dropout": 0.5}),
        "ordered_share": ({"ordered_share": 0.0}, {"ordered_share": 1.0}),
        "missing": ({"missing": "level"}, {"missing": "unobserved"}),
        "value_width": ({"value_width": 16}, {"value_width": 24}),
        "timesteps": ({"timesteps": 100}, {"timesteps": 1000}),
        "schedule": ({"schedule": "linear"}, {"schedule": "cosine"}),
        "prediction": ({"prediction": "epsilon"}, {"prediction": "v"}),
        "time_sampling": ({"time_sampling": "stratified"}, {"time_sampling": "learned"}),
        "condition_share": ({"condition_share": 0.0}, {"condition_share": 0.5}),
        "sampler": ({"sampler": "ancestral"}, {"sampler": "dpm_solver"}),
        "sampler_steps": ({"sampler_steps": 2}, {"sampler_steps": 4}),
        "eta": ({"sampler": "ddim", "eta": 0.0}, {"sampler": "ddim", "eta": 1.0}),
        **TRAINED,
    },
    "vae": {
        "latent_size": ({"latent_size": 4}, {"latent_size": 6}),
        "width": ({"width": 16}, {"width": 24}),
        "depth": ({"depth": 1}, {"depth": 2}),
        "decoder_depth": ({"decoder_depth": 1}, {"decoder_depth": 2}),
        "dropout": ({"dropout": 0.0}, {"dropout": 0.5}),
        "beta": ({"beta": 1.0}, {"beta": 0.1}),
        "annealed_share": ({"annealed_share": 0.0}, {"annealed_share": 0.9}),
        "free_bits": ({"free_bits": 0.0}, {"free_bits": 1.0}),
        "cell_dropout": ({"cell_dropout": 0.0}, {"cell_dropout": 0.5}),
        "ordered_share": ({"ordered_share": 0.0}, {"ordered_share": 1.0}),
        "prior": ({"prior": "flow"}, {"prior": "normal"}),
        "prior_depth": ({"prior_depth": 1}, {"prior_depth": 2}),
        "n_components": ({"n_components": 1}, {"n_components": 3}),
        "importance_samples": "generators/test_vae.py::test_the_bound_tightens_towards_the_truth",
        **TRAINED,
    },
    "wgan_gp": {
        "width": ({"width": 16}, {"width": 24}),
        "depth": ({"depth": 1}, {"depth": 2}),
        "critic_width": ({"critic_width": 16}, {"critic_width": 24}),
        "critic_depth": ({"critic_depth": 0}, {"critic_depth": 1}),
        "n_critic": ({"n_critic": 1}, {"n_critic": 2}),
        "pack": ({"pack": 1}, {"pack": 3}),
        "penalty": ({"penalty": "two_sided"}, {"penalty": "one_sided"}),
        "penalty_weight": ({"penalty_weight": None}, {"penalty_weight": 10.0}),
        "temperature": ({"temperature": 1.0}, {"temperature": 2.0}),
        "final_temperature": ({"final_temperature": 0.2}, {"final_temperature": 1.0}),
        "condition_share": ({"condition_share": 0.0}, {"condition_share": 1.0}),
        **TRAINED,
    },
    "independent": {},
}


def run(check, family, request, **options):
    """Run a check with the fixtures that it names."""
    names = [name for name in list(inspect.signature(check).parameters)[1:] if name not in options]
    check(family, **{name: request.getfixturevalue(name) for name in names}, **options)


CASES = [
    pytest.param(check, family, id=f"{kind}-{check.__name__.removeprefix('check_')}")
    for kind, family in FAMILIES.items()
    for check in checks.checks_of(family)
]


def test_every_kind_of_the_registry_is_under_contract():
    assert tuple(FAMILIES) == tuple(SETTINGS) == KINDS
    assert all(family.config.kind == kind for kind, family in FAMILIES.items())


@pytest.mark.parametrize(("check", "family"), CASES)
def test_a_family_keeps_the_contract(check, family, request):
    run(check, family, request)


@pytest.mark.parametrize(
    ("check", "family", "words"),
    [
        pytest.param(check, family, words, id=f"{check.__name__.removeprefix('check_')}-{words.replace(' ', '_')}")
        for check, family, words in BROKEN
    ],
)
def test_a_broken_generator_fails_its_check(check, family, words, request):
    with pytest.raises((AssertionError, pytest.fail.Exception), match=words):
        run(check, family, request)


def test_every_check_has_something_broken_that_fails_it():
    own = {check for check in vars(checks).values() if getattr(check, "__module__", "") == checks.__name__}
    written = {check for check in own if check.__name__.startswith("check_")} - {checks.check_a_setting_matters}
    run_by_capability = {*checks.FOR_ALL, *checks.FOR_TRAINED, *checks.FOR_LEARNERS_OF_DEPENDENCE}
    assert {check for check, _, _ in BROKEN} == run_by_capability == written


def settings_of(config, prefix=""):
    for name, value in config:
        if isinstance(value, TrainingConfig):
            yield from settings_of(value, f"{name}.")
        elif name != "kind":
            yield prefix + name


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_is_shown_to_matter(kind):
    assert set(SETTINGS[kind]) == set(settings_of(FAMILIES[kind].config))
    elsewhere = [place for place in SETTINGS[kind].values() if isinstance(place, str)]
    for path, name in (place.split("::") for place in elsewhere):
        assert re.search(rf"^def {name}\(", (Path(__file__).parent / path).read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("kind", "setting"),
    [(kind, name) for kind in KINDS for name, values in SETTINGS[kind].items() if not isinstance(values, str)],
)
def test_no_setting_is_dead(kind, setting):
    checks.check_a_setting_matters(FAMILIES[kind], SETTINGS[kind][setting])


def test_a_dead_setting_fails_its_check():
    with pytest.raises(AssertionError, match="give the same outcome"):
        checks.check_a_setting_matters(flow(IsDeafToASetting), SETTINGS["flow_matching"]["value_steps"])
