"""Simulated recalibrations at hospitals that a model was not trained at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sklearn.base import clone

from training.arrays import Labels, Risks
from training.data.frames import drop_shared_rows, features, site_rows, sites_of, target
from training.evaluation.recalibration import HARM_SIZES, Harm, simulate_harm

ALL_SITES = "all patients"
"""The name of the training rows if they are those of all sites."""


def simulate_recalibration(
    pipeline: Any,
    patients: pd.DataFrame,
    training_site: str | None,
    out_of_fold: Risks,
    seed: int,
    sizes: Sequence[int] = HARM_SIZES,
) -> tuple[Harm, ...]:
    """Simulate recalibration of an unfitted pipeline, trained on the rows of the training site, with None of all sites.

    `out_of_fold` are the risks of these rows themselves, where no shift is needed.
    """
    training_rows, others = site_rows(patients, training_site), drop_shared_rows(patients)
    fitted = clone(pipeline).fit(features(training_rows), target(training_rows))
    hospitals: dict[str, tuple[Labels, Risks]] = {training_site or ALL_SITES: (target(training_rows), out_of_fold)}
    for site in sites_of(patients) if training_site is not None else ():
        rows = site_rows(others, site)
        if site != training_site and not rows.empty:
            hospitals[site] = target(rows), fitted.predict_proba(features(rows))[:, 1]
    return simulate_harm(hospitals, seed, sizes)
