import itertools
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from generators import TrainingConfig, training
from generators.checkpoint import load_state, save_state
from generators.mixture import Mixture
from generators.model import Objective, without_progress
from generators.training import (
    MOST_CELLS,
    MOST_SKIPPED,
    Progress,
    Trainer,
    auto_batch_size,
    auto_steps,
    finish,
    learning_rate,
    round_down,
    train,
)
from pipeline.errors import ArtifactError, TrainingError

from .parabola import N_ROWS, QUICK, Parabola, equal, rows
from .tables import rng


def run(model, config=QUICK, seed=0, **options):
    return list(train(model, rows(), rows(10), config, seed=seed, **options))


class Clock:
    """A clock that only the objective moves, so that budgets are tested without waiting."""

    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: self.now))

    def slow(self, model, seconds):
        """Make every step of a model take some seconds."""

        def loss(batch, rng):
            self.now += seconds
            return model.distance(batch, rng)

        model.loss = loss
        return model

    def finishing(self, model, rounds, seconds, diagnostics_s=0.0):
        """Make each round of finishing a model, which moves its weights, and its diagnostics take some seconds."""
        model.rounds_done = []  # of copies, too

        def finish(rng):
            self.now += seconds
            model.rounds_done.append(torch.rand(1, generator=rng))

        def diagnostics(held_out, rng):
            self.now += diagnostics_s
            return {"n": len(held_out)}

        model.finishing_rounds, model.finish, model.diagnostics = rounds, finish, diagnostics
        return model


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_the_rate_warms_up_in_a_line_and_falls_along_a_cosine_to_zero():
    config = TrainingConfig(learning_rate=2.0, warmup_steps=10)
    rates = [learning_rate(step, 210, config) for step in range(211)]
    assert rates[:10] == pytest.approx([0.2 * (step + 1) for step in range(10)])
    assert rates[10] == max(rates) == 2.0
    assert rates[110] == pytest.approx(1.0)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[210] == pytest.approx(0.0, abs=1e-12)


def test_the_warm_up_is_at_most_a_tenth_of_the_plan():
    config = TrainingConfig(learning_rate=1.0, warmup_steps=100)
    assert learning_rate(1, 20, config) == 1.0
    assert learning_rate(0, 1, config) == 1.0
    assert learning_rate(50, 2000, config) == pytest.approx(0.51)


def test_the_plan_follows_from_the_rows():
    sizes = [auto_batch_size(n, 15) for n in (20, 100, 5_000, 50_000, 5_000_000)]
    assert sizes == sorted(sizes)
    assert all(size & (size - 1) == 0 for size in sizes)  # powers of two
    tables = (20, 32), (40, 32), (50_000, 1024), (500_000, 1024)
    steps = [auto_steps(n, batch_size, TrainingConfig()) for n, batch_size in tables]
    assert steps[0] == steps[1] < steps[2] < steps[3]


def test_a_batch_of_many_columns_has_fewer_rows_but_32_at_least():
    sizes = [auto_batch_size(500_000, n_columns) for n_columns in (2, 20, 21, 100, 640, 5_000)]
    assert sizes == [1024, 1024, 512, 128, 32, 32]
    assert all(
        size * n_columns <= MOST_CELLS for size, n_columns in zip(sizes[:-1], (2, 20, 21, 100, 640), strict=True)
    )


@pytest.mark.parametrize(
    ("epochs", "least", "n_steps"), [(1, 200, 200), (40, 200, 200), (50, 200, 250), (50.5, 200, 252), (1, 70, 70)]
)
def test_the_plan_is_so_many_epochs_and_has_the_least_steps(epochs, least, n_steps):
    config = QUICK.model_copy(update={"steps": None, "epochs": epochs, "least_steps": least, "n_validations": 1})
    history = run(Parabola(), config)  # five steps are an epoch
    assert history[-1].step == history[-1].n_steps == n_steps
    assert history[-1].epoch == n_steps / 5


@pytest.mark.parametrize("steps", [26.0, 100.0, 1000.0, 4096.0])
def test_a_cut_plan_is_coarse_and_never_longer(steps):
    assert steps / 2 ** (1 / 8) - 1 <= round_down(steps) <= steps
    assert round_down(0.5) == 1


def test_training_is_validated_at_the_start_and_at_each_interval_and_finds_the_minimum():
    model = Parabola()
    history = run(model, QUICK.model_copy(update={"steps": 200}))
    assert [progress.step for progress in history] == [0, 50, 100, 150, 200]
    assert {progress.n_steps for progress in history} == {200}
    assert [progress.epoch for progress in history] == pytest.approx([0, 10, 20, 30, 40])
    assert history[0].validation_loss == pytest.approx(7.0, abs=0.05)
    assert history[-1].validation_loss < 0.05
    assert [progress.best for progress in history[:3]] == [True] * 3


def test_a_last_interval_that_is_cut_short_is_validated_too():
    assert [p.step for p in run(Parabola(), QUICK.model_copy(update={"steps": 11, "n_validations": 3}))] == [
        0, 3, 6, 9, 11,
    ]  # fmt: skip


def test_the_same_seed_gives_the_same_weights_and_another_seed_others():
    first, again, other = (Parabola() for _ in range(3))
    for model, seed in ((first, 0), (again, 0), (other, 1)):
        model.loss = lambda batch, rng, model=model: model.distance(batch, rng) * batch.values.squeeze(1).square()
        run(model, seed=seed)
    assert equal(first.tensors(), again.tensors())
    assert not equal(first.tensors(), other.tensors())


def test_the_model_ends_with_its_best_averaged_weights_and_not_with_its_last():
    losses = iter([5.0, 1.0, 2.0, 3.0, 4.0])
    model = Parabola()
    averages = []

    def validation(batch, rng):
        if len(batch) == 10 and len(averages) % 2 == 0:  # the held-out rows come first, then as many train rows
            averages.append(model.tensors())
            return torch.full((10,), next(losses))
        averages.append(None)
        return torch.zeros(len(batch))

    model.validation = validation
    history = run(model)
    assert [progress.best for progress in history] == [True, True, False, False, False]
    assert equal(model.tensors(), averages[2])


def test_each_epoch_is_a_permutation_of_the_rows():
    seen = []
    model = Parabola()

    def loss(batch, rng):
        seen.extend(batch.tokens.flatten().tolist())
        return model.distance(batch, rng)

    model.loss = loss
    run(model)
    epochs = [seen[i : i + N_ROWS] for i in range(0, len(seen), N_ROWS)]
    assert len(epochs) == 4
    assert all(sorted(epoch) == list(range(N_ROWS)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_objectives_are_minimised_in_their_order_as_often_as_they_say():
    calls = []
    model = Parabola()

    def objective(name, parameter, repeats):
        def loss(batch, rng):
            calls.append(name)
            return (parameter - 1).square().sum().expand(len(batch))

        def validation(batch, rng):
            return (parameter - 1).square().sum().expand(len(batch))

        return Objective(name, [parameter], without_progress(loss), validation, repeats)

    critic, generator = objective("critic", model.matrix, 3), objective("generator", model.vector, 1)
    model.objectives = lambda: (critic, generator)
    history = run(model, QUICK.model_copy(update={"steps": 2}))
    assert calls == ["critic"] * 3 + ["generator"] + ["critic"] * 3 + ["generator"]
    assert history[0].validation_loss == pytest.approx(7.0)  # the sum over the objectives


def nan_at(model, bad_steps):
    """Make the loss of the given steps NaN."""
    steps = itertools.count()

    def loss(batch, rng):
        return model.distance(batch, rng) * (math.nan if next(steps) in bad_steps else 1.0)

    model.loss = loss
    return model


def test_a_few_non_finite_steps_are_skipped_and_training_goes_on():
    history = run(nan_at(Parabola(), range(30, 30 + MOST_SKIPPED - 1)), QUICK.model_copy(update={"steps": 300}))
    assert history[-1].step == 300
    assert history[-1].validation_loss < 0.05
    assert not any(progress.message for progress in history)


def test_lasting_non_finite_losses_end_with_the_best_state_so_far():
    model = nan_at(Parabola(), range(60, 1000))
    history = run(model, QUICK.model_copy(update={"steps": 400, "n_validations": 20}))
    assert history[-1].step == 60 + MOST_SKIPPED
    assert history[-1].message == "stopped on non-finite losses with the best state so far"
    best = min(progress.validation_loss for progress in history)
    assert model.distance(rows(10), rng()).mean().item() == pytest.approx(best, abs=0.02)


def test_losses_that_were_never_finite_are_an_error_with_a_remedy():
    with pytest.raises(TrainingError, match=r"must be finite.*lower learning_rate"):
        run(nan_at(Parabola(), range(1000)), QUICK.model_copy(update={"steps": 400}))


def test_a_run_without_improvement_stops_early():
    losses = itertools.chain([3.0, 1.0], itertools.repeat(2.0))
    model = Parabola(validation=lambda batch, rng: torch.full((len(batch),), next(losses) if is_held_out(batch) else 0))
    held_out = rows(10)
    is_held_out = lambda batch: torch.equal(batch.tokens, held_out.tokens)  # noqa: E731
    config = QUICK.model_copy(update={"steps": 400, "n_validations": 40, "patience": 3})
    history = run(model, config)
    assert [progress.step for progress in history] == [0, 10, 20, 30, 40]
    assert history[-1].message == "stopped early: held-out rows stopped improving"


def test_a_run_stops_early_only_when_every_objective_has_stalled():
    model = Parabola()
    falling, constant = itertools.count(0, -1), itertools.repeat(1)

    def objective(name, parameter, losses):
        return Objective(
            name,
            [parameter],
            lambda batch, rng, progress: parameter.square().sum().expand(len(batch)),
            lambda batch, rng: torch.full((len(batch),), float(next(losses))),
        )

    model.objectives = lambda: (
        objective("learns", model.matrix, falling),
        objective("stalls", model.vector, constant),
    )
    history = run(model, QUICK.model_copy(update={"patience": 1}))
    assert history[-1].step == 20
    assert not history[-1].message


def test_the_plan_is_cut_to_the_budget_and_says_so(clock):
    history = run(clock.slow(Parabola(), 0.01), QUICK.model_copy(update={"steps": None}), budget_s=1.0)
    # 25 steps took 0.25 s, and 0.84 s may be spent: 84 steps, rounded down to a power of 2 ** (1 / 8).
    assert history[0].n_steps == auto_steps(N_ROWS, 8, QUICK) > 82
    assert {p.n_steps for p in history if p.step > 25} == {82}
    assert [p.message for p in history if p.message] == ["plan cut to 82 steps to fit the time budget"]
    assert history[-1].step == 82
    assert history[-1].elapsed_s == pytest.approx(0.82)


def test_a_generous_budget_changes_nothing(clock):
    free, watched = Parabola(), clock.slow(Parabola(), 0.01)
    config = QUICK.model_copy(update={"steps": None})
    assert [p.validation_loss for p in run(free, config)] == [
        p.validation_loss for p in run(watched, config, budget_s=60)
    ]
    assert equal(free.tensors(), watched.tensors())


def test_recorded_steps_are_not_cut_but_the_budget_ends_them(clock):
    history = run(clock.slow(Parabola(), 0.01), QUICK.model_copy(update={"steps": 500}), budget_s=1.0)
    assert {progress.n_steps for progress in history} == {500}
    assert history[-1].message == "stopped at the time budget with the best state so far"
    assert 0.9 < history[-1].elapsed_s < 1.0


def test_a_budget_that_is_over_at_once_still_leaves_a_whole_model(clock):
    model = clock.slow(Parabola(), 10.0)
    history = run(model, budget_s=1.0)
    assert [progress.step for progress in history] == [0, 1]
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_time_is_left_for_what_finishes_a_model(clock):
    model = clock.finishing(clock.slow(Parabola(), 0.1), 3, 2.0, diagnostics_s=1.0)
    config, started = QUICK.model_copy(update={"steps": None}), clock.now
    history = run(model, config, budget_s=20.0)
    # A round and the diagnostics were rehearsed in 3 s, 12 steps took 1.2 s, and 7 s of 16.8 s are left for the end.
    assert history[-1].step == history[-1].n_steps == round_down(12 + 56)
    assert finish(model, rows(10), config, seed=0) == {"n": 10}
    assert len(model.rounds_done) == 1 + 3
    assert len(set(model.rounds_done[1:])) == 3  # one generator for all rounds
    assert clock.now - started < 20


def test_recorded_steps_end_before_the_time_that_finishing_takes(clock):
    model = clock.finishing(clock.slow(Parabola(), 0.1), 3, 2.0)
    history = run(model, QUICK.model_copy(update={"steps": 500}), budget_s=20.0)
    assert history[-1].message == "stopped at the time budget with the best state so far"
    assert 12.3 < history[-1].elapsed_s < 12.6  # of 18.4 s


def test_finishing_is_rehearsed_on_a_copy_and_only_under_a_budget(clock):
    class Moves(Parabola):
        finishing_rounds = 2

        def finish(self, rng):
            rehearsed.append(self)
            self.vector.add_(torch.rand(3, generator=rng))

    rehearsed, free, watched = [], Moves(), clock.slow(Moves(), 0.01)
    config = QUICK.model_copy(update={"steps": None})
    run(free, config)
    assert not rehearsed
    run(watched, config, budget_s=60)
    assert len(rehearsed) == 1
    assert equal(free.tensors(), watched.tensors())


def test_members_that_are_given_up_are_not_finished_either(clock, monkeypatch):
    monkeypatch.setattr(training, "n_workers", lambda n_tasks, device: 1)
    model = Mixture([clock.finishing(clock.slow(Parabola(), 1.0), 2, 5.0) for _ in range(6)])
    trainer = Trainer(model, rows(), rows(10), QUICK.model_copy(update={"steps": None}), 0, 1_000.0, None)
    list(trainer.run())
    assert 1 < len(model.members) < 6
    assert trainer.ending_s == pytest.approx(2 * 5.0 * len(model.members))


def logging(model, numbers):
    """Let a model log numbers, which are drawn with the generator that it is given."""
    (objective,) = model.objectives()

    def logged(held_out, rng):
        assert len(held_out) == 10
        return {name: number + torch.rand(1, generator=rng).item() for name, number in numbers.items()}

    model.objectives = lambda: (replace(objective, logged=logged),)
    return model


def test_every_validation_logs_what_objectives_tell_and_training_is_the_same():
    silent, told = Parabola(), logging(Parabola(), {"distance": 3.0})
    plain, logged = run(silent), run(told)
    assert {progress.logged["distance"] for progress in logged} == {logged[0].logged["distance"]}  # the same draws
    assert 3 < logged[0].logged["distance"] < 4
    assert [replace(progress, elapsed_s=0, logged={}) for progress in logged] == [
        replace(progress, elapsed_s=0) for progress in plain
    ]
    assert equal(silent.tensors(), told.tensors())


def test_members_log_their_mean():
    mixture = Mixture([logging(Parabola(), {"distance": number}) for number in (1.0, 4.0)])
    assert 2.5 < run(mixture)[0].logged["distance"] < 3.5


def test_a_progress_comes_back_from_json_with_what_was_logged():
    progress = Progress(1, 2, 0.5, math.nan, 0.1, True, 1.0, "so", {"distance": 0.1, "other": math.inf})
    plain = json.loads(json.dumps(progress.to_json(), allow_nan=False))
    assert plain["logged"] == {"distance": 0.1, "other": None}
    found = Progress.from_json(plain)
    assert found.logged["distance"] == 0.1
    assert math.isnan(found.logged["other"]) and math.isnan(found.train_loss)
    assert replace(found, train_loss=0, logged={}) == replace(progress, train_loss=0, logged={})
    del plain["logged"]  # as in a model that was saved before
    assert Progress.from_json(plain).logged == {}


def test_a_resumed_run_remembers_what_was_logged(tmp_path):
    path = tmp_path / "run.safetensors"
    before = stop_after(logging(Parabola(), {"distance": 3.0}), 3, QUICK, path)
    after = run(logging(Parabola(), {"distance": 3.0}), checkpoint=path)
    assert after[:3] == before
    assert all(progress.logged for progress in after)


def stop_after(model, n_progresses, config, path, seed=0):
    """Train until so many validations are done, as an interrupt would."""
    return list(itertools.islice(train(model, rows(), rows(10), config, seed=seed, checkpoint=path), n_progresses))


@pytest.mark.parametrize("n_progresses", [1, 3, 5])
def test_a_resumed_run_ends_with_the_same_bytes(n_progresses, tmp_path):
    path = tmp_path / "run.safetensors"
    whole, cut, resumed = Parabola(), Parabola(), Parabola()
    history = run(whole)
    before = stop_after(cut, n_progresses, QUICK, path)
    after = run(resumed, checkpoint=path)
    assert [(p.step, p.validation_loss) for p in after] == [(p.step, p.validation_loss) for p in history]
    assert after[:n_progresses] == before, "what was done is not done again"
    assert equal(resumed.tensors(), whole.tensors())


def test_a_checkpoint_holds_everything_that_resuming_needs(tmp_path):
    path = tmp_path / "run.safetensors"
    stop_after(Parabola(), 3, QUICK, path)
    tensors, state = load_state(path)
    per_parameter = {"weights", "averaged", "best", "adam"}
    assert {name.split("/")[1] for name in tensors if name.startswith("only/")} == per_parameter
    assert "rng/0" in tensors
    assert state["step"] == 10
    assert len(state["history"]) == 3
    loaded = Trainer(Parabola(), rows(), rows(10), QUICK, 0, None, path)
    loaded._resume()
    found = loaded._minimisers()[0].tensors()
    assert found.keys() == tensors.keys() - {"rng/0"}
    assert all(torch.equal(found[name], tensors[name]) for name in found)


def test_a_model_that_nothing_judges_is_trained_to_the_end_of_the_plan(tmp_path):
    model = Parabola()
    model.validation = None
    history = run(model, QUICK.model_copy(update={"steps": 200, "patience": 1}))
    assert history[-1].step == 200
    assert not any(progress.best or progress.message for progress in history)
    assert model.distance(rows(10), rng()).mean().item() < 0.05  # the last weights are kept


def test_the_time_before_an_interrupt_counts(clock, tmp_path):
    path = tmp_path / "run.safetensors"
    stop_after(clock.slow(Parabola(), 0.01), 3, QUICK, path)
    clock.now += 3600
    assert run(clock.slow(Parabola(), 0.01), checkpoint=path)[-1].elapsed_s == pytest.approx(0.2)


def test_a_run_of_another_seed_is_not_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    stop_after(Parabola(), 2, QUICK, path)
    with pytest.raises(ArtifactError, match=r"it began with.*delete run\.safetensors"):
        run(Parabola(), seed=1, checkpoint=path)


@pytest.mark.parametrize("settings", [{"steps": 30}, {"learning_rate": 0.01}])
def test_a_run_of_other_settings_is_not_resumed(settings, tmp_path):
    path = tmp_path / "run.safetensors"
    stop_after(Parabola(), 2, QUICK, path)
    with pytest.raises(ArtifactError, match=r"it began with.*delete run\.safetensors"):
        run(Parabola(), QUICK.model_copy(update=settings), checkpoint=path)


def test_a_run_of_another_model_is_not_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    stop_after(Parabola(), 2, QUICK, path)
    wider = Parabola()
    wider.vector = nn.Parameter(torch.zeros(4))
    with pytest.raises(ArtifactError, match=r"it began with.*delete run\.safetensors"):
        run(wider, checkpoint=path)


def test_a_run_of_another_number_of_rows_is_not_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    stop_after(Parabola(), 2, QUICK, path)
    with pytest.raises(ArtifactError, match=r"it began with.*delete run\.safetensors"):
        list(train(Parabola(), rows(N_ROWS + 1), rows(10), QUICK, seed=0, checkpoint=path))


def test_a_file_that_is_no_checkpoint_is_not_resumed(tmp_path):
    path = tmp_path / "run.safetensors"
    save_state(path, {"weights": torch.zeros(2)}, {"step": 3})
    with pytest.raises(ArtifactError, match=r"it began with.*delete run\.safetensors"):
        run(Parabola(), checkpoint=path)


def six_slow_members(clock, monkeypatch):
    """Six members on one core; each step of each takes a second."""
    monkeypatch.setattr(training, "n_workers", lambda n_tasks, device: 1)
    return Mixture([clock.slow(Parabola(), 1.0) for _ in range(6)])


@pytest.mark.parametrize(
    ("budget_s", "n_members", "n_steps"),
    [
        (10_000, 6, 200),
        (1_200, 6, 165),  # a quarter of the steps may go
        (1_050, 5, 165),  # before a member does
        (320, 1, 200),
        (150, 1, 64),
    ],
)
def test_a_short_budget_costs_members_first_and_then_steps(budget_s, n_members, n_steps, clock, monkeypatch):
    model = six_slow_members(clock, monkeypatch)
    history = run(model, QUICK.model_copy(update={"steps": None}), budget_s=budget_s)
    assert len(model.members) == n_members
    assert history[-1].step == history[-1].n_steps == n_steps
    assert history[-1].elapsed_s <= budget_s
    messages = [progress.message for progress in history if progress.message]
    assert bool(messages) is ((n_members, n_steps) != (6, 200))
    assert all((f"of {n_members} of 6 members" in message) is (n_members < 6) for message in messages)


def test_a_run_that_was_cut_to_few_members_resumes_with_these(clock, monkeypatch, tmp_path):
    config = QUICK.model_copy(update={"steps": None})
    path = tmp_path / "run.safetensors"
    whole = six_slow_members(clock, monkeypatch)
    run(whole, config, budget_s=750)
    cut, resumed = six_slow_members(clock, monkeypatch), six_slow_members(clock, monkeypatch)
    before = []
    for progress in train(cut, rows(), rows(10), config, seed=0, budget_s=750, checkpoint=path):
        before.append(progress)
        if progress.step > 60:
            break
    history = run(resumed, config, budget_s=750, checkpoint=path)
    assert history[: len(before)] == before
    assert len(resumed.members) == len(whole.members) == 3
    assert equal(list(resumed.parameters()), list(whole.parameters()))
