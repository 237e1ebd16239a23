import json
import pickle

import pytest
import torch

from generators import checkpoint
from generators.checkpoint import load_state, save_state
from pipeline.errors import ArtifactError


def test_tensors_and_state_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "run.safetensors"
    tensors = {
        "matrix": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
        "bytes": torch.tensor([0, 255], dtype=torch.uint8),
        "scalar": torch.tensor(float("-inf"), dtype=torch.float64),
        "empty": torch.empty(0, 3),
    }
    state = {"step": 3, "losses": [0.1, 1e-300, float("inf")], "message": "é", "nothing": None}
    save_state(path, tensors, state)
    found, found_state = load_state(path)
    assert found_state == state
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_what_is_loaded_does_not_depend_on_the_file_any_more(tmp_path):
    path = tmp_path / "run.safetensors"
    save_state(path, {"x": torch.ones(1000)}, {})
    tensors, _ = load_state(path)
    save_state(path, {"x": torch.zeros(1000)}, {})
    assert tensors["x"].sum() == 1000


def test_a_failed_save_leaves_the_old_file_and_no_other_name_in_use(tmp_path, monkeypatch):
    path = tmp_path / "run.safetensors"
    save_state(path, {"x": torch.ones(1)}, {"step": 1})

    def fails(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(checkpoint, "save_file", fails)
        with pytest.raises(OSError, match="disk full"):
            save_state(path, {"x": torch.zeros(1)}, {"step": 2})
    assert load_state(path)[1] == {"step": 1}
    save_state(path, {"x": torch.zeros(1)}, {"step": 3})
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="weights must be there"):
        load_state(tmp_path / "none.safetensors")


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "run.safetensors"
    save_state(path, {"x": torch.ones(100)}, {"step": 1})
    whole = path.read_bytes()
    without_state = json.dumps({"x": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    for content in (
        whole[:-1],
        whole[:20],
        b"",
        pickle.dumps({"x": 1}),
        len(without_state).to_bytes(8, "little") + without_state,
        whole.replace(b'{\\"step\\": 1}', b'{\\"step\\": 1['),
    ):
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match="must be a whole safetensors file"):
            load_state(path)
