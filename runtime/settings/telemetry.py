"""Settings of logs, metrics and traces."""

from __future__ import annotations

from typing import Annotated

import msgspec

from runtime.settings.base import Count, Name, Port


class Telemetry(msgspec.Struct, frozen=True):
    """Logging, and the worker's port for `/metrics` and `/health`."""

    host: Name = "127.0.0.1"
    port: Port = 9100
    log_level: Annotated[str, msgspec.Meta(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: Annotated[str, msgspec.Meta(pattern="^(json|console)$")] = "json"


class Tracing(msgspec.Struct, frozen=True):
    """OpenTelemetry traces of records and requests: docs/telemetry.md. They need the extra `tracing`.

    `endpoint` is a collector that accepts OTLP over HTTP, such as `http://collector:4318`; if empty, tracing is off.
    An incoming trace context decides whether its trace is recorded; of records and requests without one, a
    `sample_ratio` starts a trace. At most `spans_per_second` records or requests a second are traced. `headers` are
    sent to the collector, as `name=value,name=value`: keep them in a file, named by
    `HEARTSTREAM_TRACING__HEADERS_FILE`. OpenTelemetry's own variables configure the rest (`OTEL_RESOURCE_ATTRIBUTES`,
    `OTEL_EXPORTER_OTLP_CERTIFICATE` and others), but cannot turn tracing on.
    """

    endpoint: str = ""
    headers: str = ""
    sample_ratio: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.0
    spans_per_second: Count = 1_000
