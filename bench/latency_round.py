"""One round of the latency benchmark: a contender, a paced producer, and a reader that matches results by key."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from contextlib import AbstractContextManager, nullcontext
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, Producer, TopicPartition

from bench.contenders import CONTENDERS, Contender
from bench.contest import Names, check, environment, running
from bench.cost import cpu_seconds
from bench.load import PARTITIONS, remove_topics
from bench.pacer import PROBE_KEY, probe
from bench.stage import Stage
from bench.task import LINGER

FLOOR: Final = "floor"
"""The contender that is none."""
_WARM_UP_SECONDS: Final = 2.0
_START_SECONDS: Final = 60.0
_PATIENCE_SECONDS: Final = 15.0

Longs = np.ndarray[tuple[int], np.dtype[np.int64]]


class Pace(msgspec.Struct, frozen=True):
    """How many records a second, and for how many seconds they count, after a warm-up."""

    rate: float
    seconds: float

    @property
    def warm_up(self) -> int:
        """How many records at the start are not counted."""
        return round(_WARM_UP_SECONDS * self.rate)

    @property
    def records(self) -> int:
        """How many records a round has, those that are not counted included."""
        return self.warm_up + round(self.seconds * self.rate)


class Round(msgspec.Struct, frozen=True):
    """One round's latencies; the rate that was reached; what was lost or doubled; the contender's CPU.

    `late_ms` is how late the producer itself was (its 99th percentile): with much of that, the machine was too busy.
    """

    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    late_ms: float
    rate: float
    lost: int
    duplicated: int
    cpu_percent: float


class Reader:
    """Reads a topic from its beginning, and notes when each record was in its hands."""

    def __init__(self, address: str, topic: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": address,
                "group.id": "bench-latency",
                "log_level": 2,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.queue.backoff.ms": 1,
            }
        )
        self._consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
        self.times: dict[bytes, int] = {}
        self.duplicated = 0

    def read_once(self) -> None:
        """Wait a moment for one record."""
        message = self._consumer.poll(0.1)
        if message is None or message.error() is not None:
            return
        key = message.key() or b""
        self.duplicated += key in self.times and key != PROBE_KEY
        self.times.setdefault(key, time.monotonic_ns())

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()


def measure(name: str, stage: Stage, pace: Pace) -> Round:
    """Run one round. Raises RuntimeError or TimeoutError if the contender fails."""
    mine = stage.filled(f"{stage.topic}-{uuid.uuid4().hex[:6]}", 0, PARTITIONS)
    contender = next((each for each in CONTENDERS if each.name == name), CONTENDERS[0])
    names = Names.fresh(mine, contender)
    reader = Reader(stage.address, mine.topic if name == FLOOR else names.scores)
    try:
        with _running(name, contender, mine, names) as process:
            _await_first(reader, mine, process)
            return _paced(reader, mine, pace, process)
    finally:
        reader.close()
        names.remove(mine)
        remove_topics(stage.address, [mine.topic])


def _running(
    name: str, contender: Contender, stage: Stage, names: Names
) -> AbstractContextManager[subprocess.Popen[bytes] | None]:
    if name == FLOOR:
        return nullcontext()
    variables = environment(contender, stage, names) | {LINGER: "1"}
    return running(contender, variables, stage.folder / f"{names.group}.log")


def _await_first(reader: Reader, stage: Stage, process: subprocess.Popen[bytes] | None) -> None:
    """Write one record, and wait for its result: all is up then."""
    probe(Producer({"bootstrap.servers": stage.address, "log_level": 2}), stage.topic)
    deadline = time.monotonic() + _START_SECONDS
    while PROBE_KEY not in reader.times:
        reader.read_once()
        if process is not None:
            check(process)
        if time.monotonic() > deadline:
            raise TimeoutError("the first record has no result in a minute")


def _paced(reader: Reader, stage: Stage, pace: Pace, process: subprocess.Popen[bytes] | None) -> Round:
    """Let the pacer write, and read until all results are there."""
    file = stage.folder / f"{stage.topic}.times"
    options = ("--servers", stage.address, "--topic", stage.topic, "--records", str(pace.records))
    command = [sys.executable, "-m", "bench.pacer", *options, "--rate", str(pace.rate), str(file)]
    pid = process.pid if process is not None else 0
    started, cpu_started = time.monotonic(), cpu_seconds(pid) if pid else 0.0
    pacer = subprocess.Popen(command)
    deadline = None
    while len(reader.times) <= pace.records and (deadline is None or time.monotonic() < deadline):
        reader.read_once()
        if deadline is None and pacer.poll() is not None:
            deadline = time.monotonic() + _PATIENCE_SECONDS
    cpu = (cpu_seconds(pid) - cpu_started if pid else 0.0) / (time.monotonic() - started)
    if pacer.wait(_START_SECONDS):
        raise RuntimeError("the paced producer failed")
    return _summed(reader, np.frombuffer(file.read_bytes(), dtype=np.int64), pace, cpu)


def _summed(reader: Reader, sent: Longs, pace: Pace, cpu: float) -> Round:
    """Match results with records by key; the warm-up does not count but for what is lost."""
    received = np.array([reader.times.get(f"p-{number:07}".encode(), 0) for number in range(pace.records)])
    there = received[pace.warm_up :] > 0
    latencies = (received - sent)[pace.warm_up :][there] / 1e6
    if not len(latencies):
        raise RuntimeError("no result came")
    p50, p99, p999 = np.percentile(latencies, [50, 99, 99.9]).tolist()
    counted = sent[pace.warm_up :]
    rate = (len(counted) - 1) / ((counted[-1] - counted[0]) / 1e9)
    return Round(
        *(p50, p99, p999, float(latencies.max())),
        late_ms=_late_ms(sent, pace),
        rate=float(rate),
        lost=int((received == 0).sum()),
        duplicated=reader.duplicated,
        cpu_percent=100 * cpu,
    )


def _late_ms(sent: Longs, pace: Pace) -> float:
    """Return the 99th percentile of how late records were produced, against the earliest consistent schedule."""
    lateness = sent / 1e6 - np.arange(len(sent)) * 1e3 / pace.rate
    return float(np.percentile(lateness - lateness.min(), 99))
