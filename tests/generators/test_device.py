import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from generators import TrainingConfig, device
from generators.device import arithmetic, choose_device, chooses_bf16
from pipeline.errors import ConfigError

CPU = torch.device("cpu")


@pytest.mark.parametrize("available", [False, True])
def test_the_device_is_the_one_asked_for(available, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type == ("cuda" if available else "cpu")
    if available:
        assert choose_device("cuda").type == "cuda"


def test_a_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=r'device "cuda" needs a GPU.*set device = "auto"'):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("capabilities", "chosen"),
    [({}, False), ({"avx512_bf16": True}, True), ({"amx_bf16": True}, True), ({"avx512_bf16": False}, False)],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(capabilities, chosen, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert chooses_bf16(TrainingConfig(), CPU) is chosen
    assert chooses_bf16(TrainingConfig(precision="bf16"), CPU)
    assert not chooses_bf16(TrainingConfig(precision="fp32"), CPU)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_products_run_in_the_chosen_precision_and_only_inside(precision, dtype):
    x = torch.ones(2, 2)
    with arithmetic(TrainingConfig(precision=precision), CPU):
        assert (x @ x).dtype == dtype
    assert (x @ x).dtype == torch.float32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_products_inside_see_a_weight_as_it_is_now(precision):
    weight, x = torch.nn.Parameter(torch.ones(2, 2)), torch.ones(1, 2)
    with arithmetic(TrainingConfig(precision=precision), CPU):
        assert (x @ weight).tolist() == [[2.0, 2.0]]
        with torch.no_grad():
            weight.add_(1.0)
        assert (x @ weight).tolist() == [[4.0, 4.0]]


@pytest.mark.parametrize("threads", [1, 2])
def test_products_run_on_so_many_threads_and_only_inside(threads):
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="inside"), arithmetic(TrainingConfig(threads=threads), CPU):
        assert torch.get_num_threads() == threads
        raise RuntimeError("inside")
    assert torch.get_num_threads() == before


def in_a_new_thread(question):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(question).result()


def test_workers_leave_no_number_of_threads_behind(monkeypatch):
    monkeypatch.setattr(device, "n_cores", lambda: 2)
    before = torch.get_num_threads()
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))

    def ends_first():
        with arithmetic(TrainingConfig(threads=1), CPU):
            first_is_in.set()
            second_is_in.wait(10)
        first_is_out.set()

    def ends_last():
        first_is_in.wait(10)
        with arithmetic(TrainingConfig(threads=1), CPU):
            second_is_in.set()
            first_is_out.wait(10)

    torch.set_num_threads(3)
    try:
        with device.workers(2, CPU) as pool:
            list(pool.map(lambda work: work(), (ends_first, ends_last)))
        assert (torch.get_num_threads(), in_a_new_thread(torch.get_num_threads)) == (3, 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(("place", "n_tasks", "n_workers"), [("cpu", 9, 4), ("cpu", 2, 2), ("cuda", 9, 1)])
def test_there_are_as_many_workers_as_cores_and_tasks_allow(place, n_tasks, n_workers, monkeypatch):
    monkeypatch.setattr(device, "n_cores", lambda: 4)
    with device.workers(n_tasks, torch.device(place)) as pool:
        assert pool._max_workers == n_workers


def is_flushed():
    return bool(torch.tensor(5e-324, dtype=torch.float64) + 0.0 == 0.0)


@pytest.fixture
def flushing():
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def test_denormals_are_flushed_inside_and_kept_afterwards_even_after_an_error():
    with pytest.raises(RuntimeError, match="inside"), arithmetic(TrainingConfig(), CPU):
        assert is_flushed()
        raise RuntimeError("inside")
    assert not is_flushed()


def test_a_process_that_flushes_denormals_goes_on_flushing(flushing):
    with arithmetic(TrainingConfig(), CPU):
        assert is_flushed()
    assert is_flushed()
