"""One file for tensors and JSON state together: safetensors, the state in its header. Nothing in it can run code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.artifact import beside, make_folder, move, sync
from pipeline.errors import ArtifactError


def save_state(path: Path, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
    """Write `tensors` and the JSON values `state` to `path`, atomically: the old file stays until the new one is whole.

    Example:
        >>> from torch import zeros
        >>> save_state(Path("run.safetensors"), {"x": zeros(2)}, {"step": 3})
        >>> load_state(Path("run.safetensors"))
        ({'x': tensor([0., 0.])}, {'step': 3})
    """
    make_folder(path.parent)
    fresh = beside(path)
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, fresh, metadata={"state": json.dumps(state)})
    sync(fresh)
    move(fresh, path)


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors, on the CPU, and the state of a file that `save_state` wrote.

    Raises:
        ArtifactError: there is no such file, or it is damaged.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            state = json.loads(file.metadata()["state"])
            return {name: file.get_tensor(name) for name in file.keys()}, state  # noqa: SIM118  not a dict
    except FileNotFoundError as error:
        raise ArtifactError("weights must be there", actual=f"no file {path}", remedy="name a saved model") from error
    except (SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        rule = f"{path} must be a whole safetensors file"
        raise ArtifactError(rule, actual=str(error), remedy="fit again") from error
