"""The contract of the generators, over the registry: `generators/checks.py` here, `generators/broken.py` against it."""

import inspect
import re
from pathlib import Path

import pytest

from generators import KINDS, FlowMatchingConfig, IndependentConfig, TrainingConfig
from tests.generators import checks
from tests.generators.broken import BROKEN, FLOW, IsDeafToASetting, flow
from tests.generators.checks import Family

FAMILIES = {
    "flow_matching": Family(
        FLOW,
        thorough=FlowMatchingConfig(
            width=32, depth=1, dropout=0.0, training=TrainingConfig(steps=150, n_validations=3, learning_rate=0.01)
        ),
    ),
    "independent": Family(IndependentConfig()),
}

THIRTY_STEPS = {"steps": 30, "n_validations": 3}


def training(**settings):
    return {"training": THIRTY_STEPS | settings}


# Every setting with two values that must lead to two outcomes, or the test that shows its effect.
SETTINGS = {
    "flow_matching": {
        "width": ({"width": 16}, {"width": 24}),
        "depth": ({"depth": 1}, {"depth": 2}),
        "dropout": ({"dropout": 0.0}, {"dropout": 0.5}),
        "ordered_share": ({"ordered_share": 0.0}, {"ordered_share": 1.0}),
        "value_width": ({"value_width": 16}, {"value_width": 24}),
        "value_steps": ({"value_steps": 1}, {"value_steps": 3}),
        "training.steps": (training(), training(steps=20)),
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
