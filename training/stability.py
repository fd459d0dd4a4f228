"""How much chance is in a model: with fewer patients, with other patients, and in its own promises."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, exp, log
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.model_selection import train_test_split

from schemas.features import FEATURE_NAMES
from scoring.estimators import averages, new_preprocessor
from scoring.groups import GROUPS, Groups, groups_of
from scoring.logistic import logistic
from scoring.matrix import Mask
from scoring.patterns import patterns_of
from scoring.submodels import centered, fit_logistic
from training.data import Labels, Matrix
from training.estimators import INVERSE_PENALTY
from training.evaluate import split
from training.measures import FEWEST, Estimate, losses, roc_auc, wilson
from training.uncertainty import label_limits, risks_by_pattern, risks_of

SIZES: Final = (40, 80, 120, 160, 200, 240)
_UNSURE: Final = (0.3, 0.7)
_SHRINKAGE: Final = 0.9
_OPTIMISM: Final = 0.05


class Learned(msgspec.Struct, frozen=True):
    """ROC-AUC of models that were trained on `patients`: mean and standard deviation over folds and repeats."""

    patients: int
    roc_auc: float
    deviation: float


class Instability(msgspec.Struct, frozen=True):
    """How far a patient's risk moves over models from bootstrap samples: widths that hold 95% of them.

    `changing` is the share of patients whose label changes in more than 5% of the models.
    """

    models: int
    median_width: float
    ninth_decile_width: float
    median_width_unsure: float
    changing: float
    risks: tuple[float, ...]
    widths: tuple[float, ...]


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


class SampleSize(msgspec.Struct, frozen=True):
    """What Riley et al. (BMJ 2020) ask for: patients for a shrinkage of 0.9, an optimism of 0.05 and the prevalence."""

    patients: int
    events: int
    parameters: int
    events_per_parameter: float
    for_shrinkage: int
    for_optimism: int
    for_prevalence: int


def learning_curve(pipeline: Any, matrix: Matrix, labels: Labels, seeds: Sequence[int]) -> tuple[Learned, ...]:
    """Train on ever more patients of each fold's training part; test on its test part."""
    smallest = min(len(train) for seed in seeds for train, _ in split(labels, seed))
    found: dict[int, list[float]] = {size: [] for size in SIZES if size <= smallest}
    for seed in seeds:
        for train, test in split(labels, seed):
            for size, aucs in found.items():
                some = train
                if size <= len(train) - 2:
                    some, _ = train_test_split(train, train_size=size, stratify=labels[train], random_state=seed)
                risks = clone(pipeline).fit(matrix[some], labels[some]).predict_proba(matrix[test])[:, 1]
                aucs.append(float(roc_auc(labels[test], risks, np.ones((1, len(test))))[0]))
    return tuple(Learned(size, float(np.mean(aucs)), float(np.std(aucs, ddof=1))) for size, aucs in found.items())


class Refits(msgspec.Struct, frozen=True):
    """The logistic regression on all patients, and on samples of them.

    `average` (22,) is the average patient after the preprocessor, `centered` (n, 22) are the patients less that one;
    `coefficients` (1 + samples, 23) begin with the intercept, and with the regression on all.
    """

    average: Matrix
    centered: Matrix
    coefficients: Matrix


def refits(matrix: Matrix, labels: Labels, weights: Matrix) -> Refits:
    """Fit the logistic regression once for each row of weights (1 + samples, n), the first of which counts all once.

    The fields are scaled as for all patients; the fit alone is done again.
    """
    inputs = new_preprocessor().fit_transform(matrix)
    average = averages(inputs)
    z = centered(inputs, average)
    used = np.ones((1, z.shape[1]), dtype=bool)
    whole = fit_logistic(z, labels, used, 1 / INVERSE_PENALTY)
    again = [fit_logistic(z, labels, used, 1 / INVERSE_PENALTY, row, whole)[0] for row in weights[1:]]
    return Refits(average, z, np.array([whole[0], *again]))


def instability(refitted: Refits, threshold: float) -> Instability:
    """Look at each patient's risks over models from bootstrap samples (Riley and Collins, 2023)."""
    design = np.column_stack([np.ones(len(refitted.centered)), refitted.centered])
    found = logistic(refitted.coefficients @ design.T)
    ours, risks = found[0], found[1:]
    low, high = np.quantile(risks, [0.025, 0.975], axis=0)
    widths, unsure = high - low, (ours >= _UNSURE[0]) & (ours <= _UNSURE[1])
    changing = ((risks >= threshold) != (ours >= threshold)).mean(axis=0) > 0.05  # noqa: PLR2004  # as documented
    return Instability(
        models=len(risks),
        median_width=float(np.median(widths)),
        ninth_decile_width=float(np.quantile(widths, 0.9)),
        median_width_unsure=float(np.median(widths[unsure])),
        changing=float(changing.mean()),
        risks=tuple(np.round(ours, 4).tolist()),
        widths=tuple(np.round(widths, 4).tolist()),
    )


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


def sample_size(labels: Labels, parameters: int, log_loss: float) -> SampleSize:
    """Apply Riley's criteria, with the share of variation that the model explains out of fold (Cox and Snell's R²)."""
    patients, events = len(labels), int(labels.sum())
    share = events / patients
    nothing = -share * log(share) - (1 - share) * log(1 - share)
    # A model that explains nothing, or all, has no answer; it is asked for very many patients, or hardly any.
    explained, largest = min(max(1 - exp(2 * (log_loss - nothing)), 0.001), 0.89), 1 - exp(-2 * nothing)
    shrunk = explained / (explained + _OPTIMISM * largest)
    counts = (
        parameters / ((_SHRINKAGE - 1) * log(1 - explained / _SHRINKAGE)),
        parameters / ((shrunk - 1) * log(1 - explained / shrunk)),
        (1.96 / 0.05) ** 2 * share * (1 - share),
    )
    for_shrinkage, for_optimism, for_prevalence = (ceil(count) for count in counts)
    each = round(events / parameters, 2)
    return SampleSize(patients, events, parameters, each, for_shrinkage, for_optimism, for_prevalence)


def permutation_importance(
    pipeline: Any, matrix: Matrix, labels: Labels, seed: int, repeats: int = 5
) -> dict[str, float]:
    """Return by how much each field's shuffling raises the log loss of patients out of fold."""
    chance = np.random.default_rng(seed)
    rises: dict[str, list[float]] = {name: [] for name in FEATURE_NAMES}
    for train, test in split(labels, seed):
        fitted = clone(pipeline).fit(matrix[train], labels[train])
        before = losses(labels[test], fitted.predict_proba(matrix[test])[:, 1]).mean()
        for j, name in enumerate(FEATURE_NAMES):
            for _ in range(repeats):
                shuffled = matrix[test].copy()
                shuffled[:, j] = chance.permutation(shuffled[:, j])
                after = losses(labels[test], fitted.predict_proba(shuffled)[:, 1]).mean()
                rises[name].append(float(after - before))
    return {name: float(np.mean(found)) for name, found in rises.items()}
