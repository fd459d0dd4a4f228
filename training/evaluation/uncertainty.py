"""Measures the uncertainty of risks once, at training, so that scoring only looks it up.

`scoring.uncertainty` describes the tables. Bootstrap samples of the training patients represent other samples of the
same population; out-of-fold risks set the limits of the label sets (conformal prediction by outcome and patient group).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import ceil
from typing import Any, Final

import numpy as np
from sklearn.base import clone

from scoring.compiled_table import CompiledTable
from scoring.estimators import averages
from scoring.features import Mask
from scoring.groups import Groups
from scoring.logistic import logistic
from scoring.missingness import MissingPatterns
from scoring.submodels import PatternSubmodels, centered, fit_logistic
from scoring.uncertainty import COVERAGE, Uncertainty
from training.arrays import Labels, Matrix
from training.candidates import is_linear, linear_of, new_pipeline, penalty_of
from training.estimates import MIN_PATIENTS, bootstrap_weights
from training.evaluation.cross_validation import fit_folds, stratified_folds

_DECIMALS: Final = 4
_TAILS: Final = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
_OUTCOMES: Final = (0, 1)
_MIN_FOR_LIMIT: Final = 10
"""A 90% limit needs at least 9 other patients."""


def measure_uncertainty(
    classifier: Any,
    inputs: Matrix,
    matrix: Matrix,
    labels: Labels,
    compiled: CompiledTable,
    seed: int,
    bootstraps: int,
) -> Uncertainty:
    """Measure the uncertainty of a fitted classifier on its training rows.

    `inputs` (n, columns) are the rows preprocessed, `matrix` (n, fields) before.
    """
    weights = bootstrap_weights(len(labels), seed, bootstraps)[1:]
    risks = risks_by_pattern(classifier, matrix, labels, compiled, seed)
    return uncertainty_of(classifier, inputs, matrix, labels, compiled, weights, risks)


def uncertainty_of(
    classifier: Any,
    inputs: Matrix,
    matrix: Matrix,
    labels: Labels,
    compiled: CompiledTable,
    weights: Matrix,
    risks: Matrix,
) -> Uncertainty:
    """Do the same with the `weights` (samples, n) of bootstrap samples, and the `risks_by_pattern` (n, patterns).

    A forest has no interval and no distance: it would have to be refitted for each bootstrap sample and pattern.
    """
    patterns, groups = compiled.patterns, compiled.groups.of(matrix)
    limits, coverage = label_limits(labels, groups, risks, compiled), label_coverage(labels, groups, risks, compiled)
    base = base_pattern(matrix, patterns)
    complete = complete_rows(matrix, base, patterns)
    if not is_linear(classifier) or complete.sum() < MIN_PATIENTS:
        return Uncertainty(None, None, None, limits, coverage)
    z = classifier.design(inputs) if isinstance(classifier, PatternSubmodels) else centered(inputs, averages(inputs))
    fits = bootstrap_coefficients(classifier, z, labels, weights, compiled.pattern_columns.used)
    base = patterns.row(base)
    reach, sampling = interval_reaches(fits, z, weights, groups, len(compiled.groups), complete, base)
    effective = patterns.rows(patterns.listed | base)
    reach = widen_with_missing(np.maximum(reach, sampling)[effective], patterns)
    distance = mean_distances(risks, complete, base)[effective]
    return Uncertainty(_rounded(reach), _rounded(sampling[effective]), _rounded(distance), limits, coverage)


def base_pattern(matrix: Matrix, patterns: MissingPatterns) -> int:
    """Return the pattern of the fields that fewer than half of the training rows (n, fields) have; 0: none.

    The effect of these fields cannot be estimated, so a record counts as complete without them.
    """
    rare = np.isnan(matrix[:, patterns.optional]).mean(axis=0) > 0.5  # noqa: PLR2004  # a half
    return int((rare << np.arange(len(patterns.optional))).sum())


def complete_rows(matrix: Matrix, base: int, patterns: MissingPatterns) -> Mask:
    """Return which rows (n, fields) have all fields except those of the base pattern."""
    needed = [field for bit, field in enumerate(patterns.optional) if not base >> bit & 1]
    complete: Mask = np.logical_and.reduce(~np.isnan(matrix[:, needed]), axis=1)
    return complete


def bootstrap_coefficients(classifier: Any, z: Matrix, labels: Labels, weights: Matrix, used: Mask) -> Iterator[Matrix]:
    """Refit a linear classifier's regressions on bootstrap samples; yield coefficients (patterns, 1 + columns).

    `z` (n, columns) are the centred rows, `weights` (samples, n) the counts of each row in each sample, `used`
    (patterns, columns) the columns that each pattern has.
    """
    fitted = used if isinstance(classifier, PatternSubmodels) else np.ones((1, z.shape[1]), dtype=bool)
    kept = np.column_stack([np.ones(len(used)), used])
    start = fit_logistic(z, labels, fitted, penalty_of(classifier))
    for counts in weights:
        yield fit_logistic(z, labels, fitted, penalty_of(classifier), counts, start) * kept


def interval_reaches(
    fits: Iterator[Matrix], z: Matrix, weights: Matrix, groups: Groups, group_count: int, complete: Mask, base: int
) -> tuple[Matrix, Matrix]:
    """Return the reach of 90% intervals below and above log-odds, total and by sampling, each (patterns, groups, 2).

    Each model is compared with the model of the next sample on complete rows that it was not trained on. The total
    compares its log-odds under each pattern with the other's for the complete record (row `base`); the sampling part
    compares both under the same pattern.
    """
    design = np.column_stack([np.ones(len(z)), z])
    total, sampling, group = [], [], []
    first = before = next(fits)
    for counts, after in zip(weights, (*fits, first), strict=True):
        out_of_bag = (counts == 0) & complete
        own, other = design[out_of_bag] @ before.T, design[out_of_bag] @ after.T
        total.append((other[:, [base]] - own).astype(np.float32))
        sampling.append((other - own).astype(np.float32))
        group.append(groups[out_of_bag])
        before = after
    enough = np.bincount(groups[complete], minlength=group_count) >= MIN_PATIENTS
    group_of = np.concatenate(group)
    return _tails(np.concatenate(total), group_of, enough), _tails(np.concatenate(sampling), group_of, enough)


def _tails(differences: Matrix, groups: Groups, enough: Mask) -> Matrix:
    """Return the limits (patterns, groups, 2) of the central 90% of differences (cases, patterns), as distances from 0.

    A group with too few patients gets the limits of all patients.
    """
    limits = np.empty((differences.shape[1], len(enough), 2))
    for group in range(len(enough)):
        own = differences[groups == group]
        cases = own if enough[group] and len(own) else differences
        below, above = np.quantile(cases, _TAILS, axis=0)
        limits[:, group] = np.column_stack([np.maximum(-below, 0), np.maximum(above, 0)])
    return limits


def widen_with_missing(reach: Matrix, patterns: MissingPatterns) -> Matrix:
    """Widen reaches (patterns, groups, 2) so that they never shrink as fields go missing."""
    listed = patterns.listed
    return np.stack([reach[(listed & ~pattern) == 0].max(axis=0) for pattern in listed])


def mean_distances(risks: Matrix, complete: Mask, base: int) -> Matrix:
    """Return the mean absolute difference (patterns,) of out-of-fold risks (n, patterns) from those of row `base`."""
    distance: Matrix = np.abs(risks - risks[:, [base]])[complete].mean(axis=0)
    return distance


def _rounded(table: Matrix) -> Matrix:
    """Round up, so that intervals keep their coverage."""
    rounded: Matrix = np.ceil(table * 10.0**_DECIMALS) / 10.0**_DECIMALS
    return rounded


def risks_by_pattern(classifier: Any, matrix: Matrix, labels: Labels, compiled: CompiledTable, seed: int) -> Matrix:
    """Return the out-of-fold risk of each row by pattern, (n, patterns); of a forest only for complete records."""
    fitted = fit_folds(new_pipeline(classifier, compiled), matrix, labels, seed)
    return fold_risks_by_pattern(fitted, matrix, labels, compiled, seed)


def fold_risks_by_pattern(
    fitted: Sequence[Any], matrix: Matrix, labels: Labels, compiled: CompiledTable, seed: int
) -> Matrix:
    """Do the same with pipelines that `fit_folds` has fitted with this `seed`."""
    risks = np.empty((len(labels), compiled.patterns.count))
    for (train, test), pipeline in zip(stratified_folds(labels, seed), fitted, strict=True):
        risks[test] = _risks_of(pipeline, matrix[train], matrix[test], compiled)
    return risks


def refit_risks(classifier: Any, matrix: Matrix, labels: Labels, test: Matrix, compiled: CompiledTable) -> Matrix:
    """Fit a clone on rows (n, fields); return the risks of other rows (m, fields), (m, patterns), else NaN."""
    pipeline = clone(new_pipeline(classifier, compiled)).fit(matrix, labels)
    return _risks_of(pipeline, matrix, test, compiled)


def _risks_of(pipeline: Any, matrix: Matrix, test: Matrix, compiled: CompiledTable) -> Matrix:
    """Return the risks of rows (m, fields) by pattern, from a pipeline that was fitted on others (n, fields)."""
    preprocessor, classifier = pipeline["preprocess"], pipeline["classify"]
    inputs = preprocessor.transform(test)
    if is_linear(classifier):
        center = averages(preprocessor.transform(matrix))
        return _of_linear(classifier, inputs, center, compiled.pattern_columns.used)
    risks = np.full((len(test), compiled.patterns.count), np.nan)
    risks[:, 0] = classifier.predict_proba(inputs)[:, 1]
    return risks


def _of_linear(fitted: Any, inputs: Matrix, center: Matrix, used: Mask) -> Matrix:
    intercepts, coefficients = linear_of(fitted)
    log_odds: Matrix = centered(inputs, center) @ (coefficients * used).T + intercepts
    return logistic(log_odds)


def label_limits(labels: Labels, groups: Groups, risks: Matrix, compiled: CompiledTable) -> Matrix:
    """Return the largest risk for label 0 and the smallest for 1, (patterns, groups, 2), from `risks` (n, patterns).

    Mondrian conformal prediction by outcome and group, with out-of-fold risks: the limit includes 90% of the group's
    patients with the outcome. The models of the folds approximate the final one, so the coverage is measured
    (`training.evaluation.label_sets`) and not guaranteed.
    """
    limits = np.empty((risks.shape[1], len(compiled.groups), 2))
    for group in range(len(compiled.groups)):
        without, having = (risks[calibration_group(labels, groups, group, outcome, compiled)] for outcome in _OUTCOMES)
        limits[:, group, 0] = _upper_limit(without)
        limits[:, group, 1] = -_upper_limit(-having)
    return limits


def calibration_group(labels: Labels, groups: Groups, group: int, outcome: int, compiled: CompiledTable) -> Mask:
    """Return which patients set a group's limit for an outcome: the group's patients with it, if at least 10.

    Otherwise those of the similar groups (`PatientGroups.similar`), if at least 10; otherwise all with the outcome.
    """
    with_outcome: Mask = labels == outcome
    for wider in ([group], compiled.groups.similar(group)):
        chosen: Mask = np.isin(groups, wider) & with_outcome
        if chosen.sum() >= _MIN_FOR_LIMIT:
            return chosen
    return with_outcome


def _upper_limit(risks: Matrix) -> Matrix:
    """Return the conformal 90% quantile of each column (patients, patterns)."""
    limit: Matrix = np.sort(risks, axis=0)[_rank(len(risks))]
    return limit


def _rank(patients: int) -> int:
    return min(ceil((patients + 1) * COVERAGE), patients) - 1


def label_coverage(labels: Labels, groups: Groups, risks: Matrix, compiled: CompiledTable) -> Matrix:
    """Count each group's patients by outcome, and those whose label set has it, (groups, 2, 2).

    Uses the pattern with the lowest coverage; each patient's limits are set by the other patients.
    """
    known = risks[:, ~np.isnan(risks).any(axis=0)]
    counts = np.zeros((len(compiled.groups), len(_OUTCOMES), 2))
    for group in range(len(compiled.groups)):
        for outcome in _OUTCOMES:
            beyond = (1 - 2 * outcome) * known
            peers = np.sort(beyond[calibration_group(labels, groups, group, outcome, compiled)], axis=0)
            own = beyond[(labels == outcome) & (groups == group)]
            rank = _rank(len(peers) - 1)
            # Leaving out a patient within the limit moves the limit to the next patient.
            limit = np.where(own <= peers[rank], peers[rank + 1], peers[rank])
            counts[group, outcome] = len(own), (own <= limit).sum(axis=0).min()
    return counts
