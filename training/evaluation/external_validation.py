"""External validation: a saved model on labelled patients of the hospital where it is to be used."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd

from schemas.records import ModelRef
from schemas.tables.builtin import is_builtin
from schemas.tables.feature_table import FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.features import Mask, Matrix
from scoring.missingness import MissingPatterns
from scoring.model_artifact import Manifest
from scoring.scorer import Scorer
from training.arrays import Risks
from training.data.checks import certain_duplicates
from training.data.dataset import SITES
from training.data.frames import TRAINING_SITE, digest, features, read_snapshot, row_keys, target
from training.data.labelled import LabelledData
from training.estimates import MIN_PATIENTS, Estimate, bootstrap_weights, wilson_interval, with_both_outcomes
from training.evaluation.curves import calibration_bins, threshold_metrics
from training.evaluation.label_sets import LabelSetCoverage, label_set_coverage
from training.evaluation.metrics import Performance, hospital_performance, performance, prevalence_brier
from training.evaluation.results import CalibrationBin, ThresholdMetrics, to_json
from training.evaluation.subgroups import patient_groups

_BOOTSTRAPS: Final = 500
_MIN_BOOTSTRAPS: Final = 100
_MAX_WEIGHTS: Final = 5_000_000
"""Limits memory: for many patients fewer bootstrap samples are drawn, which agree closely."""
_MAX_PATTERNS: Final = 6
_MAX_SITES: Final = 12
"""A site column with more values than this does not name hospitals."""


class ExternalValidation(msgspec.Struct, frozen=True):
    """The performance of a saved model on labelled patients.

    `event` is the table's word for the outcome, `data_sha256` is the file's. `trained_on` counts the patients that the
    model was trained on, which makes performance look better; it is None if the training rows are unknown, that is
    neither these patients nor a bundled hospital. `groups` are the subgroups of the feature table, `sites` by hospital
    if there are several, `patterns` by missing fields, the most common ones. With fewer than 20 patients of either
    outcome, calibration, thresholds and the metrics of groups and patterns are empty, and metrics that depend on that
    outcome are omitted. Prevalence (`share`), mean risk and counts are always present.
    """

    model: str
    event: str
    model_version: str
    model_digest: str
    data_sha256: str
    patients: int
    events: int
    trained_on: int | None
    threshold: float
    share: Estimate
    mean_risk: float
    prevalence_brier: float
    overall: Performance
    calibration: tuple[CalibrationBin, ...]
    thresholds: tuple[ThresholdMetrics, ...]
    coverage: LabelSetCoverage | None
    groups: dict[str, Performance]
    sites: dict[str, Performance]
    patterns: dict[str, Performance]

    def as_json(self) -> bytes:
        """Return the result as indented JSON."""
        return to_json(self)


class EvaluatedModel(msgspec.Struct, frozen=True):
    """What an evaluation has to know of a model; `label_limits` are those of `scoring.uncertainty`.

    `trained_on` is as in `ExternalValidation`.
    """

    model: ModelRef
    compiled: CompiledTable
    threshold: float
    label_limits: Matrix
    trained_on: int | None


def validate_externally(folder: Path, name: str | None, data: LabelledData) -> ExternalValidation:
    """Evaluate a model of a model directory on labelled patients. Blocks for seconds. Raises ArtifactError."""
    scorer = Scorer.from_directory(folder, name)
    trained = training_patients(scorer.manifest, data.frame, scorer.compiled.table)
    trained_on, limits = None if trained is None else int(trained.sum()), scorer.uncertainty.label_limits
    model = EvaluatedModel(scorer.model, scorer.compiled, scorer.manifest.threshold, limits, trained_on)
    return evaluate_risks(model, scorer.risks(features(data.frame)), data)


def evaluate_risks(model: EvaluatedModel, risks: Risks, data: LabelledData, seed: int = 42) -> ExternalValidation:
    """Evaluate a model's risks (n,) of labelled patients. Blocks for seconds."""
    matrix, labels, compiled, threshold = features(data.frame), target(data.frame), model.compiled, model.threshold

    def hospital(mask: Mask) -> Performance:
        return hospital_performance(labels[mask], risks[mask], threshold, _weights(int(mask.sum()), seed))

    def part(mask: Mask) -> Performance:
        weights = with_both_outcomes(_weights(int(mask.sum()), seed), labels[mask])
        return performance(labels[mask], risks[mask], threshold, weights)

    events = int(labels.sum())
    enough = min(events, len(labels) - events) >= MIN_PATIENTS
    return ExternalValidation(
        model=model.model.name,
        event=compiled.table.outcome.event,
        model_version=model.model.version,
        model_digest=model.model.digest,
        data_sha256=data.sha256,
        patients=len(labels),
        events=events,
        trained_on=model.trained_on,
        threshold=threshold,
        share=wilson_interval(events, len(labels)),
        mean_risk=float(risks.mean()),
        prevalence_brier=prevalence_brier(labels),
        overall=hospital(np.ones(len(labels), dtype=bool)),
        calibration=tuple(calibration_bins(labels, risks)) if enough else (),
        thresholds=tuple(threshold_metrics(labels, risks, threshold)) if enough else (),
        coverage=label_set_coverage(matrix, labels, risks, model.label_limits, compiled),
        groups={group: part(mask) for group, mask in patient_groups(matrix, compiled.table).items() if mask.any()},
        sites={site: hospital(mask) for site, mask in _sites(data.frame).items()},
        patterns={pattern: part(mask) for pattern, mask in _patterns(matrix, compiled.patterns).items()},
    )


def _weights(patients: int, seed: int) -> npt.NDArray[np.float64]:
    return bootstrap_weights(patients, seed, min(_BOOTSTRAPS, max(_MIN_BOOTSTRAPS, _MAX_WEIGHTS // patients)))


def training_patients(manifest: Manifest, frame: pd.DataFrame, table: FeatureTable) -> Mask | None:
    """Return which patients (n,) the model was trained on, None if its training rows are unknown."""
    snapshots = (read_snapshot((site,)) for site in SITES) if is_builtin(table) else ()
    repeated = certain_duplicates(features(frame), target(frame), table)
    whole = (frame, frame[~repeated])
    candidates = (*whole, *(rows.assign(site=TRAINING_SITE) for rows in (*whole, *snapshots)))
    known = next((rows for rows in candidates if digest(rows) == manifest.data.sha256), None)
    if known is None:
        return None
    trained = {*row_keys(known)}
    return np.array([row in trained for row in row_keys(frame)], dtype=bool)


def _sites(frame: pd.DataFrame) -> dict[str, Mask]:
    sites = sorted(frame["site"].unique())
    if not 1 < len(sites) <= _MAX_SITES:
        return {}
    return {site: (frame["site"] == site).to_numpy() for site in sites}


def _patterns(matrix: npt.NDArray[np.float64], missing: MissingPatterns) -> dict[str, Mask]:
    patterns = missing.of(matrix)
    different, counts = np.unique(patterns, return_counts=True)
    common = different[np.argsort(-counts, kind="stable")][:_MAX_PATTERNS]
    return {missing.name(pattern): patterns == pattern for pattern in common.tolist()}
