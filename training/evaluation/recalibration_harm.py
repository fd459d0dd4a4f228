"""What recalibration by `training.evaluation.recalibration` does at hospitals that a model was not trained at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from sklearn.base import clone

from training.arrays import Labels, Risks
from training.data.dataset import SITES
from training.data.frames import TRAINING_SITE, apart, features, site_rows, target
from training.evaluation.recalibration import HARM_SIZES, Harm, harm


def harm_elsewhere(
    pipeline: Any, everyone: pd.DataFrame, out_of_fold: Risks, seed: int, sizes: Sequence[int] = HARM_SIZES
) -> tuple[Harm, ...]:
    """Simulate recalibration of an unfitted pipeline, trained on the training site's rows of `everyone`.

    `out_of_fold` are the risks of these rows themselves: there, no shift is needed.
    """
    ours, others = site_rows(everyone, TRAINING_SITE), apart(everyone)
    fitted = clone(pipeline).fit(features(ours), target(ours))
    hospitals: dict[str, tuple[Labels, Risks]] = {TRAINING_SITE: (target(ours), out_of_fold)}
    for site in SITES:
        rows = site_rows(others, site)
        if site != TRAINING_SITE and not rows.empty:
            hospitals[site] = target(rows), fitted.predict_proba(features(rows))[:, 1]
    return harm(hospitals, seed, sizes)
