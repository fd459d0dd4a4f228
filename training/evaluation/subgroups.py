"""Performance in subgroups: by sex, age and kind of chest pain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.features import FEATURE_NAMES
from scoring.features import Mask
from training.arrays import Matrix
from training.estimates import with_both_outcomes
from training.evaluation.inputs import EvaluationInputs
from training.evaluation.metrics import Performance, performance, small_group_performance

_AGE_SPLIT: Final = 55
_ASYMPTOMATIC: Final = 4


def patient_groups(matrix: Matrix) -> dict[str, Mask]:
    """Return each group's mask over the rows (n, 13)."""
    age, sex, pain = (matrix[:, FEATURE_NAMES.index(name)] for name in ("age", "sex", "cp"))
    return {
        "women": sex == 0,
        "men": sex == 1,
        f"under {_AGE_SPLIT} years": age < _AGE_SPLIT,
        f"{_AGE_SPLIT} years and over": age >= _AGE_SPLIT,
        "chest pain asymptomatic (cp 4)": pain == _ASYMPTOMATIC,
        "other chest pain (cp 1 to 3)": pain != _ASYMPTOMATIC,
    }


def subgroup_performance(
    inputs: EvaluationInputs, risks: Mapping[str, Matrix], weights: Matrix
) -> dict[str, dict[str, Performance]]:
    """Measure each model's out-of-fold risks in each group."""

    def performance_of(mask: Mask, runs: Matrix) -> Performance:
        labels, drawn, threshold = inputs.labels[mask], weights[:, mask], inputs.threshold
        found = performance(labels, runs[:, mask], threshold, with_both_outcomes(drawn, labels))
        return found if found.figures else small_group_performance(labels, runs[:, mask].mean(axis=0), threshold, drawn)

    return {
        name: {model: performance_of(mask, runs) for model, runs in risks.items()}
        for name, mask in patient_groups(inputs.matrix).items()
        if mask.any()
    }
