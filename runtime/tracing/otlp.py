"""Traces by OpenTelemetry, sent as OTLP over HTTP. The sole importer of opentelemetry; an extra.

Spans wait in a bounded queue for a thread that sends them. Where the collector does not answer they are dropped and
counted: nothing that is traced ever waits for it. OpenTelemetry reads variables of its own (`OTEL_...`): what the
resource is, how to reach the collector, limits.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Sequence
from importlib.metadata import version
from types import TracebackType
from typing import Final, Self

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TraceState,
    set_span_in_context,
)
from opentelemetry.trace import Span as SdkSpan

from runtime import events
from runtime.sampling import RandomSampler, RateLimiter
from runtime.settings import Tracing as TracingSettings
from runtime.tracing.spans import Attributes, Kind
from runtime.tracing.trace_context import Parent, write_parent
from schemas.errors import SettingsError

_PATH: Final = "/v1/traces"
_KINDS: Final = {"consumer": SpanKind.CONSUMER, "server": SpanKind.SERVER}
_CLOSE_SECONDS: Final = 3.0
_EXPORTER_LOG: Final = logging.getLogger("opentelemetry.exporter.otlp.proto.http.trace_exporter")


class OtlpTracing:
    """Starts spans and exports them to a collector."""

    def __init__(self, settings: TracingSettings, role: str) -> None:
        """`role` is worker or gateway; OTEL_SERVICE_NAME overrides the service name derived from it."""
        ours = Resource.create({"service.name": f"heartstream-{role}", "service.version": version("heartstream")})
        # Sampling is decided by the interfaces, before a span is created.
        self._provider = TracerProvider(
            ALWAYS_ON,
            ours.merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
            meter_provider=NoOpMeterProvider(),
        )
        headers = collector_headers(settings.headers)
        exporter = _LoggingExporter(OTLPSpanExporter(settings.endpoint.rstrip("/") + _PATH, headers=headers))
        self._provider.add_span_processor(_CountingProcessor(exporter))
        self._tracer = self._provider.get_tracer("heartstream")
        self._share = RandomSampler(settings.sample_ratio, random.random)
        self._budget = RateLimiter(settings.spans_per_second, time.monotonic)

    def picked(self, count: int) -> Sequence[int]:
        """Return the indices of those of `count` that start a trace."""
        return self._share.pick(count)

    def allows(self) -> bool:
        """Return whether one more may be traced, and count it."""
        return self._budget.take()

    def begin(
        self, name: str, kind: Kind, parent: Parent | None, attributes: Attributes, seconds_ago: float = 0.0
    ) -> OtlpSpan | None:
        """Start a span; None if OpenTelemetry is disabled (`OTEL_SDK_DISABLED`)."""
        context = Context() if parent is None else _context(parent)
        start = time.time_ns() - int(seconds_ago * 1e9)
        span = self._tracer.start_span(name, context, _KINDS[kind], attributes, start_time=start)
        return OtlpSpan(span, self._tracer) if span.is_recording() else None

    def close(self) -> None:
        """Export the remaining spans, for three seconds at most; a thread that is still busy ends with the process."""
        closing = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def collector_headers(text: str) -> dict[str, str]:
    """Parse `name=value,name=value`; raises SettingsError, which does not contain it."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if not (text.isascii() and text.isprintable() and all(name.strip() and equals for name, equals, _ in pairs)):
        raise SettingsError(("HEARTSTREAM_TRACING__HEADERS must be name=value,name=value",))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _context(parent: Parent) -> Context:
    flags = TraceFlags(parent.flags)
    state = TraceState.from_header([parent.state]) if parent.state else None
    known = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags, state)
    return set_span_in_context(NonRecordingSpan(known), Context())


class OtlpSpan:
    """An OpenTelemetry span."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, span: SdkSpan, tracer: Tracer) -> None:
        self._span = span
        self._tracer = tracer

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers that propagate the span's context."""
        own = self._span.get_span_context()
        state = own.trace_state.to_header()
        return write_parent(Parent(f"{own.trace_id:032x}", f"{own.span_id:016x}", own.trace_flags, state))

    def child(self, name: str, attributes: Attributes) -> OtlpSpan:
        """Start a child span."""
        context = set_span_in_context(self._span, Context())
        return OtlpSpan(self._tracer.start_span(name, context, attributes=attributes), self._tracer)

    def set_attributes(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        """Mark it as failed with this kind of error."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it and queue it for export."""
        self._span.end()

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None, /
    ) -> None:
        """End it without recording the exception, whose text may contain patient data."""
        self._span.end()


class _CountingProcessor(BatchSpanProcessor):
    """Queues and counts ended spans, for comparison with the exported ones."""

    def on_end(self, span: ReadableSpan) -> None:
        events.SpanEnded().emit()
        super().on_end(span)


class _LoggingExporter(SpanExporter):
    """Exports spans, and emits when that starts or stops failing. The exporter's own log stops after one line."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._sent: bool | None = None
        _EXPORTER_LOG.addFilter(lambda _line: self._sent is not False)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        sent = result is SpanExportResult.SUCCESS
        events.SpansExported(len(spans), sent=sent, is_news=sent is not self._sent).emit()
        self._sent = sent
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
