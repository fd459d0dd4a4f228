"""Events of any process: its start and end, and the ports on which it listens."""

from __future__ import annotations

import logging
from typing import Final

import msgspec
import structlog

from runtime.events import records
from runtime.metrics import process as metrics
from runtime.metrics import render

_log: Final = structlog.get_logger("heartstream")


def is_debugging() -> bool:
    """Return whether DEBUG lines are written; events that only write these can be skipped otherwise."""
    return logging.getLogger("heartstream").isEnabledFor(logging.DEBUG)


def render_metrics() -> tuple[bytes, str]:
    """Return all metrics in Prometheus text format, and their content type."""
    return render()


class ProcessStarted(msgspec.Struct, frozen=True):
    """A process that serves metrics is starting."""

    role: str
    version: str

    def emit(self) -> None:
        """Log it; show it as an info metric."""
        metrics.PROCESS.labels(self.role, self.version).set(1)
        _log.info("process started", role=self.role, version=self.version)


class ListenerOpened(msgspec.Struct, frozen=True):
    """A port accepts connections."""

    purpose: str
    host: str
    port: int
    guarded: bool = False
    """Whether callers must authenticate."""

    def emit(self) -> None:
        """Log it, as a warning if the network can reach an unprotected port."""
        log = _log.bind(purpose=self.purpose, host=self.host, port=self.port)
        if self.guarded or self.host in {"127.0.0.1", "::1", "localhost"}:
            log.info("listening")
        else:
            log.warning("listening beyond loopback, without authentication")


class WorkerDrained(msgspec.Struct, frozen=True):
    """The worker stops. `complete`: whether everything in flight was confirmed and committed."""

    complete: bool

    def emit(self) -> None:
        """Log it, and all rejections that are not logged yet."""
        records.log_remaining_rejections()
        if self.complete:
            _log.info("worker drained", complete=True)
        else:
            _log.warning("worker drained", complete=False)


class ProcessFailed(msgspec.Struct, frozen=True):
    """The process fails and exits; uncommitted records will be read again."""

    role: str
    error: BaseException

    def emit(self) -> None:
        """Log it, and all rejections that are not logged yet."""
        records.log_remaining_rejections()
        _log.error("process failed", role=self.role, exc_info=self.error)
