"""Recalibrates a model: a new model directory with the log-odds of all risks shifted by a constant.

Nothing is refitted: intercepts, label limits and intervals are shifted, in the portable form and in the pickle, and the
risks of the reference cases are recomputed. The same model and outcomes give the same bytes.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import msgspec
import numpy as np

from schemas.errors import ArtifactError, DataError, SettingsError
from scoring.compiled_table import CompiledTable
from scoring.isolated_load import VerifiedModel, verify_model
from scoring.logistic import logistic
from scoring.model_artifact import (
    BEST_MODEL_FILE,
    MANIFEST_FILE,
    PREPROCESSOR_FILE,
    RECALIBRATION_FILE,
    REFERENCE_FILE,
    TABLE_FILE,
    Artifact,
    FileEntry,
    Manifest,
)
from scoring.portable_model import PortableModel
from training.arrays import Labels, Matrix, Risks
from training.candidates import is_linear
from training.evaluation.recalibration import MIN_OUTCOMES, Advice, propose_shift, shift_risks
from training.export.drift_reference import as_json as reference_json
from training.export.model_directory import as_joblib, as_json, library_versions, refuse_foreign_folder
from training.export.portable_model import with_answers
from training.export.replace_folder import replace_folder
from training.report.recalibrated_card import (
    RECALIBRATION_SCHEMA,
    Recalibration,
    Recalibrations,
    recalibrated_cards,
)

_DECIMALS: Final = 6
NINETY_PERCENT: Final = 1.6448536269514722
"""Standard deviations to either side that cover 90% of a normal distribution."""
_REFUSED: Final = {
    Advice.WAIT: f"a shift requires at least {MIN_OUTCOMES} outcomes, of both kinds",
    Advice.LEAVE: "chance may explain the bias of its mean risk (98% interval): a shift might make it worse",
    Advice.LOOK_CLOSER: "its risks are biased, but a shift would not improve them for these patients: train with them",
}


class ObservedOutcomes(msgspec.Struct, frozen=True):
    """Risks (n,) of a model, the observed outcomes (n,) of the same patients, and the SHA-256 of their source."""

    risks: Risks
    labels: Labels
    sha256: str


def recalibrate(
    artifact: Artifact, folder: Path, evidence: ObservedOutcomes, output: Path
) -> tuple[Recalibration, VerifiedModel]:
    """Recalibrate the model directory `folder`, loaded as `artifact`, and write it to `output` after verifying it.

    Opens the model's pickle. Blocks for some seconds. Raises DataError if no shift is proposed, ArtifactError for a
    model that cannot be shifted, SettingsError if `output` cannot be written.
    """
    refuse_foreign_folder(output)
    before = _earlier(artifact, folder)
    if evidence.sha256 in (each.data_sha256 for each in before):
        raise DataError(
            f"{folder} was already recalibrated with these outcomes; a second shift requires other patients"
        )
    made = _new_recalibration(artifact, evidence)
    contents = _contents(artifact, made, (*before, made))
    with TemporaryDirectory() as scratch:
        copy = Path(scratch) / "model"
        replace_folder(copy, contents)
        verified = verify_model(copy)
    if verified.fallback_reason is not None:
        raise ArtifactError(f"the recalibrated model cannot be verified: {verified.fallback_reason}")
    try:
        replace_folder(output, contents)
    except OSError as error:
        raise SettingsError((f"cannot write the model directory {output}: {error.strerror}",)) from error
    return made, verified


def _earlier(artifact: Artifact, folder: Path) -> tuple[Recalibration, ...]:
    entry = artifact.manifest.files.get(RECALIBRATION_FILE)
    if entry is None:
        return ()
    content = (folder / RECALIBRATION_FILE).read_bytes()
    if FileEntry.of(content) != entry:
        raise ArtifactError(f"{folder} changed while it was read")
    return msgspec.json.decode(content, type=Recalibrations).done


def _new_recalibration(artifact: Artifact, evidence: ObservedOutcomes) -> Recalibration:
    """Return the proposed recalibration. Raises DataError if there is none."""
    labels, risks = evidence.labels, evidence.risks
    found = propose_shift(labels, risks)
    model = artifact.model
    if found.advice is not Advice.RECALIBRATE or found.shift is None or not found.proposed:
        estimated = "" if found.shift is None else f" (estimated shift {found.shift.value:+.2f})"
        raise DataError(
            f"{model.name} {model.version} is not recalibrated with {len(labels)} outcomes, {int(labels.sum())} with "
            f"disease{estimated}: {_REFUSED[found.advice]}"
        )
    applied = round(found.proposed, _DECIMALS)
    after = shift_risks(risks, applied)
    return Recalibration(
        model=model.name,
        base_version=model.version,
        base_digest=model.digest,
        data_sha256=evidence.sha256,
        patients=len(labels),
        events=int(labels.sum()),
        estimated=found.shift,
        standard_error=found.standard_error or 0.0,
        applied=applied,
        mean_risk_before=float(risks.mean()),
        mean_risk_after=float(after.mean()),
        brier_before=float(np.square(risks - labels).mean()),
        brier_after=float(np.square(after - labels).mean()),
    )


def _contents(artifact: Artifact, made: Recalibration, done: tuple[Recalibration, ...]) -> dict[str, bytes]:
    """Return all files of the new directory, by name; it has only the recalibrated model."""
    manifest, name = artifact.manifest, artifact.model.name
    entry, fitted = manifest.models[name], artifact.fitted()
    if artifact.plain is None or entry.plain is None or not is_linear(fitted.classifier):
        raise ArtifactError(f"{name} has no intercept to shift: recalibrate a logistic regression (--name)")
    version, compiled = _version(made), CompiledTable(artifact.table, manifest.missing_patterns)
    classifier = _shifted_classifier(fitted.classifier, made.applied)
    risks = classifier.predict_proba(fitted.preprocessor.transform(compiled.reference_cases))[:, 1]
    plain = shifted_plain(PortableModel.from_json(artifact.plain), made.applied, made.standard_error)
    pickled, ranges = as_joblib(classifier), manifest.training_range
    contents = {
        PREPROCESSOR_FILE: as_joblib(fitted.preprocessor),
        entry.file: pickled,
        BEST_MODEL_FILE: pickled,
        TABLE_FILE: artifact.table.as_json(),
        entry.plain: with_answers(msgspec.structs.replace(plain, reference_risks=risks), ranges, compiled).as_json(),
        RECALIBRATION_FILE: Recalibrations(RECALIBRATION_SCHEMA, done).as_json(),
        **recalibrated_cards(artifact, version, done),
    }
    if artifact.reference is not None:
        # Its risk histograms are from before the shift, so drift of risks can no longer be measured.
        contents[REFERENCE_FILE] = reference_json(msgspec.structs.replace(artifact.reference, risks={}))
    described = _manifest(manifest, name, version, contents)
    return {**contents, MANIFEST_FILE: as_json(described)}


def _version(made: Recalibration) -> str:
    return f"{made.base_version}{'.' if '+' in made.base_version else '+'}recalibrated.{made.data_sha256[:8]}"


def _manifest(manifest: Manifest, name: str, version: str, contents: dict[str, bytes]) -> Manifest:
    """Return the new manifest, without the cross-validated metrics, which are the base model's."""
    return msgspec.structs.replace(
        manifest,
        model_version=version,
        best=name,
        versions=library_versions(),
        models={name: msgspec.structs.replace(manifest.models[name], metrics={})},
        files={file: FileEntry.of(content) for file, content in contents.items()},
    )


def _shifted_classifier(classifier: Any, by: float) -> Any:
    moved = deepcopy(classifier)
    inner = moved if hasattr(moved, "intercept_") else moved["classify"]
    inner.intercept_ = inner.intercept_ + by
    return moved


def shifted_plain(plain: PortableModel, by: float, error: float) -> PortableModel:
    """Add to the log-odds of a linear model; its intervals grow by the standard error, all else is carried over.

    Reference risks and answers are still those of the old model.
    """
    linear, tables = plain.linear, plain.uncertainty
    if linear is None:
        raise ArtifactError("a forest has no intercept that could be shifted")
    with np.errstate(divide="ignore"):
        odds = np.log(tables.label_limits) - np.log1p(-tables.label_limits)
    return msgspec.structs.replace(
        plain,
        linear=msgspec.structs.replace(linear, intercepts=linear.intercepts + by),
        uncertainty=msgspec.structs.replace(
            tables,
            reach=_grown(tables.reach, error),
            sampling_reach=_grown(tables.sampling_reach, error),
            label_limits=logistic(odds + by),
        ),
    )


def _grown(reach: Matrix | None, error: float) -> Matrix | None:
    """Add the variance of the shift to what a 90% interval reaches: variances add up, and so do squares of reaches."""
    return None if reach is None else np.hypot(reach, NINETY_PERCENT * error)
