"""Whether the field that a score recommends to measure next is the right one, on patients with all fields known.

Fields are deleted from patients of the test folds; one is given back; the closer the risk then comes to that of the
complete record, the better the choice was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from scoring.features import Mask
from scoring.missingness import missing_fields
from training.arrays import Matrix
from training.estimates import FEWEST, NORMAL, Estimate
from training.evaluation.label_sets import Fold
from training.evaluation.repeated_cv import lacking_beyond, pattern_without
from training.evaluation.uncertainty import base_pattern, distances, informed_rows

_FEWEST_MISSING: Final = 2
"""With one missing field there is nothing to choose."""


class MeasureNext(msgspec.Struct, frozen=True):
    """Mean absolute differences of risks from those of complete records, for records that lack some fields.

    `before` is with all of `lacking` missing, `recommended` after the recommended field was given back, `others` after
    the same field was given back in every fold. `excess` is `recommended` less the least of `others`, which is known in
    hindsight only, with its 95% interval.
    """

    lacking: str
    patients: int
    before: float
    recommended: float
    others: dict[str, float]
    excess: Estimate


def measured_next(folds: Sequence[Fold], matrix: Matrix) -> tuple[MeasureNext, ...]:
    """Recommend by the training part of each fold, and give fields back to the complete patients of its test part.

    A record is complete without the fields that few rows have; fewer than 20 complete patients tell nothing.
    """
    base = base_pattern(matrix)
    informed = informed_rows(matrix, base)
    if informed.sum() < FEWEST:
        return ()
    asked = {name: missing_fields(pattern & ~base) for name, pattern in lacking_beyond(base).items()}
    return tuple(
        _measured(name, fields, folds, informed, base)
        for name, fields in asked.items()
        if len(fields) >= _FEWEST_MISSING
    )


def _measured(name: str, fields: Sequence[str], folds: Sequence[Fold], informed: Mask, base: int) -> MeasureNext:
    pattern = pattern_without(fields) | base
    after = [pattern & ~pattern_without([field]) for field in fields]
    away = np.zeros((len(informed), 1 + len(fields)))
    chosen, times = np.zeros(len(informed)), np.zeros(len(informed))
    for fold in folds:
        best = int(distances(fold.inner, informed[fold.train], base)[after].argmin())
        moved = np.abs(fold.outer[:, [pattern, *after]] - fold.outer[:, [base]])
        away[fold.test] += moved
        chosen[fold.test] += moved[:, 1 + best]
        times[fold.test] += 1
    away, chosen = away[informed] / times[informed, None], chosen[informed] / times[informed]
    before, *others = away.mean(axis=0).tolist()
    excess = chosen - away[:, 1 + int(np.argmin(others))]
    value, error = float(excess.mean()), float(excess.std(ddof=1) / np.sqrt(len(excess)))
    return MeasureNext(
        lacking=name,
        patients=int(informed.sum()),
        before=before,
        recommended=float(chosen.mean()),
        others=dict(zip(fields, others, strict=True)),
        excess=Estimate(value, value - NORMAL * error, value + NORMAL * error),
    )
