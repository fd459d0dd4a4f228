"""Traces through Kafka, with a real worker and a real OTLP receiver."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
import urllib.request

import pytest

from heartstream.demo.patients import FLAWS, real_patients
from heartstream.demo.processes import Child
from runtime import metrics
from runtime.ports import free_port
from schemas.records import Source
from scoring.scorer import Scorer
from tests.fakes.otlp_collector import ReceivedSpan, collecting
from tests.support.outcomes import Scored, process
from tests.support.stream import DEADLINE_SECONDS, Result, Stream
from tests.support.workers import Workers

MARKER = "Zebra-4711"
PATIENT = {**real_patients()[0], "patient_id": MARKER}
CONSUMER = 5
GUARANTEES = ["at_least_once", "exactly_once"]


def parent(number: int, flags: str = "01") -> str:
    return f"00-{number:032x}-{number:016x}-{flags}"


def send(stream: Stream, value: bytes, headers: dict[str, str]) -> None:
    stream.send(value, MARKER.encode(), [(name, text.encode()) for name, text in headers.items()])


def span_count(worker: Child, outcome: str) -> float:
    """Return how many spans had this outcome, by the worker's metrics."""
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as response:
        samples = metrics.read(response.read().decode())
    name, labels = "heartstream_trace_spans_total", {"outcome": outcome}
    return sum(sample.value for sample in samples if (sample.name, sample.labels) == (name, labels))


def await_failed(worker: Child) -> None:
    """Wait until the worker has dropped spans that it could not export."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not span_count(worker, "failed"):
        assert time.monotonic() < deadline, "no span was given up"
        time.sleep(0.1)


def headers_of(result: Result) -> dict[str, str]:
    """Return the trace context of a result, in which each header occurs once."""
    carried = [(name, value.decode()) for name, value in result.headers if name in {"traceparent", "tracestate"}]
    assert len(carried) == len(dict(carried))
    return dict(carried)


def attributes_of(source: Source, workers: Workers) -> dict[str, object]:
    """Return the attributes of the span of a scored record."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": source.topic,
        "messaging.destination.partition.id": str(source.partition),
        "messaging.kafka.offset": source.offset,
        "messaging.consumer.group.name": workers.settings["HEARTSTREAM_WORKER__GROUP_ID"],
        "heartstream.outcome": "scored",
    }


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_trace_continues_from_the_producer_to_the_reader_of_scores(
    stream: Stream, workers: Workers, scorer: Scorer, guarantee: str
) -> None:
    """The span is a child of the producer's, the score's header names it, and it contains no key or patient id."""
    value = json.dumps(PATIENT).encode()
    send(stream, value, {"traceparent": parent(1), "tracestate": "vendor=x"})
    for other in ({}, {"traceparent": parent(2, "00")}, {"traceparent": MARKER}, {"other": MARKER}):
        send(stream, value, other)
    with collecting() as collector:
        settings = {
            "HEARTSTREAM_TRACING__ENDPOINT": collector.url,
            "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": guarantee,
        }
        with workers.start(stream.address, **settings) as worker:
            stream.read_all()
        received = collector.spans()
    traced, *others = [(sent, stream.only(sent)) for sent in stream.sent if sent]
    by_headers = [result for _, result in (traced, *others) if result.headers]
    (span,) = received
    (result,) = by_headers
    source = result.source
    (expected,) = process([value], [source], scorer)
    assert worker.process.returncode == 0
    assert isinstance(expected, Scored)
    assert (result.value, result.key) == (expected.value, MARKER.encode())
    assert headers_of(result) == {"traceparent": span.parent, "tracestate": "vendor=x"}
    assert (span.service, span.name, span.kind) == (
        "heartstream-worker",
        f"process {stream.topics.patients}",
        CONSUMER,
    )
    assert (span.trace_id, span.parent_id, span.state, span.failed) == (f"{1:032x}", f"{1:016x}", "vendor=x", False)
    assert span.attributes == attributes_of(source, workers)
    assert MARKER.encode() not in b"".join(collector.bodies)


def test_the_span_of_a_rejected_record_has_the_reasons(stream: Stream, workers: Workers) -> None:
    """Its status is an error with every code; the dead letter carries its context instead of the producer's."""
    value = json.dumps({**PATIENT, "age": 630, "thal": 2, MARKER: 1}).encode()
    send(stream, value, {"traceparent": parent(1), "tracestate": "a=1", "kept": "as it was"})
    for number, flaw in enumerate(FLAWS.values(), 2):
        send(stream, flaw(dict(PATIENT)) or b"", {"traceparent": parent(number)})
    with collecting() as collector:
        with workers.start(stream.address, HEARTSTREAM_TRACING__ENDPOINT=collector.url):
            stream.read_all()
        received = {span.trace_id: span for span in collector.spans()}
    results = [stream.only(sent) for sent in stream.sent]
    spans = {span.parent: span for span in received.values()}
    assert len(results) == len(received) == len(FLAWS) + 1
    for result in results:
        span = spans[headers_of(result)["traceparent"]]
        assert result.letter is not None
        codes = [str(issue.code) for issue in result.letter.errors]
        assert (span.failed, span.attributes["heartstream.outcome"]) == (True, "rejected")
        assert (span.attributes["error.type"], span.attributes["heartstream.rejection_codes"]) == (codes[0], codes)
    first = next(result for result in results if result.value == value)
    assert (headers_of(first)["tracestate"], ("kept", b"as it was") in first.headers) == ("a=1", True)
    assert MARKER.encode() not in b"".join(collector.bodies)


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_traced_scores_keep_their_order(stream: Stream, workers: Workers, guarantee: str) -> None:
    """In batches of traced, untraced and rejected records each score has its own header, in order."""
    for number in range(3_000):
        record = {**PATIENT, "patient_id": str(number), "age": 630 if number % 11 == 0 else 60}
        headers = [("traceparent", parent(number).encode())] if number % 7 == 1 else []
        stream.send(json.dumps(record).encode(), str(number % 100).encode(), headers)
    with collecting() as collector:
        settings = {
            "HEARTSTREAM_TRACING__ENDPOINT": collector.url,
            "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": guarantee,
        }
        with workers.start(stream.address, **settings):
            stream.read_all()
        received = {span.parent: span for span in collector.spans()}
    assert (len(received), stream.answered, stream.repeated()) == (len(range(1, 3_000, 7)), 3_000, 0)
    for sent in stream.sent:
        result, number = stream.only(sent), int(json.loads(sent.value or b"")["patient_id"])
        carried = headers_of(result)
        traces = [received[text].trace_id for text in carried.values()]
        assert traces == ([f"{number:032x}"] if number % 7 == 1 else [])
    for partition in range(4):
        scores = [result for result in stream.read if result.letter is None and result.partition == partition]
        assert [score.source.offset for score in scores] == sorted(score.source.offset for score in scores)


def test_a_repeated_transaction_keeps_its_traces(group_stream: Stream, workers: Workers) -> None:
    """A refused dead letter aborts the flush; the committed results name the spans that were exported."""
    stream = group_stream
    stream.limit_dead_letters(20_000)
    # Random, as the limit is on compressed bytes.
    send(stream, os.urandom(30_000), {"traceparent": parent(1)})
    for number in range(2, 500):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(number)})
    stream.flush()
    with collecting() as collector:
        settings = {
            "HEARTSTREAM_TRACING__ENDPOINT": collector.url,
            "HEARTSTREAM_WORKER__PROCESSING_GUARANTEE": "exactly_once",
        }
        with workers.start(stream.address, **settings):
            stream.read_all()
        received = collector.spans()
    carried = [headers_of(stream.only(sent))["traceparent"] for sent in stream.sent]
    assert '"transaction aborted"' in workers.logs()
    assert (len(carried), stream.repeated()) == (499, 0)
    assert sorted(carried) == sorted(span.parent for span in received)


def test_a_ratio_of_the_other_records_begins_traces(stream: Stream, workers: Workers) -> None:
    """With a ratio of 1 each record has a trace, except where the producer's is not sampled."""
    for number in range(100):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(1, "00")} if number % 2 else {})
    with collecting() as collector:
        settings = {"HEARTSTREAM_TRACING__ENDPOINT": collector.url, "HEARTSTREAM_TRACING__SAMPLE_RATIO": "1"}
        with workers.start(stream.address, **settings):
            stream.read_all()
        received = collector.spans()
    assert ({span.parent_id for span in received}, len({span.trace_id for span in received})) == ({""}, 50)


def test_the_number_of_spans_is_limited(stream: Stream, workers: Workers) -> None:
    """However many records carry a trace, those beyond the limit are scored without a span."""
    for number in range(1, 2_001):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(number)})
    with collecting() as collector:
        settings = {"HEARTSTREAM_TRACING__ENDPOINT": collector.url, "HEARTSTREAM_TRACING__SPANS_PER_SECOND": "10"}
        started = time.monotonic()
        with workers.start(stream.address, **settings):
            stream.read_all()
            seconds = time.monotonic() - started
        received: list[ReceivedSpan] = collector.spans()
    headed = [result for result in stream.read if result.headers]
    assert stream.answered == 2_000
    assert len(headed) == len(received) <= 10 * (1 + seconds)


def test_a_collector_that_is_down_stops_nothing(stream: Stream, workers: Workers) -> None:
    """Every record is scored; the failure is logged once and counted, and does not delay the exit."""
    for number in range(1, 5_001):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(number)})
    address = f"http://127.0.0.1:{free_port()}"
    with workers.start(stream.address, HEARTSTREAM_TRACING__ENDPOINT=address) as worker:
        stream.read_all()
        await_failed(worker)
        ended = span_count(worker, "ended")
    assert (worker.process.returncode, stream.answered, stream.repeated(), ended > 0) == (0, 5_000, 0, True)
    assert workers.logs().count('"traces cannot be sent"') == 1
    assert MARKER not in workers.logs()


def test_a_collector_that_hangs_does_not_delay_the_exit(stream: Stream, workers: Workers) -> None:
    """On SIGTERM the last spans get three seconds."""
    for number in range(1, 1_001):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(number)})
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"HEARTSTREAM_TRACING__ENDPOINT": address, "OTEL_EXPORTER_OTLP_TIMEOUT": "600"}
        with workers.start(stream.address, **settings) as worker:
            stream.read_all()
            started = time.monotonic()
            worker.process.send_signal(signal.SIGTERM)
            code = worker.process.wait(60)
            seconds = time.monotonic() - started
    assert (code, seconds < 25) == (0, True)
