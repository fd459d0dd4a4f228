"""The evaluation of a training run, from rows to report. `assess` tells the whole story."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from training.arrays import Matrix
from training.candidates import LOGISTIC_REGRESSION, RANDOM_FOREST, is_linear
from training.data.frames import TRAINING_SITE, site_rows
from training.data.population import describe
from training.estimates import samples
from training.evaluation.baseline import USUAL, new_usual_pipeline
from training.evaluation.cross_validation import Evaluation
from training.evaluation.curves import at_thresholds, bins, histogram, precision_recall, roc
from training.evaluation.importance import permutation_importance
from training.evaluation.inputs import Question
from training.evaluation.interval_simulation import simulated_intervals
from training.evaluation.label_sets import nested_coverage, nested_folds
from training.evaluation.leakage import shuffled_roc_auc
from training.evaluation.learning_curve import learning_curve
from training.evaluation.measure_next import measured_next
from training.evaluation.metrics import losses, performance
from training.evaluation.model_selection import Choice, choose, standings
from training.evaluation.operating_point import at_specificity
from training.evaluation.other_hospitals import elsewhere, hospitals, left_out, shared_rows
from training.evaluation.recalibration_harm import harm_elsewhere
from training.evaluation.repeated_cv import COMPLETE, GAP, LACKING, OutOfFold, Step, cross_validated
from training.evaluation.results import REPORT_SCHEMA, Deep, Report
from training.evaluation.sample_size import sample_size
from training.evaluation.stability import instability, odds_ratios, parameter_count, refits
from training.evaluation.subgroups import subgroups
from training.evaluation.tuning import GRIDS, nested

_REFITS: Final = 200


def assess(question: Question, five_fold: Sequence[Evaluation], step: Step) -> Report:
    """Evaluate every candidate and choose. Blocks for seconds, or minutes if it is deep. Raises ArtifactError."""
    pipelines = question.pipelines
    seeds = range(question.seed, question.seed + question.depth.repeats)
    compared = {**pipelines, USUAL: new_usual_pipeline(question.seed)}
    found = cross_validated(compared, question.matrix, question.labels, seeds, step)
    weights = samples(len(question.labels), question.seed, question.depth.bootstraps)
    lacking = {
        name: {
            model: performance(question.labels, found.risks[model][name], question.threshold, weights)
            for model in compared
        }
        for name in LACKING
    }
    standing = standings(list(pipelines), lacking, found, question.labels)
    choice = choose(standing)
    ours = {name: models[choice.best].figures.get("specificity") for name, models in lacking.items()}
    return Report(
        schema=REPORT_SCHEMA,
        data=question.data,
        population=describe(site_rows(question.everyone, TRAINING_SITE)),
        seed=question.seed,
        threshold=question.threshold,
        repeats=question.depth.repeats,
        bootstraps=question.depth.bootstraps,
        five_fold={evaluation.name: evaluation.metrics for evaluation in five_fold},
        lacking=lacking,
        usual_at_our_specificity={
            name: at_specificity(question.labels, found.risks[USUAL][name], wanted.value, weights)
            for name, wanted in ours.items()
            if wanted
        },
        standings=tuple(standing),
        choice=choice,
        deep=_deep(question, choice, found, weights, step) if question.depth.deep else None,
    )


def _deep(question: Question, choice: Choice, found: OutOfFold, weights: Matrix, step: Step) -> Deep:
    matrix, labels, seed, threshold = question.matrix, question.labels, question.seed, question.threshold
    pipelines = question.pipelines
    best, whole = pipelines[choice.best], {name: found.risks[name][COMPLETE] for name in pipelines}
    mean = whole[choice.best].mean(axis=0)
    tuned = {name: nested(name, pipelines[name], matrix, labels, seed, step) for name in GRIDS}
    step("other hospitals")
    sites = elsewhere(question, choice.best)
    without = left_out(question)
    step("learning curve, stability, coverage")
    refitted = refits(matrix, labels, weights[: 1 + _REFITS])
    classifier = best["classify"]
    folds = nested_folds(classifier, matrix, labels, range(seed, seed + 2))
    return Deep(
        tuned={name: choices for name, (choices, _) in tuned.items()},
        tuned_performance={name: performance(labels, risks, threshold, weights) for name, (_, risks) in tuned.items()},
        calibration=tuple(bins(labels, mean)),
        histogram=histogram(labels, mean),
        roc={name: roc(labels, risks.mean(axis=0)) for name, risks in whole.items()},
        precision_recall={name: precision_recall(labels, risks.mean(axis=0)) for name, risks in whole.items()},
        thresholds=tuple(at_thresholds(labels, mean, threshold)),
        subgroups=subgroups(question, whole, weights),
        hospitals=hospitals(question),
        shared_rows=shared_rows(question),
        elsewhere=sites,
        left_out=without,
        learning={
            name: learning_curve(pipelines[name], matrix, labels, range(seed, seed + 3))
            for name in (LOGISTIC_REGRESSION, RANDOM_FOREST)
        },
        instability=instability(refitted, threshold),
        coverage=nested_coverage(folds, matrix, labels),
        coverage_with_gap=nested_coverage(folds, matrix, labels, GAP) if is_linear(classifier) else None,
        intervals=simulated_intervals(classifier, matrix, labels, seed) if is_linear(classifier) else (),
        measure_next=measured_next(folds, matrix) if is_linear(classifier) else (),
        sample_size=sample_size(
            labels, parameter_count(), float(np.mean([losses(labels, run) for run in whole[LOGISTIC_REGRESSION]]))
        ),
        odds_ratios=odds_ratios(refitted),
        importance=permutation_importance(pipelines[RANDOM_FOREST], matrix, labels, seed),
        shuffled_roc_auc=shuffled_roc_auc(pipelines[LOGISTIC_REGRESSION], matrix, labels, seed),
        recalibration=harm_elsewhere(best, question.everyone, whole[choice.best][0], seed),
    )
