"""What the HTTP interface says beside scores: problem documents, and what stands for a rejected record among many."""

from __future__ import annotations

from typing import Final

import msgspec

from schemas.errors import ValidationIssue
from schemas.records import ModelRef

PROBLEM_TYPE: Final = "application/problem+json"
LINES_TYPE: Final = "application/x-ndjson"


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not carried out (RFC 9457). `errors` has one entry for each thing wrong with the record."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[ValidationIssue, ...] = ()


class RejectedRecord(msgspec.Struct, frozen=True):
    """Stands where the score of a record would stand, in an answer to many. `index` is its place, from 0."""

    index: int
    errors: tuple[ValidationIssue, ...]


class ServedModel(msgspec.Struct, frozen=True):
    """Which model a gateway serves.

    `engine` is the way it computes, `training_range` has the smallest and largest value of each field in training,
    `models` are the names of all models of its directory. `population` says whom it was trained on; `single_labels`
    has, for each patient group (women with chest pain 1 to 3, women with 4, men with 1 to 3, men with 4), what a label
    set of label 0 alone and of label 1 alone means.
    """

    model: ModelRef
    engine: str
    threshold: float
    feature_table: str
    training_range: dict[str, tuple[float, float]]
    models: tuple[str, ...]
    population: str
    single_labels: tuple[tuple[str, str], ...]
