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
    """Begins spans and sends them to a collector."""

    def __init__(self, settings: TracingSettings, role: str) -> None:
        """`role` is worker or gateway; OTEL_SERVICE_NAME overrides the name that is made of it."""
        ours = Resource.create({"service.name": f"heartstream-{role}", "service.version": version("heartstream")})
        # What is recorded is decided by the interfaces, before a span costs anything.
        self._provider = TracerProvider(
            ALWAYS_ON,
            ours.merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
            meter_provider=NoOpMeterProvider(),
        )
        headers = collector_headers(settings.headers)
        exporter = _TellingExporter(OTLPSpanExporter(settings.endpoint.rstrip("/") + _PATH, headers=headers))
        self._provider.add_span_processor(_CountingProcessor(exporter))
        self._tracer = self._provider.get_tracer("heartstream")
        self._share = RandomSampler(settings.sample_ratio, random.random)
        self._budget = RateLimiter(settings.spans_per_second, time.monotonic)

    def picked(self, count: int) -> Sequence[int]:
        """Return which of `count` begin a trace of their own, by their place."""
        return self._share.pick(count)

    def allows(self) -> bool:
        """Say whether one more may be traced, and count it."""
        return self._budget.take()

    def begin(
        self, name: str, kind: Kind, parent: Parent | None, attributes: Attributes, seconds_ago: float = 0.0
    ) -> OtlpSpan | None:
        """Begin a span; None if OpenTelemetry is switched off (`OTEL_SDK_DISABLED`)."""
        context = Context() if parent is None else _context(parent)
        start = time.time_ns() - int(seconds_ago * 1e9)
        span = self._tracer.start_span(name, context, _KINDS[kind], attributes, start_time=start)
        return OtlpSpan(span, self._tracer) if span.is_recording() else None

    def close(self) -> None:
        """Send what is left, for three seconds at most; a thread that is still at it then ends with the process."""
        closing = threading.Thread(target=self._provider.shutdown, name="last-spans", daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def collector_headers(text: str) -> dict[str, str]:
    """Read `name=value,name=value`; raises SettingsError, which repeats none of it."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if not (text.isascii() and text.isprintable() and all(name.strip() and equals for name, equals, _ in pairs)):
        raise SettingsError(("HEARTSTREAM_TRACING__HEADERS is not name=value,name=value",))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _context(parent: Parent) -> Context:
    flags = TraceFlags(parent.flags)
    state = TraceState.from_header([parent.state]) if parent.state else None
    known = SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), True, flags, state)
    return set_span_in_context(NonRecordingSpan(known), Context())


class OtlpSpan:
    """A span of OpenTelemetry's."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, span: SdkSpan, tracer: Tracer) -> None:
        self._span = span
        self._tracer = tracer

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """What lets others go on with it."""
        own = self._span.get_span_context()
        state = own.trace_state.to_header()
        return write_parent(Parent(f"{own.trace_id:032x}", f"{own.span_id:016x}", own.trace_flags, state))

    def child(self, name: str, attributes: Attributes) -> OtlpSpan:
        """Begin a span within this one."""
        context = set_span_in_context(self._span, Context())
        return OtlpSpan(self._tracer.start_span(name, context, attributes=attributes), self._tracer)

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        """Mark it as an error of this kind."""
        self._span.set_attribute("error.type", kind)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """Queue it to be sent."""
        self._span.end()

    def __enter__(self) -> Self:
        """Return this."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None, /
    ) -> None:
        """End it, without a word of the error: its text may be a patient's."""
        self._span.end()


class _CountingProcessor(BatchSpanProcessor):
    """Queues spans, and counts them: what was sent can be held against it."""

    def on_end(self, span: ReadableSpan) -> None:
        events.SpanEnded().emit()
        super().on_end(span)


class _TellingExporter(SpanExporter):
    """Sends spans, and tells when that fails and when it works again. The exporter's own lines stop after the first."""

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
