"""What a release says about itself: its manifest, and the fingerprints of code and libraries in it."""

from __future__ import annotations

import hashlib
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from .artifact import Sealed, sha256_file, verify
from .errors import ConfigError
from .ledger import Record
from .schema import Schema

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_PACKAGES = ("pipeline", "generators", "evaluation", "flows")
_DISTRIBUTIONS = ("tabmint", "torch", "numpy", "pandas", "pyarrow", "scikit-learn", "prefect")


class Manifest(Sealed):
    """What a release says about itself. It holds no row; `config` must hold no credential. Hashes are sha256 in hex.

    `files` is filled in when the release is sealed; `seed` is the run's own, which a dated run derives from the root's.
    """

    version: Literal[3] = 3
    name: str
    run_id: str
    created: str
    verdict: Literal["PASS", "REVIEW", "FAIL"]
    n_rows: int
    table_schema: Schema
    seed: int
    config: dict[str, JsonValue]
    versions: dict[str, str]
    data_sha256: str
    code_sha256: str
    record: Record


def verify_release(folder: Path) -> Manifest:
    """Return the manifest of a release after comparing every file with it.

    Raises:
        ArtifactError: the manifest is missing or malformed, or a file is missing, unexpected or changed.
    """
    return verify(folder, Manifest)


def versions() -> dict[str, str]:
    """Return the versions of Python, tabmint and the libraries that shape a table, without importing them.

    Example:
        >>> sorted(versions())
        ['numpy', 'pandas', 'prefect', 'pyarrow', 'python', 'scikit-learn', 'tabmint', 'torch']
    """
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in _DISTRIBUTIONS}}


def code_fingerprint() -> str:
    """Return the sha256, in hex, of the source of the four packages, wherever they are installed.

    Example:
        >>> len(code_fingerprint())
        64
    """
    root = Path(__file__).parents[1]
    sources = sorted(path for package in _PACKAGES for path in (root / package).rglob("*.py"))
    lines = (f"{sha256_file(path)}  {path.relative_to(root).as_posix()}\n" for path in sources)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def checked_name(what: str, name: str) -> str:
    """Return `name` if it is safe as a folder's name everywhere: no separator, no leading dot, nothing invisible."""
    if not _NAME.fullmatch(name):
        rule = f"the {what} must be 1 to 100 letters, digits or . _ - and begin with a letter or digit"
        raise ConfigError(rule, actual=ascii(name[:120]))
    return name
