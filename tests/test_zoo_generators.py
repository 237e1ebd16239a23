"""Every hard table goes all the way through a generator, or is refused with words that name the column or the rule."""

import pytest

from generators import TabularGenerator, generator_config
from pipeline.checks import check_table
from pipeline.errors import DataError, InputError
from tests import zoo

CONFIG = generator_config("flow_matching", width=16, depth=1, value_width=16, training={"steps": 3})

# Its schema fits, but no value is carried by enough rows to be reproduced.
PROTECTED = {zoo.mostly_missing: '"rarely"'}
REFUSED = {
    zoo.one_row: "at least 20 rows",
    zoo.no_rows: "needs rows and columns",
    zoo.no_columns: "needs rows and columns",
    zoo.nested: '"list".*"struct"',
    zoo.binary: '"photo"',
    zoo.time_of_day: '"opens"',
    zoo.uint64_above_int64: '"hash"',
    zoo.wide_decimal: '"amount"',
    zoo.repeated_names: '"x" more than once',
}


REFUSED_CASES = list(REFUSED.items())


def name(value):
    return value.__name__ if callable(value) else None


def test_the_whole_zoo_is_expected():
    assert set(REFUSED) == set(zoo.REFUSED)
    assert set(PROTECTED) <= set(zoo.ACCEPTED)


@pytest.mark.parametrize("build", [build for build in zoo.ACCEPTED if build not in PROTECTED], ids=name)
def test_a_hard_table_is_learned_and_drawn(build):
    generator = TabularGenerator(CONFIG).fit(build(), seed=0)
    table = generator.sample(50, seed=1)
    assert table.num_rows == 50
    assert table.schema.equals(generator.schema.arrow(), check_metadata=True)
    check_table(table, generator.schema)


@pytest.mark.parametrize(("build", "words"), PROTECTED.items(), ids=name)
def test_a_table_whose_every_value_is_protected_is_refused_by_column(build, words):
    with pytest.raises(DataError, match=words):
        TabularGenerator(CONFIG).fit(build())


@pytest.mark.parametrize(("build", "words"), REFUSED_CASES, ids=name)
def test_a_table_that_cannot_be_learned_is_refused_by_column_or_rule(build, words):
    with pytest.raises(InputError, match=words):
        TabularGenerator(CONFIG).fit(build())
