"""Traces: what a record or a request went through, told to a collector. Off unless an endpoint is set.

This is all that the doors know of it. `runtime.otlp`, the sole importer of opentelemetry, is loaded only where traces
are switched on. A span's name and attributes hold no patient's value or id, and no record's key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Final, Literal, Protocol, Self
from urllib.parse import urlsplit

import msgspec

from runtime.settings import Tracing as TracingSettings
from schemas.errors import SettingsError
from schemas.topics import TRACEPARENT_HEADER, TRACESTATE_HEADER

_SAMPLED: Final = 0x01
_FORM: Final = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_LONGEST: Final = 512

Attributes = Mapping[str, str | int | Sequence[str]]
Kind = Literal["consumer", "server"]


class Parent(msgspec.Struct, frozen=True):
    """The span that a record or a request brings along (W3C Trace Context): ids in hexadecimal, flags as a number."""

    trace_id: str
    span_id: str
    flags: int
    state: str = ""

    @property
    def is_sampled(self) -> bool:
        """Whether its trace is recorded."""
        return bool(self.flags & _SAMPLED)


def read_parent(headers: Iterable[tuple[str, str | bytes | None]]) -> Parent | None:
    """Find the span that headers bring along; None where there is none, or none that can be read. Never fails."""
    carried = {name: _text(value) for name, value in headers if name in {TRACEPARENT_HEADER, TRACESTATE_HEADER}}
    found = _FORM.fullmatch(carried.get(TRACEPARENT_HEADER, ""))
    if found is None or (found["more"] is not None and found["version"] == "00"):
        return None
    return Parent(found["trace"], found["span"], int(found["flags"], 16), carried.get(TRACESTATE_HEADER, ""))


def _text(value: str | bytes | None) -> str:
    """Return a header's value as text; what is too long or not ASCII is none."""
    if value is None or len(value) > _LONGEST or not value.isascii():
        return ""
    return (value if isinstance(value, str) else value.decode("ascii")).strip(" \t")


def write_parent(parent: Parent) -> tuple[tuple[str, bytes], ...]:
    """Write what lets others go on with a span, as headers."""
    headers = ((TRACEPARENT_HEADER, f"00-{parent.trace_id}-{parent.span_id}-{parent.flags:02x}".encode()),)
    return (*headers, (TRACESTATE_HEADER, parent.state.encode())) if parent.state else headers


class Span(Protocol):
    """Something that takes time. As a context manager it ends when the context does, and notes no exception."""

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """What lets others go on with it."""
        ...

    def child(self, name: str, attributes: Attributes) -> Span:
        """Begin a span within this one."""
        ...

    def note(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def fail(self, kind: str) -> None:
        """Say that it went wrong; `kind` is one of a small, closed set."""
        ...

    def end(self) -> None:
        """Say that it is over."""
        ...

    def __enter__(self) -> Self:
        """Return this."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End it."""


class Tracing(Protocol):
    """Begins spans, and sends those that have ended, in a thread of its own. Nothing here blocks but `close`."""

    def picked(self, count: int) -> Sequence[int]:
        """Return which of `count` records or requests begin a trace if they bring none along, by their place."""
        ...

    def allows(self) -> bool:
        """Say whether one more record or request may be traced now, and count it."""
        ...

    def begin(
        self, name: str, kind: Kind, parent: Parent | None, attributes: Attributes, seconds_ago: float = 0.0
    ) -> Span | None:
        """Begin a span, below `parent` if there is one; None if OpenTelemetry itself is switched off."""
        ...

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        ...


def open_tracing(settings: TracingSettings, role: str) -> Tracing | None:
    """Begin to trace, as the settings say; None where they do not ask for it. Raises SettingsError."""
    if not settings.endpoint:
        return None
    _check(settings.endpoint)
    try:
        from runtime.otlp import OtlpTracing  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SettingsError(
            ("HEARTSTREAM_TRACING__ENDPOINT: traces need pip install 'heartstream[tracing]'",)
        ) from error
    try:
        return OtlpTracing(settings, role)
    except (ValueError, RuntimeError) as error:
        raise SettingsError((f"OpenTelemetry cannot use its own variables (OTEL_...): {error}",)) from error


def _check(endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
        parts = urlsplit("")
    if not good or parts.query or parts.fragment:
        raise SettingsError(("HEARTSTREAM_TRACING__ENDPOINT is no URL such as http://collector:4318",))
    if parts.username is not None:
        problem = "HEARTSTREAM_TRACING__ENDPOINT names a user: HEARTSTREAM_TRACING__HEADERS_FILE is for credentials"
        raise SettingsError((problem,))


def collector_headers(text: str) -> dict[str, str]:
    """Read `name=value,name=value`; raises SettingsError, which repeats none of it."""
    pairs = [each.partition("=") for each in text.split(",") if each.strip()]
    if not (text.isascii() and text.isprintable() and all(name.strip() and equals for name, equals, _ in pairs)):
        raise SettingsError(("HEARTSTREAM_TRACING__HEADERS is not name=value,name=value",))
    return {name.strip(): value.strip() for name, _, value in pairs}
