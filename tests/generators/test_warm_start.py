"""A fit that begins where an earlier one ended."""

import pyarrow as pa
import pytest

from generators import TabularGenerator, TrainingConfig, generator_config
from pipeline.errors import ConfigError, DataError, NotFittedError, SchemaError, UnsupportedError
from pipeline.inference import infer
from pipeline.source import fingerprint
from pipeline.transform import TransformConfig

from .broken import FLOW
from .checks import weights
from .tables import people, twins

ALONE = FLOW.model_copy(update={"members": 1, "training": TrainingConfig(steps=30, learning_rate=0.01)})


def fit(table, config=ALONE, **options):
    return TabularGenerator(config).fit(table, **options)


@pytest.fixture(scope="module")
def earlier():
    return fit(twins())


def with_training(**settings):
    return ALONE.model_copy(update={"training": TrainingConfig(**settings)})


def test_a_warm_start_begins_at_the_earlier_models_loss_and_goes_on(earlier):
    losses = [progress.validation_loss for progress in earlier.history]
    later = fit(twins(), warm_start=earlier)
    assert later.history[0].validation_loss == pytest.approx(min(losses), abs=1e-6)
    assert later.history[0].step == 0
    assert min(losses) < losses[0] - 0.1
    assert later.history[-1].validation_loss < min(losses) - 0.1


def test_a_warm_start_leaves_the_earlier_generator_alone(earlier):
    before = weights(earlier), fingerprint(earlier.sample(50)), earlier.describe()
    later = fit(twins(), warm_start=earlier)
    assert (weights(earlier), fingerprint(earlier.sample(50)), earlier.describe()) == before
    assert weights(later) != before[0]


def test_a_warm_start_may_be_loaded_saved_and_of_other_training(earlier, tmp_path):
    earlier.save(tmp_path / "earlier")
    config = with_training(steps=3, learning_rate=0.001, batch_size=20)
    later = fit(twins(), config, warm_start=TabularGenerator.load(tmp_path / "earlier"))
    assert later.history[-1].step == 3
    assert weights(later) == weights(fit(twins(), config, warm_start=earlier))
    later.save(tmp_path / "later")
    assert fingerprint(TabularGenerator.load(tmp_path / "later").sample(50)) == fingerprint(later.sample(50))


def test_new_rows_may_be_few_or_many_and_of_a_frame(earlier):
    assert fit(twins(60).to_pandas(), warm_start=earlier).sample(3).dtypes.equals(twins().to_pandas().dtypes)
    assert fit(twins(500), warm_start=earlier).sample(3).num_rows == 3


def test_a_generator_may_go_on_from_itself():
    generator = fit(twins())
    first = min(progress.validation_loss for progress in generator.history)
    assert generator.fit(twins(), warm_start=generator).history[0].validation_loss == pytest.approx(first, abs=1e-6)


def test_new_levels_are_read_as_rare_and_never_drawn(earlier):
    table = twins()
    moved = ["Atlantis" if i % 3 == 0 else level for i, level in enumerate(table["mother"].to_pylist())]
    later = fit(table.set_column(0, "mother", pa.array(moved)), warm_start=earlier)
    drawn = set(later.sample(500)["mother"].to_pylist())
    assert drawn == {"north", "east", "south", "west"}
    with pytest.raises(DataError, match="found 'Atlantis'"):
        later.sample(3, conditions={"mother": "Atlantis"})


def test_the_schema_is_the_earlier_ones_and_may_be_repeated(earlier):
    assert fit(twins(), warm_start=earlier).schema == earlier.schema
    assert fit(twins(), schema=earlier.schema, warm_start=earlier).schema == earlier.schema
    with pytest.raises(ConfigError, match=r"keeps the earlier model's schema; found another schema; leave the schema"):
        fit(people(), schema=infer(people()), warm_start=earlier)


def test_a_table_that_does_not_fit_the_earlier_schema_is_refused(earlier):
    with pytest.raises(SchemaError, match='"mother"'):
        fit(people(), warm_start=earlier)


@pytest.mark.parametrize("settings", [{"width": 24}, {"members": 2}, {"dropout": 0.1}])
def test_a_model_of_other_settings_is_no_start(earlier, settings):
    with pytest.raises(ConfigError, match="needs a model of the same settings"):
        fit(twins(), ALONE.model_copy(update=settings), warm_start=earlier)


def test_a_model_of_another_family_or_transform_is_no_start(earlier):
    for generator in (
        TabularGenerator(generator_config("independent")),
        TabularGenerator(ALONE, transform=TransformConfig(n_bins=7)),
    ):
        with pytest.raises(ConfigError, match="needs a model of the same settings"):
            generator.fit(twins(), warm_start=earlier)


def test_a_family_without_weights_has_no_warm_start():
    config = generator_config("independent")
    with pytest.raises(UnsupportedError, match="independent has nothing to start from"):
        fit(twins(), config, warm_start=fit(twins(), config))


def test_an_unfitted_generator_is_no_start():
    with pytest.raises(NotFittedError):
        fit(twins(), warm_start=TabularGenerator(ALONE))
