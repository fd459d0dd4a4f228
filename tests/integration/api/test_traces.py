"""Traces over HTTP, with a real gateway and a real OTLP receiver."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.fakes.otlp_collector import ReceivedSpan, collecting
from tests.support.calls import JSON, LINES, PATIENTS, ask
from tests.support.workers import Starter

MARKER = "Zebra-4711"
RECORD = PATIENTS[0]
INTERNAL, SERVER = 1, 2


def parent(number: int, flags: str = "01") -> dict[str, str]:
    return {"Traceparent": f"00-{number:032x}-{number:016x}-{flags}"}


def by_trace(spans: list[ReceivedSpan]) -> dict[str, list[ReceivedSpan]]:
    """Return each trace's spans, the server's first."""
    traces: dict[str, list[ReceivedSpan]] = {}
    for span in sorted(spans, key=lambda span: -span.kind):
        traces.setdefault(span.trace_id, []).append(span)
    return traces


def test_a_trace_continues_from_the_caller_to_the_scoring(start: Starter) -> None:
    """The request's span is a child of the caller's and contains one of scoring; all are sent at exit."""
    with collecting() as collector:
        with start(TRACING__ENDPOINT=collector.url, TRACING__HEADERS="authorization=Bearer x") as gateway:
            ask(gateway, "POST", "/predict", RECORD, {**parent(1), "tracestate": "vendor=x"})
        server, scoring = by_trace(collector.spans())[f"{1:032x}"]
    assert (server.service, server.name, server.kind) == ("heartstream-gateway", "POST /predict", SERVER)
    assert (server.parent_id, server.state, server.failed) == (f"{1:016x}", "vendor=x", False)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/predict",
        "url.scheme": "http",
        "http.response.status_code": 200,
    }
    assert (scoring.name, scoring.kind, scoring.parent_id) == ("score", INTERNAL, server.span_id)
    assert scoring.attributes == {"heartstream.records": 1}
    assert scoring.nanoseconds <= server.nanoseconds
    assert collector.authorizations == {"Bearer x"}


def test_many_records_are_scored_in_spans_of_their_own_request(start: Starter) -> None:
    """Micro-batched requests keep their own traces; arrays, lines and rows state the number of records."""
    rows = json.dumps({"dataframe_records": [json.loads(record) for record in PATIENTS[:3]]}).encode()
    with collecting() as collector:
        with start(TRACING__ENDPOINT=collector.url) as gateway, ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda number: ask(gateway, "POST", "/predict", RECORD, parent(number)), range(1, 200)))
            array = b"[" + b",".join(PATIENTS[:600]) + b"]"
            ask(gateway, "POST", "/predict/batch", array, {**JSON, **parent(1_000)})
            ask(gateway, "POST", "/predict/batch", b"\n".join(PATIENTS[:5]), {**LINES, **parent(1_001)})
            ask(gateway, "POST", "/invocations", rows, {**JSON, **parent(1_002)})
        traces = by_trace(collector.spans())
    for server, *scorings in traces.values():
        assert {scoring.parent_id for scoring in scorings} == {server.span_id}
    counted = {
        int(trace, 16): sum(scoring.attributes["heartstream.records"] for scoring in scorings)
        for trace, (_, *scorings) in traces.items()
    }
    assert counted == {**dict.fromkeys(range(1, 200), 1), 1_000: 600, 1_001: 5, 1_002: 3}


def test_no_patient_is_in_a_trace(start: Starter) -> None:
    """A marker anywhere in a request is in no span; probes have no spans."""
    good = json.dumps({**json.loads(RECORD), "patient_id": MARKER}).encode()
    with collecting() as collector:
        with start(TRACING__ENDPOINT=collector.url, TRACING__SAMPLE_RATIO="1") as gateway:
            for path in ("/predict", f"/predict?id={MARKER}", f"/{MARKER}", f"/v2/models/{MARKER}/infer"):
                for body in (good, good.replace(b'"age"', MARKER.encode()), b"{}"):
                    ask(gateway, "POST", path, body, {"X-Id": MARKER, "User-Agent": MARKER, "traceparent": MARKER})
            for method in (MARKER, "PROPFIND"):
                ask(gateway, method, "/predict", good)
            for path in ("/health", "/health/live", "/metrics", "/ping"):
                ask(gateway, "GET", path)
        spans = collector.spans()
    routes = [span.attributes["http.route"] for span in spans if span.kind == SERVER]
    predicted = [span.attributes["http.response.status_code"] for span in spans if span.name == "POST /predict"]
    assert {route: routes.count(route) for route in routes} == {
        "/predict": 6,
        "(unknown)": 4,
        "/v2/models/{model}/infer": 3,
    }
    assert predicted == [200, 422, 422] * 2
    assert MARKER.encode() not in b"".join(collector.bodies)


def test_an_unsampled_trace_has_no_span(start: Starter) -> None:
    """The caller's sampling flag decides; without a trace the sample ratio does."""
    with collecting() as collector:
        with start(TRACING__ENDPOINT=collector.url, TRACING__SAMPLE_RATIO="1") as gateway:
            ask(gateway, "POST", "/predict", RECORD, parent(1, "00"))
        with start(TRACING__ENDPOINT=collector.url) as gateway:
            ask(gateway, "POST", "/predict", RECORD)
        assert collector.spans() == []
