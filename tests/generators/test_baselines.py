import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare, kstest

from generators import KINDS, TabularGenerator, generator_config
from generators.baselines import Bootstrap, Independent
from generators.given import Batch
from pipeline.encoded import Layout, TokenColumn
from pipeline.errors import ConfigError
from pipeline.inference import infer
from pipeline.transform import TableTransform

from .tables import binned_column, draw_rows, every_row, people, rng, token_column, twins

SKEWED = Layout((token_column("a", [700, 200, 100]), token_column("b", [10, 990])))


def test_the_independent_baseline_draws_the_train_frequencies():
    drawn = draw_rows(Independent(SKEWED), 20_000).tokens
    for place, column in enumerate(SKEWED.columns):
        counts = np.bincount(drawn[:, place], minlength=column.size)
        assert chisquare(counts, column.counts / column.counts.sum() * 20_000).pvalue > 0.001


def test_the_independent_baseline_knows_no_dependence():
    table = TabularGenerator(generator_config("independent")).fit(twins()).sample(5000)
    pairs = table.to_pandas().groupby(["mother", "child"]).size().unstack()
    assert pairs.shape == (4, 4)
    assert chi2_contingency(pairs).pvalue > 0.001


def test_the_independent_baseline_draws_positions_evenly():
    values = draw_rows(Independent(Layout((binned_column("x", 2),))), 5000).values
    assert kstest(values[:, 0], "uniform").pvalue > 0.001


def test_the_independent_baseline_never_draws_what_must_not_be_drawn():
    column = token_column("a", [5, 5, 990])
    column = TokenColumn("a", column.counts, np.array([True, True, False]), column.valued, column.coordinate)
    assert set(draw_rows(Independent(Layout((column,))), 500).tokens[:, 0]) == {0, 1}


def test_the_independent_density_is_the_product_of_the_frequencies():
    density = Independent(SKEWED).log_density(every_row(SKEWED), rng()).exp()
    assert density.tolist() == pytest.approx([0.007, 0.693, 0.002, 0.198, 0.001, 0.099])


def test_a_row_that_train_never_met_has_density_zero():
    layout = Layout((token_column("a", [10, 0]),))
    unmet = Batch(torch.tensor([[1]]), torch.empty(1, 0))
    assert Independent(layout).log_density(unmet, rng()).tolist() == [-torch.inf]


@pytest.fixture
def train_rows():
    table = people()
    return TableTransform.fit(table, infer(table)).encode(table)


def test_the_bootstrap_only_copies_rows(train_rows):
    drawn = draw_rows(Bootstrap(train_rows.layout, train_rows), 500)
    originals = {(*tokens, *values) for tokens, values in zip(train_rows.tokens, train_rows.values, strict=True)}
    copies = {(*tokens, *values) for tokens, values in zip(drawn.tokens, drawn.values, strict=True)}
    assert copies <= originals
    assert len(copies) > 0.8 * len(originals)


def test_the_bootstrap_copies_rows_that_agree_with_a_condition(train_rows):
    place = train_rows.layout.names.index("smoker")
    token = int(train_rows.tokens[0, place])
    assert set(draw_rows(Bootstrap(train_rows.layout, train_rows), 50, {place: (token, 0.5)}).tokens[:, place]) == {
        token
    }


def test_the_bootstrap_cannot_be_configured():
    assert "bootstrap" not in KINDS
    with pytest.raises(ConfigError, match=f"kinds are {', '.join(KINDS)}"):
        generator_config("bootstrap")
