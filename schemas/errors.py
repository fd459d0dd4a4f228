"""All that can go wrong, by what must be done about it.

::

    HeartstreamError
    ├── RecordError       the record is bad        -> dead letter on Kafka, 4xx over HTTP
    ├── ArtifactError     the model is bad         -> do not become ready
    ├── DataError         a file or table is bad   -> refuse it as a whole: retrying does not help
    ├── DependencyError   a broker or store is bad -> retry, then stop
    ├── DecodeError       a message is no result   -> the consumer reads another topic, or an incompatible version
    └── SettingsError     the configuration is bad -> list every problem, do not start

A bad record is data, not an exception: the scoring core returns it as a value that carries its `ValidationIssue`s.
`RecordError` is for interfaces that must raise. No message ever contains a value, an id or a field name of a record.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec


class HeartstreamError(Exception):
    """The root of every error that this product raises on purpose. Its text is safe to log."""


class ArtifactError(HeartstreamError):
    """A model directory that must not be served: incomplete, changed, of another version, or not self-consistent."""


class DependencyError(HeartstreamError):
    """Something outside this process does not do its part for good: a broker, a topic, a download."""


class DataError(HeartstreamError):
    """A file or table that is not what it should be, or whose rows must not be trained on, evaluated on or scored."""


class DecodeError(HeartstreamError):
    """A message that a consumer took for a score or a dead letter, and that is neither."""


class SettingsError(HeartstreamError):
    """A configuration that cannot be run. `problems` lists all that is wrong with it."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        """Keep every problem, one line each."""
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
    """One thing that is wrong with one record.

    `pointer` is a JSON Pointer (RFC 6901) into the record, "" for the record as a whole; it only ever names fields of
    the contract. `message` says what is expected and never what was found.
    """

    code: RejectionCode
    pointer: str
    message: str


class RecordError(HeartstreamError):
    """A record that cannot be scored, for the interfaces that must raise. `issues` lists all that is wrong with it."""

    def __init__(self, issues: tuple[ValidationIssue, ...]) -> None:
        """Keep every issue; the text names only codes and pointers."""
        super().__init__("; ".join(f"{issue.code} at {issue.pointer or '(record)'}" for issue in issues))
        self.issues = issues
