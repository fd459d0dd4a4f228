"""A histogram that observes many values at once."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections.abc import Iterable, Sequence

from prometheus_client.metrics_core import HistogramMetricFamily
from prometheus_client.registry import Collector


class SpreadHistogram(Collector):
    """Observes a whole batch in one call: values are assumed to be spread evenly between a known low and high one.

    Reading the timestamp of each record would cost more than scoring it, and prometheus_client observes only one value
    at a time.
    """

    def __init__(self, name: str, meaning: str, buckets: Sequence[float]) -> None:
        self._name, self._meaning = name, meaning
        self._bounds = (*map(float, buckets), math.inf)
        self._counts = [0] * len(self._bounds)
        self._sum = 0.0
        self._lock = threading.Lock()

    def observe(self, low: float, high: float, count: int) -> None:
        """Observe `count` values from `low` to `high`."""
        counted = 0
        with self._lock:
            self._sum += count * (low + high) / 2
            for place in range(bisect_left(self._bounds, low), len(self._bounds)):
                bound = self._bounds[place]
                below = count if bound >= high else round(count * (bound - low) / (high - low))
                self._counts[place] += below - counted
                counted = below
                if counted == count:
                    return

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """Return the cumulative buckets."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        buckets, below = [], 0
        for bound, count in zip(self._bounds, counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == math.inf else str(bound), float(below)))
        yield HistogramMetricFamily(self._name, self._meaning, buckets=buckets, sum_value=total)
