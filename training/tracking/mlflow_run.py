"""Records training runs in MLflow, which is imported only then: its import takes a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.errors import DependencyError
from scoring.model_artifact import Manifest
from training.tracking.mlflow_models import RegisteredVersion, log_models, register
from training.tracking.mlflow_store import MlflowStore

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from training.pipeline import TrainingResult

EXPERIMENT: Final = "heartstream"
ARTIFACT_PATH: Final = "model"
_DIGEST_CHARS: Final = 36
"""The maximum length of a dataset digest in MLflow; a tag has the full digest."""


class TrackedRun(msgspec.Struct, frozen=True):
    """A recorded run: its id, its tracking store, and the registered version of its best model."""

    run_id: str
    store: str
    registered: RegisteredVersion


def track(report: TrainingResult, folder: Path) -> TrackedRun:
    """Record a finished run: parameters, metrics by fold, dataset, model directory, figures and models.

    `folder` has the store unless MLFLOW_TRACKING_URI names one. Blocks on disk or network for some seconds. Raises
    DependencyError.
    """
    store = MlflowStore.at(folder)
    try:
        with store.in_use(create=True):
            from mlflow import MlflowClient  # noqa: PLC0415  # slow import

            run_id, registered = _write(MlflowClient(), store.artifacts, report)
    except DependencyError as error:
        problem = f"the model is at {report.folder}, but MLflow did not record the run: {error}"
        raise DependencyError(problem) from error
    return TrackedRun(run_id, store.shown, registered)


def _write(client: MlflowClient, artifacts: str | None, report: TrainingResult) -> tuple[str, RegisteredVersion]:
    """Write the run. Unlike MLflow's global functions, the client does not inspect git repositories."""
    manifest = report.manifest
    experiment = client.get_experiment_by_name(EXPERIMENT)
    experiment_id = experiment.experiment_id if experiment else client.create_experiment(EXPERIMENT, artifacts)
    tags = {"data.sha256": manifest.data.sha256, "best": manifest.best, "model_version": manifest.model_version}
    run_id: str = client.create_run(experiment_id, run_name=f"train {manifest.model_version}", tags=tags).info.run_id
    try:
        for name, value in _params(manifest):
            client.log_param(run_id, name, value)
        client.log_inputs(run_id, [_data_set(report)])
        client.log_artifacts(run_id, str(report.folder), ARTIFACT_PATH)
        _log_figures(client, run_id, report)
        ids = log_models(client, run_id, experiment_id, report)
        _log_metrics(client, run_id, report, ids)
        registered = register(client, run_id, report, ids)
    except BaseException:
        client.set_terminated(run_id, "FAILED")
        raise
    client.set_terminated(run_id, "FINISHED")
    return run_id, registered


def _log_metrics(client: MlflowClient, run_id: str, report: TrainingResult, ids: Mapping[str, str]) -> None:
    """Log each fold as a step, then means and standard deviations, for the run and the logged model."""
    for evaluation in report.cross_validations:
        model, model_id = evaluation.name, ids[evaluation.name]
        for step, fold in enumerate(evaluation.folds):
            for name, value in fold.items():
                client.log_metric(run_id, f"{model}.{name}", value, step=step, model_id=model_id)
        for name, figure in evaluation.metrics.items():
            client.log_metric(run_id, f"{model}.{name}.mean", figure.mean, model_id=model_id)
            client.log_metric(run_id, f"{model}.{name}.std", figure.std, model_id=model_id)
        client.log_metric(run_id, f"{model}.calibration_slope", evaluation.calibration_slope, model_id=model_id)


def _log_figures(client: MlflowClient, run_id: str, report: TrainingResult) -> None:
    """Log the figures of a full run."""
    if report.evaluation.full is None:
        return
    from training.report.figures.model import MODEL_FIGURES  # noqa: PLC0415  # slow import
    from training.report.figures.style import as_png, style  # noqa: PLC0415  # slow import

    with TemporaryDirectory() as folder:
        for name, draw in MODEL_FIGURES.items():
            with style():
                (Path(folder) / f"{name}.png").write_bytes(as_png(draw(report.evaluation, report.evaluation.full)))
        client.log_artifacts(run_id, folder, "figures")


def _params(manifest: Manifest) -> Iterator[tuple[str, Any]]:
    yield from (("seed", manifest.seed), ("threshold", manifest.threshold), ("feature_table", manifest.feature_table))
    yield from (("data.rows", manifest.data.rows), ("data.positives", manifest.data.positives))
    for model, entry in manifest.models.items():
        yield from ((f"{model}.{name}", value) for name, value in sorted(entry.params.items()))


def _data_set(report: TrainingResult) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415  # slow import

    data = report.manifest.data
    source = "training/snapshot/heart_disease.csv" if report.evaluation.population.known else data.name
    described = Dataset(data.name, data.sha256[:_DIGEST_CHARS], "code", source)
    return DatasetInput(described, [InputTag("mlflow.data.context", "training")])
