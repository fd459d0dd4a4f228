"""Repeated cross-validation, also with fields deleted that other hospitals did not measure.

Preprocessor and classifier are fitted inside each fold, on unchanged records; fields are deleted in test folds only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from sklearn.base import clone

from schemas.tables.feature_table import FeatureTable
from scoring.missingness import MissingPatterns
from training.arrays import Labels, Matrix
from training.estimates import MIN_PATIENTS
from training.evaluation.cross_validation import FittedFolds, stratified_folds

OnStep = Callable[[str], None]
"""Called at the start of each step with its name."""

COMPLETE: Final = "none"
_MOST_OCCURRING: Final = 10


def gap_sets(table: FeatureTable) -> dict[str, tuple[str, ...]]:
    """Return the table's sets of fields that are deleted, by name; the first is empty, for complete records."""
    return {COMPLETE: (), **table.gaps}


def gap_sets_of(matrix: Matrix, table: FeatureTable) -> dict[str, tuple[str, ...]]:
    """Return the table's sets, and up to 10 others that at least 20 of the rows (n, fields) lack, commonest first."""
    gaps, patterns = gap_sets(table), MissingPatterns(table)
    found, counts = np.unique(patterns.of(matrix), return_counts=True)
    common = [int(found[place]) for place in np.argsort(-counts, kind="stable") if counts[place] >= MIN_PATIENTS]
    known = {patterns.without(fields) for fields in gaps.values()}
    others = [pattern for pattern in common if pattern not in known][:_MOST_OCCURRING]
    return {**gaps, **{patterns.name(pattern): patterns.fields(pattern) for pattern in others}}


def missing_patterns(gaps: Mapping[str, Sequence[str]], base: int, patterns: MissingPatterns) -> dict[str, int]:
    """Return the patterns of gaps combined with `base`, the pattern that all records share, by name.

    Patterns that equal `base` are omitted, except the first, for complete records.
    """
    found = {name: patterns.without(fields) | base for name, fields in gaps.items()}
    return {name: pattern for name, pattern in found.items() if name == COMPLETE or pattern != base}


@dataclass(frozen=True, slots=True)
class OutOfFoldRisks:
    """Out-of-fold risks by model and by set of deleted fields, each (repeats, patients)."""

    seeds: tuple[int, ...]
    risks: Mapping[str, Mapping[str, Matrix]]


def repeated_cross_validation(
    pipelines: Mapping[str, Any],
    matrix: Matrix,
    labels: Labels,
    table: FeatureTable,
    seeds: Sequence[int],
    step: OnStep,
    fitted: FittedFolds | None = None,
) -> OutOfFoldRisks:
    """Cross-validate unfitted pipelines on (n, fields) rows, once per seed, for each of the `gap_sets_of` the rows.

    `fitted` are some of them that are fitted already in the folds of the first seed.
    """
    gaps = gap_sets_of(matrix, table)
    empty = np.empty((len(seeds), len(labels)))
    risks = {model: {name: empty.copy() for name in gaps} for model in pipelines}
    for repeat, seed in enumerate(seeds):
        step(f"cross-validation {repeat + 1} of {len(seeds)}")
        known = fitted or {} if repeat == 0 else {}
        for fold, (train, test) in enumerate(stratified_folds(labels, seed)):
            for model, pipeline in pipelines.items():
                fit = known[model][fold] if model in known else clone(pipeline).fit(matrix[train], labels[train])
                for name, fields in gaps.items():
                    rows = delete_fields(matrix[test], fields, table)
                    risks[model][name][repeat, test] = fit.predict_proba(rows)[:, 1]
    return OutOfFoldRisks(tuple(seeds), risks)


def delete_fields(matrix: Matrix, fields: Sequence[str], table: FeatureTable) -> Matrix:
    """Return a copy of the rows with fields set to NaN."""
    deleted = matrix.copy()
    deleted[:, [table.names.index(name) for name in fields]] = np.nan
    return deleted
