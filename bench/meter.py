"""Measuring a contender from the broker's side, and checking what it wrote.

Nothing here touches the contender: the meter watches the ends of the output partitions, and reads the output later.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]  # exported, says its guide

from bench.load import PARTITIONS
from schemas.codec import decode_score

POLL_SECONDS: Final = 0.01
START_SECONDS: Final = 60.0
STALL_SECONDS: Final = 20.0
_CALL_SECONDS: Final = 10.0
_TICKS_A_SECOND: Final = 100
_UTIME: Final = 11
"""Places after the command's name in /proc/PID/stat: user time here, system time next."""


class Reading(msgspec.Struct, frozen=True):
    """How many results became visible, in how many seconds, and the contender's processor seconds meanwhile."""

    results: int
    seconds: float
    cpu_seconds: float

    @property
    def records_per_s(self) -> float:
        """The rate."""
        return self.results / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time of all the contender's threads for one record, in microseconds."""
        return self.cpu_seconds / self.results * 1e6


class Output(msgspec.Struct, frozen=True):
    """What a contender wrote: a hash of key and value for each source (partition, offset), and repeats beyond one."""

    hashes: dict[tuple[int, int], int]
    duplicated: int

    def lost(self, ends: dict[int, int] | None) -> int:
        """Count sources without result: below the input's ends, or, where None, below the last that has one."""
        per_partition = Counter(partition for partition, _ in self.hashes)
        if ends is None:
            ends = {p: max(o for q, o in self.hashes if q == p) + 1 for p in per_partition}
        return sum(end - per_partition[partition] for partition, end in ends.items())

    def differing(self, other: Output) -> int:
        """Count sources for which the two wrote different bytes."""
        return sum(self.hashes[source] != other.hashes[source] for source in self.hashes.keys() & other.hashes.keys())


class Meter:
    """Watches one topic; cheap: one small request every ten milliseconds."""

    def __init__(self, address: str, topic: str) -> None:
        self._admin = AdminClient({"bootstrap.servers": address, "log_level": 2})
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # its own types stop here
        self._wanted = {TopicPartition(topic, number): latest for number in range(PARTITIONS)}

    def ends(self) -> dict[int, int]:
        """Return the high watermark of each partition; waits for a topic that was just made to have its leaders."""
        deadline = time.monotonic() + _CALL_SECONDS
        while True:
            futures = self._admin.list_offsets(self._wanted, request_timeout=_CALL_SECONDS)
            try:
                return {tp.partition: future.result(_CALL_SECONDS).offset for tp, future in futures.items()}
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                time.sleep(POLL_SECONDS)

    def count(self) -> int:
        """Return how many records are visible."""
        return sum(self.ends().values())

    def measure(self, results: int, pid: int, check: Callable[[], None]) -> Reading:
        """Time from the first visible result until `results` are visible; `check` raises if the contender has ended.

        Raises TimeoutError when nothing comes in a minute, or nothing more in twenty seconds.
        """
        first = self._wait_beyond(0, START_SECONDS, check)
        started, cpu_started, seen = time.monotonic(), cpu_seconds(pid), first
        while seen < results:
            seen = self._wait_beyond(seen, STALL_SECONDS, check)
        elapsed = time.monotonic() - started
        return Reading(seen - first, elapsed, cpu_seconds(pid) - cpu_started)

    def _wait_beyond(self, seen: int, seconds: float, check: Callable[[], None]) -> int:
        deadline = time.monotonic() + seconds
        while (count := self.count()) <= seen:
            check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"no result after the first {seen} in {seconds:.0f} s")
            time.sleep(POLL_SECONDS)
        time.sleep(POLL_SECONDS)
        return count


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has used so far; NaN where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return math.nan
    return (int(fields[_UTIME]) + int(fields[_UTIME + 1])) / _TICKS_A_SECOND


def read_output(address: str, topic: str) -> Output:
    """Read all results of a topic. Raises TimeoutError if the broker does not give them."""
    ends = Meter(address, topic).ends()
    left = sum(ends.values())
    hashes: dict[tuple[int, int], int] = {}
    duplicated = 0
    consumer = Consumer({"bootstrap.servers": address, "group.id": "bench-reader", "log_level": 2})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    deadline = time.monotonic() + START_SECONDS
    while left > 0:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{left} results of {topic} cannot be read")
        for message in consumer.consume(min(left, 5000), 0.2):
            value = message.value() or b""
            source = decode_score(value).source
            if source is None:
                raise ValueError("a result names no source")
            left -= 1
            place = (source.partition, source.offset)
            duplicated += place in hashes
            hashes[place] = hash((message.key(), value))
    consumer.close()
    return Output(hashes, duplicated)


def committed(address: str, group: str, topic: str) -> dict[int, int]:
    """Return the offsets that a group has committed."""
    probe = Consumer({"bootstrap.servers": address, "group.id": group, "log_level": 2})
    try:
        wanted = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        return {position.partition: position.offset for position in probe.committed(wanted, timeout=_CALL_SECONDS)}
    finally:
        probe.close()
