"""Which records and requests start a trace, and how many spans per second there may be."""

from __future__ import annotations

import math
from collections.abc import Callable


class RandomSampler:
    """Samples at random with a given ratio. Unsampled items cost nothing: the gaps between samples are drawn."""

    def __init__(self, ratio: float, draw: Callable[[], float]) -> None:
        """`ratio` is 0 to 1; `draw` returns a random number from [0, 1)."""
        self._ratio = ratio
        self._draw = draw
        self._gap = self._next_gap()

    def pick(self, count: int) -> list[int]:
        """Return the indices of the next `count` items that are sampled."""
        picked = []
        while self._gap < count:
            picked.append(int(self._gap))
            self._gap += 1 + self._next_gap()
        self._gap -= count
        return picked

    def _next_gap(self) -> float:
        """Draw how many items are skipped before the next sample, from a geometric distribution."""
        if self._ratio <= 0:
            return math.inf
        if self._ratio >= 1:
            return 0.0
        return math.floor(math.log(1 - self._draw()) / math.log(1 - self._ratio))


class RateLimiter:
    """A token bucket that holds one second's worth of tokens. Not thread-safe."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = self._tokens = per_second
        self._clock = clock
        self._at = clock()

    def take(self) -> bool:
        """Take a token; return whether there was one."""
        now = self._clock()
        self._tokens = min(self._per_second, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
