"""Data checks of training rows.

Copies of public data circulate with duplicate rows, permuted codes or an inverted target. Training on them raises no
error by itself; the model learns something else, or its performance is overestimated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
import pandas as pd

from schemas.errors import DataError
from schemas.tables.builtin import is_builtin
from schemas.tables.feature_table import PATIENT_ID, FeatureTable
from scoring.compiled_table import CompiledTable
from scoring.evidence import SourceWindow, evidence_of
from scoring.features import Mask
from training.arrays import Labels, Matrix
from training.data import uci_copies
from training.data.frames import OUTCOME, features, target
from training.sample_size import parameter_count, required_patients

MIN_PER_OUTCOME: Final = 25
"""Each inner and outer fold of a nested 5-fold cross-validation needs a few patients of either outcome."""

_MAX_DUPLICATES: Final = 0.05
"""The largest share of duplicates: UCI's own files have single ones, corrupted copies many."""


def check_training_rows(frame: pd.DataFrame, compiled: CompiledTable) -> None:
    """Raise DataError with all reasons why these rows are unfit for training."""
    matrix, labels, table = features(frame), target(frame), compiled.table
    foreign = list(foreign_codes(matrix, compiled))
    problems = [*foreign, *illegal_values(matrix, compiled)]
    # The check by chest pain requires UCI's codes.
    problems += [] if foreign or not is_builtin(table) else uci_copies.inverted_target(matrix, labels)
    problems += [*too_many_duplicates(matrix, labels, table), *too_few(labels, compiled)]
    if problems:
        raise DataError("; ".join(problems))


def foreign_rows(matrix: Matrix, table: FeatureTable) -> Mask:
    """Return which rows (n, fields) have a value that exists only in other codings of this data."""
    foreign = np.zeros(len(matrix), dtype=bool)
    for column, feature in zip(matrix.T, table.features, strict=True):
        for hint in feature.hints:
            if hint.foreign:
                foreign |= (column >= hint.lowest) & (column <= hint.highest)
    return foreign


def foreign_codes(matrix: Matrix, compiled: CompiledTable) -> Iterator[str]:
    """Report if the rows are in another coding of this data, if more show it than typing errors explain."""
    table = compiled.table
    foreign = np.flatnonzero(foreign_rows(matrix, table)).tolist()
    if SourceWindow().add(evidence_of(np.flatnonzero(compiled.matrix.legal_rows(matrix)).tolist(), foreign)):
        hints = ((feature.name, hint) for feature in table.features for hint in feature.hints if hint.foreign)
        values = ", ".join(f"{name} {_interval(hint.lowest, hint.highest)}" for name, hint in hints)
        yield (
            f"{len(foreign)} of {len(matrix)} rows hold values of another coding of this data ({values}), which also "
            "changes the meaning of other values and perhaps of the outcome; there are several: "
            f"{', '.join(table.foreign_codings)}"
        )


def _interval(low: float, high: float) -> str:
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def illegal_values(matrix: Matrix, compiled: CompiledTable) -> Iterator[str]:
    """Report the rows without a required field, and those with a value outside the feature table."""
    needed = {feature.name: j for j, feature in enumerate(compiled.table.features) if feature.required}
    incomplete = np.isnan(matrix[:, list(needed.values())]).any(axis=1)
    if incomplete.any():
        required = ", ".join(needed)
        yield f"{int(incomplete.sum())} of {len(matrix)} rows lack one of {required}, which every patient must have"
    illegal = int((~compiled.matrix.legal_rows(matrix) & ~incomplete).sum())
    if illegal:
        yield f"{illegal} of {len(matrix)} rows hold a value that the feature table does not allow"


def too_few(labels: Labels, compiled: CompiledTable) -> Iterator[str]:
    """Report if there are too few patients of either outcome for training and evaluation."""
    event = compiled.table.outcome.event
    positives, negatives = int(labels.sum()), int((labels == 0).sum())
    if not min(positives, negatives):
        found = f"without {event}" if negatives else f"with {event}"
        yield f"all {len(labels)} patients have the same outcome ({found}): nothing can be learned from them"
    elif min(positives, negatives) < MIN_PER_OUTCOME:
        parameters = parameter_count(compiled)
        share = positives / len(labels)
        yield (
            f"{positives} patients with {event} and {negatives} without are too few: nested 5-fold cross-validation "
            f"needs {MIN_PER_OUTCOME} of either at least, and a useful model about "
            f"{required_patients(share, parameters)} patients (Riley's criteria, {parameters} parameters, {share:.0%})"
        )


def too_many_duplicates(matrix: Matrix, labels: Labels, table: FeatureTable) -> Iterator[str]:
    """Report if more than 5% of the rows are duplicates, of which one would train and the other test the model."""
    if certain_duplicates(matrix, labels, table).sum() > _MAX_DUPLICATES * _distinctive(matrix, table).sum():
        yield from duplicate_rows(matrix, labels, table)


def certain_duplicates(matrix: Matrix, labels: Labels, table: FeatureTable) -> Mask:
    """Return which rows repeat an earlier one, including all fields that distinguish patients."""
    return duplicates(matrix, labels) & _distinctive(matrix, table)


def _distinctive(matrix: Matrix, table: FeatureTable) -> Mask:
    """Return which rows have all fields that distinguish patients: none, if no field does."""
    columns = [table.names.index(name) for name in table.distinctive]
    if not columns:
        return np.zeros(len(matrix), dtype=bool)
    have: Mask = np.logical_and.reduce(~np.isnan(matrix[:, columns]), axis=1)
    return have


def duplicate_rows(matrix: Matrix, labels: Labels, table: FeatureTable) -> Iterator[str]:
    """Report duplicate rows."""
    rows, duplicated = len(matrix), int(duplicates(matrix, labels).sum())
    if duplicated:
        unique = rows - duplicated
        origin = uci_copies.origin_of(rows, unique) if is_builtin(table) else ""
        yield (
            f"only {unique} of {rows} rows are distinct{origin}; "
            "duplicate patients make results look better or more certain than they are"
        )


def duplicates(matrix: Matrix, labels: Labels) -> Mask:
    """Return which rows equal an earlier one; missing values count as equal."""
    return np.asarray(pd.DataFrame(np.column_stack([matrix, labels])).duplicated(), dtype=bool)


def illegal_lines(
    matrix: Matrix, sent: Matrix, lines: Sequence[int], compiled: CompiledTable, coding: str | None
) -> Iterator[str]:
    """Report values that the feature table does not allow by line, with the messages of the contract."""
    for place in np.flatnonzero(~compiled.matrix.legal_rows(matrix)).tolist():
        values = compiled.table.fields_of(sent[place].tolist())
        found = compiled.records.validate(msgspec.json.encode({PATIENT_ID: "-", **values}), coding)
        if isinstance(found, tuple):
            issues = ", ".join(f"{issue.pointer[1:]} {issue.message}" for issue in found)
            yield f"line {lines[place]}: {issues}"


def other_classes(frame: pd.DataFrame, table: FeatureTable) -> Iterator[str]:
    """Report if the outcomes are those of another coding."""
    if is_builtin(table):
        yield from uci_copies.statlog_outcomes({*frame[OUTCOME].tolist()})


def signs_of_a_copy(matrix: Matrix, labels: Labels, table: FeatureTable) -> Iterator[str]:
    """Report the signs of a corrupted copy."""
    if is_builtin(table):
        yield from uci_copies.inverted_target(matrix, labels)
    yield from too_many_duplicates(matrix, labels, table)
