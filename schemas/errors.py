"""The errors, by the action that they require.

::

    HeartstreamError
    ├── RecordError       the record is bad        -> dead letter on Kafka, 4xx over HTTP
    ├── ArtifactError     the model is bad         -> do not become ready
    ├── DataError         a file or table is bad   -> reject it as a whole, without retry
    ├── DependencyError   a broker or store is down -> retry, then stop
    ├── DecodeError       a message is not a result -> the consumer reads another topic, or an incompatible version
    └── SettingsError     the configuration is bad -> list every problem, do not start

A bad record is data, not an exception: the scoring core returns it as a value that carries its `ValidationIssue`s.
`RecordError` is for interfaces that must raise. No message ever contains a value, an id or a field name of a record.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class HeartstreamError(Exception):
    """The base class of all errors that heartstream raises intentionally. Their texts are safe to log."""


class ArtifactError(HeartstreamError):
    """A model directory that must not be served: incomplete, changed, of another version, or not self-consistent."""


class DependencyError(HeartstreamError):
    """An external dependency fails permanently: a broker, a topic, a download."""


class DataError(HeartstreamError):
    """A file or table that is invalid, or whose rows must not be used for training, evaluation or scoring."""


class DecodeError(HeartstreamError):
    """A message that should be a score or a dead letter, but is not."""


class SettingsError(HeartstreamError):
    """An invalid configuration. `problems` lists all of its problems."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        """`problems` has one line per problem."""
        super().__init__("\n".join(("invalid configuration:", *(f"  - {problem}" for problem in problems))))
        self.problems = problems


class RejectionCode(StrEnum):
    """Why a record was rejected. The set is closed: it is a metric label and part of the contract."""

    EMPTY_VALUE = "empty_value"
    TOO_LARGE = "too_large"
    MALFORMED_EVENT = "malformed_event"
    MALFORMED_FRAME = "malformed_frame"
    NOT_UTF8 = "not_utf8"
    NOT_JSON = "not_json"
    NOT_FINITE = "not_finite"
    NOT_AN_OBJECT = "not_an_object"
    DUPLICATE_FIELD = "duplicate_field"
    UNKNOWN_FIELD = "unknown_field"
    MISSING_FIELD = "missing_field"
    MISSING_VALUE = "missing_value"
    WRONG_TYPE = "wrong_type"
    WRONG_LENGTH = "wrong_length"
    NOT_AN_INTEGER = "not_an_integer"
    OUT_OF_RANGE = "out_of_range"
    IMPOSSIBLE_CODE = "impossible_code"
    FOREIGN_CODE = "foreign_code"
    FOREIGN_SOURCE = "foreign_source"
    UNSUPPORTED_CODING = "unsupported_coding"
    MODEL_FAILURE = "model_failure"
    UNDELIVERABLE_SCORE = "undeliverable_score"


class ValidationIssue(msgspec.Struct, frozen=True, gc=False):
    """One problem of one record.

    `pointer` is a JSON Pointer (RFC 6901) into the record, "" for the record as a whole; it only names fields of the
    contract. `message` describes what is expected and never contains what was found.
    """

    code: RejectionCode
    pointer: str
    message: str


class RecordError(HeartstreamError):
    """A record that cannot be scored, for interfaces that must raise. `issues` lists all of its problems."""

    def __init__(self, issues: tuple[ValidationIssue, ...]) -> None:
        """The text contains only codes and pointers."""
        super().__init__("; ".join(f"{issue.code} at {issue.pointer or '(record)'}" for issue in issues))
        self.issues = issues
