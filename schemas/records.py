"""The types on the wire: patient record, score, dead letter, known outcome, and their parts."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from schemas.errors import ValidationIssue

SCORE_SCHEMA_ID = "urn:heartstream:score:1"
PATIENT_ID_MAX_CHARS = 128
MOST_REASONS = 200
"""The most fields that a feature table can have."""
RECORD_MAX_BYTES = 65_536
"""A patient record of 200 fields needs a third of it; larger values are rejected unparsed."""


Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]


class PatientRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One patient to be scored: an id and the fields of the feature table, or null where a field was not measured.

    All fields are required, so that a lost column is not mistaken for "not measured". Each feature table has its own
    subclass, which has the fields and an optional `coding` (`schemas.record_format.RecordFormat.type`).
    """

    patient_id: str


class ModelRef(msgspec.Struct, frozen=True):
    """Which model made a score. `digest` is the first 16 hexadecimal digits of the SHA-256 of its manifest."""

    name: str
    version: str
    digest: str


class WarningCode(StrEnum):
    """The kind of a warning."""

    IMPUTED = "imputed"
    """The field was missing and was imputed from the training patients: `pattern` is null."""
    OUT_OF_TRAINING_RANGE = "out_of_training_range"
    """The value is outside the training range: the score is an extrapolation."""


Digest = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]


class ScoreWarning(msgspec.Struct, frozen=True):
    """A warning about a score, and the field that causes it."""

    code: WarningCode
    field: str


class Source(msgspec.Struct, frozen=True, gc=False):
    """The position of a record in Kafka; identifies the record and duplicates of its result."""

    topic: str
    partition: int
    offset: int


class Reason(msgspec.Struct, frozen=True, gc=False):
    """What a field adds to the log-odds of the risk, compared with the average training patient (three decimals)."""

    field: str
    log_odds: float


class Details(msgspec.Struct, frozen=True):
    """What a score contains besides the risk.

    Intervals, label sets, the number of reasons (0 to 200), the input's digest, which missing fields to measure next.
    """

    interval: bool = True
    label_set: bool = True
    reasons: Annotated[int, msgspec.Meta(ge=0, le=MOST_REASONS)] = 3
    input_digest: bool = False
    measure_next: bool = True


class Score(msgspec.Struct, frozen=True, gc=False):
    """The result for one patient record.

    `risk` is the probability (0 to 1, six decimals) of the feature table's outcome; `label` is 1 if `risk` is at or
    above `threshold`. `pattern` names the sub-model that was used: `complete`, or the fields that it does not use,
    joined by `+`; it is null if missing values were imputed, or if one model takes records with and without them.
    `missing` names the fields that were not measured. `measure_next` names up to three of them, first the one whose
    measurement is expected to bring the risk closest to that of a complete record; costs and risks of the tests are
    not considered. `interval` (four decimals) would contain the risk in 90 of 100 cases if every field were
    measured and the model were trained on other patients of the same population; in log-odds it never narrows when
    a field is missing. `sampling_interval` is the part of it due to the choice of training patients, the rest being
    due to the missing fields; it is absent if no field is missing. `label_set` has the labels that are compatible
    with the risk: for 90 of 100 training patients of the same patient group, of either outcome, the set contains
    the true one; both labels mean "uncertain", and a single label is not a certainty. `reasons` are the fields that
    change the risk most, strongest first. All of these are absent if they are turned off, and null if the model
    does not provide them. `input_digest` has the first 16 hexadecimal digits of the SHA-256 of the record's bytes;
    it is absent unless it is turned on, and null for a row of a table, which has no such bytes. `source` is null if
    the record did not come from a topic. A score contains no time: the same record gives the same bytes.
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
    """Why a record could not be scored; sent in a header, with the original value, key and headers."""

    errors: tuple[ValidationIssue, ...]
    source: Source


class KnownOutcome(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What became of a patient who was scored earlier: the outcomes topic.

    `outcome` is 1 if the feature table's outcome came true, otherwise 0. `source` is that of the score: topic,
    partition and offset of the patient record. Without it, the outcome belongs to the last score of `patient_id` whose
    Kafka timestamp is not later than this record's.
    """

    patient_id: Annotated[str, msgspec.Meta(min_length=1, max_length=PATIENT_ID_MAX_CHARS)]
    outcome: Literal[0, 1]
    source: Source | msgspec.UnsetType | None = msgspec.UNSET
