"""How far a risk can be trusted, measured once at training so that a score can say it at next to no cost.

See `scoring.uncertainty` for what is measured. Bootstrap samples of the training patients stand for other patients of
the same kind; out-of-fold risks set the limits of the label sets (conformal prediction by outcome and patient group).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from typing import Any, Final

import numpy as np
from sklearn.base import clone

from scoring.estimators import averages, new_preprocessor
from scoring.features import Mask
from scoring.groups import GROUPS, Groups, groups_of
from scoring.logistic import logistic
from scoring.missingness import OPTIONAL, PATTERNS
from scoring.submodels import PatternSubmodels, centered, fit_logistic, used_columns
from scoring.uncertainty import COVERAGE, Uncertainty
from training.arrays import Labels, Matrix
from training.candidates import is_linear, linear_of, penalty_of
from training.estimates import FEWEST, samples
from training.evaluation.cross_validation import split

BOOTSTRAPS: Final = 200
_DECIMALS: Final = 4
_TAILS: Final = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
_OUTCOMES: Final = (0, 1)
_FEWEST_FOR_LIMIT: Final = 10
"""Of 9 patients the most extreme is the first limit that can hold 90%; fewer cannot set one."""


def measure(classifier: Any, inputs: Matrix, matrix: Matrix, labels: Labels, seed: int, bootstraps: int) -> Uncertainty:
    """Measure the uncertainty of a fitted classifier on its training rows, preprocessed (n, 22) and before (n, 13).

    A forest has no interval and no distance: it would have to be trained again for each bootstrap sample and pattern.
    """
    groups, risks = groups_of(matrix), risks_by_pattern(classifier, matrix, labels, seed)
    limits, coverage = label_limits(labels, groups, risks), label_coverage(labels, groups, risks)
    base = base_pattern(matrix)
    informed = informed_rows(matrix, base)
    if not is_linear(classifier) or informed.sum() < FEWEST:
        return Uncertainty(None, None, None, limits, coverage)
    weights = samples(len(labels), seed, bootstraps)[1:]
    z = centered(inputs, averages(inputs))
    fits = resampled(classifier, z, labels, weights, used_columns())
    reach, sampling = reaches(fits, z, weights, groups, informed, base)
    told = np.arange(PATTERNS) | base
    reach = never_narrowing(np.maximum(reach, sampling)[told])
    distance = distances(risks, informed, base)[told]
    return Uncertainty(_rounded(reach), _rounded(sampling[told]), _rounded(distance), limits, coverage)


def base_pattern(matrix: Matrix) -> int:
    """Return the pattern of the fields that fewer than half of the training rows (n, 13) have; 0 where there are none.

    Such training cannot say what these fields could still show: for it, a record is complete without them.
    """
    rare = np.isnan(matrix[:, OPTIONAL]).mean(axis=0) > 0.5  # noqa: PLR2004  # a half
    return int((rare << np.arange(len(OPTIONAL))).sum())


def informed_rows(matrix: Matrix, base: int) -> Mask:
    """Say which rows (n, 13) have every field but those of the base pattern."""
    needed = [field for bit, field in enumerate(OPTIONAL) if not base >> bit & 1]
    informed: Mask = np.logical_and.reduce(~np.isnan(matrix[:, needed]), axis=1)
    return informed


def resampled(classifier: Any, z: Matrix, labels: Labels, weights: Matrix, used: Mask) -> Iterator[Matrix]:
    """Fit a linear classifier's regressions again on samples of its rows; yields coefficients (patterns, 23).

    `z` (n, 22) are the rows less the average patient, `weights` (samples, n) say how often each sample drew each row,
    `used` (patterns, 22) which columns each pattern has.
    """
    fitted = used if isinstance(classifier, PatternSubmodels) else np.ones((1, z.shape[1]), dtype=bool)
    kept = np.column_stack([np.ones(len(used)), used])
    start = fit_logistic(z, labels, fitted, penalty_of(classifier))
    for counts in weights:
        yield fit_logistic(z, labels, fitted, penalty_of(classifier), counts, start) * kept


def reaches(
    fits: Iterator[Matrix], z: Matrix, weights: Matrix, groups: Groups, informed: Mask, base: int
) -> tuple[Matrix, Matrix]:
    """Return how far 90% intervals reach below and above log-odds, and the training sample's part, (patterns, 4, 2).

    Each model is compared with the next, of another sample, on informed rows that it was not trained on: its log-odds
    under each pattern with the other's of complete records (`base`), and with the other's under the same pattern.
    """
    design = np.column_stack([np.ones(len(z)), z])
    moved, sampled, who = [], [], []
    first = before = next(fits)
    for counts, after in zip(weights, (*fits, first), strict=True):
        apart = (counts == 0) & informed
        ours, theirs = design[apart] @ before.T, design[apart] @ after.T
        moved.append((theirs[:, [base]] - ours).astype(np.float32))
        sampled.append((theirs - ours).astype(np.float32))
        who.append(groups[apart])
        before = after
    enough = np.bincount(groups[informed], minlength=len(GROUPS)) >= FEWEST
    group_of = np.concatenate(who)
    return _tails(np.concatenate(moved), group_of, enough), _tails(np.concatenate(sampled), group_of, enough)


def _tails(differences: Matrix, groups: Groups, enough: Mask) -> Matrix:
    """Return the limits (patterns, 4, 2) of the middle 90% of differences (cases, patterns), as distances from 0.

    A group with too few patients has the limits of all.
    """
    limits = np.empty((differences.shape[1], len(GROUPS), 2))
    for group in range(len(GROUPS)):
        own = differences[groups == group]
        cases = own if enough[group] and len(own) else differences
        below, above = np.quantile(cases, _TAILS, axis=0)
        limits[:, group] = np.column_stack([np.maximum(-below, 0), np.maximum(above, 0)])
    return limits


def never_narrowing(reach: Matrix) -> Matrix:
    """Widen reaches (1024, 4, 2) so that no pattern has less than one with fewer fields missing."""
    wide = reach.copy()
    for bit in range(len(OPTIONAL)):
        with_field, without = _neighbours(bit)
        wide[without] = np.maximum(wide[without], wide[with_field])
    return wide


def _neighbours(bit: int) -> tuple[Groups, Groups]:
    """Return all patterns that have an optional field, and the same patterns without it."""
    patterns = np.arange(PATTERNS)
    with_field = patterns[patterns >> bit & 1 == 0]
    return with_field, with_field | 1 << bit


def distances(risks: Matrix, informed: Mask, base: int) -> Matrix:
    """Return the mean absolute difference (1024,) of risks (n, 1024) from those of complete records, out of fold."""
    away: Matrix = np.abs(risks - risks[:, [base]])[informed].mean(axis=0)
    return away


def _rounded(table: Matrix) -> Matrix:
    """Round upwards, so that an interval keeps what it claims."""
    rounded: Matrix = np.ceil(table * 10.0**_DECIMALS) / 10.0**_DECIMALS
    return rounded


def risks_by_pattern(classifier: Any, matrix: Matrix, labels: Labels, seed: int) -> Matrix:
    """Return each row's risk under each pattern, (n, 1024), from models of its kind that were not trained on it.

    A forest is asked for complete records alone; the rest is NaN.
    """
    risks = np.empty((len(labels), PATTERNS))
    for train, test in split(labels, seed):
        risks[test] = risks_of(classifier, matrix[train], labels[train], matrix[test])
    return risks


def risks_of(classifier: Any, matrix: Matrix, labels: Labels, asked: Matrix) -> Matrix:
    """Train a classifier of this kind on rows (n, 13); return the risks of others (m, 13) by pattern, (m, 1024)."""
    preprocessor = new_preprocessor().fit(matrix)
    trained, inputs = preprocessor.transform(matrix), preprocessor.transform(asked)
    fitted = clone(classifier).fit(trained, labels)
    if is_linear(classifier):
        return _of_linear(fitted, inputs, averages(trained))
    risks = np.full((len(asked), PATTERNS), np.nan)
    risks[:, 0] = fitted.predict_proba(inputs)[:, 1]
    return risks


def _of_linear(fitted: Any, inputs: Matrix, center: Matrix) -> Matrix:
    intercepts, coefficients = linear_of(fitted)
    log_odds: Matrix = centered(inputs, center) @ (coefficients * used_columns()).T + intercepts
    return logistic(log_odds)


def label_limits(labels: Labels, groups: Groups, risks: Matrix) -> Matrix:
    """Return up to which risk label 0 is plausible and from which label 1, (patterns, 4, 2), by `risks` (n, patterns).

    Conformal by outcome and group (Mondrian), with out-of-fold risks: all but 10% of the group's patients with the
    outcome keep to the limit. The folds' models stand for the final one, so the 90% is measured
    (`training.evaluation.label_sets`) and not guaranteed.
    """
    limits = np.empty((risks.shape[1], len(GROUPS), 2))
    for group in range(len(GROUPS)):
        healthy, ill = (risks[comparable(labels, groups, group, outcome)] for outcome in _OUTCOMES)
        limits[:, group, 0] = _highest(healthy)
        limits[:, group, 1] = -_highest(-ill)
    return limits


def comparable(labels: Labels, groups: Groups, group: int, outcome: int) -> Mask:
    """Say who sets a group's limit for an outcome: those of the group who have it, if there are 10.

    Else those with the same kind of chest pain, of either sex, if there are 10; else all who have the outcome.
    """
    has_it: Mask = labels == outcome
    for wider in (groups == group, groups % 2 == group % 2):
        chosen: Mask = wider & has_it
        if chosen.sum() >= _FEWEST_FOR_LIMIT:
            return chosen
    return has_it


def _highest(risks: Matrix) -> Matrix:
    """Return the value of each column (patients, patterns) that all but 10% of the patients keep to."""
    highest: Matrix = np.sort(risks, axis=0)[_rank(len(risks))]
    return highest


def _rank(patients: int) -> int:
    return min(ceil((patients + 1) * COVERAGE), patients) - 1


def label_coverage(labels: Labels, groups: Groups, risks: Matrix) -> Matrix:
    """Count each group's patients by outcome, and those whose label set has it, (4, 2, 2), by risks (n, patterns).

    Of the patterns with known risks, the one with the fewest counts. A patient's limits are set by the others.
    """
    known = risks[:, ~np.isnan(risks).any(axis=0)]
    counts = np.zeros((len(GROUPS), len(_OUTCOMES), 2))
    for group in range(len(GROUPS)):
        for outcome in _OUTCOMES:
            beyond = (1 - 2 * outcome) * known
            peers = np.sort(beyond[comparable(labels, groups, group, outcome)], axis=0)
            own = beyond[(labels == outcome) & (groups == group)]
            rank = _rank(len(peers) - 1)
            # Without a patient who keeps to the limit, the next one takes its place.
            limit = np.where(own <= peers[rank], peers[rank + 1], peers[rank])
            counts[group, outcome] = len(own), (own <= limit).sum(axis=0).min()
    return counts
