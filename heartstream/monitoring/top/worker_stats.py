"""Statistics of workers between two scrapes."""

from __future__ import annotations

import itertools
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

from heartstream.monitoring.top.scrape import Scrape
from runtime.metrics import Sample

_PREFIX: Final = "heartstream_"

K = TypeVar("K")


class PartitionLag(msgspec.Struct, frozen=True):
    """The lag of a partition, as its worker reports it; `seconds` is the age of its oldest unscored record."""

    topic: str
    partition: int
    records: int
    seconds: float
    worker: str


class WorkerStats(msgspec.Struct, frozen=True):
    """Statistics of a worker or a group. Rates are per second, times in seconds.

    `latency` maps each upper bound to the number of records in the interval at or below it. `letters` counts dead
    letters since the start by code, `letter_rates` per second. `idle` is the time since the last confirmation, None if
    there was none.
    """

    name: str
    state: str
    model: str
    scored: float
    rejected: float
    batch: float | None
    latency: dict[float, float]
    in_flight: int
    rebalances: int
    idle: float | None
    lags: tuple[PartitionLag, ...]
    letters: dict[str, float]
    letter_rates: dict[str, float]

    @property
    def lag(self) -> int:
        """The number of records without a confirmed result, in all partitions."""
        return sum(lag.records for lag in self.lags)

    @property
    def oldest(self) -> float:
        """The age of the oldest of these records."""
        return max((lag.seconds for lag in self.lags), default=0.0)

    def quantile(self, share: float) -> float | None:
        """Return a quantile of the interval's latencies, None without records.

        As Prometheus: linear within a bucket, and never above the last finite bound.
        """
        bounds = sorted(self.latency)
        total = self.latency[bounds[-1]] if bounds else 0.0
        if total <= 0:
            return None
        low, below = 0.0, 0.0
        for bound in bounds:
            upto = self.latency[bound]
            if upto >= share * total:
                return low if bound == math.inf else low + (bound - low) * (share * total - below) / (upto - below)
            low, below = bound, upto
        return low


def worker_stats(before: Scrape, after: Scrape) -> WorkerStats:
    """Return the statistics of one worker between two scrapes. A counter that fell was reset by a restart."""
    now, then = _Numbers(after.samples), _Numbers(before.samples)
    name, seconds = after.url.split("://", 1)[-1], max(after.at - before.at, 1e-9)
    records = _grown(now.by("records_total", "outcome"), then.by("records_total", "outcome"))
    letters = now.by("dead_letters_total", "code")
    sizes = _grown(now.batches(), then.batches())
    progress = now.total("last_progress_timestamp_seconds")
    return WorkerStats(
        name=name,
        state=after.state,
        model=now.model(),
        scored=records.get("scored", 0.0) / seconds,
        rejected=records.get("rejected", 0.0) / seconds,
        batch=sizes["sum"] / sizes["count"] if sizes["count"] else None,
        latency=_grown(now.latency(), then.latency()),
        in_flight=int(now.total("in_flight_records")),
        rebalances=int(now.total("rebalances_total")),
        idle=max(0.0, time.time() - progress) if progress else None,
        lags=tuple(now.lags(name)),
        letters=letters,
        letter_rates=_divided(_grown(letters, then.by("dead_letters_total", "code")), seconds),
    )


def group_stats(workers: Sequence[WorkerStats]) -> WorkerStats:
    """Return the statistics of all workers together."""
    batches = [(worker.batch, worker.scored + worker.rejected) for worker in workers if worker.batch]
    flow = sum(rate for _, rate in batches)
    ready = sum(worker.state == "ready" for worker in workers)
    idle = [worker.idle for worker in workers if worker.idle is not None]
    return WorkerStats(
        name="group",
        state=f"{ready} of {len(workers)} ready",
        model=", ".join(sorted({worker.model for worker in workers if worker.model})),
        scored=sum(worker.scored for worker in workers),
        rejected=sum(worker.rejected for worker in workers),
        # Batches per second add up, so the overall mean is weighted by them.
        batch=flow / sum(rate / batch for batch, rate in batches) if flow else None,
        latency=_summed(worker.latency for worker in workers),
        in_flight=sum(worker.in_flight for worker in workers),
        rebalances=sum(worker.rebalances for worker in workers),
        idle=min(idle, default=None),
        lags=tuple(itertools.chain.from_iterable(worker.lags for worker in workers)),
        letters=_summed(worker.letters for worker in workers),
        letter_rates=_summed(worker.letter_rates for worker in workers),
    )


class _Numbers:
    """The samples of one scrape, by name without the prefix."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            self._samples[sample.name.removeprefix(_PREFIX)].append(sample)

    def total(self, name: str) -> float:
        return sum(sample.value for sample in self._samples[name])

    def by(self, name: str, label: str) -> dict[str, float]:
        """Sum the samples for each value of a label."""
        return _summed({sample.labels[label]: sample.value} for sample in self._samples[name])

    def batches(self) -> dict[str, float]:
        return {part: self.total(f"batch_records_{part}") for part in ("sum", "count")}

    def latency(self) -> dict[float, float]:
        buckets = self._samples["end_to_end_latency_seconds_bucket"]
        return {float(sample.labels["le"]): sample.value for sample in buckets}

    def model(self) -> str:
        models = [sample.labels for sample in self._samples["model_info"]]
        return " ".join((models[0]["name"], models[0]["version"], models[0]["engine"])) if models else ""

    def lags(self, worker: str) -> Iterable[PartitionLag]:
        ages = {(s.labels["topic"], s.labels["partition"]): s.value for s in self._samples["consumer_lag_seconds"]}
        for sample in self._samples["consumer_lag_records"]:
            topic, partition = sample.labels["topic"], sample.labels["partition"]
            age = ages.get((topic, partition), 0.0)
            yield PartitionLag(topic, int(partition), int(sample.value), age, worker)


def _grown(now: Mapping[K, float], then: Mapping[K, float]) -> dict[K, float]:
    """Return the increase of each counter. One that fell was reset to zero in between."""
    before = {key: then.get(key, 0.0) for key in now}
    return {key: count - before[key] if count >= before[key] else count for key, count in now.items()}


def _divided(numbers: Mapping[K, float], by: float) -> dict[K, float]:
    return {key: number / by for key, number in numbers.items()}


def _summed(mappings: Iterable[Mapping[K, float]]) -> dict[K, float]:
    sums: dict[K, float] = defaultdict(float)
    for mapping in mappings:
        for key, number in mapping.items():
            sums[key] += number
    return dict(sums)
