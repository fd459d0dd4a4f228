"""Runs the worker as a process: start, stop in bounded time, meaningful exit code."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Final

from faust.worker import Worker

from runtime import events
from runtime.gc_tuning import tune_gc
from runtime.settings import Settings
from worker.bootstrap import ScoringApp, create_app

_SLACK_SECONDS: Final = 35.0
"""After draining: 10 for results in flight, 15 to leave the group, 5 for an open transaction, and 5 for the rest."""


class _BoundedWorker(Worker):
    """Faust's worker with a time limit on stopping, from a crash or a signal on."""

    role: str
    stop_within_seconds: float
    _timer: threading.Timer | None = None

    def _crash(self, reason: BaseException) -> None:
        """Keep the first reason: later failures, while services stop, are its consequences."""
        super()._crash(self.crash_reason or reason)
        self._bound()

    async def stop(self) -> None:
        """Stop; if this hangs, the process ends anyway. Unconfirmed records are not committed."""
        self._bound()
        await super().stop()

    def _bound(self) -> None:
        """Start the time limit after which the process ends, on the first call."""
        if self._timer is None:
            self._timer = threading.Timer(self.stop_within_seconds, self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        if self.crash_reason is not None:
            events.ProcessFailed(self.role, self.crash_reason).emit()
        os._exit(1)


def run(settings: Settings, create: Callable[[Settings], ScoringApp] = create_app) -> None:
    """Run a worker, or what `create` makes, until SIGTERM or SIGINT; raises SystemExit, with code 0 if nothing failed.

    Running out of time to finish batches is not a failure: what is not committed is read again.

    Raises SettingsError, ArtifactError or DependencyError before it starts.
    """
    app = create(settings)
    tune_gc()
    process = _BoundedWorker(app, override_logging=False, redirect_stdouts=False, quiet=True)
    process.spinner, process.role = None, app.role
    process.stop_within_seconds = settings.worker.drain_seconds + _SLACK_SECONDS
    app.open_telemetry()
    try:
        process.execute_from_commandline()
    except (SystemExit, asyncio.CancelledError):
        reason = process.crash_reason or app.crash_reason
        if reason is not None:
            events.ProcessFailed(app.role, reason).emit()
            raise SystemExit(1) from None
        raise
