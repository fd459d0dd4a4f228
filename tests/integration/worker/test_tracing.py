"""Laws of traces through Kafka, with a real worker and a real receiver of OTLP."""

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
from scoring.scorer import Scorer
from tests.fakes.otlp_collector import SpanTold, collecting
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


def shown(worker: Child, outcome: str) -> float:
    """Return how many spans had this outcome, as the worker's metrics tell."""
    with urllib.request.urlopen(f"{worker.url}/metrics", timeout=10) as response:
        samples = metrics.read(response.read().decode())
    name, labels = "heartstream_trace_spans_total", {"outcome": outcome}
    return sum(sample.value for sample in samples if (sample.name, sample.labels) == (name, labels))


def await_failed(worker: Child) -> None:
    """Wait until the worker has given spans up."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not shown(worker, "failed"):
        assert time.monotonic() < deadline, "no span was given up"
        time.sleep(0.1)


def headers_of(result: Result) -> dict[str, str]:
    """Return the trace context that a result carries; it has each header once."""
    carried = [(name, value.decode()) for name, value in result.headers if name in {"traceparent", "tracestate"}]
    assert len(carried) == len(dict(carried))
    return dict(carried)


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_a_trace_goes_on_from_the_producer_to_the_reader_of_scores(
    stream: Stream, workers: Workers, scorer: Scorer, guarantee: str
) -> None:
    """A span below the producer's, named in the score's header; no key and no id of a patient in what is sent."""
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
        told = collector.spans()
    traced, *others = [(sent, stream.only(sent)) for sent in stream.sent if sent]
    by_headers = [result for _, result in (traced, *others) if result.headers]
    (span,) = told
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
    assert span.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": source.topic,
        "messaging.destination.partition.id": str(source.partition),
        "messaging.kafka.offset": source.offset,
        "messaging.consumer.group.name": workers.settings["HEARTSTREAM_WORKER__GROUP_ID"],
        "heartstream.outcome": "scored",
    }
    assert MARKER.encode() not in b"".join(collector.bodies)


def test_a_rejected_records_span_says_why(stream: Stream, workers: Workers) -> None:
    """It is an error with every code; the dead letter carries its context in place of the producer's."""
    value = json.dumps({**PATIENT, "age": 630, "thal": 2, MARKER: 1}).encode()
    send(stream, value, {"traceparent": parent(1), "tracestate": "a=1", "kept": "as it was"})
    for number, flaw in enumerate(FLAWS.values(), 2):
        send(stream, flaw(dict(PATIENT)) or b"", {"traceparent": parent(number)})
    with collecting() as collector:
        with workers.start(stream.address, HEARTSTREAM_TRACING__ENDPOINT=collector.url):
            stream.read_all()
        told = {span.trace_id: span for span in collector.spans()}
    results = [stream.only(sent) for sent in stream.sent]
    spans = {span.parent: span for span in told.values()}
    assert len(results) == len(told) == len(FLAWS) + 1
    for result in results:
        span = spans[headers_of(result)["traceparent"]]
        assert result.letter is not None
        codes = [str(fault.code) for fault in result.letter.errors]
        assert (span.failed, span.attributes["heartstream.outcome"]) == (True, "rejected")
        assert (span.attributes["error.type"], span.attributes["heartstream.rejection_codes"]) == (codes[0], codes)
    first = next(result for result in results if result.value == value)
    assert (headers_of(first)["tracestate"], ("kept", b"as it was") in first.headers) == ("a=1", True)
    assert MARKER.encode() not in b"".join(collector.bodies)


@pytest.mark.parametrize("guarantee", GUARANTEES)
def test_traced_scores_keep_their_place(stream: Stream, workers: Workers, guarantee: str) -> None:
    """Some records of a batch are traced, some are rejected: each score has its own header, and all are in order."""
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
        told = {span.parent: span for span in collector.spans()}
    assert (len(told), stream.answered, stream.repeated()) == (len(range(1, 3_000, 7)), 3_000, 0)
    for sent in stream.sent:
        result, number = stream.only(sent), int(json.loads(sent.value or b"")["patient_id"])
        carried = headers_of(result)
        traces = [told[text].trace_id for text in carried.values()]
        assert traces == ([f"{number:032x}"] if number % 7 == 1 else [])
    for partition in range(4):
        scores = [result for result in stream.read if result.letter is None and result.partition == partition]
        assert [score.source.offset for score in scores] == sorted(score.source.offset for score in scores)


def test_a_transaction_that_is_done_again_keeps_its_traces(group_stream: Stream, workers: Workers) -> None:
    """A dead letter that its topic refuses aborts the round: what is seen in the end names the spans that were sent."""
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
        told = collector.spans()
    carried = [headers_of(stream.only(sent))["traceparent"] for sent in stream.sent]
    assert '"transaction aborted"' in workers.logs()
    assert (len(carried), stream.repeated()) == (499, 0)
    assert sorted(carried) == sorted(span.parent for span in told)


def test_a_share_of_other_records_begins_traces(stream: Stream, workers: Workers) -> None:
    """With a share of one, each record has a trace; those whose trace is not recorded stay without."""
    for number in range(100):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(1, "00")} if number % 2 else {})
    with collecting() as collector:
        settings = {"HEARTSTREAM_TRACING__ENDPOINT": collector.url, "HEARTSTREAM_TRACING__SAMPLE_RATIO": "1"}
        with workers.start(stream.address, **settings):
            stream.read_all()
        told = collector.spans()
    assert ({span.parent_id for span in told}, len({span.trace_id for span in told})) == ({""}, 50)


def test_there_are_no_more_spans_than_allowed(stream: Stream, workers: Workers) -> None:
    """However many records bring a trace along: what is beyond is scored without."""
    for number in range(1, 2_001):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(number)})
    with collecting() as collector:
        settings = {"HEARTSTREAM_TRACING__ENDPOINT": collector.url, "HEARTSTREAM_TRACING__SPANS_PER_SECOND": "10"}
        started = time.monotonic()
        with workers.start(stream.address, **settings):
            stream.read_all()
            seconds = time.monotonic() - started
        told: list[SpanTold] = collector.spans()
    headed = [result for result in stream.read if result.headers]
    assert stream.answered == 2_000
    assert len(headed) == len(told) <= 10 * (1 + seconds)


def test_a_collector_that_is_down_stops_nothing(stream: Stream, workers: Workers) -> None:
    """All is scored; the trouble is told once and counted; nobody waits for it at the end."""
    for number in range(1, 5_001):
        send(stream, json.dumps(PATIENT).encode(), {"traceparent": parent(number)})
    address = f"http://127.0.0.1:{free_port()}"
    with workers.start(stream.address, HEARTSTREAM_TRACING__ENDPOINT=address) as worker:
        stream.read_all()
        await_failed(worker)
        ended = shown(worker, "ended")
    assert (worker.process.returncode, stream.answered, stream.repeated(), ended > 0) == (0, 5_000, 0, True)
    assert workers.logs().count('"traces cannot be sent"') == 1
    assert MARKER not in workers.logs()


def test_a_collector_that_never_answers_delays_no_end(stream: Stream, workers: Workers) -> None:
    """Told to stop, a worker gives the last spans three seconds, whatever the collector does."""
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
