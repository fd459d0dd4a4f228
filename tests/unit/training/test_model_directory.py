"""The model directory is complete, matches its manifest, and never overwrites other files."""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from schemas.errors import SettingsError
from scoring.model_artifact import load, read_manifest
from scoring.submodels import PatternSubmodels
from tests.support.uci import FEATURE_NAMES
from training.data.frames import digest, features
from training.export.model_directory import as_json
from training.pipeline import TrainingRequest, TrainingResult, check_request, train

FILES = {
    "feature-table.json",
    "best_model.joblib",
    "logistic_regression.joblib",
    "logistic_regression.json",
    "manifest.json",
    "preprocessor.joblib",
    "random_forest.joblib",
    "random_forest.json",
    "random_forest.onnx",
    "model-card.json",
    "model-card.md",
    "reference.json",
    "report.json",
    "pattern_submodels.joblib",
    "pattern_submodels.json",
    "gradient_boosting.joblib",
    "gradient_boosting.json",
    "gradient_boosting.onnx",
}


def test_directory_has_exactly_the_expected_files(model_dir: Path) -> None:
    """Everything that is served, and nothing else."""
    assert {path.name for path in model_dir.iterdir()} == FILES


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("logistic_regression", LogisticRegression),
        ("random_forest", RandomForestClassifier),
        ("pattern_submodels", PatternSubmodels),
    ],
)
def test_each_model_can_be_loaded(model_dir: Path, name: str, kind: type) -> None:
    """The directory passes the verification of every interface and contains the named classifiers."""
    artifact = load(model_dir, name)
    classifier = artifact.fitted().classifier
    assert type(classifier["classify"] if isinstance(classifier, Pipeline) else classifier) is kind
    assert artifact.model.version == "test"


def test_best_model_is_a_copy_of_the_best(model_dir: Path) -> None:
    """best_model.joblib has the bytes of the manifest's best model."""
    manifest, _ = read_manifest(model_dir)
    best = (model_dir / manifest.models[manifest.best].file).read_bytes()
    assert (model_dir / "best_model.joblib").read_bytes() == best


def test_manifest_describes_the_training(report: TrainingResult, cleveland: pd.DataFrame) -> None:
    """Data, seed, threshold, ranges and results."""
    manifest, _ = read_manifest(report.folder)
    assert manifest == report.manifest
    assert (manifest.data.rows, manifest.data.positives, manifest.data.sha256) == (303, 139, digest(cleveland))
    assert (manifest.seed, manifest.threshold) == (42, 0.5)
    assert list(manifest.training_range) == sorted(FEATURE_NAMES)
    assert [manifest.training_range[name] for name in ("age", "chol", "oldpeak", "ca")] == [
        (29.0, 77.0), (126.0, 564.0), (0.0, 6.2), (0.0, 3.0),
    ]  # fmt: skip
    assert {entry.name: entry.metrics for entry in report.cross_validations} == {
        name: entry.metrics for name, entry in manifest.models.items()
    }


def test_manifest_is_readable(report: TrainingResult) -> None:
    """Indented, with sorted keys, and ending in a line feed."""
    text = (report.folder / "manifest.json").read_text("utf-8")
    assert text.encode() == as_json(report.manifest)
    keys = [line.split('"')[1] for line in text.splitlines() if line.startswith('  "')]
    assert (keys, text[-2:]) == (sorted(keys), "}\n")


def test_models_are_fitted_on_all_training_rows(model_dir: Path) -> None:
    """The exported preprocessor and classifiers are fitted on all 303 patients, not on four folds."""
    scaler = joblib.load(model_dir / "preprocessor.joblib").named_transformers_["scaled"]
    forest = joblib.load(model_dir / "random_forest.joblib")
    ca = 5
    assert scaler.n_samples_seen_.tolist() == [299 if column == ca else 303 for column in range(6)]
    assert {tree.tree_.weighted_n_node_samples[0] for tree in forest["classify"].estimators_} == {303.0}


def test_compiled_forest_gives_the_forests_risks(model_dir: Path, everyone: pd.DataFrame) -> None:
    """With float64 input ONNX has scikit-learn's risks within 1e-7, for patients and random numbers."""
    artifact = load(model_dir, "random_forest")
    fitted = artifact.fitted()
    patients = fitted.preprocessor.transform(features(everyone))
    patients = fitted.classifier["average"].transform(patients)
    rows = np.vstack([patients, np.random.default_rng(42).normal(size=(5000, patients.shape[1]))])
    session = onnxruntime.InferenceSession(artifact.onnx, providers=["CPUExecutionProvider"])
    labels, risks = session.run(None, {"x": rows})
    assert np.abs(risks - fitted.classifier.predict_proba(rows)).max() < 1e-7
    assert (labels == (risks[:, 1] > 0.5)).all()


def test_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    """Writing a model deletes the folder's content, so a folder with other files is refused at once."""
    (tmp_path / "thesis.txt").write_text("years of work", "utf-8")
    with pytest.raises(SettingsError, match=r"is not empty and holds no manifest\.json"):
        train(TrainingRequest(tmp_path, model_version="1"))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """The error says that the path is a file."""
    path = tmp_path / "model"
    path.write_text("x", "utf-8")
    with pytest.raises(SettingsError, match="is a file"):
        check_request(TrainingRequest(path, model_version="1"))


def test_folder_that_cannot_be_made_is_refused_before_training(tmp_path: Path) -> None:
    """A folder of folders that do not exist yet can be made, one below a file cannot."""
    (tmp_path / "file").write_text("x", "utf-8")
    check_request(TrainingRequest(tmp_path / "new" / "model", model_version="1"))
    with pytest.raises(SettingsError, match=r"file is not a writable folder"):
        check_request(TrainingRequest(tmp_path / "file" / "model", model_version="1"))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_refused_data_leaves_the_old_model(report: TrainingResult, tmp_path: Path) -> None:
    """A failed run leaves every file of the model directory unchanged."""
    before = {path.name: path.read_bytes() for path in report.folder.iterdir()}
    with pytest.raises(Exception, match=r"processed\.cleveland\.data"):
        train(TrainingRequest(report.folder, data=tmp_path, model_version="2", quick=True))
    assert {path.name: path.read_bytes() for path in report.folder.iterdir()} == before


def test_all_faults_of_a_request_are_reported_together(tmp_path: Path) -> None:
    """Threshold and seed out of range are both named, before any work is done."""
    with pytest.raises(SettingsError) as caught:
        check_request(TrainingRequest(tmp_path, seed=-1, threshold=1.0, model_version="1"))
    assert len(caught.value.problems) == 2
