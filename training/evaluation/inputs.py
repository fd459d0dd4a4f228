"""The inputs of a training run's evaluation, and how much of it is computed."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pandas as pd

from scoring.compiled_table import CompiledTable
from scoring.model_artifact import DataEntry
from training.arrays import Labels, Matrix
from training.candidates import CANDIDATES, Candidate, new_pipeline


class EvaluationDepth(msgspec.Struct, frozen=True):
    """The number of cross-validations and bootstrap samples, and whether `FullEvaluation` is computed.

    `interval_bootstraps` are the samples that the intervals of scores are measured with.
    """

    repeats: int
    bootstraps: int
    interval_bootstraps: int
    full: bool


FULL: Final = EvaluationDepth(repeats=10, bootstraps=500, interval_bootstraps=200, full=True)
QUICK: Final = EvaluationDepth(repeats=2, bootstraps=100, interval_bootstraps=40, full=False)
REFIT: Final = EvaluationDepth(repeats=10, bootstraps=500, interval_bootstraps=200, full=False)
"""For a refit on a hospital's own patients, who are of one hospital and often few."""


class EvaluationInputs(msgspec.Struct, frozen=True):
    """The table, the training rows (n, fields) with their labels, the rows of all hospitals, the run's settings.

    The rows of `training_site` train the models; None stands for those of all hospitals. The `candidates` are simplest
    first.
    """

    compiled: CompiledTable
    all_hospitals: pd.DataFrame
    training_site: str | None
    matrix: Matrix
    labels: Labels
    data: DataEntry
    seed: int
    threshold: float
    depth: EvaluationDepth
    candidates: tuple[Candidate, ...] = CANDIDATES

    @property
    def pipelines(self) -> dict[str, Any]:
        """The unfitted candidates, simplest first."""
        return {each.name: new_pipeline(each.new(self.compiled, self.seed), self.compiled) for each in self.candidates}
