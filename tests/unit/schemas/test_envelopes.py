"""Laws of naming what a record came in: what it is, how to mend it, and never a score by guess."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Message

from schemas.errors import RejectionCode
from schemas.validation import validate
from tests.support.examples import accepted
from worker.serdes import PLAIN

COMPLETE = dict(accepted())["complete"]
RECORD = json.loads(COMPLETE)
CHANGE = {"before": None, "after": RECORD, "source": {}, "op": "c", "ts_ms": 1}
CASES = {
    "connect": ({"schema": {"type": "struct"}, "payload": RECORD}, RejectionCode.UNKNOWN_FIELD, "schemas.enable=false"),
    "connect-null": ({"schema": None, "payload": None}, RejectionCode.UNKNOWN_FIELD, "Kafka Connect"),
    "debezium": (CHANGE, RejectionCode.UNKNOWN_FIELD, "ExtractNewRecordState"),
    "debezium-in-connect": ({"schema": {}, "payload": CHANGE}, RejectionCode.UNKNOWN_FIELD, "ExtractNewRecordState"),
    "encoded-twice": (COMPLETE.decode(), RejectionCode.NOT_AN_OBJECT, "encode it once"),
}
ENCODINGS = ["utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("name", CASES)
def test_a_known_envelope_is_named(name: str) -> None:
    """One issue, which says what to change at the producer."""
    document, code, remedy = CASES[name]
    (issue,) = validate(json.dumps(document).encode())  # type: ignore[misc]  # issues, not a record
    assert (issue.code, remedy in issue.message) == (code, True)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_utf_16_is_named(encoding: str) -> None:
    """With a byte order mark or without; a frame of a schema registry, which begins with a zero too, is not meant."""
    value = PLAIN.content_of(Message(topic="patients", value=COMPLETE.decode().encode(encoding)))
    assert isinstance(value, bytes)
    (issue,) = validate(value)  # type: ignore[misc]  # issues, not a record
    code = RejectionCode.NOT_UTF8 if encoding == "utf-16" else RejectionCode.NOT_JSON
    assert (issue.code, "UTF-16" in issue.message) == (code, True)


def test_what_only_looks_like_an_envelope_has_its_own_issues() -> None:
    """A record with members too many keeps the list of all that is wrong with it."""
    found = validate(json.dumps({**RECORD, "schema": 1, "payload": 2}).encode())
    assert isinstance(found, tuple)
    assert "Connect" not in " ".join(issue.message for issue in found)
