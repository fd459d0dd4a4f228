"""Reads the file of a fitted pipeline, from disk or from MLflow. It is not opened here."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from schemas.errors import DependencyError
from training.tracking.mlflow_registry import SCHEME, MlflowRegistry

_OTHER: Final = re.compile(r"[^A-Za-z0-9_.-]+")


class ModelSource(msgspec.Struct, frozen=True):
    """The content of the file, the name of the model that it suggests, and where it comes from."""

    content: bytes
    name: str
    origin: str

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()


def read_source(place: str, mlflow_dir: Path) -> ModelSource:
    """Read a file, or `models:/NAME@ALIAS` or `models:/NAME/VERSION` from MLflow, which blocks on the network.

    Raises DependencyError if it is not readable, and ArtifactError for a model of MLflow that is not scikit-learn's.
    """
    if not place.startswith(SCHEME):
        path = Path(place)
        return ModelSource(_read(path), _name(path.stem), path.name)
    registry = MlflowRegistry(mlflow_dir)
    version = registry.find(place)
    with TemporaryDirectory(prefix="heartstream-") as folder:
        content = _read(registry.fetch_estimator(version, Path(folder)))
    return ModelSource(content, _name(version.name), version.uri)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DependencyError(f"cannot read {path}: {error.strerror}") from error


def _name(text: str) -> str:
    return _OTHER.sub("_", text) or "imported"
