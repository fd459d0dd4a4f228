"""Measuring a contender from the broker's side: when was how much written.

Nothing here touches the contender. Its outputs bear the time at which the broker took each batch (LogAppendTime), so a
rate does not depend on how often anybody looks, however fast the contender is. Records of a transaction count when they
were written, if it was committed. The meter asks for the ends of the output partitions every ten milliseconds, as a
read_committed consumer would see them, to know when a contender is done, and notes its processor time with each look.
"""

from __future__ import annotations

import math
import time
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
_LEAST_SECONDS: Final = 0.1
"""The broker's times are in milliseconds, a batch each; looks at processor time are some ten apart."""


class Sample(msgspec.Struct, frozen=True):
    """The ends of all partitions at one moment, and the processor time that the watched processes had used by then.

    `at` is in monotonic seconds, `clock` in Unix time, as the broker's times are.
    """

    at: float
    clock: float
    ends: tuple[int, ...]
    cpu_seconds: float


class Reading(msgspec.Struct, frozen=True):
    """How many results were written, in how many seconds, and the contender's processor seconds meanwhile."""

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
        untimed: float = 0.0,
    ) -> Reading:
        """Count from when the first result was written, or from the first sample, to when `results` of them were.

        If there are not so many, to the last. The first `untimed` share of them, below 1, is not counted, nor what was
        written at the very first moment: it was done before. Raises ValueError if there is nothing to time.
        """
        written = np.sort(np.concatenate(output.written)) / 1000
        if not len(written):
            raise ValueError("no result was written")
        last = min(results, len(written)) - 1
        begin = samples[0].clock if from_start else float(written[int(untimed * last)])
        end = float(written[last])
        if end - begin < _LEAST_SECONDS:
            raise ValueError(f"all results were written within {_LEAST_SECONDS} s: too few records to time")
        done = int(np.searchsorted(written, end, "right") - np.searchsorted(written, begin, "right"))
        used = np.interp((begin, end), [each.clock for each in samples], [each.cpu_seconds for each in samples])
        return cls(done, end - begin, float(used[1] - used[0]), peak_mib)


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
        return Sample(time.monotonic(), time.time(), ends, sum(cpu_seconds(pid) for pid in pids))

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
