"""A trace collector that receives OTLP over HTTP as a real one does, and keeps the requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class ReceivedSpan(msgspec.Struct, frozen=True):
    """A span as received; ids in hexadecimal, and an empty parent for none."""

    service: str
    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    state: str
    failed: bool
    nanoseconds: int
    attributes: dict[str, Any]

    @property
    def parent(self) -> str:
        """The traceparent header that names this span as parent."""
        return f"00-{self.trace_id}-{self.span_id}-01"


class Collector:
    """All received requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: list[bytes] = []
        self.authorizations: set[str | None] = set()

    def spans(self) -> list[ReceivedSpan]:
        """Return all spans, in the order of their start."""
        spans = []
        for body in self.bodies:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _attributes(resource.resource.attributes)["service.name"]
                spans += [(span.start_time_unix_nano, span, service) for s in resource.scope_spans for span in s.spans]
        return [_received(service, span) for _, span, service in sorted(spans, key=lambda each: each[0])]


def _received(service: str, span: Any) -> ReceivedSpan:
    return ReceivedSpan(
        service,
        span.name,
        span.kind,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.trace_state,
        span.status.code == span.status.STATUS_CODE_ERROR,
        span.end_time_unix_nano - span.start_time_unix_nano,
        _attributes(span.attributes),
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector in the context."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            good = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            collector.authorizations.add(self.headers["Authorization"])
            if good:
                collector.bodies.append(body)
            answer = ExportTraceServiceResponse().SerializeToString()
            self.send_response(200 if good else 404)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
