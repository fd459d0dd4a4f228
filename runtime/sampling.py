"""Which records and requests begin a trace, and how many spans a second there may be."""

from __future__ import annotations

import math
from collections.abc import Callable


class Share:
    """Picks one in so many, at random. What is not picked costs nothing: the gaps between picks are drawn."""

    def __init__(self, share: float, draw: Callable[[], float]) -> None:
        """`share` is from 0 to 1; `draw` gives a number from 0 up to 1, without it."""
        self._share = share
        self._draw = draw
        self._gap = self._next_gap()

    def among(self, count: int) -> list[int]:
        """Return which of the next `count` are picked, by their place."""
        picked = []
        while self._gap < count:
            picked.append(int(self._gap))
            self._gap += 1 + self._next_gap()
        self._gap -= count
        return picked

    def _next_gap(self) -> float:
        """Draw how many go by before the next: a geometric distribution."""
        if self._share <= 0:
            return math.inf
        if self._share >= 1:
            return 0.0
        return math.floor(math.log(1 - self._draw()) / math.log(1 - self._share))


class Budget:
    """Lets so many pass in a second, and bursts of as many after a quiet one. Not safe to share between threads."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = self._left = per_second
        self._clock = clock
        self._at = clock()

    def take(self) -> bool:
        """Say whether one more may pass."""
        now = self._clock()
        self._left = min(self._per_second, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
