"""The evaluation of a training run, from rows to report. `assess` tells the whole story."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from sklearn.base import clone
from sklearn.metrics import precision_recall_curve, roc_curve

from schemas.errors import ArtifactError
from schemas.features import FEATURE_NAMES, FEATURES
from scoring.estimators import BINARY, COLUMN_FIELDS, ONE_HOT, SCALED
from training.choose import Choice, choose, standings
from training.data import TRAINING_SITE, Labels, Matrix, site_rows
from training.estimators import LOGISTIC_REGRESSION, RANDOM_FOREST
from training.evaluate import Evaluation, split
from training.groups import subgroups
from training.hospitals import elsewhere, hospitals, left_out, shared_rows
from training.interval_simulation import simulated_intervals
from training.measure_next import measured_next
from training.measures import (
    Estimate,
    estimate,
    losses,
    net_benefit,
    performance,
    roc_auc,
    samples,
    wilson,
)
from training.operating_point import at_specificity
from training.population import describe
from training.question import Question
from training.recalibration_harm import harm_elsewhere
from training.report import REPORT_SCHEMA, Bin, Curve, Deep, Report, Threshold
from training.stability import (
    Refits,
    instability,
    learning_curve,
    nested_coverage,
    nested_folds,
    permutation_importance,
    refits,
    sample_size,
)
from training.tuning import GRIDS, nested
from training.uncertainty import is_linear
from training.usual import USUAL, new_usual_pipeline
from training.validation import COMPLETE, GAP, LACKING, OutOfFold, Step, cross_validated

_THRESHOLDS: Final = (0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_BINS: Final = 10
_HISTOGRAM: Final = 20
_SHUFFLES: Final = 12
_REFITS: Final = 200
_SHUFFLED_LIMIT: Final = 0.05


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
        histogram=_histogram(labels, mean),
        roc={name: _roc(labels, risks.mean(axis=0)) for name, risks in whole.items()},
        precision_recall={name: _precision_recall(labels, risks.mean(axis=0)) for name, risks in whole.items()},
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
            labels, _parameters(), float(np.mean([losses(labels, run) for run in whole[LOGISTIC_REGRESSION]]))
        ),
        odds_ratios=odds_ratios(refitted),
        importance=permutation_importance(pipelines[RANDOM_FOREST], matrix, labels, seed),
        shuffled_roc_auc=shuffled_roc_auc(pipelines[LOGISTIC_REGRESSION], matrix, labels, seed),
        recalibration=harm_elsewhere(best, question.everyone, whole[choice.best][0], seed),
    )


def bins(labels: Labels, risks: Matrix) -> Iterator[Bin]:
    """Yield tenths of the patients, by risk (n,)."""
    for members in np.array_split(np.argsort(risks, kind="stable"), _BINS):
        events = int(labels[members].sum())
        yield Bin(len(members), float(risks[members].mean()), wilson(events, len(members)))


def _histogram(labels: Labels, risks: Matrix) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Count patients by risk, those without disease and those with it."""
    edges = np.linspace(0, 1, _HISTOGRAM + 1)
    healthy, ill = (np.histogram(risks[labels == outcome], edges)[0].tolist() for outcome in (0, 1))
    return tuple(healthy), tuple(ill)


def _roc(labels: Labels, risks: Matrix) -> Curve:
    alarms, found, _ = roc_curve(labels, risks)
    return Curve(tuple(alarms.tolist()), tuple(found.tolist()))


def _precision_recall(labels: Labels, risks: Matrix) -> Curve:
    precision, recall, _ = precision_recall_curve(labels, risks)
    return Curve(tuple(recall.tolist()), tuple(precision.tolist()))


def at_thresholds(labels: Labels, risks: Matrix, ours: float) -> Iterator[Threshold]:
    """Say what labels at other thresholds than ours, and at ours, would mean."""
    for at in sorted({*_THRESHOLDS, ours}):
        yield _at_threshold(labels, risks, at)


def _at_threshold(labels: Labels, risks: Matrix, at: float) -> Threshold:
    said, ill = risks >= at, labels == 1
    share = float(ill.mean())
    return Threshold(
        threshold=at,
        sensitivity=float(said[ill].mean()),
        specificity=float((~said[~ill]).mean()),
        positive_predictive_value=float(ill[said].mean()) if said.any() else None,
        negative_predictive_value=float((~ill[~said]).mean()) if not said.all() else None,
        net_benefit=net_benefit(labels, risks, at),
        net_benefit_of_treating_all=share - (1 - share) * at / (1 - at),
    )


def odds_ratios(refitted: Refits) -> dict[str, Estimate]:
    """Return the logistic regression's odds ratios, with their spread over bootstrap samples.

    Of a scale: for a standard deviation more. Of a 0/1 field: for 1 against 0. Of a code: against the average patient,
    who has a share of each of its field's codes.
    """
    fits = refitted.coefficients[:, 1:]
    fields, coded = np.array(COLUMN_FIELDS), len(SCALED) + len(BINARY)
    same = (fields[:, None] == fields) & (np.arange(len(fields)) >= coded)
    against = fits - (fits * refitted.average) @ same
    return {name: estimate(np.exp(against[:, place])) for place, name in enumerate(column_names())}


def column_names() -> list[str]:
    """Name the preprocessor's 22 columns, codes with what they mean."""
    codes = {name: FEATURES[FEATURE_NAMES.index(name)].codes for name in ONE_HOT}
    return [*SCALED, *BINARY, *(f"{name} {code} ({text})" for name in ONE_HOT for code, text in codes[name])]


def _parameters() -> int:
    """Count what the logistic regression is free to choose: a column of each block of codes follows from the others."""
    return len(column_names()) - len(ONE_HOT)


def shuffled_roc_auc(pipeline: Any, matrix: Matrix, labels: Labels, seed: int) -> float:
    """Return the mean ROC-AUC on labels dealt out at random: 0.5, or the evaluation leaks. Raises ArtifactError."""
    aucs = []
    for shuffle in range(_SHUFFLES):
        dealt = np.random.default_rng(seed + shuffle).permutation(labels)
        risks = np.empty(len(labels))
        for train, test in split(dealt, seed):
            risks[test] = clone(pipeline).fit(matrix[train], dealt[train]).predict_proba(matrix[test])[:, 1]
        aucs.append(roc_auc(dealt, risks, np.ones((1, len(labels))))[0])
    mean = float(np.mean(aucs))
    if abs(mean - 0.5) > _SHUFFLED_LIMIT:
        raise ArtifactError(f"labels dealt out at random are predicted with ROC-AUC {mean:.3f}: the evaluation leaks")
    return mean
