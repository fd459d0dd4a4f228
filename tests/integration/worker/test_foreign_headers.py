"""Header names that are not UTF-8, which a producer may send and the Python client cannot decode."""

from __future__ import annotations

import json

import pytest
from confluent_kafka import Consumer, TopicPartition

from heartstream.demo.patients import real_patients
from runtime.kafka.messages import UNREADABLE_NAME, headers_of
from schemas.records import Source
from schemas.topics import (
    DEAD_LETTER_HEADER,
    FIRST_FAILURE_HEADER,
    REDRIVE_ATTEMPTS_HEADER,
    TIMESTAMP_HEADER,
    VALUE_OMITTED_HEADER,
)
from tests.fakes.otlp_collector import collecting
from tests.integration.raw_records import RawRecord, send_raw
from tests.support.dlq_harness import DlqHarness, columns, drift_report
from tests.support.stream import Sent, Stream
from tests.support.workers import Workers
from worker.kafka.outgoing_record import OutgoingRecord

NAMES = [(b"before", b"1"), (b"na\xefve", b"2"), (b"\xff", None), (b"after", b"3")]
READ = [("before", b"1"), (UNREADABLE_NAME, b"2"), (UNREADABLE_NAME, None), ("after", b"3")]
PATIENT = {**real_patients()[0], "patient_id": 'O"Brien'}


def send(stream: Stream) -> list[Source]:
    """Send an invalid record, one for the slow decoder and a plain one, each with these headers."""
    values = [b"{}", json.dumps(PATIENT).encode(), json.dumps(real_patients()[1]).encode()]
    records = [RawRecord(b"k", value, NAMES) for value in values]
    places = send_raw(stream.address, stream.topics.patients, records)
    stream.sent += [Sent(place, record.key, record.value) for place, record in zip(places, records, strict=True)]
    return places


@pytest.mark.parametrize("traced", [False, True], ids=["plain", "traced"])
def test_a_header_name_that_is_not_utf_8_stops_nothing(stream: Stream, workers: Workers, *, traced: bool) -> None:
    """Such records are scored or dead-lettered; the letter keeps readable names and the values of unreadable ones."""
    bad, quoted, plain = send(stream)
    with collecting() as collector:
        tracing = {"HEARTSTREAM_TRACING__ENDPOINT": collector.url, "HEARTSTREAM_TRACING__SAMPLE_RATIO": "1"}
        with workers.start(stream.address, **(tracing if traced else {})) as worker:
            stream.read_all()
            stream.await_commits(workers.settings["HEARTSTREAM_WORKER__GROUP_ID"])
        assert worker.process.returncode == 0
    (letter,) = stream.results[bad]
    kept = [header for header in letter.headers if header[0] in {name for name, _ in READ}]
    assert kept == READ
    assert [len(stream.results[place]) for place in (quoted, plain)] == [1, 1]
    assert all(result.letter is None for place in (quoted, plain) for result in stream.results[place])


def test_undecodable_headers_are_detected_in_a_long_running_process(stream: Stream) -> None:
    """Optimized calls of Python skip checks of C return values: the 300th such record is read like the first."""
    send_raw(stream.address, stream.topics.patients, [RawRecord(b"k", b"v", NAMES)] * 300)
    consumer = Consumer({"bootstrap.servers": stream.address, "group.id": "reader", "log_level": 2})
    consumer.assign([TopicPartition(stream.topics.patients, 0, 0)])
    try:
        read = [headers_of(message) for message in consumer.consume(300, 60)]
    finally:
        consumer.close()
    assert read == [READ] * 300


def test_commands_read_what_the_worker_reads(stream: Stream, workers: Workers) -> None:
    """`drift --topic` and `dlq` read the same records, in the patients and in the dead letter topic."""
    harness = DlqHarness(stream.address, stream.topics, workers.settings)
    send(stream)
    assert drift_report(harness, "--topic", "10")["drift"]["records"] == 2
    send_raw(stream.address, stream.topics.dead_letters, [RawRecord(b"k", b"{}", NAMES)])
    run = harness.run("list")
    assert (run.returncode, run.stderr.splitlines()[0]) == (0, "1 dead letter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (REDRIVE_ATTEMPTS_HEADER, b"9" * 5_000),
        (TIMESTAMP_HEADER, b"9" * 5_000),
        (TIMESTAMP_HEADER, b"9" * 18),
        (VALUE_OMITTED_HEADER, b"9" * 5_000),
        (FIRST_FAILURE_HEADER, b'{"topic":"t","partition":0,"offset":%s}' % (b"9" * 4_000)),
        (FIRST_FAILURE_HEADER, b'{"topic":"t","partition":0,"x":' + b"[" * 5_000),
        (DEAD_LETTER_HEADER, b'{"errors":' + b"[" * 5_000),
        (DEAD_LETTER_HEADER, b'{"errors":[],"source":{"topic":"\xff","partition":0,"offset":0}}'),
    ],
)
def test_a_forged_header_does_not_block_the_dead_letters(
    stream: Stream, workers: Workers, name: str, value: bytes
) -> None:
    """A producer's headers with our names are data: the letters beside it are listed and redriven."""
    harness = DlqHarness(stream.address, stream.topics, workers.settings)
    good = harness.letter_of(harness.record(b"k", b"v"))
    forged = OutgoingRecord(good.topic, good.key, good.value, [*good.headers, (name, value)], good.timestamp)
    harness.send(forged)
    harness.send(good)
    listed, sent = harness.run("list"), harness.run("redrive", "--yes")
    assert (listed.returncode, len(columns(listed.stdout)), sent.returncode) == (0, 2, 0), listed.stderr + sent.stderr
    assert harness.run("list", "--waiting").returncode == 0
