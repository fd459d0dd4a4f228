"""Repeated cross-validation, with fields deleted as other hospitals lack them.

Everything that learns is fitted inside each fold, on whole records; only patients of the test folds lose fields.
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
from training.evaluation.cross_validation import split

Step = Callable[[str], None]
"""Called with what is being done."""

COMPLETE: Final = "none"
LACKING: Final[dict[str, tuple[str, ...]]] = {
    COMPLETE: (),
    "chol": ("chol",),
    "exang": ("exang",),
    "thal": ("thal",),
    "ca": ("ca",),
    "ca+thal": ("ca", "thal"),
    "slope+ca+thal": ("slope", "ca", "thal"),
    "chol+slope+ca+thal": ("chol", "slope", "ca", "thal"),
    "exercise+ca+thal": ("thalach", "exang", "oldpeak", "slope", "ca", "thal"),
    "all that may be": ("trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"),
}
"""What is deleted: the fields that matter alone, then the gaps that the other hospitals have."""


def pattern_without(fields: Sequence[str]) -> int:
    """Return the pattern of a record that lacks these fields."""
    names = [FEATURE_NAMES[field] for field in OPTIONAL]
    return sum(1 << names.index(field) for field in fields)


def lacking_beyond(base: int) -> dict[str, int]:
    """Return the patterns of `LACKING` on top of a pattern that all records have, complete records first, by name.

    Those that lack nothing more are left out.
    """
    patterns = {name: pattern_without(fields) | base for name, fields in LACKING.items()}
    return {name: pattern for name, pattern in patterns.items() if name == COMPLETE or pattern != base}


GAP: Final = pattern_without(LACKING["slope+ca+thal"])
"""The pattern of the other hospitals."""


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Risks from models that did not see the patient: by model and deleted fields, (repeats, patients)."""

    seeds: tuple[int, ...]
    risks: Mapping[str, Mapping[str, Matrix]]


def cross_validated(
    pipelines: Mapping[str, Any], matrix: Matrix, labels: Labels, seeds: Sequence[int], step: Step
) -> OutOfFold:
    """Cross-validate unfitted pipelines on (n, 13) rows, once a seed, for each entry of `LACKING`."""
    empty = np.empty((len(seeds), len(labels)))
    risks = {model: {lacking: empty.copy() for lacking in LACKING} for model in pipelines}
    for repeat, seed in enumerate(seeds):
        step(f"cross-validation {repeat + 1} of {len(seeds)}")
        for train, test in split(labels, seed):
            for model, pipeline in pipelines.items():
                fitted = clone(pipeline).fit(matrix[train], labels[train])
                for lacking, fields in LACKING.items():
                    asked = without(matrix[test], fields)
                    risks[model][lacking][repeat, test] = fitted.predict_proba(asked)[:, 1]
    return OutOfFold(tuple(seeds), risks)


def without(matrix: Matrix, fields: Sequence[str]) -> Matrix:
    """Return the rows with fields deleted."""
    deleted = matrix.copy()
    deleted[:, [FEATURE_NAMES.index(name) for name in fields]] = np.nan
    return deleted
