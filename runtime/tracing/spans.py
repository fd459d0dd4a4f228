"""The tracing interface of worker and gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

from runtime.tracing.trace_context import Parent

Attributes = Mapping[str, str | int | Sequence[str]]
Kind = Literal["consumer", "server"]


class Span(Protocol):
    """A span. As a context manager it ends with the context; exceptions are not recorded."""

    @property
    def headers(self) -> tuple[tuple[str, bytes], ...]:
        """The headers that propagate the span's context."""
        ...

    def child(self, name: str, attributes: Attributes) -> Span:
        """Start a child span."""
        ...

    def set_attributes(self, attributes: Attributes) -> None:
        """Add attributes."""
        ...

    def fail(self, kind: str) -> None:
        """Mark it as failed; `kind` is one of a small, closed set."""
        ...

    def end(self) -> None:
        """End it."""
        ...

    def __enter__(self) -> Self:
        """Return this."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        """End it."""


class Tracing(Protocol):
    """Starts spans, and exports ended ones in a separate thread. Only `close` blocks."""

    def picked(self, count: int) -> Sequence[int]:
        """Return the indices of those of `count` records or requests that start a trace, if they have no parent."""
        ...

    def allows(self) -> bool:
        """Return whether one more record or request may be traced now, and count it."""
        ...

    def begin(
        self, name: str, kind: Kind, parent: Parent | None, attributes: Attributes, seconds_ago: float = 0.0
    ) -> Span | None:
        """Start a span, with `parent` if there is one; None if OpenTelemetry is disabled."""
        ...

    def close(self) -> None:
        """Export the remaining spans, for a few seconds at most."""
        ...
