"""The files of a recalibrated model: the same linear model with a line applied to the log-odds of all risks.

Nothing is refitted: intercepts, coefficients, label limits and intervals change, in the portable form and in the
pickle, and the risks of the reference cases are recomputed. The same model and line give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any, Final

import msgspec
import numpy as np

from schemas.errors import ArtifactError
from scoring.compiled_table import CompiledTable
from scoring.logistic import logistic
from scoring.model_artifact import (
    BEST_MODEL_FILE,
    MANIFEST_FILE,
    PREPROCESSOR_FILE,
    REFERENCE_FILE,
    TABLE_FILE,
    Artifact,
    FileEntry,
    Manifest,
)
from scoring.portable_model import PortableModel, read_portable
from scoring.submodels import PatternSubmodels
from training.arrays import Matrix
from training.evaluation.recalibration import Line
from training.export.drift_reference import as_json as reference_json
from training.export.model_directory import as_joblib, as_json, library_versions
from training.export.portable_model import with_answers

NINETY_PERCENT: Final = 1.6448536269514722
"""Standard deviations to either side that cover 90% of a normal distribution."""


def recalibrated_files(
    artifact: Artifact, line: Line, version: str, documents: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Return all files of the new directory, by name; it has only the recalibrated model, which must be linear."""
    manifest, name = artifact.manifest, artifact.model.name
    plain, entry, fitted = linear_model(artifact), manifest.models[name], artifact.fitted()
    compiled = CompiledTable(artifact.table, manifest.missing_patterns)
    classifier = _recalibrated_classifier(fitted.classifier, line)
    risks = classifier.predict_proba(fitted.preprocessor.transform(compiled.reference_cases))[:, 1]
    plain = recalibrated_plain(plain, line)
    pickled, ranges = as_joblib(classifier), manifest.training_range
    contents = {
        PREPROCESSOR_FILE: as_joblib(fitted.preprocessor),
        entry.file: pickled,
        BEST_MODEL_FILE: pickled,
        TABLE_FILE: artifact.table.as_json(),
        str(entry.plain): with_answers(
            msgspec.structs.replace(plain, reference_risks=risks), ranges, compiled
        ).as_json(),
        **documents,
    }
    if artifact.reference is not None:
        # Its risk histograms are those of the old risks, so drift of risks can no longer be measured.
        contents[REFERENCE_FILE] = reference_json(msgspec.structs.replace(artifact.reference, risks={}))
    described = _manifest(manifest, name, version, contents)
    return {**contents, MANIFEST_FILE: as_json(described)}


def linear_model(artifact: Artifact) -> PortableModel:
    """Return the portable form of a linear model. Opens no pickle. Raises ArtifactError for any other kind of model."""
    plain = None if artifact.plain is None else read_portable(artifact.plain)
    if not isinstance(plain, PortableModel) or plain.linear is None:
        raise ArtifactError(f"{artifact.model.name} has no intercept: adapt a logistic regression (--name)")
    return plain


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


def _recalibrated_classifier(classifier: Any, line: Line) -> Any:
    changed = deepcopy(classifier)
    inner = changed if hasattr(changed, "intercept_") else changed["classify"]
    inner.intercept_ = line.intercept + line.slope * inner.intercept_
    inner.coef_ = line.slope * inner.coef_
    if isinstance(inner, PatternSubmodels):
        inner.line_ = _composed(line, inner.line_)
    return changed


def recalibrated_plain(plain: PortableModel, line: Line) -> PortableModel:
    """Apply a line of positive slope to the log-odds of a linear model; its intervals grow by the line's error.

    Label limits move with the risks, so that patients keep their label sets. Reference risks and answers are still
    those of the old model.
    """
    linear, tables = plain.linear, plain.uncertainty
    if linear is None:
        raise ArtifactError("a forest has no log-odds that could be recalibrated")
    with np.errstate(divide="ignore"):
        odds = np.log(tables.label_limits) - np.log1p(-tables.label_limits)
    return msgspec.structs.replace(
        plain,
        linear=msgspec.structs.replace(
            linear,
            intercepts=line.intercept + line.slope * linear.intercepts,
            coefficients=line.slope * linear.coefficients,
            line=linear.line if linear.covariance is None else _composed(line, linear.line),
        ),
        uncertainty=msgspec.structs.replace(
            tables,
            reach=_grown(tables.reach, line),
            sampling_reach=_grown(tables.sampling_reach, line),
            label_limits=logistic(line.intercept + line.slope * odds),
        ),
    )


def _composed(line: Line, before: tuple[float, float]) -> tuple[float, float]:
    """Return intercept and slope of a line applied after another one."""
    shift, slope = before
    return line.intercept + line.slope * shift, line.slope * slope


def _grown(reach: Matrix | None, line: Line) -> Matrix | None:
    """Scale what a 90% interval reaches, and add the variance of the line: variances add up, as squares of reaches."""
    return None if reach is None else np.hypot(line.slope * reach, NINETY_PERCENT * line.error)
