"""Logs the models of a run in MLflow, registers the best one, and sets the champion alias by the selection rule.

Each model in MLflow contains the whole model directory and the code that reads it; `mlflow.pyfunc` loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import msgspec

from schemas.tables.builtin import UCI_HEART
from schemas.tables.feature_table import FeatureTable
from training.evaluation.model_selection import SelectionCriteria, select
from training.tracking.model_wheel import PACKAGE, write_code

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from training.pipeline import TrainingResult

REGISTERED_MODEL: Final = "heartstream"
"""The registered model of the built-in feature table; models of another one have its name appended."""
CHAMPION: Final = "champion"
_LIBRARIES: Final = ("msgspec", "numpy", "onnxruntime", "pandas")
_CRITERIA: Final = "selection_criteria"
_DATA: Final = "data.sha256"
_REPEATS: Final = "evaluation.repeats"


class RegisteredVersion(msgspec.Struct, frozen=True):
    """The registered version of a run's best model, whether it became the champion, and the reason."""

    name: str
    version: str
    is_champion: bool
    reason: str


def log_models(client: MlflowClient, run_id: str, experiment_id: str, report: TrainingResult) -> dict[str, str]:
    """Log all models of a run; return their ids in MLflow by name. Blocks for seconds."""
    from mlflow.entities import LoggedModelOutput  # noqa: PLC0415  # slow import

    ids = {}
    for name, entry in report.manifest.models.items():
        params = {key: str(value) for key, value in entry.params.items()}
        logged = client.create_logged_model(experiment_id, name, run_id, params=params, model_type="classifier")
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            _save(path, report, name, logged.model_id)
            client.log_model_artifacts(logged.model_id, str(path))
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        ids[name] = logged.model_id
    return ids


def _save(path: Path, report: TrainingResult, name: str, model_id: str) -> None:
    """Write a model in MLflow's format."""
    from mlflow.models import Model, infer_signature  # noqa: PLC0415  # slow import
    from mlflow.pyfunc import save_model  # noqa: PLC0415  # slow import
    from mlflow.types import ColSpec, Schema  # noqa: PLC0415  # slow import

    from scoring.pyfunc import _load_pyfunc  # noqa: PLC0415  # as MLflow calls it

    example = input_example(report.table)
    signature = infer_signature(example, _load_pyfunc(str(report.folder), {"name": name}).predict(example))
    # Without it MLflow would drop the column before the model sees it, and with it the coding of the rows.
    signature.inputs = Schema([*signature.inputs, ColSpec("string", "coding", required=False)])
    requirements = [f"{library}=={version(library)}" for library in _LIBRARIES]
    with TemporaryDirectory() as code:
        save_model(
            str(path),
            loader_module=f"{PACKAGE}_loader",
            data_path=str(report.folder),
            code_paths=[str(file) for file in write_code(Path(code), requirements)],
            mlflow_model=Model(model_id=model_id),
            model_config={"name": name},
            signature=signature,
            input_example=example,
            pip_requirements=requirements,
        )


def input_example(table: FeatureTable) -> Any:
    """Return a synthetic record without missing fields, as a frame of float64 columns, and texts for codes of texts.

    With float64, MLflow's signature accepts missing values in every column.
    """
    import pandas as pd  # noqa: PLC0415  # with MLflow

    numbers = {feature.name: "float64" for feature in table.features if not feature.labels}
    return pd.DataFrame([table.typical_record()], columns=list(table.names)).astype(numbers)


def register(client: MlflowClient, run_id: str, report: TrainingResult, ids: Mapping[str, str]) -> RegisteredVersion:
    """Register the run's best model, and make it the champion unless the selection rule prefers the present one.

    The rule of `training.evaluation.model_selection` gets the new model first, so that of two equal models the newer
    one is taken. The champion stays, until somebody decides, if it was evaluated on other rows, which cannot be
    compared, or with more repeats, as a quick run is less precise.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  # slow import

    name = registered_name(report.table)
    try:
        client.create_registered_model(name, description=f"Risk of {report.table.outcome.text}; research only.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    best = report.selection.best
    criteria = next(each for each in report.evaluation.selection_criteria if each.name == best)
    tags = {
        _CRITERIA: msgspec.json.encode(criteria).decode(),
        _DATA: report.manifest.data.sha256,
        _REPEATS: str(report.evaluation.repeats),
        "model_version": report.manifest.model_version,
    }
    created = client.create_model_version(
        name,
        # Not "models:/<id>", which is looked up in MLflow's global store instead of this client's.
        client.get_logged_model(ids[best]).artifact_location,
        run_id,
        tags=tags,
        description=f"{best}: {report.selection.reason}",
        model_id=ids[best],
    )
    is_champion, reason = _is_champion(client, name, tags)
    if is_champion:
        client.set_registered_model_alias(name, CHAMPION, created.version)
    return RegisteredVersion(name, str(created.version), is_champion, reason)


def registered_name(table: FeatureTable) -> str:
    """Return the name under which models of a feature table are registered."""
    return REGISTERED_MODEL if table.name == UCI_HEART.name else f"{REGISTERED_MODEL}-{table.name}"


def _is_champion(client: MlflowClient, name: str, tags: Mapping[str, str]) -> tuple[bool, str]:
    """Compare a new version, by its tags, with the champion; return whether it replaces it, and the reason."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415  # slow import

    try:
        champion = client.get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        return True, "there was no champion"
    by_hand = "; to replace it, set the alias by hand"
    if champion.tags.get(_DATA) != tags[_DATA] or _CRITERIA not in champion.tags:
        return False, f"version {champion.version} was evaluated on other rows{by_hand}"
    repeats, now = champion.tags.get(_REPEATS, "0"), tags[_REPEATS]
    if int(repeats) > int(now):
        return (
            False,
            f"version {champion.version} was evaluated with {repeats} repeats, the new one with {now}{by_hand}",
        )
    new, old = (msgspec.json.decode(each[_CRITERIA], type=SelectionCriteria) for each in (tags, champion.tags))
    choice = select([_named(new, "the new one"), _named(old, f"version {champion.version}")])
    return choice.best == "the new one", f"{choice.best}: {choice.reason}"


def _named(criteria: SelectionCriteria, name: str) -> SelectionCriteria:
    return msgspec.structs.replace(criteria, name=name)
