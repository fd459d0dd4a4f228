"""The shapes on the wire: patient record, score, dead letter, known outcome, and what they share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from schemas.errors import ValidationIssue

SCORE_SCHEMA_ID = "urn:heartstream:score:1"
PATIENT_ID_MAX_CHARS = 128
RECORD_MAX_BYTES = 65_536
"""A patient record needs under 400 bytes; anything over this limit is rejected unread."""


Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class PatientRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One patient to be scored: an id and the 13 UCI fields, each a number, or null where it was not measured.

    All 13 fields must be there, so that a lost column cannot pass for "not measured". Legal values are in
    `schemas.features`; this type alone checks only names and types.
    """

    patient_id: str
    age: float | None
    sex: float | None
    cp: float | None
    trestbps: float | None
    chol: float | None
    fbs: float | None
    restecg: float | None
    thalach: float | None
    exang: float | None
    oldpeak: float | None
    slope: float | None
    ca: float | None
    thal: float | None
    coding: str | msgspec.UnsetType = msgspec.UNSET


class ModelRef(msgspec.Struct, frozen=True):
    """Which model made a score. `digest` is the first 16 hexadecimal digits of the SHA-256 of its manifest."""

    name: str
    version: str
    digest: str


class WarningCode(StrEnum):
    """What a reader of a score must know about one of its fields."""

    IMPUTED = "imputed"
    """The field was missing, and the average of the training patients stands in for it: `pattern` is null."""
    OUT_OF_TRAINING_RANGE = "out_of_training_range"
    """The model saw no such value in training: the score is an extrapolation."""


Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class ScoreWarning(msgspec.Struct, frozen=True):
    """A reservation about a score, and the field that it comes from."""

    code: WarningCode
    field: str


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where a record was read: enough to find it again, and to drop a repeated result exactly."""

    topic: str
    partition: int
    offset: int


class Reason(msgspec.Struct, frozen=True, gc=False):
    """What one field adds to the log-odds of the risk, compared with the average training patient (three decimals)."""

    field: str
    log_odds: float


class Details(msgspec.Struct, frozen=True):
    """What a score says beside its risk.

    Intervals, fitting labels, how many reasons (0 to 13), the input's digest, and which missing fields to measure next.
    """

    interval: bool = True
    label_set: bool = True
    reasons: Annotated[int, msgspec.Meta(ge=0, le=13)] = 3
    input_digest: bool = False
    measure_next: bool = True


class Score(msgspec.Struct, frozen=True, gc=False):
    """The result for one patient record.

    `risk` is the probability (0 to 1, six decimals) of at least 50% narrowing of a coronary vessel; `label` is 1 where
    `risk` is at or above `threshold`. `pattern` names the sub-model that was used: `complete`, or the fields that it
    does without, joined by `+`; it is null for a model that puts averages in place of what is missing. `missing` names
    the fields that were not measured. `measure_next` names up to three of them, first the one whose measurement is
    expected to bring the risk nearest to that of a complete record; costs and risks of the tests are not considered.
    `interval` (four decimals): were every field measured, and had the model been trained on other patients of the same
    kind, the risk would lie inside in 90 of 100 cases; in log-odds it never narrows when a field goes missing.
    `sampling_interval` is the part of it that other training patients account for, the rest being what the missing
    fields could still show; it is absent where none is missing. `label_set` has the labels that fit the risk: of 100
    training patients of the same sex and kind of chest pain (asymptomatic or not), of either outcome, the true one is
    in the set of 90; both labels mean "uncertain", and a single one is no certainty. `reasons` are the fields that move
    the risk most, strongest first. All of these are absent where they are switched off, and null where the model cannot
    tell them. `input_digest` has the first 16 hexadecimal digits of the SHA-256 of the record as it came; it is absent
    where it is not switched on, and null for a row of a table, which came as no such bytes. `source` is null where the
    record did not come from a topic. There is no clock in it: the same record gives the same bytes.
    """

    patient_id: str
    risk: Probability
    label: Literal[0, 1]
    threshold: Probability
    model: ModelRef
    pattern: str | None
    missing: tuple[str, ...]
    warnings: tuple[ScoreWarning, ...]
    measure_next: tuple[str, ...] | msgspec.UnsetType | None = msgspec.UNSET
    interval: tuple[Probability, Probability] | msgspec.UnsetType | None = msgspec.UNSET
    sampling_interval: tuple[Probability, Probability] | msgspec.UnsetType = msgspec.UNSET
    label_set: tuple[Literal[0, 1], ...] | msgspec.UnsetType | None = msgspec.UNSET
    reasons: tuple[Reason, ...] | msgspec.UnsetType | None = msgspec.UNSET
    input_digest: Digest | msgspec.UnsetType | None = msgspec.UNSET
    source: Source | None = None


class DeadLetter(msgspec.Struct, frozen=True):
    """Why a record could not be scored; travels in a header beside the original bytes, key and headers."""

    errors: tuple[ValidationIssue, ...]
    source: Source


class KnownOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What was found of a patient who was scored, some time later: the outcomes topic.

    `outcome` is 1 where a coronary vessel is narrowed by at least 50%, else 0. `source` names the patient record that
    was scored: topic, partition and offset, as its score has them. Without it, the outcome belongs to the last score of
    `patient_id` whose timestamp in Kafka is not later than this record's.
    """

    patient_id: Annotated[str, msgspec.Meta(min_length=1, max_length=PATIENT_ID_MAX_CHARS)]
    outcome: Literal[0, 1]
    source: Source | msgspec.UnsetType | None = msgspec.UNSET
