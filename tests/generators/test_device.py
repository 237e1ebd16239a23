import pytest
import torch

from generators import TrainingConfig
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


@pytest.mark.parametrize("threads", [1, 2])
def test_products_run_on_so_many_threads_and_only_inside(threads):
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="inside"), arithmetic(TrainingConfig(threads=threads), CPU):
        assert torch.get_num_threads() == threads
        raise RuntimeError("inside")
    assert torch.get_num_threads() == before


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
