"""What a dead letter keeps of its record, and the headers that it adds."""

from __future__ import annotations

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_NOT_AVAILABLE, Message
from hypothesis import given
from hypothesis import strategies as st

from heartstream.operations.dlq.dead_letters import DeadLetterRecord
from runtime.kafka.messages import NO_TIMESTAMP
from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import Source
from schemas.topics import (
    DEAD_LETTER_HEADER,
    FIRST_FAILURE_HEADER,
    REASON_HEADERS,
    REDRIVE_ATTEMPTS_HEADER,
    VALUE_OMITTED_HEADER,
)
from worker.dead_letters import dead_letter, reduced, without_value
from worker.kafka.outgoing_record import OutgoingRecord

FAULTS = (ValidationIssue(RejectionCode.WRONG_TYPE, "/age", "must be a number"),)
OTHER_FAULTS = (ValidationIssue(RejectionCode.NOT_JSON, "", "the record is not a JSON document"),)
SOURCE = Source("patients", 3, 14)
TIME = 1_700_000_000_123


def message(headers: list[tuple[str, bytes | None]], kind: int = TIMESTAMP_CREATE_TIME, time: int = TIME) -> Message:
    return Message(
        topic="patients", partition=3, offset=14, key=b"k", value=b"v", headers=headers, timestamp=(kind, time)
    )


def consumed(record: OutgoingRecord) -> Message:
    """Return the letter as a consumer of the dead letter topic receives it."""
    return Message(
        topic=record.topic,
        partition=0,
        offset=5,
        key=record.key,
        value=record.value,
        headers=list(record.headers),
        timestamp=(TIMESTAMP_CREATE_TIME, record.timestamp or 0),
    )


def test_a_dead_letter_keeps_key_value_headers_and_timestamp() -> None:
    """Repeated, empty and null headers are kept in order, before the added ones."""
    headers = [("a", b"1"), ("a", b"2"), ("b", None), ("c", b"")]
    letter = dead_letter("dlq", message(headers), SOURCE, FAULTS)
    assert (letter.key, letter.value, letter.timestamp) == (b"k", b"v", TIME)
    assert list(letter.headers)[:4] == headers


def test_a_dead_letter_has_the_headers_of_kip_1034() -> None:
    """Exception, message, topic, partition and offset, but no stack trace."""
    letter = dead_letter("dlq", message([]), SOURCE, FAULTS)
    added = {name.removeprefix("__streams.errors."): value for name, value in letter.headers if name.startswith("__")}
    assert added == {
        "exception": b"RecordError",
        "message": b"wrong_type at /age",
        "topic": b"patients",
        "partition": b"3",
        "offset": b"14",
    }


def test_a_record_that_fails_again_gets_new_reasons_and_keeps_its_attempts() -> None:
    """New reasons replace the old ones; the number of attempts, the first failure and the producer's headers stay."""
    first = dead_letter("dlq", message([("a", b"1")]), Source("patients", 0, 1), OTHER_FAULTS)
    kept = [(REDRIVE_ATTEMPTS_HEADER, b"2"), (FIRST_FAILURE_HEADER, b'{"topic":"patients","partition":0,"offset":1}')]
    again = dead_letter("dlq", message([*first.headers, *kept]), SOURCE, FAULTS)
    names = [name for name, _ in again.headers]
    letter = DeadLetterRecord.of(consumed(again))
    assert sorted(names) == sorted({"a", DEAD_LETTER_HEADER, *names}), "a header stands twice"
    assert letter.reason is not None
    assert (letter.reason.errors, letter.reason.source) == (FAULTS, SOURCE)
    assert (letter.attempts, letter.first_failure, letter.headers) == (2, Source("patients", 0, 1), (("a", b"1"),))


@pytest.mark.parametrize("kind", [TIMESTAMP_NOT_AVAILABLE, TIMESTAMP_CREATE_TIME])
def test_a_record_without_timestamp_has_none_as_a_dead_letter(kind: int) -> None:
    """No time is invented, even if the topic sets its own append time."""
    letter = dead_letter("dlq", message([], kind, NO_TIMESTAMP), SOURCE, FAULTS)
    assert (letter.timestamp, DeadLetterRecord.of(consumed(letter)).timestamp) == (NO_TIMESTAMP, None)
    letter.timestamp = TIME
    assert DeadLetterRecord.of(consumed(letter)).timestamp is None


def test_a_letter_whose_value_is_omitted_states_its_size() -> None:
    """Everything else stays, and a reader can distinguish the letter from that of a tombstone."""
    whole = dead_letter("dlq", message([("a", b"1")]), SOURCE, FAULTS)
    less = without_value(whole)
    assert (less.topic, less.key, less.value, less.timestamp) == ("dlq", b"k", None, TIME)
    assert less.headers == [*whole.headers, (VALUE_OMITTED_HEADER, b"1")]
    assert DeadLetterRecord.of(consumed(less)).omitted_bytes == 1


def test_a_producer_cannot_forge_the_headers_of_a_dead_letter() -> None:
    """Headers of a record with our names are replaced by what the worker writes."""
    forged = [(name, b"forged") for name in sorted(REASON_HEADERS)]
    letter = DeadLetterRecord.of(consumed(dead_letter("dlq", message(forged), SOURCE, FAULTS)))
    assert (letter.reason is not None, letter.omitted_bytes, letter.timestamp) == (True, None, TIME)


def test_the_records_timestamp_survives_log_append_time() -> None:
    """If the topic sets its own append time, the original timestamp is read from its header."""
    record = dead_letter("dlq", message([]), SOURCE, FAULTS)
    record.timestamp = TIME + 5_000
    assert DeadLetterRecord.of(consumed(record)).timestamp == TIME


@given(
    key=st.none() | st.binary(max_size=300),
    value=st.none() | st.binary(max_size=300),
    headers=st.lists(st.tuples(st.text(max_size=20), st.none() | st.binary(max_size=100)), max_size=4),
)
def test_a_letter_is_reduced_until_only_its_source_is_left(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    """The largest part is dropped first, every omission is marked, and the first issue and the source always stay."""
    record = Message(topic="patients", partition=3, offset=14, key=key, value=value, headers=headers)
    letter = dead_letter("dlq", record, SOURCE, (*FAULTS, *OTHER_FAULTS))
    forms = [letter]
    while (less := reduced(forms[-1])) is not None:
        forms.append(less)
    assert len(forms) <= 5
    for form in forms:
        read = DeadLetterRecord.of(consumed(form))
        assert read.reason is not None
        assert (read.reason.source, read.reason.errors[0]) == (SOURCE, FAULTS[0])
        assert read.omitted_bytes == (None if form.value == value else len(value or b""))
        assert read.lacks_key or read.key == key
        assert read.lacks_headers or read.headers == tuple(pair for pair in headers if pair[0] not in REASON_HEADERS)
    last = forms[-1]
    assert last.value is None or not last.value
    assert last.size() < 300
