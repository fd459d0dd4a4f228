"""Where an interface takes its model from."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import msgspec

from schemas.errors import ArtifactError
from schemas.records import Details
from scoring.extension import NativeMode
from scoring.files import read_file
from scoring.isolated_load import verify_model, without_pickles
from scoring.model_artifact import DIGEST_DIGITS, MANIFEST_FILE, Artifact, load, no_model
from scoring.scorer import Scorer


class ModelSource(msgspec.Struct, frozen=True):
    """Where a model comes from, and how it is to be served; the fields are those of the settings.

    `folder` is a model directory or a symbolic link to one. With `public_key`, a PEM file, it must be signed.
    """

    folder: Path
    name: str | None = None
    public_key: Path | None = None
    details: Details = Details()
    window_records: int = 0
    native: NativeMode = "auto"

    def digest(self) -> str:
        """Return the digest of what is there now, unverified. Raises ArtifactError."""
        try:
            raw = read_file(self.folder / MANIFEST_FILE)
        except OSError as error:
            raise no_model(self.folder, error) from error
        return hashlib.sha256(raw).hexdigest()[:DIGEST_DIGITS]

    def marks(self) -> list[tuple[str, int, int]]:
        """Return name, size and time (ns) of each file: what was refused is looked at again when these change."""
        with suppress(OSError), os.scandir(self.folder) as entries:
            found = [(entry.name, entry.stat()) for entry in entries]
            return sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in found)
        return []

    def load(self) -> Scorer:
        """Load what is there now. Raises ArtifactError. A link may move meanwhile: all is read from one directory."""
        return self._scorer(self._artifact(self._directory()))

    def load_verified(self) -> Scorer:
        """Load the current model after it was verified in a separate process. Blocks for seconds; raises ArtifactError.

        Its content is read into memory before it is verified, so that later changes have no effect.
        """
        folder = self._directory()
        artifact = self._artifact(folder)
        if verify_model(folder, self.name, self.public_key).sha256 != artifact.sha256:
            raise ArtifactError(f"{self.folder} changed while it was verified")
        return self._scorer(artifact if self.public_key is not None else without_pickles(artifact))

    def _directory(self) -> Path:
        return Path(os.path.realpath(self.folder))

    def _artifact(self, folder: Path) -> Artifact:
        try:
            key = None if self.public_key is None else self.public_key.read_bytes()
        except OSError as error:
            raise ArtifactError(f"cannot read {error.filename} ({error.strerror})") from error
        return load(folder, self.name, key)

    def _scorer(self, artifact: Artifact) -> Scorer:
        return Scorer(artifact, self.details, self.window_records, self.native)
