"""Losses along the time of a process, beside those of a network that learned nothing."""

import math

import numpy as np
import pytest
import torch

from generators import DDPMConfig, FlowMatchingConfig, TrainingConfig
from generators.given import UNOBSERVED, Batch
from generators.loss_curve import N_STRATA, loss_curve, strata
from generators.mixture import Mixture
from generators.tokens_then_values import MOST_ROWS_BY_TIME
from generators.training import train
from generators.value_diffusion import error_of_v
from pipeline.encoded import Layout

from .tables import binned_column, encoded_rows, normal_pair, rng, token_column, token_layout

PLAIN = {"width": 16, "depth": 1, "value_width": 32, "dropout": 0.0, "condition_share": 0.0}
TWO_BINS = Layout((binned_column("x", 1), binned_column("y", 1)))
CONFIGS = {
    "flow_matching": FlowMatchingConfig(**PLAIN),
    **{prediction: DDPMConfig(**PLAIN, prediction=prediction) for prediction in ("epsilon", "data", "v")},
}


def built(config, layout):
    return config.build(layout, 100, rng()).eval()


def fitted(config, layout, batch, *, steps):
    model = built(config, layout)
    settings = TrainingConfig(steps=steps, n_validations=4, learning_rate=0.01, precision="fp32")
    list(train(model, batch, batch.take(torch.arange(200)), settings, seed=0))
    return model.eval()


def independent(n=4000):
    """Rows whose values are those of the base measure, for which a fresh network is right."""
    return Batch(torch.zeros(n, 2, dtype=torch.long), torch.rand(n, 2, generator=rng(3)))


def curves(model, batch):
    """Return the curves over all rows of a batch; diagnostics take the first thousand."""
    random = rng()
    with torch.no_grad():
        return [part.loss_by_time(batch, random) for part in (model.tokens, model.values) if part is not None]


def series(curve, name):
    return [point[name] for point in curve["points"]]


@pytest.mark.parametrize("n", [1, 2, N_STRATA, N_STRATA + 1, 33, 1000])
def test_strata_are_all_numbers_once_in_parts_of_near_equal_size(n):
    found = strata(n)
    assert [number for stratum in found for number in stratum] == list(range(n))
    assert len(found) == min(n, N_STRATA)
    assert max(map(len, found)) - min(map(len, found)) <= 1


def test_losses_that_do_not_count_are_not_in_the_mean():
    loss, counts = torch.tensor([[1.0, 3.0]] * 30), torch.tensor([[True, False]] * 20 + [[False, False]] * 10)
    curve = loss_curve("Error", "time", [0.25], lambda _: (loss, 2 * loss, counts))
    assert curve == {"title": "Error", "unit": "time", "points": [{"x": 0.25, "loss": 1.0, "untrained": 2.0}]}


def test_a_stratum_of_few_rows_is_left_out_however_many_cells_they_have():
    def losses(stratum):
        counts = torch.arange(30).unsqueeze(1).expand(-1, 50) < (20, 19, 0)[stratum]
        return counts * 1.0, counts * 1.0, counts

    assert [point["x"] for point in loss_curve("Error", "time", [0.0, 0.3, 0.6], losses)["points"]] == [0.0]


def test_means_are_too_coarse_to_compute_a_value_from():
    loss = torch.rand(500, 1, generator=rng())
    (point,) = loss_curve("Error", "time", [0.0], lambda _: (loss, loss / 1000, loss >= 0))["points"]
    assert point["loss"] == round(loss.mean().item(), 3)
    assert point["untrained"] == round(loss.mean().item() / 1000, 6)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_an_untrained_network_has_the_loss_of_one_that_learned_nothing_whatever_the_data_are(config):
    for batch in (independent(), Batch(torch.zeros(50, 2, dtype=torch.long), torch.full((50, 2), 0.999))):
        _, values = curves(built(config, TWO_BINS), batch)
        assert len(values["points"]) == N_STRATA
        assert series(values, "loss") == pytest.approx(series(values, "untrained"), rel=0.01)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_network_that_learned_is_below_where_noise_and_data_are_mixed_and_hardly_above_anywhere(config):
    batch = Batch(torch.zeros(4000, 2, dtype=torch.long), torch.from_numpy(normal_pair(4000)).float())
    _, values = curves(fitted(config, TWO_BINS, batch, steps=300), batch)
    gain = 1 - np.array(series(values, "loss")) / np.array(series(values, "untrained"))
    assert gain.min() > -0.1 and gain.max() > 0.2
    assert 0 < gain.argmax() < N_STRATA - 1


def test_of_normal_data_a_velocity_lacks_what_no_network_could_know():
    _, values = curves(built(CONFIGS["flow_matching"], TWO_BINS), independent(40_000))
    t = np.linspace(0, 1, 16_001)
    exact = [(1 / (part**2 + (1 - part) ** 2)).mean() for part in np.split(t[:-1], N_STRATA)]
    assert series(values, "untrained") == pytest.approx(exact, rel=0.03)
    assert series(values, "x") == [i / N_STRATA for i in range(N_STRATA)]


@pytest.mark.parametrize("prediction", ["epsilon", "data", "v"])
def test_of_normal_data_a_prediction_lacks_the_share_of_it_that_is_not_in_the_state(prediction):
    model = built(CONFIGS[prediction], TWO_BINS)
    _, values = curves(model, independent(40_000))
    lacking = error_of_v(model.schedule, prediction)
    exact = [lacking[stratum.start : stratum.stop].mean().item() for stratum in strata(1000)]
    assert series(values, "untrained") == pytest.approx(exact, rel=0.03, abs=1e-4)


def test_diagnostics_take_the_curves_of_the_first_rows():
    model, batch = built(CONFIGS["flow_matching"], TWO_BINS), independent(MOST_ROWS_BY_TIME + 500)
    first = batch.take(torch.arange(MOST_ROWS_BY_TIME))
    _, values = model.diagnostics(batch, rng())["loss_by_time"]
    assert values == curves(model, first)[1] != curves(model, batch)[1]


def test_steps_of_diffusion_begin_at_one():
    _, values = curves(built(CONFIGS["epsilon"], TWO_BINS), independent(50))
    assert series(values, "x") == [i * 1000 // N_STRATA + (i * 1000 % N_STRATA > 0) + 1 for i in range(N_STRATA)]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_cells_without_a_value_do_not_count(config):
    layout = Layout((binned_column("x", 1), binned_column("y", 1, n_categories=1)))
    some = torch.stack([torch.zeros(4000), torch.arange(4000) % 10 == 0], dim=1).long()
    whole, part = (
        curves(built(config, layout), Batch(tokens, independent().values))[1]
        for tokens in (torch.tensor([[0, 1]]).expand(4000, 2), some)
    )
    assert series(part, "untrained") == pytest.approx(series(whole, "untrained"), rel=0.15)
    nowhere = Layout((binned_column("x", 1, n_categories=1), binned_column("y", 1, n_categories=1)))
    assert curves(built(config, nowhere), independent())[1]["points"] == []


@pytest.mark.parametrize("config", [CONFIGS["flow_matching"], CONFIGS["epsilon"]], ids=["flow_matching", "ddpm"])
def test_nothing_is_dropped_out(config):
    model = built(config.model_copy(update={"dropout": 0.9}), TWO_BINS)
    seen = []
    for part in (model.tokens, model.values):
        part.trunk.register_forward_hook(lambda trunk, args, output: seen.append(args[1]))
    curves(model, independent(50))
    assert set(seen) == {None} and len(seen) > N_STRATA


@pytest.mark.parametrize("config", [CONFIGS["flow_matching"], CONFIGS["epsilon"]], ids=["flow_matching", "ddpm"])
def test_known_cells_are_worth_what_they_tell(config):
    twins = torch.arange(2000).unsqueeze(1).expand(-1, 2) % 4
    batch = Batch(twins, torch.empty(2000, 0))
    (tokens,) = curves(fitted(config, token_layout(4, 4), batch, steps=150), batch)
    assert series(tokens, "x") == [0, 0.5]
    assert series(tokens, "loss") == pytest.approx([math.log(4), 0.0], abs=0.1)
    assert series(tokens, "untrained") == pytest.approx([math.log(4)] * 2, abs=0.005)


def test_an_untrained_network_has_the_nats_of_the_marginals_whatever_is_known():
    shares = np.array([0.7, 0.2, 0.1])
    layout = Layout((token_column("a", shares * 1000), token_column("b", [500, 500])))
    draw = np.random.default_rng(0)
    rows = np.stack([draw.choice(3, 4000, p=shares), draw.integers(0, 2, 4000)], axis=1)
    (tokens,) = curves(built(CONFIGS["flow_matching"], layout), Batch.of(encoded_rows(layout, rows)))
    mean = (-(shares * np.log(shares)).sum() + math.log(2)) / 2
    assert series(tokens, "untrained") == pytest.approx([mean] * 2, abs=0.03)
    assert series(tokens, "loss") == pytest.approx(series(tokens, "untrained"), abs=0.05)


def test_wide_tables_have_strata_of_shares():
    layout = token_layout(*[2] * 40)
    batch = Batch(torch.randint(0, 2, (100, 40), generator=rng()), torch.empty(100, 0))
    (tokens,) = curves(built(CONFIGS["flow_matching"], layout), batch)
    assert series(tokens, "x") == [stratum.start / 40 for stratum in strata(40)]


def test_cells_that_are_not_observed_are_not_hidden():
    layout = token_layout(4, 2)
    rows = torch.stack([torch.arange(400) % 4, torch.full((400,), UNOBSERVED)], dim=1)
    (tokens,) = curves(built(CONFIGS["flow_matching"], layout), Batch(rows, torch.empty(400, 0)))
    assert series(tokens, "untrained") == pytest.approx([math.log(4)] * 2, abs=0.005)


def test_a_mixture_has_the_curves_of_each_member():
    models = [
        built(CONFIGS["flow_matching"], TWO_BINS),
        fitted(CONFIGS["flow_matching"], TWO_BINS, independent(), steps=4),
    ]
    members = Mixture(models).diagnostics(independent(), rng())["members"]
    assert [[len(curve["points"]) for curve in member["loss_by_time"]] for member in members] == [[2, N_STRATA]] * 2
