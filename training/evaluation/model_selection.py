"""Which model is best, by a rule and not by eye.

1. Only models whose log loss on complete records is within one standard error of the lowest: the data cannot tell
   them apart, and the order of two such models turns with the seed. Log loss, because the product is a risk, no label.
2. Of these, only those that are calibrated about as well as the best of them, also where fields are missing, as they
   are in most hospitals: the distance of the calibration slope from 1, averaged over the lines of the missing-field
   table, is within 0.1 of the smallest. Less says nothing: one slope's 95% interval is five times as wide.
3. Of these, the simplest.

The rule was not fixed before the results: the second step came with the sub-models, when a first evaluation of these
rows had been seen (decision 16). Who judges the choice should look at the figures of all models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from training.arrays import Labels
from training.evaluation.metrics import Performance, losses
from training.evaluation.repeated_cv import COMPLETE, OutOfFold

SLOPE_TOLERANCE: Final = 0.1


class Choice(msgspec.Struct, frozen=True):
    """The best model's name, and a sentence that says why."""

    best: str
    reason: str


class Standing(msgspec.Struct, frozen=True):
    """What the rule looks at: a model's log loss on complete records, its standard error, and how it is calibrated."""

    name: str
    log_loss: float
    error: float
    slope_distance: float


def choose(standings: Sequence[Standing]) -> Choice:
    """Apply the rule to models, simplest first."""
    lowest = min(standings, key=lambda standing: standing.log_loss)
    close = [standing for standing in standings if standing.log_loss <= lowest.log_loss + lowest.error]
    straightest = min(standing.slope_distance for standing in close)
    calibrated = [standing for standing in close if standing.slope_distance <= straightest + SLOPE_TOLERANCE]
    chosen = calibrated[0]
    left = [f"log loss {chosen.log_loss:.3f}, within {lowest.error:.3f} of the lowest ({lowest.log_loss:.3f})"]
    worse = [standing for standing in close if standing not in calibrated]
    if worse:
        others = ", ".join(f"{standing.name} {standing.slope_distance:.2f}" for standing in worse)
        left.append(
            f"a calibration slope that is {chosen.slope_distance:.2f} from 1 on average over missing fields ({others})"
        )
    if len(calibrated) > 1:
        left.append(f"it is the simplest of {len(calibrated)} that cannot be told apart")
    return Choice(chosen.name, "; ".join(left))


def standings(
    names: Sequence[str], lacking: Mapping[str, Mapping[str, Performance]], found: OutOfFold, labels: Labels
) -> list[Standing]:
    """Return what the rule looks at, from the performance by deleted fields and model, and the risks behind it."""
    standing = []
    for name in names:
        by_patient = np.mean([losses(labels, run) for run in found.risks[name][COMPLETE]], axis=0)
        slopes = [models[name].figures["slope"].value for models in lacking.values()]
        standing.append(
            Standing(
                name,
                float(by_patient.mean()),
                float(by_patient.std(ddof=1) / np.sqrt(len(labels))),
                float(np.mean(np.abs(np.array(slopes) - 1))),
            )
        )
    return standing
