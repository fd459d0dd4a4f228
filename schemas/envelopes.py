"""Names what a rejected record came in where that is well known, so that its producer learns how to mend it.

Nothing is opened by guess: the record stays rejected.
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
    """Say whether a value is JSON, or begins with a byte order mark, in UTF-16. Neither is legal in UTF-8."""
    return value.startswith(_UTF_16_STARTS)


def envelope_issue(members: Sequence[tuple[str, Any]]) -> ValidationIssue | None:
    """Return what is wrong with a JSON object that is a known envelope, by its members; None for any other."""
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
