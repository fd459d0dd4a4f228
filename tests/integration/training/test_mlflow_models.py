"""The model that MLflow users load is the one that every interface serves, and only a better one becomes champion."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from heartstream.operations.models.store import Store
from runtime.ports import free_port
from scoring.features import Matrix
from scoring.scorer import Scorer
from tests.support.models import another_version, every_missing_pattern, training_data
from tests.support.uci import FEATURE_NAMES, UCI
from training.pipeline import TrainingResult
from training.tracking.mlflow_models import CHAMPION, REGISTERED_MODEL, input_example
from training.tracking.mlflow_run import TrackedRun, track

# MLflow's own code uses what SQLAlchemy and pydantic have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

LOAD = """
import json, sys
import schemas, scoring
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
names, rows = json.load(sys.stdin)
frame = pd.DataFrame(rows, columns=names, dtype="float64")
print(json.dumps([[number.hex() for number in row] for row in model.predict(frame).to_numpy().tolist()]))
assert schemas.__file__.startswith(sys.argv[3]) and scoring.__file__.startswith(sys.argv[3])
assert sys.modules["schemas"] is schemas and not any(name.startswith("scoring.") for name in sys.modules)
"""
"""Run in the folder of a project that has modules `schemas` and `scoring` of its own."""


@pytest.fixture(scope="module")
def tracked(report: TrainingResult, tmp_path_factory: pytest.TempPathFactory) -> TrackedRun:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        return track(report, tmp_path_factory.mktemp("store"))


def loaded_and_scored(store: str, model: str, matrix: Matrix, folder: Path) -> list[list[str]]:
    """Load a model in a new process outside of this checkout, and return its exact answers."""
    for name in ("schemas.py", "scoring.py"):
        (folder / name).touch()
    rows = [[None if number != number else number for number in row] for row in matrix.tolist()]  # noqa: PLR0124  # NaN
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, store, model, str(folder)],
        input=json.dumps([FEATURE_NAMES, rows]),
        env={"MLFLOW_DISABLE_TELEMETRY": "true", "PATH": "/usr/bin:/bin"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answers: list[list[str]] = json.loads(run.stdout)
    return answers


def test_champion_scores_as_every_interface_does(tracked: TrackedRun, report: TrainingResult, tmp_path: Path) -> None:
    """Loaded by alias, it gives 303 patients and every missing pattern the same risk to the last bit."""
    matrix = np.vstack([training_data()[0], every_missing_pattern()])
    answers = loaded_and_scored(tracked.store, f"models:/{REGISTERED_MODEL}@{CHAMPION}", matrix, tmp_path)
    scorer = Scorer.from_directory(report.folder)
    found = scorer.explain(matrix)
    intervals = scorer.intervals(matrix, found)
    assert intervals is not None
    expected = zip(found.risks.tolist(), intervals.low.tolist(), strict=True)
    assert [(risk.hex(), low.hex()) for risk, low in expected] == [(row[0], row[1]) for row in answers]


def listening(port: int, seconds: float = 200) -> bool:
    """Return whether a server answers on a local port in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=end - time.monotonic()):
            return True
        time.sleep(0.2)
    return False


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Run MLflow's tracking server; yield its address with user and password."""
    port = free_port()
    places = ("--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", "artifacts")
    running = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port), *places],
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert listening(port)
        yield f"http://someone:zqx@127.0.0.1:{port}"
    finally:
        running.terminate()
        running.wait()


def test_tracking_server_has_the_champion(
    server: str,
    report: TrainingResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Loaded by alias from a server it scores the same; the password is not printed."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    tracked = track(report, tmp_path / "unused")
    assert (tracked.registered.is_champion, "zqx" in tracked.store, capfd.readouterr()) == (True, False, ("", ""))
    rows = every_missing_pattern()[:50]
    answers = loaded_and_scored(server, f"models:/{REGISTERED_MODEL}@{CHAMPION}", rows, tmp_path)
    assert [risk.hex() for risk in Scorer.from_directory(report.folder).risks(rows).tolist()] == [
        row[0] for row in answers
    ]


def test_every_named_model_is_logged(tracked: TrackedRun, report: TrainingResult, tmp_path: Path) -> None:
    """Each model of the run is logged with its own metrics; a forest, too, scores the same when loaded."""
    from mlflow import MlflowClient  # noqa: PLC0415  # slow import

    client = MlflowClient(tracked.store)
    experiment = client.get_run(tracked.run_id).info.experiment_id
    logged = {model.name: model for model in client.search_logged_models([experiment])}
    assert set(logged) == set(report.manifest.models)
    metrics = {metric.key: metric.value for metric in logged["random_forest"].metrics}
    assert metrics["random_forest.roc_auc.mean"] == report.manifest.models["random_forest"].metrics["roc_auc"].mean
    rows = every_missing_pattern()[:50]
    answers = loaded_and_scored(tracked.store, str(logged["random_forest"].artifact_location), rows, tmp_path)
    expected = Scorer.from_directory(report.folder, "random_forest").risks(rows)
    assert [risk.hex() for risk in expected.tolist()] == [row[0] for row in answers]


def test_input_example_is_not_a_patient() -> None:
    """It is valid, and not in the data."""
    example = input_example(UCI.table).to_numpy()
    patients, _ = training_data()
    assert example.dtype == np.float64
    assert not (patients == example).all(axis=1).any()


def test_invalid_rows_are_counted_without_values(report: TrainingResult) -> None:
    """A frame with an impossible value is refused as a whole; the error contains no value."""
    from scoring.pyfunc import _load_pyfunc  # noqa: PLC0415  # as MLflow calls it

    frame = input_example(UCI.table)
    frame.loc[0, "age"] = 4711.0
    with pytest.raises(ValueError, match="1 of 1 rows are not valid patient records") as caught:
        _load_pyfunc(str(report.folder)).predict(frame)
    assert "4711" not in str(caught.value)


def worse(report: TrainingResult, log_loss: float) -> TrainingResult:
    """Return the report of a run whose best model has this log loss."""
    best = report.selection.best
    standings = tuple(
        msgspec.structs.replace(each, log_loss=log_loss) if each.name == best else each
        for each in report.evaluation.selection_criteria
    )
    return replace(report, evaluation=msgspec.structs.replace(report.evaluation, selection_criteria=standings))


def test_only_a_better_model_becomes_champion(
    report: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is champion; a clearly worse one is only registered; one as good takes over."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = [track(each, tmp_path).registered for each in (report, worse(report, 0.9), report)]
    assert [(each.version, each.is_champion) for each in found] == [("1", True), ("2", False), ("3", True)]
    assert "version 1: log loss" in found[1].reason


def repeated(report: TrainingResult, repeats: int) -> TrainingResult:
    """Return the report of a run with the same results in so many repeats."""
    return replace(report, evaluation=msgspec.structs.replace(report.evaluation, repeats=repeats))


def test_a_quick_run_does_not_become_champion(
    report: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A champion evaluated with more repeats stays; one from a quick run is replaced by a run with more."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = [track(repeated(report, repeats), tmp_path).registered for repeats in (2, 10, 2)]
    assert [(each.version, each.is_champion) for each in found] == [("1", True), ("2", True), ("3", False)]
    assert "version 2 was evaluated with 10 repeats, the new one with 2" in found[2].reason


def test_models_of_other_rows_are_not_compared(
    report: TrainingResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A better metric on other patients proves nothing: the champion stays."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    track(report, tmp_path)
    data = msgspec.structs.replace(report.manifest.data, sha256="0" * 64)
    other_rows = replace(worse(report, 0.1), manifest=msgspec.structs.replace(report.manifest, data=data))
    registered = track(other_rows, tmp_path).registered
    assert (registered.is_champion, "evaluated on other rows" in registered.reason) == (False, True)


@contextmanager
def following(store: Store, tracked: TrackedRun, log: Path) -> Iterator[None]:
    """Run `model follow` on the champion, and end it."""
    alias = f"models:/{REGISTERED_MODEL}@{CHAMPION}"
    command = ("model", "follow", alias, "--store", str(store.folder), "--every", "0.1")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "heartstream", *command],
            env={**os.environ, "MLFLOW_TRACKING_URI": tracked.store},
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(60) == 0, log.read_text(encoding="utf-8")


def awaited(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_store_follows_the_champion(tracked: TrackedRun, report: TrainingResult, tmp_path: Path) -> None:
    """A new champion is fetched, verified and served; one that was rolled back is not fetched again."""
    from mlflow import MlflowClient  # noqa: PLC0415  # slow import

    client, store = MlflowClient(tracked.store, registry_uri=tracked.store), Store(tmp_path / "models")
    digest = Scorer.from_directory(report.folder).model.digest
    other = another_version(report.folder, tmp_path / "other", "2")
    store.promote(other, str(other))
    version = client.get_model_version_by_alias(REGISTERED_MODEL, CHAMPION).version
    with following(store, tracked, tmp_path / "first.log"):
        awaited(lambda: store.current() == digest)
    assert store.history()[-1].source == f"models:/{REGISTERED_MODEL}/{version}"
    store.rollback()
    broken = client.create_model_version(REGISTERED_MODEL, (tmp_path / "nowhere").as_uri()).version
    with following(store, tracked, log := tmp_path / "second.log"):
        client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, broken)
        awaited(lambda: log.read_text(encoding="utf-8") != "")
    client.set_registered_model_alias(REGISTERED_MODEL, CHAMPION, version)
    assert store.current() == Scorer.from_directory(other).model.digest
