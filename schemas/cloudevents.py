"""CloudEvents 1.0 on Kafka: unwrap events in structured mode, and make the headers of events in binary mode.

In binary mode, an event is a plain record with additional headers. In structured mode, the record's value is a JSON
envelope with the event's attributes, and the patient record is its `data`. As for patient records, a fast path accepts
envelopes that are certainly valid, and a slow path finds all problems of the others.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import RECORD_MAX_BYTES, SCORE_SCHEMA_ID, Source
from schemas.validation import DEEPEST, refuse_deep_nesting

Content = bytes | tuple[ValidationIssue, ...] | None
"""The content to decode (None is a tombstone), or all problems of its envelope."""

CONTENT_TYPE_HEADER: Final = "content-type"
EVENT_ID_HEADER: Final = "ce_id"
EVENT_SOURCE_HEADER: Final = "ce_source"
SCORE_ATTRIBUTES: Final = {
    "ce_specversion": "1.0",
    "ce_type": "heartstream.score.v1",
    "ce_dataschema": SCORE_SCHEMA_ID,
    CONTENT_TYPE_HEADER: "application/json",
}
"""Headers that are the same for every score, if scores are events."""
_ANY_FORMAT: Final = b"application/cloudevents"
_JSON_FORMAT: Final = b"application/cloudevents+json"
_VERSION: Final = "1.0"
_REQUIRED: Final = ("id", "source", "type")


class _Envelope(msgspec.Struct, gc=False):
    """An event in structured mode: the attributes that are read."""

    specversion: Literal["1.0"]
    id: Annotated[str, msgspec.Meta(min_length=1)]
    source: Annotated[str, msgspec.Meta(min_length=1)]
    type: Annotated[str, msgspec.Meta(min_length=1)]
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    data_base64: str | msgspec.UnsetType = msgspec.UNSET


_decode: Final = msgspec.json.Decoder(_Envelope).decode


def unwrap(value: bytes | None, headers: Sequence[tuple[str, bytes | None]] | None) -> Content:
    """Return the content of a record with these headers: its value, or the `data` of the event in it.

    The bytes of `data` are unchanged. The size limit of a record applies to the envelope.
    """
    format_ = _format(headers) if headers and value else None
    if format_ is None or value is None or len(value) > RECORD_MAX_BYTES:
        return value
    if format_ != _JSON_FORMAT:
        return (_issue("", "must be in the JSON format, if it is a CloudEvent"),)
    return _data_of(value)


def _data_of(value: bytes) -> bytes | tuple[ValidationIssue, ...]:
    if _is_doubtful(value) and (issues := _issues(value)):
        return issues
    try:
        envelope = _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _issues(value) or _UNREADABLE
    if isinstance(envelope.data, msgspec.Raw):
        return bytes(envelope.data)
    try:
        return b64decode(envelope.data_base64 or "", validate=True)
    except ValueError:
        return (_NOT_BASE64,)


def _is_doubtful(value: bytes) -> bool:
    """Return whether an envelope may be nested too deep or contain `data` twice; the decoder would keep the last."""
    holders = value.count(b'"data"') + value.count(b'"data_base64"')
    return b"\\" in value or holders != 1 or value.count(b"[") + value.count(b"{") > DEEPEST


def _format(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    """Return the media type of an event in structured mode, None for other records."""
    for name, value in headers:
        if value and name.lower() == CONTENT_TYPE_HEADER and value[: len(_ANY_FORMAT)].lower() == _ANY_FORMAT:
            return value.partition(b";")[0].strip().lower()
    return None


def _issue(pointer: str, message: str) -> ValidationIssue:
    return ValidationIssue(RejectionCode.MALFORMED_EVENT, pointer, message)


_UNREADABLE: Final = (_issue("", "is not a JSON CloudEvent, although its content-type says so"),)
_NOT_BASE64: Final = _issue("/data_base64", "must be a Base64 string (RFC 4648)")


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, including duplicates."""


def _issues(value: bytes) -> tuple[ValidationIssue, ...]:
    """Return all issues of an envelope, empty if there are none."""
    try:
        text = value.decode("utf-8")
        refuse_deep_nesting(text)
        parsed = json.loads(text, object_pairs_hook=_Members, parse_int=float)
    except ValueError:
        return _UNREADABLE
    if not isinstance(parsed, _Members):
        return _UNREADABLE
    names, members = [name for name, _ in parsed], dict(parsed)
    version_is_known = members.get("specversion") == _VERSION
    issues = [] if version_is_known else [_issue("/specversion", f'must be "{_VERSION}"')]
    missing = [name for name in _REQUIRED if not isinstance(members.get(name), str) or not members[name]]
    issues += [_issue(f"/{name}", "must be a non-empty string") for name in missing]
    holders = names.count("data") + names.count("data_base64")
    if holders != 1:
        issues.append(_issue("/data", "one of data and data_base64 is required, once; it contains the patient record"))
    elif not isinstance(members.get("data_base64", ""), str):
        issues.append(_NOT_BASE64)
    return tuple(issues)


class ScoreEvents:
    """Makes the headers that turn scores into CloudEvents in binary mode; the scores' bytes are unchanged.

    An event's id is derived from the source record, so a duplicate has the same id. Events have no subject, which would
    identify the patient, and no time, because scores are deterministic.
    """

    def __init__(self, topic: str) -> None:
        """`topic` is that of the scores: a challenger or a replay, with another topic, emits other events."""
        fixed = {**SCORE_ATTRIBUTES, EVENT_SOURCE_HEADER: f"/heartstream/{topic}"}
        self._common: list[tuple[str, bytes | None]] = [(name, text.encode()) for name, text in fixed.items()]

    def headers(self, source: Source) -> list[tuple[str, bytes | None]]:
        """Return the headers of the score of one record."""
        return [*self._common, (EVENT_ID_HEADER, f"{source.topic}:{source.partition}:{source.offset}".encode())]
