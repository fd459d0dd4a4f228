"""What is done again and again on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from runtime import events

_DRIFT_SECONDS: Final = 10.0
"""How often interfaces tell of drift."""


class Beat:
    """Calls something every so many seconds, from one interval after `start` on. It must not block."""

    def __init__(self, call: Callable[[], None], seconds: float) -> None:
        self._call = call
        self._seconds = seconds
        self._next: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; called once, on the loop."""
        self._next = asyncio.get_running_loop().call_later(self._seconds, self._beat)

    def _beat(self) -> None:
        self.start()
        self._call()

    def stop(self) -> None:
        """End."""
        if self._next is not None:
            self._next.cancel()


def drift_beat(measure: Callable[[], object]) -> Beat:
    """Tell of drift again and again; `measure` returns an object with the fields of `events.DriftMeasured`."""
    return Beat(lambda: msgspec.convert(measure(), events.DriftMeasured, from_attributes=True).emit(), _DRIFT_SECONDS)
