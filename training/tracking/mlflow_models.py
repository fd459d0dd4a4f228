"""The models of a run in MLflow: logged so that `mlflow.pyfunc` loads them, registered, and the champion by the rule.

A model in MLflow is the whole model directory with the code that reads it; each named model is one of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.features import FEATURE_NAMES, FEATURES
from training.evaluation.model_selection import Standing, choose
from training.tracking.model_wheel import PACKAGE, write_code

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from training.pipeline import TrainingReport

REGISTERED: Final = "heartstream"
CHAMPION: Final = "champion"
_LIBRARIES: Final = ("msgspec", "numpy", "onnxruntime", "pandas")
_STANDING: Final = "standing"
_DATA: Final = "data.sha256"
_REPEATS: Final = "evaluation.repeats"


class Registered(msgspec.Struct, frozen=True):
    """The version that a run's best model has in the registry, and whether it is the champion; `reason` says why."""

    version: str
    is_champion: bool
    reason: str


def log_models(client: MlflowClient, run_id: str, experiment_id: str, report: TrainingReport) -> dict[str, str]:
    """Log every named model of a run; returns their ids in MLflow. Blocks for seconds."""
    from mlflow.entities import LoggedModelOutput  # noqa: PLC0415  # slow import

    ids = {}
    for name, entry in report.manifest.models.items():
        params = {key: str(value) for key, value in entry.params.items()}
        logged = client.create_logged_model(experiment_id, name, run_id, params=params, model_type="classifier")
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            _save(path, report.folder, name, logged.model_id)
            client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        ids[name] = logged.model_id
    return ids


def _save(path: Path, folder: Path, name: str, model_id: str) -> None:
    """Write a model in MLflow's format."""
    from mlflow.models import Model, infer_signature  # noqa: PLC0415  # slow import
    from mlflow.pyfunc import save_model  # noqa: PLC0415  # slow import
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415  # slow import

    from scoring.pyfunc import _load_pyfunc  # noqa: PLC0415  # as MLflow calls it

    example = input_example()
    signature = infer_signature(example, _load_pyfunc(str(folder), {"name": name}).predict(example))
    # Without it MLflow would drop the column, and what rows are in, before the model sees them.
    signature.inputs = Schema([*signature.inputs, ColSpec("string", "coding", required=False)])
    requirements = [f"{library}=={version(library)}" for library in _LIBRARIES]
    with TemporaryDirectory() as code:
        save_model(
            str(path),
            loader_module=f"{PACKAGE}_loader",
            data_path=str(folder),
            code_paths=[str(file) for file in write_code(Path(code), requirements)],
            mlflow_model=Model(model_id=model_id),
            model_config={"name": name},
            signature=signature,
            input_example=example,
            pip_requirements=requirements,
        )


def input_example() -> Any:
    """Return one made-up record as a frame of float64 columns: no patient, and none of its fields is missing.

    Whole numbers as float64, so that MLflow's signature takes missing values in any column.
    """
    import pandas as pd  # noqa: PLC0415  # with MLflow

    middle = {
        feature.name: float(feature.codes[0][0] if feature.codes else round(sum(feature.support or (0, 0)) / 2))
        for feature in FEATURES
    }
    return pd.DataFrame([[middle[name] for name in FEATURE_NAMES]], columns=list(FEATURE_NAMES), dtype="float64")


def register(client: MlflowClient, run_id: str, report: TrainingReport, ids: Mapping[str, str]) -> Registered:
    """Register the run's best model, and make it the champion unless the rule says that it is worse.

    The rule is that of `training.evaluation.model_selection`, with the new model first: of two that cannot be told
    apart the newer one is taken. Models that were evaluated on other rows cannot be compared: then the champion stays
    until somebody decides. It stays, too, where it was evaluated with more repeats: a quick run knows less of its
    model.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  # slow import

    try:
        client.create_registered_model(REGISTERED, description="Risk of coronary artery disease; research only.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    best = report.choice.best
    standing = next(each for each in report.findings.standings if each.name == best)
    tags = {
        _STANDING: msgspec.json.encode(standing).decode(),
        _DATA: report.manifest.data.sha256,
        _REPEATS: str(report.findings.repeats),
        "model_version": report.manifest.model_version,
    }
    created = client.create_model_version(
        REGISTERED,
        # Not "models:/<id>", which is looked up in MLflow's global store instead of this client's.
        client.get_logged_model(ids[best]).artifact_location,
        run_id,
        tags=tags,
        description=f"{best}: {report.choice.reason}",
        model_id=ids[best],
    )
    wins, reason = _is_champion(client, tags)
    if wins:
        client.set_registered_model_alias(REGISTERED, CHAMPION, created.version)
    return Registered(str(created.version), wins, reason)


def _is_champion(client: MlflowClient, tags: Mapping[str, str]) -> tuple[bool, str]:
    """Hold a new model, by its version's tags, against the champion; returns whether it is to be the next, and why."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  # slow import

    try:
        champion = client.get_model_version_by_alias(REGISTERED, CHAMPION)
    except MlflowException:
        return True, "there was no champion"
    by_hand = "; set the alias by hand if it is to go"
    if champion.tags.get(_DATA) != tags[_DATA] or _STANDING not in champion.tags:
        return False, f"version {champion.version} was evaluated on other rows{by_hand}"
    repeats, now = champion.tags.get(_REPEATS, "0"), tags[_REPEATS]
    if int(repeats) > int(now):
        return (
            False,
            f"version {champion.version} was evaluated with {repeats} repeats, the new one with {now}{by_hand}",
        )
    new, old = (msgspec.json.decode(each[_STANDING], type=Standing) for each in (tags, champion.tags))
    choice = choose([_named(new, "the new one"), _named(old, f"version {champion.version}")])
    return choice.best == "the new one", f"{choice.best}: {choice.reason}"


def _named(standing: Standing, name: str) -> Standing:
    return msgspec.structs.replace(standing, name=name)
