"""Performance in the subgroups of the feature table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from schemas.tables.feature_table import FeatureTable
from scoring.features import Mask
from training.arrays import Matrix
from training.estimates import with_both_outcomes
from training.evaluation.inputs import EvaluationInputs
from training.evaluation.metrics import Performance, performance, small_group_performance


def patient_groups(matrix: Matrix, table: FeatureTable) -> dict[str, Mask]:
    """Return each subgroup's mask over the rows (n, fields)."""
    masks = {}
    for group in table.subgroups:
        values = matrix[:, table.names.index(group.field)]
        if group.codes:
            masks[group.name] = np.isin(values, group.codes)
        else:
            low = -np.inf if group.at_least is None else group.at_least
            high = np.inf if group.below is None else group.below
            masks[group.name] = (values >= low) & (values < high)
    return masks


def subgroup_performance(
    inputs: EvaluationInputs, risks: Mapping[str, Matrix], weights: Matrix
) -> dict[str, dict[str, Performance]]:
    """Measure each model's out-of-fold risks in each group."""

    def performance_of(mask: Mask, runs: Matrix) -> Performance:
        labels, drawn, threshold = inputs.labels[mask], weights[:, mask], inputs.threshold
        found = performance(labels, runs[:, mask], threshold, with_both_outcomes(drawn, labels))
        return found if found.figures else small_group_performance(labels, runs[:, mask].mean(axis=0), threshold, drawn)

    return {
        name: {model: performance_of(mask, runs) for model, runs in risks.items()}
        for name, mask in patient_groups(inputs.matrix, inputs.compiled.table).items()
        if mask.any()
    }
