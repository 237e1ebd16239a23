"""The optimiser's steps, the averages, and the rows that the objectives of a group are given."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from generators import TrainingConfig, minimiser
from generators.minimiser import Group, Judgement, Minimiser, permutation
from generators.model import Objective, without_progress

from .parabola import N_ROWS, QUICK, Parabola, equal, rows
from .tables import rng


def group_of(*objectives, config=QUICK, seed=0):
    return Group(list(objectives), rows(), config, config.batch_size, seed)


def recording(parameter, batches, **options):
    """Return an objective that notes the rows it is given and moves a parameter towards 1."""

    def loss(batch, rng, progress):
        batches.append(batch.tokens.flatten().tolist())
        return (parameter - 1).square().sum().expand(len(batch))

    return Objective("only", [parameter], loss, None, **options)


def test_only_matrices_decay():
    model = Parabola(lambda batch, rng: (0 * model.matrix.sum() + 0 * model.vector.sum()).expand(len(batch)))
    nn.init.ones_(model.matrix)
    nn.init.ones_(model.vector)
    minimiser = Minimiser(model.objectives()[0], TrainingConfig(weight_decay=0.5))
    minimiser.step(rows(), rng(), 0.1, 0, 8)
    assert model.matrix.flatten().tolist() == pytest.approx([0.95] * 4)
    assert model.vector.tolist() == [1.0] * 3


def test_averages_forget_fast_at_first_and_slowly_in_the_end():
    model = Parabola()
    minimiser = Minimiser(model.objectives()[0], TrainingConfig(ema_decay=0.3))
    expected = torch.zeros(3)
    for step in range(8):
        minimiser.step(rows(), rng(), 0.1, step, 8)
        decay = min(0.3, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * model.vector.detach()
    torch.testing.assert_close(minimiser.averaged[1], expected)


def test_swapping_twice_changes_nothing_and_once_exchanges():
    model = Parabola()
    minimiser = Minimiser(model.objectives()[0], QUICK)
    minimiser.step(rows(), rng(), 0.1, 0, 8)
    weights, averages = model.tensors(), [average.clone() for average in minimiser.averaged]
    minimiser.swap()
    assert equal(model.tensors(), averages)
    assert equal(minimiser.averaged, weights)
    minimiser.swap()
    assert equal(model.tensors(), weights)
    assert equal(minimiser.averaged, averages)


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_non_finite_step_leaves_weights_and_averages_alone(factor):
    model = Parabola()
    minimiser = Minimiser(model.objectives()[0], QUICK)
    minimiser.step(rows(), rng(), 0.1, 0, 8)
    before = model.tensors(), [average.clone() for average in minimiser.averaged]
    model.loss = lambda batch, rng: factor * model.distance(batch, rng)
    minimiser.objective = model.objectives()[0]
    assert not minimiser.step(rows(), rng(), 0.1, 1, 8)
    assert equal(model.tensors(), before[0])
    assert equal(minimiser.averaged, before[1])


def test_a_finite_loss_with_a_non_finite_gradient_is_skipped_too():
    model = Parabola(lambda batch, rng: model.vector.abs().sqrt().sum().expand(len(batch)))  # infinite slope at 0
    minimiser = Minimiser(model.objectives()[0], QUICK)
    assert not minimiser.step(rows(), rng(), 0.1, 0, 8)
    assert not model.vector.any()


@pytest.mark.parametrize("betas", [(0.0, 0.9), (0.5, 0.999)])
def test_the_betas_of_an_objective_reach_its_optimiser(betas):
    model = Parabola()
    objective = replace(model.objectives()[0], betas=betas)
    assert {group["betas"] for group in Minimiser(objective, QUICK).optimizer.param_groups} == {betas}


def test_a_loss_is_told_how_much_of_the_run_is_over():
    model, told = Parabola(), []

    def loss(batch, rng, progress):
        told.append(progress)
        return model.distance(batch, rng)

    judge = Minimiser(replace(model.objectives()[0], loss=loss), QUICK)
    for step in range(4):
        judge.step(rows(), rng(), 0.1, step, 4)
    assert told == [0.0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(("losses", "kept"), [([3.0, 1.0, 2.0], 1), ([3.0, 1.0, math.nan], 1), ([3.0, 2.0, 1.0], 2)])
def test_the_averages_of_the_lowest_loss_are_kept(losses, kept):
    model = Parabola()
    judge, averages = Minimiser(model.objectives()[0], QUICK), []
    for step, loss in enumerate(losses):
        judge.step(rows(), rng(), 0.1, step, 3)
        averages.append([average.clone() for average in judge.averaged])
        judge.judge(loss)
    judge.restore_best()
    assert equal(model.tensors(), averages[kept])
    assert judge.stalled == 2 - kept


def test_the_last_averages_are_kept_where_nothing_says_which_are_best():
    model = Parabola()
    unjudged = Minimiser(replace(model.objectives()[0], validation=None), QUICK)
    for step in range(3):
        unjudged.step(rows(), rng(), 0.1, step, 3)
    last = [average.clone() for average in unjudged.averaged]
    assert not equal(last, model.tensors())
    unjudged.restore_best()
    assert equal(model.tensors(), last)


def test_repeats_are_given_rows_of_their_own():
    critic_rows, generator_rows = [], []
    model = Parabola()
    critic = recording(model.matrix, critic_rows, repeats=5)
    group = group_of(critic, recording(model.vector, generator_rows))
    group.step(0, 10, 0.1)
    assert sorted(itertools.chain(*critic_rows)) == list(range(N_ROWS))  # five times eight rows are an epoch
    assert generator_rows == critic_rows[:1]
    group.step(1, 10, 0.1)
    assert critic_rows[5:] != critic_rows[:5]
    assert generator_rows[1] == critic_rows[1]


def test_the_seed_of_a_group_decides_its_rows():
    first, again, other = [], [], []
    for batches, seed in ((first, 0), (again, 0), (other, 1)):
        group_of(recording(nn.Parameter(torch.zeros(2)), batches), seed=seed).step(0, 10, 0.1)
    assert first == again != other


def test_objectives_of_a_group_read_each_others_new_weights():
    model, seen = Parabola(), []

    def watching(batch, rng, progress):
        seen.append(model.matrix.detach().clone())
        return (model.vector - 1).square().sum().expand(len(batch))

    group = group_of(recording(model.matrix, []), Objective("watches", [model.vector], watching, None))
    group.step(0, 10, 0.1)
    assert seen[0].abs().sum() > 0


@pytest.mark.parametrize("chunk", [3, 8_192])
def test_losses_are_means_over_rows_whatever_the_parts(chunk, monkeypatch):
    monkeypatch.setattr(minimiser, "VALIDATION_ROWS", chunk)
    model = Parabola(validation=lambda batch, rng: batch.tokens.flatten().float())
    group = group_of(*model.objectives())
    assert group.validate(rows(10), rows(4), 0) == Judgement(4.5, 1.5, True, {})
    assert group.validate(rows(10), rows(4), 0) == Judgement(4.5, 1.5, False, {})


def test_only_the_averages_are_judged_and_the_weights_come_back():
    model = Parabola()
    model.validation = lambda batch, rng: model.vector.sum().expand(len(batch))
    group = group_of(*model.objectives())
    group.step(0, 10, 0.1)
    weights, average = model.tensors(), group.minimisers[0].averaged[1].sum().item()
    assert group.validate(rows(10), rows(4), 0).held_out == pytest.approx(average)
    assert average != pytest.approx(weights[1].sum().item())
    assert equal(model.tensors(), weights)


def test_objectives_without_a_validation_are_neither_summed_nor_waited_for():
    model = Parabola()
    judged = Objective(
        "judged", [model.matrix], without_progress(model.distance), lambda batch, _: torch.ones(len(batch))
    )
    group = group_of(judged, recording(model.vector, []))
    assert group.validate(rows(10), rows(4), 0) == Judgement(1.0, 1.0, True, {})
    assert not group.stalled(1)
    group.validate(rows(10), rows(4), 0)
    assert group.stalled(1)
    assert not group.stalled(2)


def test_a_group_that_nothing_judges_never_stalls():
    group = group_of(recording(nn.Parameter(torch.zeros(2)), []))
    assert group.validate(rows(10), rows(4), 0) == Judgement(0, 0, False, {})
    assert not group.stalled(1)


def test_steps_that_are_not_finite_are_counted_until_one_is():
    model, factor = Parabola(), [math.nan]
    model.loss = lambda batch, rng: factor[0] * model.distance(batch, rng)
    group = group_of(*model.objectives())
    for step in range(3):
        group.step(step, 10, 0.1)
    assert group.skipped == 3
    factor[0] = 1.0
    group.step(3, 10, 0.1)
    assert group.skipped == 0


def test_a_permutation_is_of_all_rows_and_its_seeds_own():
    first, again, other = (permutation(rows(), seed).tolist() for seed in (0, 0, 1))
    assert sorted(first) == list(range(N_ROWS))
    assert first == again != other
