"""The model that an alias of MLflow's registry names, brought here as a model directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import ArtifactError, SettingsError
from scoring.model_artifact import MANIFEST_FILE
from training.tracking.mlflow_store import MlflowStore

SCHEME: Final = "models:/"
_ALIAS: Final = re.compile(r"models:/(?P<name>[^/@]+)@(?P<alias>[^/@]+)|models:/(?P<numbered>[^/@]+)/(?P<version>\d+)")


class Version(msgspec.Struct, frozen=True):
    """A registered version of a model."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """The address that always means this version."""
        return f"{SCHEME}{self.name}/{self.version}"


class Registry:
    """MLflow's registry: the one that MLFLOW_TRACKING_URI names, else the local store of `heartstream train`."""

    def __init__(self, folder: Path) -> None:
        self._store = MlflowStore.at(folder)

    def find(self, uri: str) -> Version:
        """Return which version `models:/NAME@ALIAS` or `models:/NAME/VERSION` is. Raises DependencyError."""
        match = _ALIAS.fullmatch(uri)
        if match is None:
            raise SettingsError((f"{uri} is neither models:/NAME@ALIAS nor models:/NAME/VERSION",))
        if match["version"]:
            return Version(match["numbered"], match["version"])
        with self._store.in_use():
            from mlflow import MlflowClient  # noqa: PLC0415  # slow import

            found = MlflowClient().get_model_version_by_alias(match["name"], match["alias"])
        return Version(match["name"], str(found.version))

    def fetch(self, version: Version, folder: Path) -> Path:
        """Download a version into a folder; returns the model directory in it, unverified. Blocks on the network.

        Raises DependencyError, and ArtifactError where no model directory is in it.
        """
        with self._store.in_use():
            from mlflow.artifacts import download_artifacts  # noqa: PLC0415  # slow import

            download_artifacts(artifact_uri=version.uri, dst_path=str(folder))
        found = sorted(path.parent for path in folder.rglob(MANIFEST_FILE))
        if len(found) != 1:
            raise ArtifactError(f"{version.uri} has {len(found)} model directories in it, expected one")
        return found[0]
