"""Periodic calls on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from runtime import events

_DRIFT_INTERVAL_SECONDS: Final = 10.0


class PeriodicCall:
    """Calls a function every `seconds`, for the first time one interval after `start`. The function must not block."""

    def __init__(self, call: Callable[[], None], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start; called once, on the loop."""
        self._next = asyncio.get_running_loop().call_later(self._seconds, self._run)

    def _run(self) -> None:
        self.start()
        self._call()

    def stop(self) -> None:
        """Stop."""
        if self._next is not None:
            self._next.cancel()


def periodic_drift_report(measure: Callable[[], object]) -> PeriodicCall:
    """Emit `events.DriftMeasured` periodically; `measure` returns an object with the event's fields."""
    return PeriodicCall(
        lambda: msgspec.convert(measure(), events.DriftMeasured, from_attributes=True).emit(), _DRIFT_INTERVAL_SECONDS
    )
