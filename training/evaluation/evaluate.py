"""The evaluation of a training run, from rows to report: start at `evaluate_candidates`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

import numpy as np

from training.arrays import Labels, Matrix
from training.candidates import LOGISTIC_REGRESSION, RANDOM_FOREST, is_linear
from training.data.frames import site_rows
from training.data.population import describe_population
from training.estimates import bootstrap_weights
from training.evaluation.baseline import BASELINE, new_baseline_pipeline
from training.evaluation.cross_validation import CrossValidation, FittedFolds
from training.evaluation.curves import (
    calibration_bins,
    precision_recall_points,
    risk_histogram,
    roc_points,
    threshold_metrics,
)
from training.evaluation.importance import permutation_importance
from training.evaluation.inputs import EvaluationInputs
from training.evaluation.interval_simulation import simulate_interval_coverage
from training.evaluation.label_sets import nested_folds, nested_label_set_coverage
from training.evaluation.leakage import permuted_labels_roc_auc
from training.evaluation.learning_curve import LearningCurvePoint, learning_curve
from training.evaluation.measure_next import evaluate_measure_next
from training.evaluation.metrics import log_losses, performance
from training.evaluation.model_selection import select, selection_criteria
from training.evaluation.operating_point import at_specificity
from training.evaluation.other_hospitals import (
    evaluate_other_hospitals,
    hospital_names,
    leave_one_hospital_out,
    shared_rows,
)
from training.evaluation.recalibration_harm import simulate_recalibration
from training.evaluation.repeated_cv import (
    COMPLETE,
    OnStep,
    OutOfFoldRisks,
    gap_sets_of,
    repeated_cross_validation,
)
from training.evaluation.results import REPORT_SCHEMA, Curves, EvaluationReport, FullEvaluation
from training.evaluation.stability import bootstrap_refits, instability, odds_ratios
from training.evaluation.subgroups import subgroup_performance
from training.evaluation.tuning import GRIDS, nested_tuning
from training.sample_size import SampleSize, parameter_count, sample_size

_REFITS: Final = 200


def evaluate_candidates(
    inputs: EvaluationInputs, five_fold: Sequence[CrossValidation], step: OnStep, fitted: FittedFolds | None = None
) -> EvaluationReport:
    """Evaluate all candidates, with the fits behind `five_fold`, and select the best. Blocks. Raises ArtifactError."""
    pipelines, labels = inputs.pipelines, inputs.labels
    seeds = range(inputs.seed, inputs.seed + inputs.depth.repeats)
    compared = {**pipelines, BASELINE: new_baseline_pipeline(inputs.compiled, inputs.seed)}
    out_of_fold = repeated_cross_validation(compared, inputs.matrix, labels, inputs.compiled.table, seeds, step, fitted)
    weights = bootstrap_weights(len(labels), inputs.seed, inputs.depth.bootstraps)
    missing_fields = {
        name: {
            model: performance(labels, out_of_fold.risks[model][name], inputs.threshold, weights) for model in compared
        }
        for name in gap_sets_of(inputs.matrix, inputs.compiled.table)
    }
    criteria = selection_criteria(list(pipelines), missing_fields, out_of_fold, labels)
    selection = select(criteria)
    specificities = {name: of[selection.best].figures.get("specificity") for name, of in missing_fields.items()}
    return EvaluationReport(
        schema=REPORT_SCHEMA,
        table=inputs.compiled.table.identifier,
        event=inputs.compiled.table.outcome.event,
        common_gap=inputs.compiled.table.common_gap,
        data=inputs.data,
        population=describe_population(site_rows(inputs.all_hospitals, inputs.training_site), inputs.compiled.table),
        seed=inputs.seed,
        threshold=inputs.threshold,
        repeats=inputs.depth.repeats,
        bootstraps=inputs.depth.bootstraps,
        five_fold={result.name: result.metrics for result in five_fold},
        missing_fields=missing_fields,
        baseline_at_equal_specificity={
            name: at_specificity(labels, out_of_fold.risks[BASELINE][name], specificity.value, weights)
            for name, specificity in specificities.items()
            if specificity
        },
        selection_criteria=tuple(criteria),
        selection=selection,
        full=_full(inputs, selection.best, out_of_fold, weights, step) if inputs.depth.full else None,
    )


def _full(
    inputs: EvaluationInputs, best: str, out_of_fold: OutOfFoldRisks, weights: Matrix, step: OnStep
) -> FullEvaluation:
    matrix, labels, seed, threshold = inputs.matrix, inputs.labels, inputs.seed, inputs.threshold
    pipelines, compiled = inputs.pipelines, inputs.compiled
    table = compiled.table
    gaps, gap = gap_sets_of(matrix, table), compiled.patterns.without(table.gaps.get(table.common_gap, ()))
    risks = {name: out_of_fold.risks[name][COMPLETE] for name in pipelines}
    tuned = {name: nested_tuning(name, pipelines[name], matrix, labels, seed, step) for name in GRIDS}
    step("other hospitals")
    other_hospitals, left_out = evaluate_other_hospitals(inputs, best), leave_one_hospital_out(inputs)
    step("learning curve, stability, coverage")
    refits = bootstrap_refits(matrix, labels, weights[: 1 + _REFITS], compiled)
    linear = is_linear(classifier := pipelines[best]["classify"])
    folds = nested_folds(classifier, matrix, labels, compiled, range(seed, seed + 2))
    with_gap = partial(nested_label_set_coverage, folds, matrix, labels, compiled)
    intervals = partial(simulate_interval_coverage, classifier, matrix, labels, compiled)
    return FullEvaluation(
        tuning={name: choices for name, (choices, _) in tuned.items()},
        tuning_performance={name: performance(labels, each, threshold, weights) for name, (_, each) in tuned.items()},
        curves=_curves(labels, risks, best, threshold),
        subgroups=subgroup_performance(inputs, risks, weights),
        hospitals=hospital_names(inputs),
        shared_rows=shared_rows(inputs),
        other_hospitals=other_hospitals,
        leave_one_hospital_out=left_out,
        learning_curve=_learning_curves(inputs),
        instability=instability(refits, threshold),
        coverage=with_gap(),
        coverage_with_gap=with_gap(compiled.patterns.row(gap)) if linear and gap else None,
        interval_coverage=intervals(gaps, seed) if linear else (),
        measure_next=evaluate_measure_next(folds, matrix, compiled, gaps) if linear else (),
        sample_size=_sample_size(labels, risks[LOGISTIC_REGRESSION], parameter_count(compiled)),
        odds_ratios=odds_ratios(refits, compiled),
        permutation_importance=permutation_importance(pipelines[RANDOM_FOREST], matrix, labels, table.names, seed),
        permuted_labels_roc_auc=permuted_labels_roc_auc(pipelines[LOGISTIC_REGRESSION], matrix, labels, seed),
        recalibration_harm=simulate_recalibration(
            pipelines[best], inputs.all_hospitals, inputs.training_site, risks[best][0], seed
        ),
    )


def _curves(labels: Labels, risks: Mapping[str, Matrix], best: str, threshold: float) -> Curves:
    """Draw curves of each patient's mean risk (repeats, patients) over the repeats."""
    mean = {name: runs.mean(axis=0) for name, runs in risks.items()}
    return Curves(
        calibration=tuple(calibration_bins(labels, mean[best])),
        histogram=risk_histogram(labels, mean[best]),
        thresholds=tuple(threshold_metrics(labels, mean[best], threshold)),
        roc={name: roc_points(labels, each) for name, each in mean.items()},
        precision_recall={name: precision_recall_points(labels, each) for name, each in mean.items()},
    )


def _learning_curves(inputs: EvaluationInputs) -> dict[str, tuple[LearningCurvePoint, ...]]:
    seeds = range(inputs.seed, inputs.seed + 3)
    return {
        name: learning_curve(inputs.pipelines[name], inputs.matrix, inputs.labels, seeds)
        for name in (LOGISTIC_REGRESSION, RANDOM_FOREST)
    }


def _sample_size(labels: Labels, risks: Matrix, parameters: int) -> SampleSize:
    log_loss = float(np.mean([log_losses(labels, run) for run in risks]))
    return sample_size(labels, parameters, log_loss)
