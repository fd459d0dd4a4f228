"""A lag meter with a fake consumer that answers as librdkafka does, and a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, KafkaException, TopicPartition
from faust.types import TP

from runtime import metrics
from tests.unit.worker.ledgers import FakeMessage
from worker.kafka.batch import RecordBatch
from worker.kafka.lag import LagMeter
from worker.kafka.ledger import Ledger

HERE = TP("lag-test", 0)


@dataclass
class FakeConsumer:
    """A consumer of a partition with offsets from `low` to `end`; `silent` stands for an unreachable broker."""

    low: int = 0
    end: int = 0
    unreadable: int = 0
    """Records at the end whose transaction is open: the client knows of them, and the broker does not count them."""
    silent: bool = False
    asked: list[str] = field(default_factory=list)
    sought: list[TopicPartition] = field(default_factory=list)

    def get_watermark_offsets(
        self, _partition: TopicPartition, timeout: float = -1, *, cached: bool = False
    ) -> tuple[int, int]:
        if not cached:
            self.asked.append("end")
            if self.silent:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        del timeout
        return self.low, self.end + (self.unreadable if cached else 0)

    def resume(self, partitions: list[TopicPartition]) -> None:
        """Do nothing: no partition is ever paused."""

    def seek(self, position: TopicPartition) -> None:
        self.sought.append(position)

    def list_topics(self, topic: str, timeout: float) -> None:
        del timeout
        self.asked.append(topic)
        if self.silent:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))


@dataclass
class Harness:
    """A meter with everything that it measures."""

    consumer: FakeConsumer
    ledger: Ledger
    meter: LagMeter

    def read(self, first: int, count: int, *, written: float) -> RecordBatch:
        assignment = self.ledger.assignment(HERE)
        assert assignment is not None
        batch = RecordBatch(HERE, [FakeMessage(first + i, written=written) for i in range(count)], assignment)  # type: ignore[arg-type]
        self.ledger.add(batch)
        assert self.ledger.start(batch)
        return batch

    def measure(self) -> tuple[float, float] | None:
        """Return the lag in records and in seconds, as the metrics show it."""
        self.meter.measure("lag-test")
        shown = {
            s.name: s.value for s in metrics.read(metrics.render()[0].decode()) if s.labels.get("topic") == HERE.topic
        }
        if not shown:
            return None
        return shown["heartstream_consumer_lag_records"], shown["heartstream_consumer_lag_seconds"]


@contextmanager
def lag_harness() -> Iterator[Harness]:
    """Yield the meter of a partition that is assigned to this worker, read from offset 100."""
    consumer, ledger = FakeConsumer(), Ledger()
    meter = LagMeter(consumer, ledger, 10.0)  # type: ignore[arg-type]  # has the methods that are called
    ledger.assign([HERE])
    meter.begin([TopicPartition(*HERE, 100)])
    harness = Harness(consumer, ledger, meter)
    yield harness
    harness.meter.forget([HERE])
