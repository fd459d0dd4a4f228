"""Events of the consumer: partitions, lag, pauses and the consumer group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

import msgspec
import structlog

from runtime.events import records
from runtime.log_throttling import LogThrottle
from runtime.metrics import consumer as metrics

_log: Final = structlog.get_logger("heartstream")
_throttle: Final = LogThrottle()


class PartitionsAssigned(msgspec.Struct, frozen=True):
    """The group assigned partitions to this worker, which now has `owned`.

    `positions` are the offsets from which it reads them; None is the first record.
    """

    positions: Mapping[int, int | None]
    owned: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.REBALANCES.labels("assigned").inc()
        metrics.PARTITIONS.set(self.owned)
        for reason in get_args(PauseReason):
            metrics.PAUSED.labels(reason)  # a gauge that was never set has no series, and its panel no data
        _log.info(
            "partitions assigned", partitions=len(self.positions), owned=self.owned, positions=dict(self.positions)
        )


class PartitionsRevoked(msgspec.Struct, frozen=True):
    """The group revokes partitions. `drained`: whether all in flight on them was confirmed and committed."""

    numbers: Sequence[int]
    owned: int
    drained: bool

    def emit(self) -> None:
        """Count and log it."""
        metrics.REBALANCES.labels("revoked").inc()
        metrics.PARTITIONS.set(self.owned)
        _log.info(
            "partitions revoked",
            partitions=len(self.numbers),
            owned=self.owned,
            drained=self.drained,
            numbers=list(self.numbers),
        )


class PartitionsLost(msgspec.Struct, frozen=True):
    """Partitions were reassigned without notice: their new owner processes what was in flight again."""

    numbers: Sequence[int]
    owned: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.REBALANCES.labels("lost").inc()
        metrics.PARTITIONS.set(self.owned)
        _log.warning("partitions lost", partitions=len(self.numbers), owned=self.owned, numbers=list(self.numbers))


class LagMeasured(msgspec.Struct, frozen=True):
    """How far this worker is behind the end of a partition: in records, and the age of the oldest one."""

    topic: str
    partition: int
    records: int
    seconds: float

    def emit(self) -> None:
        """Set the gauges."""
        metrics.LAG_RECORDS.labels(self.topic, str(self.partition)).set(self.records)
        metrics.LAG_SECONDS.labels(self.topic, str(self.partition)).set(self.seconds)


class LagForgotten(msgspec.Struct, frozen=True):
    """A partition's lag is no longer reported by this worker."""

    topic: str
    partition: int

    def emit(self) -> None:
        """Remove its gauges, which would not change anymore."""
        metrics.LAG_RECORDS.remove(self.topic, str(self.partition))
        metrics.LAG_SECONDS.remove(self.topic, str(self.partition))


class InFlightMeasured(msgspec.Struct, frozen=True):
    """How much is being scored or waiting for the broker's confirmation."""

    batches: int
    records: int

    def emit(self) -> None:
        """Set the gauges."""
        metrics.IN_FLIGHT_BATCHES.set(self.batches)
        metrics.IN_FLIGHT_RECORDS.set(self.records)
        # Emitted every second, also without traffic.
        records.log_due_rejections()


class BrokerAnswered(msgspec.Struct, frozen=True):
    """A broker answered a request at this Unix time."""

    at: float

    def emit(self) -> None:
        """Set the gauge."""
        metrics.BROKER_ANSWER.set(self.at)


class KafkaClientError(msgspec.Struct, frozen=True):
    """The Kafka client reports a problem that it is still retrying by itself."""

    client: str
    code: str

    def emit(self) -> None:
        """Log it, with the number of suppressed repetitions."""
        suppressed = _throttle.admit((self.client, self.code))
        if suppressed is not None:
            _log.warning("kafka client error", client=self.client, code=self.code, suppressed=suppressed)


class PartitionStalled(msgspec.Struct, frozen=True):
    """A partition stalled although it has records and the broker answers; it is refetched."""

    topic: str
    partition: int

    def emit(self) -> None:
        """Count and log it."""
        metrics.STALLS.inc()
        _log.warning("partition stalled", topic=self.topic, partition=self.partition)


class TopicRecreated(msgspec.Struct, frozen=True):
    """The topic was recreated since it was read; these partitions are read from their first record."""

    topic: str
    partitions: int

    def emit(self) -> None:
        """Log it."""
        _log.warning("topic recreated", topic=self.topic, partitions=self.partitions)


class GroupRefused(msgspec.Struct, frozen=True):
    """The group refuses the worker because its members share no assignor with it; the worker keeps trying.

    `reason` names the other members' clients and assignor.
    """

    group: str
    reason: str

    def emit(self) -> None:
        """Log it."""
        _log.warning("group refuses worker", group=self.group, reason=self.reason)


class ConsumerReplaced(msgspec.Struct, frozen=True):
    """A client is replaced: for too long it had no group or broker, or the group refused its transactions."""

    def emit(self) -> None:
        """Count and log it."""
        metrics.CONSUMER_REPLACEMENTS.inc()
        _log.warning("consumer replaced")


PauseReason = Literal["output", "commits"]


class ConsumptionPaused(msgspec.Struct, frozen=True):
    """Consumption is paused: results are sent more slowly than records arrive (output), or commits fail (commits)."""

    reason: PauseReason
    partitions: int

    def emit(self) -> None:
        """Set the gauge, and log it."""
        metrics.PAUSED.labels(self.reason).set(1)
        _log.warning("consumption paused", reason=self.reason, partitions=self.partitions)


class ConsumptionResumed(msgspec.Struct, frozen=True):
    """Consumption resumes."""

    reason: PauseReason
    partitions: int

    def emit(self) -> None:
        """Set the gauge, and log it."""
        metrics.PAUSED.labels(self.reason).set(0)
        _log.info("consumption resumed", reason=self.reason, partitions=self.partitions)
