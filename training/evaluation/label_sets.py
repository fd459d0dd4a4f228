"""How often label sets hold the true label: out of fold with limits set inside each fold, and in other hospitals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.compiled_table import CompiledTable
from scoring.features import Mask
from scoring.groups import Groups
from training.arrays import Labels, Matrix
from training.estimates import MIN_PATIENTS, Estimate, wilson_interval
from training.evaluation.cross_validation import stratified_folds
from training.evaluation.uncertainty import label_limits, refit_risks, risks_by_pattern


class Covered(msgspec.Struct, frozen=True):
    """The number of patients, and of those whose label set has their true label (means over repeats)."""

    patients: int
    covered: float


class LabelSetCoverage(msgspec.Struct, frozen=True):
    """The share of patients whose 90% label set has the true label, by outcome; None for fewer than 20 patients.

    `patients` counts those who get a set, `single` is the share of them whose set has one label. `groups` has the
    counts of each patient group (`scoring.groups`), without and with disease.
    """

    patients: int
    without_disease: Estimate | None
    with_disease: Estimate | None
    single: float
    groups: dict[str, tuple[Covered, Covered]]


class NestedFold(NamedTuple):
    """An outer fold of a nested cross-validation: training and test indices, and the risks of both by pattern.

    `inner` (train, patterns) are out-of-fold risks of the training part; `outer` (test, patterns) are risks of the test
    part from a model fitted on the whole training part.
    """

    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]
    inner: Matrix
    outer: Matrix


def nested_folds(
    classifier: Any, matrix: Matrix, labels: Labels, compiled: CompiledTable, seeds: Sequence[int]
) -> list[NestedFold]:
    """Fit an unfitted classifier in the outer and inner folds of a nested cross-validation."""
    return [
        NestedFold(
            train,
            test,
            risks_by_pattern(classifier, matrix[train], labels[train], compiled, seed),
            refit_risks(classifier, matrix[train], labels[train], matrix[test], compiled),
        )
        for seed in seeds
        for train, test in stratified_folds(labels, seed)
    ]


def nested_label_set_coverage(
    folds: Sequence[NestedFold], matrix: Matrix, labels: Labels, compiled: CompiledTable, pattern: int = 0
) -> LabelSetCoverage:
    """Set label limits on the training part of each fold and measure coverage on its test part, for one pattern."""
    groups, tested, sets = compiled.groups.of(matrix), [], []
    for fold in folds:
        limits = label_limits(labels[fold.train], groups[fold.train], fold.inner[:, [pattern]], compiled)[0]
        tested.append(fold.test)
        sets.append(_sets(labels[fold.test], fold.outer[:, pattern], limits[groups[fold.test]]))
    indices = np.concatenate(tested)
    covered, single = (np.concatenate(part) for part in zip(*sets, strict=True))
    repeats = len(indices) // len(labels)
    return _counted(labels[indices], groups[indices], covered, single, compiled, repeats=repeats)


def label_set_coverage(
    matrix: Matrix, labels: Labels, risks: Matrix, limits: Matrix, compiled: CompiledTable
) -> LabelSetCoverage | None:
    """Measure the coverage of label sets for risks (n,) of another hospital; None if nobody gets a set."""
    groups = compiled.groups.of(matrix)
    unknown = np.full((1, *limits.shape[1:]), np.nan)
    own = np.concatenate([limits, unknown])[compiled.patterns.rows(compiled.patterns.of(matrix)), groups]
    given = ~np.isnan(own[:, 0])
    if not given.any():
        return None
    covered, single = _sets(labels[given], risks[given], own[given])
    return _counted(labels[given], groups[given], covered, single, compiled, repeats=1)


def _counted(
    labels: Labels, groups: Groups, covered: Mask, single: Mask, compiled: CompiledTable, repeats: int
) -> LabelSetCoverage:
    def count(mask: Mask) -> Covered:
        return Covered(int(mask.sum()) // repeats, float(covered[mask].sum()) / repeats)

    def share(outcome: int) -> Estimate | None:
        found = count(labels == outcome)
        return wilson_interval(round(found.covered), found.patients) if found.patients >= MIN_PATIENTS else None

    by_group = {
        name: (count((groups == place) & (labels == 0)), count((groups == place) & (labels == 1)))
        for place, name in enumerate(compiled.groups.names)
    }
    return LabelSetCoverage(len(labels) // repeats, share(0), share(1), float(single.mean()), by_group)


def _sets(labels: Labels, risks: Matrix, limits: Matrix) -> tuple[Mask, Mask]:
    """Return whether each patient's set has the true label, and whether it has a single label; limits are (n, 2)."""
    zero, one = risks <= limits[:, 0], risks >= limits[:, 1]
    empty = ~zero & ~one
    zero, one = zero | empty, one | empty
    return np.where(labels == 1, one, zero), zero != one
