"""What steps hand to one another: where a file or folder lies, and the hash it must have."""

from __future__ import annotations

from pathlib import Path

from pipeline.artifact import MANIFEST, Sealed, sha256_file, verify
from pipeline.config import Config
from pipeline.errors import ArtifactError


class Reference(Config):
    """A file, or a sealed folder, and its sha256 in hex; the hash of a folder is that of its manifest.

    Example:
        >>> path = Path("reference.txt")
        >>> _ = path.write_text("a")
        >>> reference = Reference.to(path)
        >>> reference.verified() == path
        True
    """

    path: Path
    sha256: str

    @classmethod
    def to(cls, path: Path) -> Reference:
        """Refer to what lies at `path` now."""
        return cls(path=path, sha256=sha256_file(_hashed(path)))

    def verified(self) -> Path:
        """Return the path after checking that what lies there is what was referred to.

        Raises:
            ArtifactError: it is missing or has changed.
        """
        hashed = _hashed(self.path)
        if not hashed.is_file():
            raise ArtifactError(f'"{self.path}" must exist', actual="nothing there", remedy="run the job again")
        if sha256_file(hashed) != self.sha256:
            raise ArtifactError(f'"{self.path}" must stay unchanged during a job', remedy="run the job again")
        if self.path.is_dir():
            verify(self.path, Sealed)
        return self.path


def _hashed(path: Path) -> Path:
    return path / MANIFEST if path.is_dir() else path
