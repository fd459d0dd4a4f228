"""What `training.evaluation.adaptation` does at hospitals that a model was not trained at, by simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from schemas.errors import DataError
from training.arrays import Labels, Matrix, Risks
from training.evaluation.adaptation import LocalModel, LocalPatients, Rung, climb, rung_risks
from training.evaluation.metrics import log_losses, roc_auc

DRAWS: Final = 200
PATIENTS: Final = 100


class Figures(msgspec.Struct, frozen=True):
    """ROC-AUC, Brier score and log loss."""

    roc_auc: float | None
    brier: float
    log_loss: float


class Effect(msgspec.Struct, frozen=True):
    """Adaptations of one hospital: `patients` are drawn without replacement, and the others are evaluated.

    `chosen` counts the draws by rung. A draw is `worse` if the Brier score or the log loss of the other patients is
    worse than with the model as it is; `worse` is the share of all draws. The figures are medians over the draws:
    ROC-AUC (None where the others often have one outcome only), Brier score and log loss, before and after.
    """

    hospital: str
    patients: int
    draws: int
    chosen: dict[str, int]
    worse: float
    before: Figures
    after: Figures


def simulate_adaptation(
    hospitals: Mapping[str, LocalPatients],
    local: LocalModel,
    seed: int,
    patients: int = PATIENTS,
    draws: int = DRAWS,
) -> tuple[Effect, ...]:
    """Simulate adaptations by `patients` of each hospital. Takes a minute for a hospital and 200 draws."""
    return tuple(_effect(name, of, local, seed, patients, draws) for name, of in hospitals.items())


def _effect(name: str, everybody: LocalPatients, local: LocalModel, seed: int, patients: int, draws: int) -> Effect:
    rng, chosen = np.random.default_rng(seed), dict.fromkeys(map(str, Rung), 0)
    before, after = [], []
    for _ in range(draws):
        order = rng.permutation(len(everybody.labels))
        known, others = everybody.part(order[:patients]), everybody.part(order[patients:])
        rung = _rung(known, local, seed)
        chosen[rung] += 1
        # A refused adaptation changes nothing.
        applied = Rung.KEEP if rung == Rung.REFUSE else rung
        before.append(_figures(others.labels, others.risks))
        after.append(_figures(others.labels, rung_risks(applied, known, others, local)))
    was, became = np.array(before), np.array(after)
    worse = float((became[:, 1:] > was[:, 1:]).any(axis=1).mean())
    return Effect(name, patients, draws, chosen, worse, _medians(was), _medians(became))


def _rung(known: LocalPatients, local: LocalModel, seed: int) -> Rung:
    try:
        return climb(known, local, seed).decision
    except DataError:
        return Rung.REFUSE


def _figures(labels: Labels, risks: Risks) -> tuple[float, float, float]:
    area = roc_auc(labels, risks, np.ones((1, len(labels))))[0]
    return float(area), float(np.square(risks - labels).mean()), float(log_losses(labels, risks).mean())


def _medians(figures: Matrix) -> Figures:
    area, brier, log_loss = (float(np.median(column)) for column in figures.T)
    return Figures(None if np.isnan(area) else area, brier, log_loss)
