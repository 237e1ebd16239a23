"""A mixture draws equal shares of its members, and trains them as if each were alone."""

import itertools
import math
import threading

import numpy as np
import pytest
import torch

from generators import TabularGenerator, device
from generators.given import Given
from generators.mixture import Mixture
from generators.model import Model
from generators.training import MOST_SKIPPED, train
from pipeline.errors import UnsupportedError
from pipeline.source import fingerprint

from .broken import FLOW
from .checks import weights
from .parabola import QUICK, Parabola, equal, rows
from .tables import draw_rows, encoded_rows, every_row, people, rng, token_layout


class Stamp(Model):
    """It draws its own number in every row and notes what it was asked."""

    guided = True
    density_kind = "lower_bound"

    def __init__(self, number, of=3):
        super().__init__(token_layout(of))
        self.number, self.asked = number, []

    def objectives(self):
        return ()

    def sample(self, given, rng, guidance=0.0):
        self.asked.append((given, guidance))
        return encoded_rows(self.layout, np.full((len(given), 1), self.number))

    @property
    def condition_columns(self):
        return (0,)

    def log_density(self, batch, rng):
        return torch.full((len(batch),), -100.0 * self.number)

    def token_nats(self, batch):
        return torch.full(batch.tokens.shape, 1.0 * self.number), torch.full(batch.tokens.shape, 10.0 * self.number)

    def diagnostics(self, held_out, rng):
        return {"number": self.number}


def stamps(n_members):
    return Mixture([Stamp(number, n_members) for number in range(n_members)])


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 100])
@pytest.mark.parametrize("n_members", [2, 3, 5])
def test_members_draw_equal_shares_up_to_one_row(n, n_members):
    drawn = draw_rows(stamps(n_members), n).tokens
    counts = np.bincount(drawn[:, 0], minlength=n_members)
    assert drawn.shape == (n, 1)
    assert counts.max() - counts.min() <= 1


def test_every_member_has_its_turn_at_the_row_that_is_left():
    lone = [int(draw_rows(stamps(3), 1, seed=seed).tokens[0, 0]) for seed in range(600)]
    assert np.bincount(lone) / 600 == pytest.approx([1 / 3] * 3, abs=0.08)


def test_the_rows_of_the_members_are_shuffled():
    tokens = draw_rows(stamps(3), 900).tokens[:, 0]
    thirds = [np.bincount(part, minlength=3) for part in np.split(tokens, 3)]
    assert np.abs(np.array(thirds) - 100).max() < 40


def test_every_member_is_given_the_conditions_and_the_guidance():
    mixture = stamps(3)
    draw_rows(mixture, 9, {0: (1, 0.5)}, guidance=2.0)
    for member in mixture.members:
        ((given, guidance),) = member.asked
        assert guidance == 2.0 and given.mask.tolist() == [[True]] * 3 and given.batch.tokens.tolist() == [[1]] * 3


def test_every_row_is_drawn_given_its_own_cells():
    mixture = stamps(3)
    given = Given.nothing(9, mixture.layout)
    given.batch.tokens[:, 0] = torch.arange(9) % 3
    given.mask[:, 0] = torch.arange(9) < 6
    drawn = mixture.sample(given, rng(5)).tokens[:, 0]
    for number, member in enumerate(mixture.members):
        (seen,) = (given for given, _ in member.asked)
        rows = torch.from_numpy(np.flatnonzero(drawn == number))
        for asked, expected in ((seen.mask, given.mask), (seen.batch.tokens, given.batch.tokens)):
            assert sorted(asked.tolist()) == sorted(expected[rows].tolist())


def test_the_density_is_the_mean_of_the_members_densities():
    batch = every_row(token_layout(3))
    log_density = stamps(3).log_density(batch, rng())
    assert log_density.tolist() == pytest.approx([math.log((1 + math.exp(-100) + math.exp(-200)) / 3)] * 3)
    mixture = Mixture([Stamp(20), Stamp(21)])  # exp(-2000) is zero in double precision
    assert mixture.log_density(batch, rng()).tolist() == pytest.approx([-2000 - math.log(2)] * 3)


def test_nats_of_tokens_and_what_is_expected_of_them_are_means_over_the_members():
    realised, expected = Mixture([Stamp(2), Stamp(5)]).token_nats(every_row(token_layout(3)))
    assert (realised.tolist(), expected.tolist()) == ([[3.5]] * 3, [[35.0]] * 3)


def test_a_mixture_can_do_what_its_members_can():
    mixture = stamps(2)
    assert (mixture.guided, tuple(mixture.condition_columns), mixture.density_kind) == (True, (0,), "lower_bound")
    assert mixture.diagnostics(rows(3), rng()) == {"members": [{"number": 0}, {"number": 1}]}
    plain = Mixture([Parabola(), Parabola()])
    assert (plain.guided, tuple(plain.condition_columns)) == (False, (0,))
    with pytest.raises(UnsupportedError, match="found Parabola"):
        _ = plain.density_kind


def scattered():
    """A parabola whose steps depend on the rows and on the random numbers that it is given."""
    model = Parabola()

    def loss(batch, rng):
        weight = batch.values.squeeze(1).square() + torch.rand(len(batch), generator=rng)
        return weight / 20 * model.distance(batch, rng)  # below the largest gradient norm

    model.loss = loss
    return model


def pair():
    return Mixture([scattered(), scattered()])


def run(model, config=QUICK, **options):
    return list(train(model, rows(), rows(10), config, seed=0, **options))


def tensors(model):
    return [parameter.detach() for parameter in model.parameters()]


def losses(history):
    return [(p.step, p.train_loss, p.validation_loss, p.best) for p in history]


def test_the_objectives_of_a_member_are_a_group_of_their_own():
    found = [(objective.name, objective.group) for objective in pair().objectives()]
    assert found == [("0.only", 0), ("1.only", 1)]


def test_members_are_trained_on_rows_of_their_own():
    mixture = pair()
    run(mixture)
    assert not equal(*(member.tensors() for member in mixture.members))


def test_a_member_learns_the_same_in_a_mixture_as_alone():
    alone, mixture = scattered(), pair()
    run(alone)
    run(mixture)
    assert equal(mixture.members[0].tensors(), alone.tensors())


def test_the_loss_of_a_mixture_is_the_mean_of_its_members():
    mixture = pair()
    for member, loss in zip(mixture.members, (1.0, 4.0), strict=True):
        member.validation = lambda batch, rng, loss=loss: torch.full((len(batch),), loss)
    progress = run(mixture)[0]
    assert (progress.validation_loss, progress.train_loss) == (2.5, 2.5)


def test_a_run_goes_on_until_every_member_has_stalled():
    mixture = pair()
    falling = itertools.count(0, -1)
    mixture.members[0].validation = lambda batch, rng: torch.ones(len(batch))
    mixture.members[1].validation = lambda batch, rng: torch.full((len(batch),), float(next(falling)))
    history = run(mixture, QUICK.model_copy(update={"patience": 1}))
    assert history[-1].step == 20
    assert all(progress.best for progress in history)


def test_a_member_that_fails_for_good_ends_the_run_with_the_best_of_both():
    mixture, steps = pair(), itertools.count()
    member = mixture.members[1]
    member.loss = lambda batch, rng: member.distance(batch, rng) * (math.nan if next(steps) >= 60 else 1.0)
    history = run(mixture, QUICK.model_copy(update={"steps": 400, "n_validations": 20}))
    assert history[-1].step == 60 + MOST_SKIPPED
    assert history[-1].message == "stopped on non-finite losses with the best state so far"
    assert all(parameter.isfinite().all() for parameter in mixture.parameters())


def test_a_mixture_may_be_cut_to_its_first_members():
    mixture = stamps(3)
    first = mixture.members[0]
    mixture.keep_groups(1)
    assert list(mixture.members) == [first]
    assert set(draw_rows(mixture, 9).tokens[:, 0]) == {0}


@pytest.mark.parametrize("n_progresses", [1, 3])
def test_a_resumed_run_of_several_members_ends_with_the_same_bytes(n_progresses, tmp_path):
    path = tmp_path / "run.safetensors"
    whole, resumed = pair(), pair()
    history = run(whole)
    cut = train(pair(), rows(), rows(10), QUICK, seed=0, checkpoint=path)
    before = list(itertools.islice(cut, n_progresses))
    cut.close()
    after = run(resumed, checkpoint=path)
    assert losses(after) == losses(history)
    assert after[:n_progresses] == before
    assert equal(tensors(resumed), tensors(whole))


def test_members_are_trained_at_the_same_time_where_there_are_cores(monkeypatch):
    monkeypatch.setattr(device, "n_cores", lambda: 2)
    mixture, together = pair(), threading.Barrier(2, timeout=10)  # it breaks unless both members wait at once

    def loss(model):
        def waiting(batch, rng):
            together.wait()
            return model.distance(batch, rng)

        return waiting

    for member in mixture.members:
        member.loss = loss(member)
    assert run(mixture)[-1].step == 20


@pytest.fixture
def trained(monkeypatch):
    """Return the generators that one core and four cores train."""

    def fit(n_cores):
        monkeypatch.setattr(device, "n_cores", lambda: n_cores)
        return TabularGenerator(FLOW.model_copy(update={"members": 3})).fit(people(), seed=1)

    return fit(1), fit(4)


def test_the_bytes_do_not_depend_on_the_number_of_cores(trained):
    one, four = trained
    assert losses(one.history) == losses(four.history)
    assert weights(one) == weights(four)
    assert fingerprint(one.sample(50)) == fingerprint(four.sample(50))
