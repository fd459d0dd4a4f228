"""What worker and gateway know of tracing: spans, and what begins them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

from runtime.tracing.trace_context import Parent

Attributes = Mapping[str, str | int | Sequence[str]]
Kind = Literal["consumer", "server"]


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
