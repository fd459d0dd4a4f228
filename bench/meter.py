"""Measuring a contender from the broker's side: when was how much readable.

Nothing here touches the contender. The meter asks for the ends of the output partitions every ten milliseconds, as a
read_committed consumer would see them (last stable offsets), so a result counts when its transaction is committed, and
at once where there are no transactions. Transaction markers take offsets too: how many *records* lay below an end is
known when the output has been read, so counting happens afterwards (`Reading.of`), and is exact.
"""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, IsolationLevel, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, says its guide

from bench.cost import cpu_seconds
from bench.output import Output

POLL_SECONDS: Final = 0.01
START_SECONDS: Final = 60.0
STALL_SECONDS: Final = 20.0
_CALL_SECONDS: Final = 10.0


class Sample(msgspec.Struct, frozen=True):
    """The ends of all partitions at one moment, and the processor time that the watched processes had used by then."""

    at: float
    ends: tuple[int, ...]
    cpu_seconds: float


class Reading(msgspec.Struct, frozen=True):
    """How many results became readable, in how many seconds, and the contender's processor seconds meanwhile."""

    results: int
    seconds: float
    cpu_seconds: float
    peak_mib: float = math.nan

    @property
    def records_per_s(self) -> float:
        """The rate."""
        return self.results / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time for one record, in microseconds; also the seconds for a million records."""
        return self.cpu_seconds / self.results * 1e6

    @classmethod
    def of(
        cls,
        samples: Sequence[Sample],
        output: Output,
        results: int,
        peak_mib: float = math.nan,
        *,
        from_start: bool = False,
    ) -> Reading:
        """Count from the first sample with results, or the first of all, to the first that has `results` of them.

        If none has that many, to the last. Raises ValueError if there is nothing to time.
        """
        counts = counted(samples, output)
        if not counts[-1]:
            raise ValueError("no result became readable")
        first = 0 if from_start else int(np.flatnonzero(counts)[0])
        last = min(bisect_left(counts.tolist(), results), len(samples) - 1)
        if last == first:
            raise ValueError("all results became readable at once: too few records to time")
        begin, end = samples[first], samples[last]
        cpu = end.cpu_seconds - begin.cpu_seconds
        return cls(int(counts[last] - counts[first]), end.at - begin.at, cpu, peak_mib)


def counted(samples: Sequence[Sample], output: Output) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return how many records were readable at each sample."""
    counts = np.zeros(len(samples), dtype=np.int64)
    for partition, offsets in enumerate(output.offsets):
        counts += np.searchsorted(offsets, [sample.ends[partition] for sample in samples])
    return counts


class Meter:
    """Watches one topic; cheap: one small request every ten milliseconds."""

    def __init__(
        self,
        address: str,
        topic: str,
        partitions: int,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> None:
        self._isolation = isolation
        self._admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its own types stop here
        self._wanted = {TopicPartition(topic, number): latest for number in range(partitions)}

    def ends(self) -> tuple[int, ...]:
        """Return the end of each partition; waits for a topic that was just made to have its leaders."""
        deadline = time.monotonic() + _CALL_SECONDS
        while True:
            futures = self._admin.list_offsets(
                self._wanted, isolation_level=self._isolation, request_timeout=_CALL_SECONDS
            )
            try:
                found = {tp.partition: future.result(_CALL_SECONDS).offset for tp, future in futures.items()}
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)
            else:
                return tuple(found[number] for number in range(len(found)))

    def sample(self, *pids: int) -> Sample:
        """Look once, at the topic and at the processes that are given."""
        ends = self.ends()
        return Sample(time.monotonic(), ends, sum(cpu_seconds(pid) for pid in pids))

    def watch(
        self,
        pid: int,
        results: int,
        check: Callable[[], None],
        is_whole: Callable[[], bool] = lambda: True,
        stall_seconds: float = STALL_SECONDS,
    ) -> list[Sample]:
        """Sample until at least `results` offsets are taken and `is_whole`; `check` raises if the contender has ended.

        `is_whole` is for transactions, whose markers take offsets as well. Raises TimeoutError when nothing comes in
        a minute, or nothing more in `stall_seconds`.
        """
        samples = [self.sample(pid)]
        deadline = time.monotonic() + max(START_SECONDS, stall_seconds)
        while True:
            time.sleep(POLL_SECONDS)
            samples.append(self.sample(pid))
            latest = sum(samples[-1].ends)
            if latest >= results and is_whole():
                return samples
            check()
            if latest > sum(samples[-2].ends):
                deadline = time.monotonic() + stall_seconds
            if time.monotonic() > deadline:
                raise TimeoutError(f"no result after the first {latest:,} in time")


def uncommitted_ends(address: str, topic: str, partitions: int) -> tuple[int, ...]:
    """Return the ends of a topic, records of open transactions included."""
    return Meter(address, topic, partitions, IsolationLevel.READ_UNCOMMITTED).ends()


def committed(address: str, group: str, topic: str, partitions: int) -> tuple[int, ...]:
    """Return the offsets that a group has committed, negative where it has none."""
    probe = Consumer({"bootstrap.servers": address, "group.id": group, "log_level": 2})
    try:
        wanted = [TopicPartition(topic, number) for number in range(partitions)]
        found = {position.partition: position.offset for position in probe.committed(wanted, timeout=_CALL_SECONDS)}
        return tuple(found[number] for number in range(partitions))
    finally:
        probe.close()
