"""Events of trace export."""

from __future__ import annotations

from typing import Final

import msgspec
import structlog

from runtime.metrics import tracing as metrics

_log: Final = structlog.get_logger("heartstream")


class SpanEnded(msgspec.Struct, frozen=True):
    """A trace span has ended and is queued for export."""

    def emit(self) -> None:
        """Count it."""
        metrics.SPANS.labels("ended").inc()


class SpansExported(msgspec.Struct, frozen=True):
    """Spans were exported to the collector or, after retries, dropped; logged when that changes."""

    spans: int
    sent: bool
    is_news: bool

    def emit(self) -> None:
        """Count them, and log a change."""
        metrics.SPANS.labels("sent" if self.sent else "failed").inc(self.spans)
        if self.is_news and self.sent:
            _log.info("traces are sent")
        elif self.is_news:
            _log.warning("traces cannot be sent")
