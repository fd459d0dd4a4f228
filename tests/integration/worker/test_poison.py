"""No record stops a worker, whatever its key, headers and value, and whatever the output topics accept."""

from __future__ import annotations

import itertools
import json
import os

import pytest

from heartstream.demo.patients import real_patients
from schemas.errors import RejectionCode
from schemas.topics import KEY_OMITTED_HEADER, VALUE_OMITTED_HEADER
from tests.integration.raw_records import RawHeaders, RawRecord, send_raw
from tests.support.dlq_harness import DlqHarness
from tests.support.stream import Sent, Stream
from tests.support.workers import Workers, send_patients

GUARANTEES = ["at_least_once", "exactly_once"]
KEYS: list[bytes | None] = [None, b"", b"k", b"k" * 70_000, b"k" * 1_048_200]
HEADERS: dict[str, RawHeaders] = {
    "none": [],
    "not UTF-8": [(b"na\xefve", b"1"), (b"\xff", None), (b"", b"")],
    "giant": [(b"h", b"v" * 1_048_000)],
    "giant name": [(b"n" * 300_000, b"v")],
    "many": [(b"n%d" % (number % 7), b"v") for number in range(3_000)],
}
PATIENT = {**real_patients()[0], "patient_id": 'O"Brien'}
_HUGE = b"k" * 2_000_000
VALUES: list[bytes | None] = [json.dumps(PATIENT).encode(), b"{}", None]
SETTINGS = {
    "as they come": {},
    "both compacted": dict.fromkeys(("scores", "dead_letters"), ("cleanup.policy", "compact")),
    "dead letters tiny": {"dead_letters": ("max.message.bytes", "1500")},
    "both small": dict.fromkeys(("scores", "dead_letters"), ("max.message.bytes", "65536")),
}


def usual(stream: Stream, name: str) -> None:
    """Set the output topics to the broker's default limit, then apply the settings of this case."""
    for topic in (stream.topics.scores, stream.topics.dead_letters):
        stream.configure(topic, "max.message.bytes", "1048588")
    for topic, (setting, value) in SETTINGS[name].items():
        stream.configure(getattr(stream.topics, topic), setting, value)


def send_poison(stream: Stream) -> None:
    """Send every combination of keys, headers and values between ordinary records."""
    send_patients(stream, 0, 200)
    product = itertools.product(KEYS, HEADERS.values(), VALUES)
    # The client in use here refuses to send a record without key and value.
    records = [RawRecord(key, value, headers) for key, headers, value in product if (key, value) != (None, None)]
    records += [RawRecord(_HUGE, value, []) for value in VALUES]
    places = send_raw(stream.address, stream.topics.patients, records)
    stream.sent += [Sent(place, record.key, record.value) for place, record in zip(places, records, strict=True)]
    send_patients(stream, 200, 400)


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_every_record_is_accounted_for(stream: Stream, workers: Workers, guarantee: str, settings: str) -> None:
    """Each has one outcome, committed to the end: a valid record's score, or a dead letter with the reason."""
    usual(stream, settings)
    send_poison(stream)
    options = {
        "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": guarantee,
        "HEARTSTREAM_WORKER__REJECTION_LIMIT_RATIO": "1",
    }
    with workers.start(stream.address, **options) as worker:
        stream.read_all(60)
        stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
    assert (worker.process.returncode, stream.answered, stream.repeated()) == (0, len(stream.sent), 0)
    for sent in stream.sent:
        result = stream.only(sent)
        codes = [] if result.letter is None else [issue.code for issue in result.letter.errors]
        if sent.value in (b"{}", None):
            assert codes
            assert RejectionCode.UNDELIVERABLE_SCORE not in codes
        elif codes:
            assert codes == [RejectionCode.UNDELIVERABLE_SCORE]
            assert len(sent.key or b"") >= 70_000 or (sent.key is None and "compacted" in settings)
        else:
            assert result.key == sent.key


@pytest.mark.parametrize("guarantee", GUARANTEES)
@pytest.mark.parametrize("limited", ["scores", "dead_letters"])
def test_batches_shrink_to_the_limit_of_their_topic(
    stream: Stream, workers: Workers, guarantee: str, limited: str
) -> None:
    """A backlog of 20,000 records, whose scores would fill batches of a megabyte, is scored in order."""
    stream.configure(getattr(stream.topics, limited), "max.message.bytes", "65536")
    send_patients(stream, 0, 20_000)
    with workers.start(stream.address, HEARTSTREAM_WORKER__PROCESSING_GUARANTEE=guarantee) as worker:
        stream.read_all()
    assert (worker.process.returncode, stream.repeated()) == (0, 0)
    assert not any(result.letter for results in stream.results.values() for result in results)
    seen: dict[int, int] = {}
    for result in stream.read:
        assert seen.get(result.source.partition, -1) < result.source.offset, "out of order"
        seen[result.source.partition] = result.source.offset


def test_omitted_parts_of_a_letter_are_redriven_from_its_source(stream: Stream, workers: Workers) -> None:
    """Key, value and headers are those of the record, though its letter contains none of them."""
    usual(stream, "dead letters tiny")
    header = os.urandom(5_000)
    record = RawRecord(os.urandom(5_000), os.urandom(5_000), [(b"h", header)])
    stream.sent += [Sent(place, b"", b"") for place in send_raw(stream.address, stream.topics.patients, [record])]
    with workers.start(stream.address):
        stream.read_all()
    (letter,) = stream.read
    assert {VALUE_OMITTED_HEADER, KEY_OMITTED_HEADER} <= dict(letter.headers).keys()
    harness = DlqHarness(stream.address, stream.topics, workers.settings)
    shown, sent = harness.run("show", f"{letter.partition}:{letter.offset}"), harness.run("redrive", "--yes")
    assert (shown.returncode, sent.returncode, shown.stdout.count("omitted")) == (0, 0, 3), shown.stderr + sent.stderr
    again = harness.patients()[-1]
    assert (again.key, again.value, again.headers[0]) == (record.key, record.value, ("h", header))
