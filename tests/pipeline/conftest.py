import os
from pathlib import Path

import pytest


@pytest.fixture
def system_calls(monkeypatch):
    """The calls that order a publish on the disk, as they happen: `(name, path)`; a rename is listed by its target."""
    calls = []
    opened = {}
    real = {name: getattr(os, name) for name in ("open", "fsync", "replace")}

    def open_(path, *args, **kwargs):
        descriptor = real["open"](path, *args, **kwargs)
        opened[descriptor] = Path(path)
        return descriptor

    def fsync(descriptor):
        calls.append(("fsync", opened[descriptor]))
        real["fsync"](descriptor)

    def replace(source, target):
        calls.append(("replace", Path(target)))
        real["replace"](source, target)

    for function, name in ((open_, "open"), (fsync, "fsync"), (replace, "replace")):
        monkeypatch.setattr(os, name, function)
    return calls
