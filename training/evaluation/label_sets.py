"""How often label sets hold the true label: out of fold with limits set inside each fold, and in other hospitals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from scoring.features import Mask
from scoring.groups import GROUPS, Groups, groups_of
from scoring.missingness import patterns_of
from training.arrays import Labels, Matrix
from training.estimates import FEWEST, Estimate, wilson
from training.evaluation.cross_validation import split
from training.evaluation.uncertainty import label_limits, risks_by_pattern, risks_of


class Held(msgspec.Struct, frozen=True):
    """Of so many patients, so many have their true label in the set (means over repeats)."""

    patients: int
    held: float


class Coverage(msgspec.Struct, frozen=True):
    """How often a 90% label set has the true label, by outcome; None under 20 such patients.

    `patients` are those who get a set at all; `single` is the share of them whose set has one label. `groups` has the
    counts of each patient group (`scoring.groups`), without disease and with it.
    """

    patients: int
    without_disease: Estimate | None
    with_disease: Estimate | None
    single: float
    groups: dict[str, tuple[Held, Held]]


class Fold(NamedTuple):
    """An outer fold: who is trained on and tested on, and both parts' risks by pattern.

    `inner` (train, 1024) are out of fold inside the training part, `outer` (test, 1024) of a model of all of it.
    """

    train: npt.NDArray[np.intp]
    test: npt.NDArray[np.intp]
    inner: Matrix
    outer: Matrix


def nested_folds(classifier: Any, matrix: Matrix, labels: Labels, seeds: Sequence[int]) -> list[Fold]:
    """Fit an unfitted classifier in the outer and inner folds of a nested cross-validation."""
    return [
        Fold(
            train,
            test,
            risks_by_pattern(classifier, matrix[train], labels[train], seed),
            risks_of(classifier, matrix[train], labels[train], matrix[test]),
        )
        for seed in seeds
        for train, test in split(labels, seed)
    ]


def nested_coverage(folds: Sequence[Fold], matrix: Matrix, labels: Labels, pattern: int = 0) -> Coverage:
    """Set the limits inside the training part of each fold, and count on its test part, for records of a pattern."""
    groups, who, sets = groups_of(matrix), [], []
    for fold in folds:
        limits = label_limits(labels[fold.train], groups[fold.train], fold.inner[:, [pattern]])[0]
        who.append(fold.test)
        sets.append(_sets(labels[fold.test], fold.outer[:, pattern], limits[groups[fold.test]]))
    place = np.concatenate(who)
    held, alone = (np.concatenate(part) for part in zip(*sets, strict=True))
    return _counted(labels[place], groups[place], held, alone, repeats=len(place) // len(labels))


def coverage(matrix: Matrix, labels: Labels, risks: Matrix, limits: Matrix) -> Coverage | None:
    """Count how the label sets do on patients of another hospital, (n,) risks; None if nobody gets a set."""
    groups = groups_of(matrix)
    own = limits[patterns_of(matrix), groups]
    given = ~np.isnan(own[:, 0])
    if not given.any():
        return None
    held, alone = _sets(labels[given], risks[given], own[given])
    return _counted(labels[given], groups[given], held, alone, repeats=1)


def _counted(labels: Labels, groups: Groups, held: Mask, alone: Mask, repeats: int) -> Coverage:
    def count(who: Mask) -> Held:
        return Held(int(who.sum()) // repeats, float(held[who].sum()) / repeats)

    def share(outcome: int) -> Estimate | None:
        found = count(labels == outcome)
        return wilson(round(found.held), found.patients) if found.patients >= FEWEST else None

    by_group = {
        name: (count((groups == place) & (labels == 0)), count((groups == place) & (labels == 1)))
        for place, name in enumerate(GROUPS)
    }
    return Coverage(len(labels) // repeats, share(0), share(1), float(alone.mean()), by_group)


def _sets(labels: Labels, risks: Matrix, limits: Matrix) -> tuple[Mask, Mask]:
    """Say of each patient whether the set has the true label, and whether it has a single one; limits are (n, 2)."""
    zero, one = risks <= limits[:, 0], risks >= limits[:, 1]
    empty = ~zero & ~one
    zero, one = zero | empty, one | empty
    return np.where(labels == 1, one, zero), zero != one
