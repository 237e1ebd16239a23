"""Rows in parts: which there are, and that the number of cores changes nothing."""

import threading

import pytest
import torch

from generators import device, drawing
from generators.drawing import in_parts

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("n", "bounds"),
    [
        (0, [(0, 0)]),
        (1, [(0, 1)]),
        (7, [(0, 7)]),
        (8, [(0, 7), (7, 8)]),
        (21, [(0, 7), (7, 14), (14, 21)]),
    ],
)
@pytest.mark.parametrize("n_cores", [1, 4])
def test_parts_are_consecutive_and_come_back_in_order(n, bounds, n_cores, monkeypatch):
    monkeypatch.setattr(drawing, "ROWS_PER_PART", 7)
    monkeypatch.setattr(device, "n_cores", lambda: n_cores)
    assert in_parts(n, lambda start, stop: (start, stop), CPU) == bounds


def test_a_gpu_is_given_larger_parts(monkeypatch):
    monkeypatch.setattr(drawing, "ROWS_PER_PART", 7)
    monkeypatch.setattr(drawing, "ROWS_PER_PART_ON_GPU", 10)
    assert in_parts(20, lambda start, stop: stop - start, torch.device("cuda")) == [10, 10]


def test_as_many_parts_are_drawn_at_a_time_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(drawing, "ROWS_PER_PART", 1)
    monkeypatch.setattr(device, "n_cores", lambda: 3)
    together = threading.Barrier(3, timeout=10)  # it breaks unless three parts wait at the same time
    assert len(in_parts(3, lambda start, stop: together.wait(), CPU)) == 3


def test_an_error_of_one_part_is_the_error_of_all():
    def fails(start, stop):
        raise ValueError(f"part {start}")

    with pytest.raises(ValueError, match="part 0"):
        in_parts(3, fails, CPU)
