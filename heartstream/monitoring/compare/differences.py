"""Differences of two models' risks for the same records, as counts: memory does not grow with the records."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from heartstream.monitoring.outcomes.calibration import ENOUGH, CalibrationMetrics, calibration_metrics
from schemas.records import ModelRef
from training.arrays import Risks
from training.estimates import Z_95, Estimate

STEPS: Final = 20
"""Risks are binned in twentieths."""
EDGES: Final = (-0.25, -0.1, -0.05, -0.01, 0.01, 0.05, 0.1, 0.25)
"""Bin edges of the differences, challenger minus champion."""
GROUPS: Final = 5

Labels = npt.NDArray[np.int64]


class Group(msgspec.Struct, frozen=True):
    """A fifth of the outcomes, by risk: its mean risk, and the share with disease."""

    mean_risk: float
    observed: float


class OutcomeComparison(msgspec.Struct, frozen=True):
    """Metrics of both models for the same outcomes.

    `brier_difference` is the challenger's Brier score minus the champion's, with 95% limits: below 0 the challenger is
    better. It and the fifths, lowest risks first, need 50 outcomes.
    """

    outcomes: int
    champion: CalibrationMetrics
    challenger: CalibrationMetrics
    brier_difference: Estimate | None
    champion_groups: tuple[Group, ...]
    challenger_groups: tuple[Group, ...]


class ModelComparison(msgspec.Struct, frozen=True):
    """Two models on the same records.

    `labels` counts records by the champion's label, then by the challenger's. Differences are the challenger's risk
    minus the champion's; `differences` counts them in the bins of `EDGES`. `grid` counts risks in twentieths: a row per
    bin of the champion, a column per bin of the challenger.
    """

    champion: ModelRef
    challenger: ModelRef
    records: int
    labels: tuple[tuple[int, int], tuple[int, int]]
    mean_difference: float
    mean_absolute_difference: float
    largest_difference: float
    differences: tuple[int, ...]
    grid: tuple[tuple[int, ...], ...]
    by_outcomes: OutcomeComparison | None = None

    @property
    def other_label(self) -> int:
        """The number of records that the models label differently."""
        return self.labels[0][1] + self.labels[1][0]


class ComparisonCounter:
    """Counts the risks of two models, batch by batch."""

    def __init__(self, champion: ModelRef, challenger: ModelRef) -> None:
        self._models = (champion, challenger)
        self._labels = np.zeros((2, 2), dtype=np.int64)
        self._differences = np.zeros(len(EDGES) + 1, dtype=np.int64)
        self._grid = np.zeros((STEPS, STEPS), dtype=np.int64)
        self._sum = self._absolute = self._largest = 0.0

    def add(self, champion: Risks, challenger: Risks, champion_labels: Labels, challenger_labels: Labels) -> None:
        """Add risks (n,) and labels (n,), 0 or 1, of the same records, at least one."""
        differences = challenger - champion
        places = np.searchsorted(EDGES, np.round(differences, 6), side="left")
        self._differences += np.bincount(places, minlength=len(EDGES) + 1)
        np.add.at(self._labels, (champion_labels, challenger_labels), 1)
        np.add.at(self._grid, (_steps(champion), _steps(challenger)), 1)
        self._sum += float(differences.sum())
        self._absolute += float(np.abs(differences).sum())
        self._largest = max(self._largest, float(np.abs(differences).max()))

    def result(self, by_outcomes: OutcomeComparison | None = None) -> ModelComparison:
        """Return the comparison."""
        records, labels = int(self._labels.sum()), self._labels.tolist()
        return ModelComparison(
            *self._models,
            records,
            ((labels[0][0], labels[0][1]), (labels[1][0], labels[1][1])),
            self._sum / max(records, 1),
            self._absolute / max(records, 1),
            self._largest,
            tuple(self._differences.tolist()),
            tuple(tuple(row) for row in self._grid.tolist()),
            by_outcomes,
        )


def compare_outcomes(outcomes: Labels, champion: Risks, challenger: Risks) -> OutcomeComparison:
    """Evaluate both models' risks (n,) by outcomes (n,), at least one."""
    enough = len(outcomes) >= ENOUGH
    return OutcomeComparison(
        len(outcomes),
        calibration_metrics(outcomes, champion),
        calibration_metrics(outcomes, challenger),
        _mean(np.square(challenger - outcomes) - np.square(champion - outcomes)) if enough else None,
        _groups(outcomes, champion) if enough else (),
        _groups(outcomes, challenger) if enough else (),
    )


def _steps(risks: Risks) -> npt.NDArray[np.int64]:
    steps: npt.NDArray[np.int64] = np.minimum(risks * STEPS, STEPS - 1).astype(np.int64)
    return steps


def _mean(values: Risks) -> Estimate:
    """Return the mean with its 95% interval (normal)."""
    mean, reach = float(values.mean()), Z_95 * float(values.std(ddof=1)) / len(values) ** 0.5
    return Estimate(mean, mean - reach, mean + reach)


def _groups(outcomes: Labels, risks: Risks) -> tuple[Group, ...]:
    fifths = np.array_split(np.argsort(risks, kind="stable"), GROUPS)
    return tuple(Group(float(risks[fifth].mean()), float(outcomes[fifth].mean())) for fifth in fifths)
