"""Rates of produced and finished records."""

from __future__ import annotations

from collections import deque
from typing import Final

from heartstream.demo.reconciliation import Reconciliation

_WINDOW_SECONDS: Final = 3.0


class Rates:
    """Records per second over the last few seconds."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int, int]] = deque()

    def update(self, reconciliation: Reconciliation, now: float) -> tuple[float, float]:
        """Return produced and finished records per second."""
        summary = reconciliation.summary()
        self._samples.append((now, summary.produced, summary.scored + summary.dead))
        while now - self._samples[0][0] > _WINDOW_SECONDS:
            self._samples.popleft()
        (then, produced, finished), span = self._samples[0], max(now - self._samples[0][0], 1e-9)
        if now == then:
            return 0.0, 0.0
        return (summary.produced - produced) / span, (summary.scored + summary.dead - finished) / span
