"""Selects the best model by a fixed rule.

1. Keep the models whose log loss on complete records is within one standard error of the lowest: the data cannot
   distinguish them, and their order changes with the seed. Log loss, because the product is a risk, not a label.
2. Of these, keep those calibrated about as well as the best of them, including where fields are missing, as in most
   hospitals: the distance of the calibration slope from 1, averaged over the gaps of the feature table, is within 0.1
   of the smallest. Smaller differences are noise: the 95% interval of a single slope is five times as wide.
3. Of these, take the simplest.

The rule was not fixed before the results: step 2 was added with the sub-models, after a first evaluation of these rows
(decision 16). To judge the selection, look at the metrics of all models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from training.arrays import Labels
from training.evaluation.metrics import Performance, log_losses
from training.evaluation.repeated_cv import COMPLETE, OutOfFoldRisks

SLOPE_TOLERANCE: Final = 0.1


class Selection(msgspec.Struct, frozen=True):
    """The best model's name, and the reason in a sentence."""

    best: str
    reason: str


class SelectionCriteria(msgspec.Struct, frozen=True):
    """A model's log loss on complete records, its standard error, and the mean distance of its slopes from 1."""

    name: str
    log_loss: float
    error: float
    slope_distance: float


def select(models: Sequence[SelectionCriteria]) -> Selection:
    """Apply the rule to models, given simplest first."""
    lowest = min(models, key=lambda model: model.log_loss)
    close = [model for model in models if model.log_loss <= lowest.log_loss + lowest.error]
    smallest = min(model.slope_distance for model in close)
    calibrated = [model for model in close if model.slope_distance <= smallest + SLOPE_TOLERANCE]
    best = calibrated[0]
    reasons = [f"log loss {best.log_loss:.3f}, within {lowest.error:.3f} of the lowest ({lowest.log_loss:.3f})"]
    worse = [model for model in close if model not in calibrated]
    if worse:
        others = ", ".join(f"{model.name} {model.slope_distance:.2f}" for model in worse)
        reasons.append(
            f"a calibration slope that is {best.slope_distance:.2f} from 1 on average over missing fields ({others})"
        )
    if len(calibrated) > 1:
        reasons.append(f"the simplest of {len(calibrated)} that the data cannot distinguish")
    return Selection(best.name, "; ".join(reasons))


def selection_criteria(
    names: Sequence[str], missing_fields: Mapping[str, Mapping[str, Performance]], found: OutOfFoldRisks, labels: Labels
) -> list[SelectionCriteria]:
    """Return the criteria of models from their performance by deleted fields, and the risks behind it."""
    criteria = []
    for name in names:
        by_patient = np.mean([log_losses(labels, run) for run in found.risks[name][COMPLETE]], axis=0)
        slopes = [models[name].figures["slope"].value for models in missing_fields.values()]
        criteria.append(
            SelectionCriteria(
                name,
                float(by_patient.mean()),
                float(by_patient.std(ddof=1) / np.sqrt(len(labels))),
                float(np.mean(np.abs(np.array(slopes) - 1))),
            )
        )
    return criteria
