"""The inputs of an evaluation of UCI's patients."""

from __future__ import annotations

import pandas as pd

from tests.support.uci import UCI
from training.data.frames import TRAINING_SITE, features, site_rows, target
from training.data.population import data_entry
from training.evaluation.inputs import QUICK, EvaluationInputs


def inputs_of(everyone: pd.DataFrame) -> EvaluationInputs:
    """Return the inputs of a quick evaluation, whose training rows are those of `TRAINING_SITE`."""
    rows = site_rows(everyone, TRAINING_SITE)
    data = data_entry(rows, UCI.table, "processed.cleveland.data")
    return EvaluationInputs(UCI, everyone, TRAINING_SITE, features(rows), target(rows), data, 42, 0.5, QUICK)
