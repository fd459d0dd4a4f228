"""Simulated recalibrations at hospitals that a model was not trained at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sklearn.base import clone

from training.arrays import Labels, Risks
from training.data.dataset import SITES
from training.data.frames import TRAINING_SITE, drop_shared_rows, features, site_rows, target
from training.evaluation.recalibration import HARM_SIZES, Harm, simulate_harm


def simulate_recalibration(
    pipeline: Any, patients: pd.DataFrame, out_of_fold: Risks, seed: int, sizes: Sequence[int] = HARM_SIZES
) -> tuple[Harm, ...]:
    """Simulate recalibration of an unfitted pipeline, trained on the training site's rows of `patients`.

    `out_of_fold` are the risks of these rows themselves, where no shift is needed.
    """
    training_rows, others = site_rows(patients, TRAINING_SITE), drop_shared_rows(patients)
    fitted = clone(pipeline).fit(features(training_rows), target(training_rows))
    hospitals: dict[str, tuple[Labels, Risks]] = {TRAINING_SITE: (target(training_rows), out_of_fold)}
    for site in SITES:
        rows = site_rows(others, site)
        if site != TRAINING_SITE and not rows.empty:
            hospitals[site] = target(rows), fitted.predict_proba(features(rows))[:, 1]
    return simulate_harm(hospitals, seed, sizes)
