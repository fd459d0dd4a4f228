"""Training runs in MLflow. The only module that imports it, and only when a run is recorded: that takes a second."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from schemas.errors import DependencyError
from scoring.artifact import Manifest

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT: Final = "heartstream"
ARTIFACT_PATH: Final = "model"
_QUIET: Final = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_CONFIGURE_LOGGING": "false"}
"""MLflow reads these when it is imported: it neither reports home nor installs log handlers of its own."""
_DIGEST_CHARS: Final = 36
"""MLflow's longest data set digest; the whole one is a tag."""


class TrackedRun(msgspec.Struct, frozen=True):
    """Where a run was recorded: its id, and the tracking store that has it."""

    run_id: str
    store: str


def record(folder: Path, manifest: Manifest, slopes: Mapping[str, float], tracking_folder: Path) -> TrackedRun:
    """Record one run: parameters, metrics, data set digest, and the model directory `folder` as its artifacts.

    The store is the one that MLFLOW_TRACKING_URI names, else SQLite in `tracking_folder`. `slopes` holds each model's
    calibration slope. Blocks on disk or network. Raises DependencyError.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient  # noqa: PLC0415  # slow import
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  # slow import

    try:
        uri, artifacts = _store(tracking_folder)
        run_id = _write(MlflowClient(uri), artifacts, folder, manifest, slopes)
    except (MlflowException, OSError) as error:
        raise DependencyError(f"the model is at {folder}, but MLflow did not record the run: {error}") from error
    return TrackedRun(run_id, without_password(uri))


def _store(tracking_folder: Path) -> tuple[str, str | None]:
    """Return the store's URI, and where a new experiment keeps its artifacts (None lets the store decide)."""
    from mlflow.environment_variables import MLFLOW_TRACKING_URI  # noqa: PLC0415  # slow import

    named: str | None = MLFLOW_TRACKING_URI.get()  # type: ignore[no-untyped-call]  # MLflow left its types out here
    if named:
        return named, None
    tracking_folder = tracking_folder.resolve()
    tracking_folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{tracking_folder / 'mlflow.db'}", (tracking_folder / "artifacts").as_uri()


def without_password(uri: str) -> str:
    """Return a URI without its user and password, fit to be printed."""
    parts = urlsplit(uri)
    return uri.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1) if "@" in parts.netloc else uri


def _write(
    client: MlflowClient, artifacts: str | None, folder: Path, manifest: Manifest, slopes: Mapping[str, float]
) -> str:
    """Write the run and return its id. The client, unlike MLflow's global functions, looks at no git repository."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, artifacts)
    tags = {"data.sha256": manifest.data.sha256, "best": manifest.best, "model_version": manifest.model_version}
    run_id: str = client.create_run(experiment_id, run_name=f"train {manifest.model_version}", tags=tags).info.run_id
    try:
        for name, value in _params(manifest):
            client.log_param(run_id, name, value)
        for name, figure in _metrics(manifest, slopes):
            client.log_metric(run_id, name, figure)
        client.log_inputs(run_id, [_data_set(manifest)])
        client.log_artifacts(run_id, str(folder), ARTIFACT_PATH)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id


def _params(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    yield from (("seed", manifest.seed), ("threshold", manifest.threshold), ("feature_table", manifest.feature_table))
    yield from (("data.rows", manifest.data.rows), ("data.positives", manifest.data.positives))
    for model, entry in manifest.models.items():
        yield from ((f"{model}.{name}", value) for name, value in sorted(entry.params.items()))


def _metrics(manifest: Manifest, slopes: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    for model, entry in manifest.models.items():
        for name, figure in entry.metrics.items():
            yield f"{model}.{name}.mean", figure.mean
            yield f"{model}.{name}.std", figure.std
        yield f"{model}.calibration_slope", slopes[model]


def _data_set(manifest: Manifest) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415  # slow import

    data = manifest.data
    described = Dataset(data.name, data.sha256[:_DIGEST_CHARS], "code", "training/snapshot/heart_disease.csv")
    return DatasetInput(described, [InputTag("mlflow.data.context", "training")])
