"""Evaluates the field that a score recommends to measure next, on patients with all fields known.

Fields are deleted from patients of the test folds, and one is restored. The closer the risk then is to that of the
complete record, the better the recommendation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from scoring.compiled_table import CompiledTable
from scoring.features import Mask
from scoring.missingness import MissingPatterns
from training.arrays import Matrix
from training.estimates import MIN_PATIENTS, Z_95, Estimate
from training.evaluation.label_sets import NestedFold
from training.evaluation.repeated_cv import missing_patterns
from training.evaluation.uncertainty import base_pattern, complete_rows, mean_distances

_MIN_MISSING: Final = 2
"""With one missing field there is nothing to recommend."""


class MeasureNextBenefit(msgspec.Struct, frozen=True):
    """Mean absolute differences of risks from those of complete records, for records that lack some fields.

    `before` is with all of `missing_fields` missing, `recommended` after restoring the recommended field and `others`
    after restoring the same field in every fold. `excess` is `recommended` minus the smallest of `others`, the best
    single field in hindsight, with its 95% interval.
    """

    missing_fields: str
    patients: int
    before: float
    recommended: float
    others: dict[str, float]
    excess: Estimate


def evaluate_measure_next(
    folds: Sequence[NestedFold], matrix: Matrix, compiled: CompiledTable, gaps: Mapping[str, Sequence[str]]
) -> tuple[MeasureNextBenefit, ...]:
    """Recommend by the training part of each fold; restore fields of the complete patients of its test part.

    A record counts as complete without the fields that few rows have. Empty for fewer than 20 complete patients, and
    without the gaps of which a restored record has a missing pattern that is not listed.
    """
    patterns = compiled.patterns
    base = base_pattern(matrix, patterns)
    complete = complete_rows(matrix, base, patterns)
    if complete.sum() < MIN_PATIENTS:
        return ()
    found = missing_patterns(gaps, base, patterns)
    missing = {name: patterns.fields(pattern & ~base) for name, pattern in found.items()}
    return tuple(
        _benefit(name, fields, folds, complete, base, patterns)
        for name, fields in missing.items()
        if len(fields) >= _MIN_MISSING and _are_listed(fields, base, patterns)
    )


def _are_listed(fields: Sequence[str], base: int, patterns: MissingPatterns) -> bool:
    """Return whether records without these fields are listed, and those with one of them restored."""
    pattern = patterns.without(fields) | base
    wanted = (pattern, *(pattern & ~patterns.without([field]) for field in fields))
    return all(patterns.row(each) < patterns.count for each in wanted)


def _benefit(
    name: str,
    fields: Sequence[str],
    folds: Sequence[NestedFold],
    complete: Mask,
    base: int,
    patterns: MissingPatterns,
) -> MeasureNextBenefit:
    pattern, base_row = patterns.without(fields) | base, patterns.row(base)
    restored = [patterns.row(pattern & ~patterns.without([field])) for field in fields]
    distance = np.zeros((len(complete), 1 + len(fields)))
    chosen, times = np.zeros(len(complete)), np.zeros(len(complete))
    for fold in folds:
        best = int(mean_distances(fold.inner, complete[fold.train], base_row)[restored].argmin())
        moved = np.abs(fold.outer[:, [patterns.row(pattern), *restored]] - fold.outer[:, [base_row]])
        distance[fold.test] += moved
        chosen[fold.test] += moved[:, 1 + best]
        times[fold.test] += 1
    distance, chosen = distance[complete] / times[complete, None], chosen[complete] / times[complete]
    before, *others = distance.mean(axis=0).tolist()
    excess = chosen - distance[:, 1 + int(np.argmin(others))]
    value, error = float(excess.mean()), float(excess.std(ddof=1) / np.sqrt(len(excess)))
    return MeasureNextBenefit(
        missing_fields=name,
        patients=int(complete.sum()),
        before=before,
        recommended=float(chosen.mean()),
        others=dict(zip(fields, others, strict=True)),
        excess=Estimate(value, value - Z_95 * error, value + Z_95 * error),
    )
