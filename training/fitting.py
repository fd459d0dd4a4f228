"""Fits the preprocessor and the candidates on all training rows, and writes their documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scoring.compiled_table import CompiledTable
from scoring.estimators import new_preprocessor
from scoring.model_artifact import CARD_DATA_FILE, CARD_FILE, REFERENCE_FILE, REPORT_FILE
from training.estimates import bootstrap_weights
from training.evaluation.cross_validation import CrossValidation, FittedFolds
from training.evaluation.inputs import EvaluationInputs
from training.evaluation.results import EvaluationReport
from training.evaluation.uncertainty import fold_risks_by_pattern, uncertainty_of
from training.export.drift_reference import as_json, new_reference
from training.export.model_directory import FittedModels, TrainedModel, library_versions
from training.report.model_card import as_markdown, new_card


def fit(
    inputs: EvaluationInputs,
    cross_validations: Sequence[CrossValidation],
    fitted: FittedFolds,
    evaluation: EvaluationReport,
    model_version: str,
) -> FittedModels:
    """Fit the preprocessor and all candidates on all training rows; `fitted` are the fits behind `cross_validations`.

    The uncertainty of a model is measured with bootstrap samples and with those fits.
    """
    matrix, labels, compiled, seed = inputs.matrix, inputs.labels, inputs.compiled, inputs.seed
    weights = bootstrap_weights(len(labels), seed, inputs.depth.interval_bootstraps)[1:]
    preprocessor = new_preprocessor(compiled.columns).fit(matrix)
    preprocessed = preprocessor.transform(matrix)
    models = []
    for candidate, result in zip(inputs.candidates, cross_validations, strict=True):
        classifier = candidate.new(compiled, seed).fit(preprocessed, labels)
        risks = fold_risks_by_pattern(fitted[candidate.name], matrix, labels, compiled, seed)
        uncertainty = uncertainty_of(classifier, preprocessed, matrix, labels, compiled, weights, risks)
        models.append(TrainedModel(candidate.name, classifier, uncertainty, result.metrics))
    return FittedModels(
        compiled,
        preprocessor,
        tuple(models),
        evaluation.selection.best,
        matrix,
        inputs.data,
        seed=seed,
        threshold=inputs.threshold,
        model_version=model_version,
        documents={
            **_documents(evaluation, preprocessor, models, compiled, model_version),
            REFERENCE_FILE: as_json(
                new_reference(matrix, compiled.table, {each.name: each.risks for each in cross_validations})
            ),
        },
    )


def _documents(
    evaluation: EvaluationReport,
    preprocessor: Any,
    models: Sequence[TrainedModel],
    compiled: CompiledTable,
    model_version: str,
) -> dict[str, bytes]:
    """Return the report and the model card, by file name."""
    best = next(model for model in models if model.name == evaluation.selection.best)
    card = new_card(evaluation, preprocessor, best.classifier, compiled, model_version, library_versions())
    return {
        REPORT_FILE: evaluation.as_json(),
        CARD_DATA_FILE: card.as_json(),
        CARD_FILE: as_markdown(card, evaluation).encode(),
    }
