"""Laws of known envelopes: a wrapped record is rejected with the envelope's name and a fix, never scored by a guess."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Message

from schemas.errors import RejectionCode
from tests.support.examples import accepted
from tests.support.uci import validate
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
def test_a_known_envelope_is_reported(name: str) -> None:
    """The only issue names the envelope and says what to change at the producer."""
    document, code, remedy = CASES[name]
    (issue,) = validate(json.dumps(document).encode())  # type: ignore[misc]  # issues, not a record
    assert (issue.code, remedy in issue.message) == (code, True)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_utf_16_is_reported(encoding: str) -> None:
    """UTF-16 is recognized with and without a byte order mark, and not mistaken for a schema registry frame."""
    value = PLAIN.content_of(Message(topic="patients", value=COMPLETE.decode().encode(encoding)))
    assert isinstance(value, bytes)
    (issue,) = validate(value)  # type: ignore[misc]  # issues, not a record
    code = RejectionCode.NOT_UTF8 if encoding == "utf-16" else RejectionCode.NOT_JSON
    assert (issue.code, "UTF-16" in issue.message) == (code, True)


def test_a_record_with_extra_members_keeps_its_own_issues() -> None:
    """A record that only resembles an envelope is reported with all of its own issues."""
    found = validate(json.dumps({**RECORD, "schema": 1, "payload": 2}).encode())
    assert isinstance(found, tuple)
    assert "Connect" not in " ".join(issue.message for issue in found)
