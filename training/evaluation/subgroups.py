"""Groups of patients: by sex, by age, by kind of chest pain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from schemas.features import FEATURE_NAMES
from scoring.features import Mask
from training.arrays import Matrix
from training.estimates import with_both
from training.evaluation.inputs import Question
from training.evaluation.metrics import Performance, counted, performance

_AGE_SPLIT: Final = 55
_ASYMPTOMATIC: Final = 4


def groups(matrix: Matrix) -> dict[str, Mask]:
    """Say of each group of patients who of the rows (n, 13) is in it."""
    age, sex, pain = (matrix[:, FEATURE_NAMES.index(name)] for name in ("age", "sex", "cp"))
    return {
        "women": sex == 0,
        "men": sex == 1,
        f"under {_AGE_SPLIT} years": age < _AGE_SPLIT,
        f"{_AGE_SPLIT} years and over": age >= _AGE_SPLIT,
        "chest pain asymptomatic (cp 4)": pain == _ASYMPTOMATIC,
        "other chest pain (cp 1 to 3)": pain != _ASYMPTOMATIC,
    }


def subgroups(question: Question, risks: Mapping[str, Matrix], weights: Matrix) -> dict[str, dict[str, Performance]]:
    """Measure each model on patients of one sex, age or kind of chest pain, out of fold."""

    def part(who: Mask, runs: Matrix) -> Performance:
        labels, drawn, threshold = question.labels[who], weights[:, who], question.threshold
        found = performance(labels, runs[:, who], threshold, with_both(drawn, labels))
        return found if found.figures else counted(labels, runs[:, who].mean(axis=0), threshold, drawn)

    return {
        name: {model: part(who, runs) for model, runs in risks.items()}
        for name, who in groups(question.matrix).items()
        if who.any()
    }
