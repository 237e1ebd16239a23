"""Odd rows: what a score is made of, what values that train did not have count, and how often a threshold is wrong."""

import math

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy.stats import beta

from generators import TabularGenerator, generator_config
from generators.anomaly import AnomalyScorer, threshold_of
from generators.mixture import Mixture
from generators.model import Batch
from generators.odd_cells import log_widths, read_rows
from pipeline.codecs.numeric import NumericCodec
from pipeline.columns import Boolean, Continuous, Integer
from pipeline.constraints import FixedCombinations, Inequality
from pipeline.errors import ConfigError, DataError, NotFittedError, SchemaError, UnsupportedError
from pipeline.inference import infer
from pipeline.schema import Schema

from .tables import every_row, people, token_layout, twins

QUICK = {
    "flow_matching": {"width": 16, "value_width": 8, "depth": 1, "members": 2, "training": {"steps": 6}},
    "ddpm": {"width": 16, "value_width": 8, "depth": 1, "members": 1, "training": {"steps": 6}},
    "vae": {"width": 16, "latent_size": 2, "members": 2, "importance_samples": 3, "training": {"steps": 6}},
    "independent": {},
}


def quick(kind, table=None, schema=None):
    return TabularGenerator(generator_config(kind, **QUICK[kind])).fit(people() if table is None else table, schema)


@pytest.fixture(scope="module", params=QUICK)
def fitted(request):
    return quick(request.param)


def inside(scores):
    return scores.n_outside == 0


def test_scores_are_the_log_density_and_contributions_sum_up_to_them(fitted):
    scorer, table = AnomalyScorer(fitted), people()
    scores, terms, density = (
        scorer.score(table, seed=3),
        scorer.contributions(table, seed=3),
        fitted.log_density(table, seed=3),
    )
    assert list(terms) == list(scorer.terms) and scores.kind == density.kind
    assert terms.sum(axis=1).to_numpy() == pytest.approx(scores.nats, abs=1e-9)
    ordinary = inside(scores)
    assert 0.5 < ordinary.mean() < 1  # the planted text and the extremes of each number are protected
    assert scores.nats[ordinary] == pytest.approx(-density.values[ordinary], abs=1e-3)


def test_conditionals_are_distributions_over_the_tokens_of_each_column(fitted):
    model, layout = fitted.fitted.model, fitted.fitted.transform.layout
    batch = Batch.of(fitted.fitted.transform.encode(people().slice(0, 12)))
    columns = model.conditionals(batch, torch.Generator().manual_seed(0))
    assert [logs.shape for logs in columns] == [(12, size) for size in layout.sizes]
    for logs in columns:
        assert logs.double().exp().sum(1).numpy() == pytest.approx(1.0, abs=1e-4)


def test_the_last_column_of_the_order_has_the_same_surprise_in_the_chain_and_given_all_others():
    generator = TabularGenerator(generator_config("flow_matching", **QUICK["flow_matching"] | {"members": 1}))
    generator.fit(people())
    scorer, last = AnomalyScorer(generator), generator.fitted.model.tokens.order[-1]
    chain, context = scorer.contributions(people()), scorer.surprise(people())
    assert chain.iloc[:, last].to_numpy() == pytest.approx(context.iloc[:, last].to_numpy(), abs=1e-4)
    assert not np.allclose(chain.iloc[:, generator.fitted.model.tokens.order[0]], context.iloc[:, 0])


def test_a_members_share_is_between_nothing_and_the_log_of_their_number():
    share = AnomalyScorer(quick("flow_matching")).contributions(people())["choice of member"]
    assert share.between(-1e-4, math.log(2) + 1e-4).all() and share.max() > 1e-3


def test_a_mixtures_conditional_is_the_mean_of_its_members():
    generator = quick("flow_matching", twins())
    model, rows = generator.fitted.model, every_row(generator.fitted.transform.layout)
    assert isinstance(model, Mixture)
    rng = torch.Generator()
    both = torch.stack([member.conditionals(rows, rng)[0].exp() for member in model._models()])
    assert torch.allclose(model.conditionals(rows, rng)[0].exp(), both.mean(0), atol=1e-6)


def test_a_vaes_conditionals_of_many_samples_are_those_of_its_own_joint_density(monkeypatch):
    """Two columns: p(second | first) from the bounds of all rows, which many samples make tight."""
    monkeypatch.setattr("generators.vae.MOST_CONDITIONAL_SAMPLES", 400)
    config = generator_config("vae", **QUICK["vae"] | {"members": 1, "importance_samples": 400})
    generator = TabularGenerator(config).fit(twins())
    model, rows = generator.fitted.model, every_row(token_layout(*generator.fitted.transform.layout.sizes))
    joint = (
        model.log_density(rows, torch.Generator().manual_seed(0)).exp().reshape(generator.fitted.transform.layout.sizes)
    )
    given_first = (joint / joint.sum(1, keepdim=True)).reshape(-1)
    found = model.conditionals(rows, torch.Generator().manual_seed(1))[1].exp().gather(1, rows.tokens[:, 1:]).squeeze(1)
    assert found.numpy() == pytest.approx(given_first.numpy(), rel=0.1)


def odd_people():
    """Return rows of which each but the first holds one value that train does not have."""
    base = people().slice(3, 1)
    rows = [base] * 6
    changes = [
        ("age", 900), ("income", 5e9), ("city", "Atlantis"), ("income", float("nan")), ("age", None),
    ]  # fmt: skip
    for i, (name, value) in enumerate(changes, start=1):
        place = base.column_names.index(name)
        rows[i] = base.set_column(place, name, pa.array([value], base[name].type))
    return pa.concat_tables(rows)


def test_what_train_did_not_have_scores_as_odd_and_does_not_crash(fitted):
    scores = AnomalyScorer(fitted).score(odd_people())
    assert scores.n_outside.tolist() == [0, 1, 1, 1, 1, 1]
    assert np.isfinite(scores.nats).all()
    terms = AnomalyScorer(fitted).contributions(odd_people())
    cells = [("age", 1), ("income", 2), ("city", 3), ("income", 4), ("age", 5)]
    for name, row in cells:
        assert terms[name][row] >= math.log(200 / 5) - 1e-9
    assert terms["age"][1] >= math.log(200 / 5) + math.log(1 + 800 / 42)


def test_the_farther_out_the_odder_by_the_log_of_the_distance():
    scorer = AnomalyScorer(quick("independent"))
    ages = [70, 100, 1_000, 10_000]
    base = people().slice(3, 1)
    rows = pa.concat_tables([base.set_column(1, "age", pa.array([age], pa.int64())) for age in ages])
    nats = scorer.score(rows).nats
    distance = read_rows(scorer.transform, rows).distance[:, 0]
    assert distance.tolist() == sorted(distance) and 0 < distance[0] < 1 < distance[1] + 0.5
    assert nats - nats[0] == pytest.approx(np.log1p(distance) - math.log1p(distance[0]))


def test_columns_that_are_not_modelled_may_be_absent_and_other_columns_may_be_there():
    scorer = AnomalyScorer(quick("independent"))
    some = people().drop_columns(["person", "note"]).append_column("comment", pa.array(["x"] * 200))
    assert scorer.score(some).nats == pytest.approx(scorer.score(people()).nats)
    with pytest.raises(SchemaError, match='no "city"'):
        scorer.score(some.drop_columns(["city"]))
    frame = people().to_pandas()
    assert scorer.score(frame).nats == pytest.approx(scorer.score(people()).nats)


def test_what_a_model_holds_for_impossible_counts_as_what_too_few_rows_have():
    table = pa.table({"smoker": [False] * 100, "age": list(range(20, 30)) * 10})
    schema = Schema(columns=(Boolean(name="smoker", arrow="bool"), Integer(name="age", arrow="int64")))
    scorer = AnomalyScorer(quick("independent", table, schema))
    odd = pa.table({"smoker": [True], "age": [25]})
    assert scorer.contributions(odd)["smoker"].tolist() == [pytest.approx(math.log(100 / 5))]
    assert scorer.worst_cell(odd).tolist() == [pytest.approx(math.log(100 / 5))]


def test_a_missing_cell_counts_what_train_had_of_them():
    table = people()
    nats = AnomalyScorer(quick("independent")).contributions(table)["city"].to_numpy()
    gaps = table["city"].is_null().to_numpy()
    assert nats[gaps] == pytest.approx(-math.log(gaps.mean()))


def test_missing_cells_that_are_not_learned_count_nothing_and_are_told_to_no_other_cell():
    config = generator_config("flow_matching", **QUICK["flow_matching"] | {"missing": "unobserved"})
    scorer = AnomalyScorer(TabularGenerator(config).fit(people()))
    gap = np.flatnonzero(people()["city"].is_null().to_numpy())[:1].tolist()
    row = people().take(gap)
    terms, surprise = scorer.contributions(row), scorer.surprise(row)
    assert terms["city"][0] == surprise["city"][0] == 0 and surprise["age"][0] > 0
    assert scorer.reasons(row, 9)[0][-1].chance == pytest.approx(1.0)


def test_rows_that_break_a_constraint_are_odd():
    rng = np.random.default_rng(0)
    low, city = rng.integers(0, 20, 300), rng.integers(0, 2, 300)
    table = pa.table(
        {
            "low": low,
            "high": low + rng.integers(0, 10, 300),
            "city": np.array(["Oslo", "Rome"])[city],
            "country": np.array(["no", "it"])[city],
        }
    )
    rules = (Inequality(columns=("low", "high")), FixedCombinations(columns=("city", "country")))
    schema = infer(table).model_copy(update={"constraints": rules})
    scorer = AnomalyScorer(quick("independent", table, schema))
    broken = pa.table({"low": [5, 5, 5], "high": [7, 1, 7], "city": ["Oslo"] * 3, "country": ["no", "no", "it"]})
    assert scorer.score(broken).n_outside.tolist() == [0, 1, 1]
    why = scorer.reasons(broken, 1)
    assert (why[1][0].column, why[2][0].column, why[2][0].value) == (
        "high above low", "city, country", "a combination too rare",
    )  # fmt: skip
    assert any("Oslo, no" in str(reason) for reason in scorer.reasons(broken, 3)[0])


@pytest.fixture(scope="module")
def learned_twins():
    settings = {
        "width": 32,
        "depth": 1,
        "dropout": 0.0,
        "members": 1,
        "training": {"steps": 150, "learning_rate": 0.01},
    }
    return AnomalyScorer(TabularGenerator(generator_config("flow_matching", **settings)).fit(twins()))


def test_a_broken_pair_is_told_by_both_cells_with_what_was_to_be_expected(learned_twins):
    rows = pa.table({"mother": ["north", "north"], "child": ["north", "west"]})
    nats, surprise = learned_twins.score(rows).nats, learned_twins.surprise(rows)
    assert nats[1] > nats[0] + 2
    assert (surprise.iloc[0] < 0.5).all() and (surprise.iloc[1] > 2).all()
    mother, child = sorted(learned_twins.reasons(rows, 2)[1], key=lambda reason: reason.column, reverse=True)
    assert (mother.value, mother.likeliest) == ("north", "west") and (child.value, child.likeliest) == ("west", "north")
    assert child.chance < 0.1 and "would be north" in str(child)
    first = learned_twins.reasons(rows, 1)[0]
    assert len(first) == 1 and first[0].chance == pytest.approx(1.0, abs=0.1)
    with pytest.raises(ConfigError):
        learned_twins.reasons(rows, 0)


def test_the_worst_cell_decides_by_the_first_reason(learned_twins):
    rows = pa.table({"mother": ["north", "north", "pole"], "child": ["north", "west", "north"]})
    worst, reasons = learned_twins.worst_cell(rows), learned_twins.reasons(rows, 1)
    assert np.exp(-worst) == pytest.approx([why[0].chance for why in reasons])
    assert worst[0] < 0.2 < 2 < worst[1] and worst[2] >= math.log(200 / 5) - 1e-9


def test_a_family_without_a_density_refuses_by_name():
    gan = generator_config("wgan_gp", width=8, critic_width=8, members=1, training={"steps": 2})
    with pytest.raises(UnsupportedError, match=r"WGANGP|wgan_gp"):
        AnomalyScorer(TabularGenerator(gan).fit(twins()))
    with pytest.raises(NotFittedError):
        AnomalyScorer(TabularGenerator(gan))


def test_on_the_axis_the_density_is_that_of_the_numbers_themselves():
    """An exponential law: per quantile all places are alike, on the axis they differ by the law's own density."""
    numbers = np.random.default_rng(0).exponential(1.0, 20_000)
    table = pa.table({"x": numbers})
    generator = quick("independent", table)
    at = pa.table({"x": [0.1, 0.5, 1.0, 2.0, 3.0]})
    flat, on_axis = (AnomalyScorer(generator, per=per).score(at).nats for per in ("quantile", "axis"))
    assert np.ptp(flat) < 0.1
    assert on_axis - on_axis[0] == pytest.approx(np.array([0.0, 0.4, 0.9, 1.9, 2.9]), abs=0.2)


def test_widths_of_repeated_numbers_are_those_of_their_gaps():
    codec = NumericCodec.fit(Integer(name="n", arrow="int64"), pa.array([0, 1, 2, 3, 103] * 9), protect=5)
    logs = log_widths(codec)
    assert np.exp(logs[1] - logs[0]) == pytest.approx(1.0) and np.exp(logs[4] - logs[1]) == pytest.approx(100.0)
    assert np.average(logs[:5], weights=codec.vocabulary.counts[:5]) == pytest.approx(0.0)
    beside = pa.array([-1.0] * 50 + (np.arange(100) / 100).tolist())  # a repeated number below all bins
    logs = log_widths(NumericCodec.fit(Continuous(name="n", arrow="float64", decimals=2), beside, protect=5))
    assert logs[0] == logs[:-1].max() and np.ptp(logs[:-1]) < math.log(1000)
    alone = NumericCodec.fit(Continuous(name="n", arrow="float64"), pa.array([1e308] * 9), protect=5)
    assert np.isfinite(log_widths(alone)).all()


def test_extreme_numbers_are_read_without_overflow():
    table = pa.table({"x": np.random.default_rng(0).normal(size=300) * 1e307})
    found = read_rows(quick("independent", table).fitted.transform, pa.table({"x": [1.7e308, -1.7e308, 0.0]}))
    assert found.outside[:, 0].tolist() == [True, True, False] and np.isfinite(found.distance).all()


@pytest.mark.parametrize(("n", "share", "n_alarms"), [(99, 0.01, 0), (999, 0.01, 9), (1000, 0.05, 49), (19, 0.05, 0)])
def test_a_threshold_lets_through_what_it_was_asked_for(n, share, n_alarms):
    found = threshold_of(np.random.default_rng(0).permutation(n).astype(float), share)
    assert found.n_alarms == n_alarms == int(found.flags(np.arange(n)).sum())
    assert (found.n_alarms + 1) / (n + 1) <= share


def test_new_ordinary_rows_raise_alarms_as_often_as_promised_and_the_interval_holds_the_rate():
    """With uniform scores the true rate above a threshold is 1 - threshold."""
    rng = np.random.default_rng(1)
    found = [threshold_of(rng.random(300), 0.05) for _ in range(500)]
    rates = np.array([1 - one.nats for one in found])
    assert rates.mean() == pytest.approx(15 / 301, abs=0.002)
    held = np.mean(
        [low <= rate <= high for rate, (low, high) in zip(rates, (one.interval for one in found), strict=True)]
    )
    assert 0.93 < held < 0.99
    assert rates.std() == pytest.approx(beta(15, 286).std(), rel=0.1)


def test_ties_raise_no_more_alarms_than_asked_for():
    found = threshold_of(np.repeat([1.0, 2.0], [960, 40]), 0.01)
    assert found.nats == 2.0 and found.n_alarms == 0


@pytest.mark.parametrize("share", [0.0, 1.0, -1, math.nan])
def test_a_share_of_alarms_is_one(share):
    with pytest.raises(ConfigError, match="between 0 and 1"):
        threshold_of(np.arange(10.0), share)


def test_too_few_reference_rows_are_refused_with_their_number():
    with pytest.raises(DataError, match="needs 99 reference rows; found 98"):
        threshold_of(np.arange(98.0), 0.01)


def test_scores_do_not_depend_on_the_rows_around_them():
    scorer = AnomalyScorer(quick("flow_matching"))
    together = scorer.score(people()).nats
    assert scorer.score(people().slice(50, 3)).nats == pytest.approx(together[50:53], abs=1e-3)
    frame = scorer.surprise(pd.concat([people().to_pandas()] * 2, ignore_index=True))
    assert frame.iloc[:200].to_numpy() == pytest.approx(frame.iloc[200:].to_numpy(), abs=1e-4)
