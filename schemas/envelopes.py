"""Detects unsupported envelopes and encodings of rejected records, so that the error explains how to fix the producer.

The record stays rejected: its content is not guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from schemas.errors import RejectionCode, ValidationIssue

_UTF_16_STARTS: Final = (b"\xff\xfe", b"\xfe\xff", b"{\0", b"\0{\0", b'"\0', b'\0"\0', b"[\0", b"\0[\0")
_CONNECT: Final = frozenset({"schema", "payload"})
_DEBEZIUM: Final = frozenset({"before", "after", "op"})

UTF_16: Final = "the record is UTF-16 text; send UTF-8"
ENCODED_TWICE: Final = ValidationIssue(
    RejectionCode.NOT_AN_OBJECT, "", "the record is JSON within a JSON string: it was encoded twice; encode it once"
)
_IN_CONNECT: Final = ValidationIssue(
    RejectionCode.UNKNOWN_FIELD,
    "",
    "the record is an envelope of Kafka Connect (schema and payload): set schemas.enable=false on the connector's "
    "value.converter",
)
_IN_DEBEZIUM: Final = ValidationIssue(
    RejectionCode.UNKNOWN_FIELD,
    "",
    "the record is a change event of Debezium (before, after, op): unwrap it with Debezium's ExtractNewRecordState "
    "transform, and set schemas.enable=false on the connector's value.converter",
)


def is_utf_16(value: bytes) -> bool:
    """Return whether a value starts like JSON in UTF-16, or with its byte order mark. Neither is valid UTF-8 JSON."""
    return value.startswith(_UTF_16_STARTS)


def envelope_issue(members: Sequence[tuple[str, Any]]) -> ValidationIssue | None:
    """Return the issue of a JSON object whose members are those of a known envelope; None for any other."""
    inner = members
    if {name for name, _ in members} == _CONNECT:
        payload = dict(members)["payload"]
        inner = payload if isinstance(payload, list) else ()
    elif not _is_debezium(members):
        return None
    return _IN_DEBEZIUM if _is_debezium(inner) else _IN_CONNECT


def _is_debezium(members: Sequence[Any]) -> bool:
    names = {each[0] for each in members if isinstance(each, tuple)}
    return names >= _DEBEZIUM
