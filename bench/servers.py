"""Who is measured over HTTP: the gateway, the framework alone, and the usual ways to serve a scikit-learn model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bench.environments import ROOT, SERVE, interpreter
from bench.uci import UCI
from runtime.ports import free_port
from schemas.tables.builtin import UCI_HEART
from scoring.model_artifact import load
from training.data.frames import TRAINING_SITE, features, read_snapshot, site_rows
from training.data.frames import target as target_of

Record = Mapping[str, Any]


class Server(msgspec.Struct, frozen=True):
    """One server: how it is started, what it is asked, and where its risk stands in the answer."""

    name: str
    path: str
    ask: Callable[[Record], object]
    risk: Callable[[Any], float]
    environment: str | None
    arguments: tuple[str, ...]
    health: str = "/health"
    prepare: Callable[[Path, Path, int], None] | None = None
    """Writes what it needs: pipeline, folder and port are given."""
    is_usual: bool = False
    """Whether it serves the pipeline of most tutorials, whose risks are its own."""

    def command(self, port: int) -> list[str]:
        """Return the command that starts it."""
        return [interpreter(self.environment), *(argument.format(port=port) for argument in self.arguments)]


def variables(server: Server, model: Path, pipeline: Path, folder: Path, port: int) -> dict[str, str]:
    """Return its environment variables."""
    return {
        "PORT": str(port),
        "PIPELINE": str(pipeline),
        "PYTHONPATH": str(ROOT),
        "HEARTSTREAM_MODEL__PATH": str(model),
        "HEARTSTREAM_GATEWAY__PORT": str(port),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    } | ({"HEARTSTREAM_MODEL__NAME": "logistic_regression"} if server.name.startswith("heartstream") else {})


def write_pipeline(model: Path, target: Path) -> None:
    """Write the logistic regression as the one scikit-learn pipeline that the others serve."""
    fitted = load(model, "logistic_regression").fitted()
    joblib.dump(make_pipeline(fitted.preprocessor, fitted.classifier), target)


def write_usual(target: Path) -> None:
    """Write the pipeline of most tutorials, fitted to the same patients: imputers, scaler and encoder by name."""
    frame = site_rows(read_snapshot(), TRAINING_SITE)
    scaled = [UCI_HEART.names[j] for j in UCI.columns.scaled]
    codes = [name for name in UCI_HEART.names if name not in scaled]
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer([("numbers", numbers, scaled), ("codes", categories, codes)])
    rows = pd.DataFrame(features(frame), columns=list(UCI_HEART.names))
    joblib.dump(make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(rows, target_of(frame)), target)


def _row(record: Record) -> list[object]:
    return [record[name] for name in UCI_HEART.names]


def _tensor(record: Record) -> object:
    tensor = {"name": "input", "shape": [1, len(UCI_HEART.names)], "datatype": "FP64", "data": _row(record)}
    return {"inputs": [tensor]}


def _for_mlserver(pipeline: Path, folder: Path, port: int) -> None:
    model = {
        "name": "heart",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(pipeline), "extra": {"predict_fn": "predict_proba"}},
    }
    settings = {
        "debug": False,
        "parallel_workers": 0,
        "http_port": port,
        "host": "127.0.0.1",
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "logging_settings": {"version": 1, "root": {"level": "ERROR"}, "loggers": {"mlserver": {"level": "ERROR"}}},
    }
    (folder / "model-settings.json").write_bytes(msgspec.json.encode(model))
    (folder / "settings.json").write_bytes(msgspec.json.encode(settings))


def _for_mlflow(pipeline: Path, folder: Path, _port: int) -> None:
    """Save the pipeline as MLflow's own flavour; `predict_proba` needs a model of one's own, as its users find out."""
    import mlflow.sklearn  # noqa: PLC0415  # takes seconds

    mlflow.sklearn.save_model(
        joblib.load(pipeline), str(folder / "mlflow"), pyfunc_predict_fn="predict_proba", serialization_format="pickle"
    )


def _direct(answer: Any) -> float:
    return float(answer["risk"])


SERVERS: Final = (
    Server("constant", "/predict", lambda record: record, lambda _: 0.5, SERVE, ("-m", "bench.constant")),
    Server("heartstream", "/predict", lambda record: record, _direct, SERVE, ("-m", "heartstream", "gateway")),
    Server(
        "fastapi-sklearn",
        "/predict",
        lambda record: record,
        _direct,
        "fastapi",
        (str(ROOT / "bench/peers/fastapi_app.py"),),
        is_usual=True,
    ),
    Server(
        "mlserver",
        "/v2/models/heart/infer",
        _tensor,
        lambda answer: float(answer["outputs"][0]["data"][1]),
        "mlserver",
        ("-m", "mlserver.cli.main", "start", "."),
        "/v2/models/heart/ready",
        _for_mlserver,
    ),
    Server(
        "mlflow",
        "/invocations",
        lambda record: {"inputs": [_row(record)]},
        lambda answer: float(answer["predictions"][0][1]),
        None,
        (
            "-m",
            "mlflow",
            "models",
            "serve",
            "-m",
            "mlflow",
            "--env-manager",
            "local",
            "-h",
            "127.0.0.1",
            "-p",
            "{port}",
        ),
        "/ping",
        _for_mlflow,
    ),
    Server(
        "bentoml",
        "/predict",
        lambda record: {"record": record},
        _direct,
        "bentoml",
        ("-m", "bentoml", "serve", "bench.peers.bentoml_service:Risk", "--host", "127.0.0.1", "--port", "{port}"),
        "/readyz",
    ),
)
QUICK: Final = ("constant", "heartstream", "fastapi-sklearn")


def chosen(names: str | None, *, quick: bool) -> list[Server]:
    """Return the servers that are asked for, the constant handler always among them. Raises ValueError.

    The quick ones run in this project's own environment, which has all that they need: nothing is installed.
    """
    wanted = names.split(",") if names else QUICK if quick else [server.name for server in SERVERS]
    unknown = set(wanted) - {server.name for server in SERVERS}
    if unknown:
        raise ValueError(f"no such server: {', '.join(sorted(unknown))}")
    found = [server for server in SERVERS if server.name in {*wanted, SERVERS[0].name}]
    if not names and quick:
        return [msgspec.structs.replace(server, environment=None) for server in found]
    return found
