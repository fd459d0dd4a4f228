"""Responses of the HTTP interface besides scores: problem documents, rejected records, the model in use."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.errors import ValidationIssue
from schemas.records import ModelRef

PROBLEM_TYPE: Final = "application/problem+json"
LINES_TYPE: Final = "application/x-ndjson"


class Problem(msgspec.Struct, frozen=True):
    """Problem details (RFC 9457). `errors` has one entry per validation error of the record."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ValidationIssue, ...] = ()


class RejectedRecord(msgspec.Struct, frozen=True):
    """Replaces the score of an invalid record in the response to many records. `index` is its position, from 0."""

    index: int
    errors: tuple[ValidationIssue, ...]


class ServedModel(msgspec.Struct, frozen=True):
    """The model in use.

    `engine` is its inference engine, `training_range` the minimum and maximum of each field in training, `models` are
    the names of all models in its directory. `population` describes the training patients; `single_labels` explains,
    for each patient group of the feature table, a label set of only label 0 and of only label 1.
    """

    model: ModelRef
    engine: str
    threshold: float
    feature_table: str
    training_range: dict[str, tuple[float, float]]
    models: tuple[str, ...]
    population: str
    single_labels: tuple[tuple[str, str], ...]
