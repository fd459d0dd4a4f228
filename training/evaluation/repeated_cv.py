"""Repeated cross-validation, also with fields deleted that other hospitals did not measure.

Preprocessor and classifier are fitted inside each fold, on unchanged records; fields are deleted in test folds only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.base import clone

from schemas.features import FEATURE_NAMES
from scoring.missingness import OPTIONAL
from training.arrays import Labels, Matrix
from training.evaluation.cross_validation import stratified_folds

OnStep = Callable[[str], None]
"""Called at the start of each step with its name."""

COMPLETE: Final = "none"
MISSING_FIELDS: Final[dict[str, tuple[str, ...]]] = {
    COMPLETE: (),
    "chol": ("chol",),
    "exang": ("exang",),
    "thal": ("thal",),
    "ca": ("ca",),
    "ca+thal": ("ca", "thal"),
    "slope+ca+thal": ("slope", "ca", "thal"),
    "chol+slope+ca+thal": ("chol", "slope", "ca", "thal"),
    "exercise+ca+thal": ("thalach", "exang", "oldpeak", "slope", "ca", "thal"),
    "all optional": ("trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"),
}
"""Sets of fields to delete: single fields that matter, then the sets that other hospitals commonly lack."""


def pattern_of(fields: Sequence[str]) -> int:
    """Return the missing-data pattern of a record that lacks these fields."""
    names = [FEATURE_NAMES[field] for field in OPTIONAL]
    return sum(1 << names.index(field) for field in fields)


def missing_patterns(base: int) -> dict[str, int]:
    """Return the patterns of `MISSING_FIELDS` combined with `base`, the pattern that all records share, by name.

    Patterns that equal `base` are omitted, except the first, for complete records.
    """
    patterns = {name: pattern_of(fields) | base for name, fields in MISSING_FIELDS.items()}
    return {name: pattern for name, pattern in patterns.items() if name == COMPLETE or pattern != base}


COMMON_GAP: Final = pattern_of(MISSING_FIELDS["slope+ca+thal"])
"""The most common pattern in the other hospitals."""


@dataclass(frozen=True, slots=True)
class OutOfFoldRisks:
    """Out-of-fold risks by model and by set of deleted fields, each (repeats, patients)."""

    seeds: tuple[int, ...]
    risks: Mapping[str, Mapping[str, Matrix]]


def repeated_cross_validation(
    pipelines: Mapping[str, Any], matrix: Matrix, labels: Labels, seeds: Sequence[int], step: OnStep
) -> OutOfFoldRisks:
    """Cross-validate unfitted pipelines on (n, 13) rows, once per seed, for each entry of `MISSING_FIELDS`."""
    empty = np.empty((len(seeds), len(labels)))
    risks = {model: {name: empty.copy() for name in MISSING_FIELDS} for model in pipelines}
    for repeat, seed in enumerate(seeds):
        step(f"cross-validation {repeat + 1} of {len(seeds)}")
        for train, test in stratified_folds(labels, seed):
            for model, pipeline in pipelines.items():
                fitted = clone(pipeline).fit(matrix[train], labels[train])
                for name, fields in MISSING_FIELDS.items():
                    rows = delete_fields(matrix[test], fields)
                    risks[model][name][repeat, test] = fitted.predict_proba(rows)[:, 1]
    return OutOfFoldRisks(tuple(seeds), risks)


def delete_fields(matrix: Matrix, fields: Sequence[str]) -> Matrix:
    """Return a copy of the rows with fields set to NaN."""
    deleted = matrix.copy()
    deleted[:, [FEATURE_NAMES.index(name) for name in fields]] = np.nan
    return deleted
