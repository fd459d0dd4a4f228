"""What a training run's evaluation is about, and how deep it goes."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pandas as pd

from scoring.model_artifact import DataEntry
from training.arrays import Labels, Matrix
from training.candidates import CANDIDATES, new_pipeline


class Depth(msgspec.Struct, frozen=True):
    """How much is computed: repeats of the cross-validation, bootstrap samples, and whether all the rest is."""

    repeats: int
    bootstraps: int
    deep: bool


DEFAULT: Final = Depth(repeats=10, bootstraps=500, deep=True)
QUICK: Final = Depth(repeats=2, bootstraps=100, deep=False)


class Question(msgspec.Struct, frozen=True):
    """What an evaluation is about: the training rows (n, 13), all hospitals' rows, and the run's choices."""

    everyone: pd.DataFrame
    matrix: Matrix
    labels: Labels
    data: DataEntry
    seed: int
    threshold: float
    depth: Depth

    @property
    def pipelines(self) -> dict[str, Any]:
        """The unfitted candidates, simplest first."""
        return {candidate.name: new_pipeline(candidate.new(self.seed)) for candidate in CANDIDATES}
