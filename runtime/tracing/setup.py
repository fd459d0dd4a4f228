"""Start tracing, if it is configured."""

from __future__ import annotations

from urllib.parse import urlsplit

from runtime.settings import Tracing as TracingSettings
from runtime.tracing.spans import Tracing
from schemas.errors import SettingsError
from schemas.extras import install_command


def open_tracing(settings: TracingSettings, role: str) -> Tracing | None:
    """Start tracing; None if it is not configured. Raises SettingsError."""
    if not settings.endpoint:
        return None
    _check(settings.endpoint)
    try:
        from runtime.tracing.otlp import OtlpTracing  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SettingsError(
            (f"HEARTSTREAM_TRACING__ENDPOINT: traces need the extra tracing: {install_command('tracing')}",)
        ) from error
    try:
        return OtlpTracing(settings, role)
    except (ValueError, RuntimeError) as error:
        raise SettingsError((f"OpenTelemetry rejects its environment variables (OTEL_...): {error}",)) from error


def _check(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
        parts = urlsplit("")
    if not good or parts.query or parts.fragment:
        raise SettingsError(("HEARTSTREAM_TRACING__ENDPOINT must be a URL such as http://collector:4318",))
    if parts.username is not None:
        problem = "HEARTSTREAM_TRACING__ENDPOINT must not contain credentials; use HEARTSTREAM_TRACING__HEADERS_FILE"
        raise SettingsError((problem,))
