"""`heartstream model import`: what it refuses, what stays inside the separate process, and what is served then."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from heartstream.cli.adapt import adapt
from schemas.errors import ArtifactError, DependencyError, SettingsError
from schemas.tables.toml_file import read_table_file
from scoring.model_artifact import CARD_DATA_FILE
from tests.support.importing import by_columns, fitted, labelled, patients, request_for, saved
from tests.support.model_files import Runs, pickled
from tests.support.other_tables import FOLDER
from training.data.frames import features, target
from training.importing.importer import import_model

HEARTSTREAM: Final = str(Path(sys.executable).with_name("heartstream"))


def hostile(folder: Path) -> Path:
    """Write a pickle that creates the file `sprung` beside it."""
    (folder / "fitted.joblib").write_bytes(pickled(Runs(os.system, f"touch {folder / 'sprung'}")))
    return folder / "fitted.joblib"


def command(folder: Path, *arguments: str, code: int = 0) -> str:
    """Run a command of heartstream in a folder; return its output."""
    run = subprocess.run(
        [HEARTSTREAM, *arguments], cwd=folder, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == code, run.stdout + run.stderr
    return run.stdout + run.stderr


def test_a_file_of_an_unnamed_author_is_not_opened(tmp_path: Path) -> None:
    """The reason is that opening it runs code."""
    file = hostile(tmp_path)
    for nobody in (None, "", "  "):
        with pytest.raises(SettingsError, match="runs code of its author when it is opened: say who made"):
            import_model(request_for(file, trusted_source=nobody))
    assert not (tmp_path / "sprung").exists()


def test_code_of_a_trusted_file_runs_in_the_separate_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not get this process's environment, its crash is a refusal, and no model is written."""
    monkeypatch.setenv("HEARTSTREAM_KAFKA__OPTIONS__SASL_PASSWORD", "zqx")
    file = tmp_path / "fitted.joblib"
    file.write_bytes(pickled(Runs(os.system, f"env > {tmp_path / 'seen'}")))
    with pytest.raises(ArtifactError, match="contains a int, which is not a fitted classifier"):
        import_model(request_for(file))
    assert "zqx" not in (tmp_path / "seen").read_text()
    file.write_bytes(pickled(Runs(os._exit, 7)))
    with pytest.raises(ArtifactError, match="the process that opened it ended with code 7"):
        import_model(request_for(file))
    assert not (tmp_path / "model").exists()


def test_a_class_of_a_module_that_is_not_installed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module in the author's own folder is not found where the model is served, either."""
    (tmp_path / "ward_models.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nclass Ours(LogisticRegression):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    estimator = fitted(by_columns(import_module("ward_models").Ours(max_iter=1000)))
    with pytest.raises(ArtifactError, match="needs the module ward_models, which is not installed: install it"):
        import_model(request_for(saved(estimator, tmp_path)))


def test_fields_that_the_pipeline_needs_are_named(tmp_path: Path) -> None:
    """A regression without an imputer fails where an optional field is missing."""
    estimator = LogisticRegression(max_iter=5000).fit(patients()[["age", "sex", "cp"]], target(patients()))
    with pytest.raises(ArtifactError, match=r"does not use trestbps, .*thal: remove the field from the table"):
        import_model(request_for(saved(estimator, tmp_path)))
    estimator.fit(pd.DataFrame(features(patients())).fillna(0).to_numpy(), target(patients()))
    with pytest.raises(ArtifactError, match=r"fails where trestbps or .* or thal is missing: set required = true"):
        import_model(request_for(saved(estimator, tmp_path)))


def test_wrong_requests_list_every_problem(tmp_path: Path) -> None:
    """Before anything is read."""
    request = request_for(saved(None, tmp_path), threshold=1.0, name="../up", trusted_source="a\x1b[2J")
    with pytest.raises(SettingsError) as caught:
        import_model(request)
    assert len(caught.value.problems) == 3
    with pytest.raises(DependencyError, match=r"cannot read .*absent"):
        import_model(msgspec.structs.replace(request_for(tmp_path / "absent"), name=None))


def test_an_imported_model_is_not_adapted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no intercept that is known; its pickle is not opened to find that out."""
    import_model(request_for(saved(fitted(by_columns(LogisticRegression(max_iter=1000))), tmp_path)))
    other = patients().assign(num=1 - target(patients())).drop(columns="site")
    other.sample(200, random_state=1).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(SystemExit):
        adapt(tmp_path / "model", output=tmp_path / "new", data=tmp_path / "other.csv")
    assert not (tmp_path / "new").exists()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["skops", "cloudpickle"])
def test_a_model_of_mlflow_is_imported(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its alias, in either format in which MLflow saves models of scikit-learn."""
    (tmp_path / "mlflow").mkdir()
    # MLflow reads these when it is imported, which another test of this process may do later.
    monkeypatch.setenv("MLFLOW_CONFIGURE_LOGGING", "false")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # noqa: PLC0415  # as above

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow' / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    estimator = fitted(by_columns(LogisticRegression(max_iter=1000)))
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            estimator,
            name="risk",
            registered_model_name="risk",
            serialization_format=form,
            skops_trusted_types=["numpy.dtype"] if form == "skops" else None,
        )
    mlflow.MlflowClient().set_registered_model_alias("risk", "champion", "1")
    labelled(tmp_path)
    words = ["models:/risk@champion", "--data", "labelled.csv", "--trusted-source", "us", "-o", "model"]
    assert "engine: onnx" in command(tmp_path, "model", "import", *words)
    card = msgspec.json.decode((tmp_path / "model" / CARD_DATA_FILE).read_bytes())
    assert (card["model"], card["origin"], card["trusted_source"]) == ("risk", "models:/risk/1", "us")


@pytest.mark.parametrize("compiled", [True, False], ids=["onnx", "scikit-learn"])
def test_the_stream_serves_an_imported_model(compiled: bool, tmp_path: Path) -> None:  # noqa: FBT001  # a parameter
    """Command, explain, and broker, worker and gateway with invalid records: everything is accounted for."""
    frame = load_breast_cancer(as_frame=True).frame
    frame.to_csv(tmp_path / "wdbc.csv", index=False)
    imputer = SimpleImputer(add_indicator=not compiled)
    estimator = make_pipeline(imputer, StandardScaler(), LogisticRegression())
    estimator.fit(frame.drop(columns="target"), frame["target"])
    words = [saved(estimator, tmp_path).name, "--table", str(FOLDER / "wdbc.toml"), "--data", "wdbc.csv"]
    words += ["--positive", "0", "--trusted-source", "A. Smith", "-o", "model"]
    output = command(tmp_path, "model", "import", *words)
    assert ("engine: onnx" if compiled else "engine: sklearn") in output
    assert "Calibration slope" in output
    record = {"patient_id": "p-1", **read_table_file(FOLDER / "wdbc.toml").typical_record()}
    (tmp_path / "record.json").write_bytes(msgspec.json.encode(record))
    explained = command(tmp_path, "explain", "record.json", "--model", "model")
    assert "patients who are not known here (imported model, made by A. Smith)" in " ".join(explained.split())
    run = command(tmp_path, "demo", "--model", "model", "--records", "300", "--rate", "300", "--bad-share", "0.2")
    assert "lost 0, repeated 0, wrong outcome 0" in run
