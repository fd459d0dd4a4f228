"""Events of the HTTP gateway."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from runtime.events import records
from runtime.metrics import gateway as metrics

_log: Final = structlog.get_logger("heartstream")


class RequestAnswered(msgspec.Struct, frozen=True):
    """The gateway answered a request."""

    route: str
    status: int
    seconds: float

    def emit(self) -> None:
        """Count it."""
        count, observe = self._functions(self.route, self.status)
        count()
        observe(self.seconds)
        records.log_due_rejections()

    @staticmethod
    @functools.cache
    def _functions(route: str, status: int) -> tuple[Callable[[], None], Callable[[float], None]]:
        """Return the functions of a route's counter and histogram; finding them by label takes longer than counting."""
        return metrics.REQUESTS.labels(route, str(status)).inc, metrics.REQUEST_SECONDS.labels(route).observe


class RequestFailed(msgspec.Struct, frozen=True):
    """An unexpected error in the gateway; the caller got a 5xx without details, or an incomplete response."""

    error: BaseException

    def emit(self) -> None:
        """Log it."""
        _log.error("request failed", exc_info=self.error)


class CdsCardReturned(msgspec.Struct, frozen=True):
    """A CDS service responded with a card: `risk`, `questions` or `unreadable`."""

    kind: str

    def emit(self) -> None:
        """Count it."""
        metrics.CDS_CARDS.labels(self.kind).inc()


class CdsFeedbackReceived(msgspec.Struct, frozen=True):
    """A user accepted or overrode a card; `reason` is one of ours, `other` or `none`."""

    outcome: str
    reason: str

    def emit(self) -> None:
        """Count it."""
        metrics.CDS_FEEDBACK.labels(self.outcome, self.reason).inc()


class TokenKeysUnavailable(msgspec.Struct, frozen=True):
    """The identity provider's keys cannot be read or used; known keys stay valid, tokens of others get 503."""

    error: BaseException

    def emit(self) -> None:
        """Log it."""
        _log.warning("token keys unavailable", exc_info=self.error)


class AuditRepaired(msgspec.Struct, frozen=True):
    """The audit file ended in an incomplete line, as after a crash; it was removed. Its request had no response."""

    removed_bytes: int

    def emit(self) -> None:
        """Log it."""
        _log.warning("audit trail repaired", removed_bytes=self.removed_bytes)
