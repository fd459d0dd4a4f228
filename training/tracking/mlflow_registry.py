"""Resolves models of MLflow's registry and downloads them as model directories."""

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


class ModelVersion(msgspec.Struct, frozen=True):
    """A registered version of a model."""

    name: str
    version: str

    @property
    def uri(self) -> str:
        """The URI of exactly this version."""
        return f"{SCHEME}{self.name}/{self.version}"


class MlflowRegistry:
    """MLflow's registry, at MLFLOW_TRACKING_URI or in the local store of `heartstream train`."""

    def __init__(self, folder: Path) -> None:
        self._store = MlflowStore.at(folder)

    def find(self, uri: str) -> ModelVersion:
        """Resolve `models:/NAME@ALIAS` or `models:/NAME/VERSION`. Raises DependencyError."""
        match = _ALIAS.fullmatch(uri)
        if match is None:
            raise SettingsError((f"{uri} is neither models:/NAME@ALIAS nor models:/NAME/VERSION",))
        if match["version"]:
            return ModelVersion(match["numbered"], match["version"])
        with self._store.in_use():
            from mlflow import MlflowClient  # noqa: PLC0415  # slow import

            found = MlflowClient().get_model_version_by_alias(match["name"], match["alias"])
        return ModelVersion(match["name"], str(found.version))

    def fetch(self, version: ModelVersion, folder: Path) -> Path:
        """Download a version into a folder; return the model directory in it, unverified. Blocks on the network.

        Raises DependencyError, and ArtifactError if it has no model directory.
        """
        self._download(version, folder)
        found = sorted(path.parent for path in folder.rglob(MANIFEST_FILE))
        if len(found) != 1:
            raise ArtifactError(f"{version.uri} has {len(found)} model directories in it, expected one")
        return found[0]

    def fetch_estimator(self, version: ModelVersion, folder: Path) -> Path:
        """Download a version into a folder; return the file of its scikit-learn estimator. Blocks on the network.

        Raises DependencyError, and ArtifactError if MLflow did not log it as a scikit-learn model.
        """
        self._download(version, folder)
        with self._store.in_use():
            from mlflow.models import Model  # noqa: PLC0415  # slow import

            flavor = Model.load(str(folder)).flavors.get("sklearn", {})
        file = folder / str(flavor.get("pickled_model", ""))
        if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
            raise ArtifactError(f"{version.uri} is not a scikit-learn model: log it with mlflow.sklearn.log_model")
        return file

    def _download(self, version: ModelVersion, folder: Path) -> None:
        with self._store.in_use():
            from mlflow.artifacts import download_artifacts  # noqa: PLC0415  # slow import

            download_artifacts(artifact_uri=version.uri, dst_path=str(folder))
