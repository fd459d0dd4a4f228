"""A recorded run can be read back completely."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.http import without_password
from schemas.errors import DependencyError
from training.pipeline import TrainingResult
from training.tracking.mlflow_run import ARTIFACT_PATH, EXPERIMENT, track

# MLflow's own code uses what SQLAlchemy and pydantic have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def test_run_is_read_back_from_the_local_store(
    report: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Parameters, metrics, data digest and every model file are stored, and nothing is printed."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracked = track(report, tmp_path / "store")
    assert capfd.readouterr() == ("", "")
    assert tracked.store == f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"

    from mlflow import MlflowClient  # noqa: PLC0415  # slow import

    client = MlflowClient(tracked.store)
    run = client.get_run(tracked.run_id)
    assert (run.info.status, client.get_experiment(run.info.experiment_id).name) == ("FINISHED", EXPERIMENT)
    assert (run.data.params["seed"], run.data.params["logistic_regression.C"]) == ("42", "0.3")
    expected = {
        f"{found.name}.{metric}.{part}": getattr(figure, part)
        for found in report.cross_validations
        for metric, figure in found.metrics.items()
        for part in ("mean", "std")
    } | {f"{found.name}.calibration_slope": found.calibration_slope for found in report.cross_validations}
    assert {name: run.data.metrics[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    for found in report.cross_validations:
        steps = sorted((m.step, m.value) for m in client.get_metric_history(tracked.run_id, f"{found.name}.roc_auc"))
        assert steps == [(step, pytest.approx(fold["roc_auc"])) for step, fold in enumerate(found.folds)]
    assert run.data.tags["data.sha256"] == report.manifest.data.sha256
    assert report.manifest.data.sha256.startswith(run.inputs.dataset_inputs[0].dataset.digest)
    downloaded = Path(client.download_artifacts(tracked.run_id, ARTIFACT_PATH, str(tmp_path)))
    assert {path.name: path.read_bytes() for path in downloaded.iterdir()} == {
        path.name: path.read_bytes() for path in report.folder.iterdir()
    }
    assert Path(tmp_path / "store" / "artifacts").is_dir()


def test_the_configured_store_is_used(report: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With MLFLOW_TRACKING_URI the local folder is not even created."""
    named = f"sqlite:///{tmp_path / 'named.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", named)
    monkeypatch.chdir(tmp_path)
    assert track(report, tmp_path / "store").store == named
    assert not (tmp_path / "store").exists()


def test_two_runs_share_an_experiment(report: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second training is a second run of the same experiment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = track(report, tmp_path).store
    track(report, tmp_path)

    from mlflow import MlflowClient  # noqa: PLC0415  # slow import

    client = MlflowClient(store)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    assert len(client.search_runs([experiment.experiment_id])) == 2


def test_an_unusable_store_is_a_dependency_error(
    report: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where the finished model is."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "gopher://nowhere")
    with pytest.raises(DependencyError, match=f"the model is at {report.folder}, but MLflow did not record the run"):
        track(report, tmp_path)


def test_passwords_are_not_printed() -> None:
    """The printed store has neither user nor password."""
    assert without_password("https://user:secret@example.org:5000/x") == "https://example.org:5000/x"
    assert without_password("sqlite:////data/mlflow.db") == "sqlite:////data/mlflow.db"
