"""CloudEvents through Kafka, on real workers: events of the SDK are scored, and the SDK reads scores as events."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import pytest
from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from heartstream.demo.patients import real_patients
from runtime.kafka.range_reader import Reader
from runtime.kafka.topics import create_topics
from runtime.settings import Kafka, Settings
from schemas.codec import decode_score
from schemas.records import Source
from scoring.scorer import Scorer
from tests.support.dlq_harness import DlqHarness
from tests.support.outcomes import Scored, process
from tests.support.stream import Sent, Stream
from tests.support.verify_harness import VerifyHarness
from tests.support.workers import Workers

MARKER = "Zebra-4711"
PATIENTS: list[dict[str, Any]] = [
    {**patient, "patient_id": f"{MARKER}-{n}"} for n, patient in enumerate(real_patients())
]
ENVELOPE = [("content-type", b"application/cloudevents+json")]
ON = {"HEARTSTREAM_WORKER__CLOUDEVENTS": "true", "HEARTSTREAM_SCORE__INPUT_DIGEST": "true"}


def send(stream: Stream, message: KafkaMessage) -> None:
    stream.send(message.value, b"k", list(message.headers.items()))


def event(data: dict[str, Any] | bytes, **more: str) -> CloudEvent:
    return CloudEvent({"type": "patient", "source": "/clinic", **more}, data)


def send_each_kind(stream: Stream) -> list[dict[str, Any]]:
    """Send plain records, and events in each mode of the SDK; return their patients."""
    patients = PATIENTS[:200]
    for plain, binary, structured, as_bytes in zip(*[iter(patients)] * 4, strict=True):
        stream.send(json.dumps(plain).encode(), b"k")
        send(stream, to_binary_event(event(binary, datacontenttype="application/json")))
        send(stream, to_structured_event(event(structured, subject=MARKER)))
        send(stream, to_structured_event(event(json.dumps(as_bytes).encode())))
    stream.flush()
    return patients


def read_as_event(headers: Sequence[tuple[str, bytes]], value: bytes) -> BaseCloudEvent:
    """Read a result as a consumer that uses the SDK does."""
    assert len(dict(headers)) == len(headers), "a header stands twice"
    return from_kafka_event(KafkaMessage(dict(headers), None, value))


def attributes(event: BaseCloudEvent) -> tuple[str, ...]:
    return event.get_type(), event.get_source(), event.get_id(), str(event.get_dataschema())


def name_of(source: Source) -> str:
    return f"{source.topic}:{source.partition}:{source.offset}"


def expected_score(patient: dict[str, Any], sent: Sent, scorer: Scorer) -> dict[str, Any]:
    """Return the score of the patient's plain record, with the digest of the bytes that were sent."""
    (outcome,) = process([json.dumps(patient).encode()], [sent.source], scorer)
    assert isinstance(outcome, Scored)
    digest = hashlib.sha256(sent.value or b"").hexdigest()[:16]
    return {**json.loads(outcome.value), "input_digest": digest}


@pytest.mark.parametrize("guarantee", ["at_least_once", "exactly_once"])
def test_events_are_scored_and_scores_are_events(
    stream: Stream, workers: Workers, scorer: Scorer, guarantee: str
) -> None:
    """Events of every content mode are scored; each score is an event with its record's source, and can be verified.

    A malformed envelope is dead-lettered unchanged, without the event headers of scores.
    """
    patients = send_each_kind(stream)
    broken = b'{"specversion":"1.0","id":"%s","source":"/clinic","type":"patient"}' % MARKER.encode()
    stream.send(broken, b"broken", [("ce_other", b"1"), *ENVELOPE])
    with workers.start(stream.address, HEARTSTREAM_WORKER__PROCESSING_GUARANTEE=guarantee, **ON) as worker:
        worker.await_ready()
        stream.read_all()
    assert stream.repeated() == 0
    results = [(sent, stream.only(sent)) for sent in stream.sent]
    letters = [(result.value, result.headers[:2]) for _, result in results if result.letter]
    assert letters == [(broken, [("ce_other", b"1"), *ENVELOPE])]
    scores = {sent.source: (sent, result) for sent, result in results if not result.letter}
    by_id = {patient["patient_id"]: patient for patient in patients}
    assert len(scores) == len(patients)
    for sent, result in scores.values():
        read = read_as_event(result.headers, result.value or b"")
        source = f"/heartstream/{stream.topics.scores}"
        assert attributes(read) == ("heartstream.score.v1", source, name_of(sent.source), "urn:heartstream:score:1")
        assert read.get_data() == json.loads(result.value or b"")
        patient = by_id[decode_score(result.value or b"").patient_id]
        assert read.get_data() == expected_score(patient, sent, scorer)
        assert not any(MARKER.encode() in value for _, value in result.headers)
    assert MARKER not in workers.logs()
    harness = VerifyHarness(stream, workers)
    assert harness.verify() == (0, [], {"verified": 200})


def test_events_can_be_replayed_and_redriven(stream: Stream, workers: Workers) -> None:
    """A replay scores the events' data as new events; a dead letter is redriven as the original event."""
    patients = send_each_kind(stream)
    harness = DlqHarness(stream.address, stream.topics, {**workers.settings, **ON})
    target = f"{stream.topics.scores}-replay"
    create_topics(stream.address, [target], 4, {})
    replayed = VerifyHarness(stream, workers)
    workers.settings.update(ON)
    assert replayed.run("replay", "--to-topic", target).returncode == 0
    with Reader.open(Settings(kafka=Kafka(bootstrap_servers=stream.address))) as reader:
        found = [(message.headers(), message.value() or b"") for message in reader.read(target, reader.ranges(target))]
    read = [read_as_event(headers, value) for headers, value in found]  # type: ignore[arg-type]  # read as bytes
    assert {attributes(each)[:3] for each in read} == {
        ("heartstream.score.v1", f"/heartstream/{target}", name_of(sent.source)) for sent in stream.sent
    }
    assert len(read) == len(patients)
    broken = harness.record(b"k", b"no envelope", ENVELOPE)
    harness.send(harness.letter_of(broken))
    assert harness.run("redrive", "--yes").returncode == 0
    sent_again = [written for written in harness.patients() if written.value == b"no envelope"]
    assert [written.headers[:1] for written in sent_again] == [tuple(ENVELOPE)] * 2
