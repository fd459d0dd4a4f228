"""Output records, and delivery reports of those that were not delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, Message

from runtime import events
from schemas.errors import DependencyError
from worker.kafka.delivery_errors import DeliveryError, UnsentError, delivery_failure
from worker.kafka.transactions import UnresponsiveClientError, fatal_error

_REFUSED: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        # The client's error if several records of a batch are invalid, and for the valid ones in that batch.
        KafkaError.INVALID_RECORD,
        KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001  # the client's public name for it
    }
)
"""Broker errors that refuse a record or its batch."""
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001  # the client's public names
ANY_PARTITION: Final = -1

Headers = Sequence[tuple[str, bytes | None]]


class OutgoingRecord:
    """A record to send, with headers; scores without headers take the faster `LibrdkafkaProducer.queue`.

    `timestamp` is Unix time in milliseconds, or `NO_TIMESTAMP`; None means the time of sending. `refusal` is the error
    code with which the broker refused it. `is_result` distinguishes scores from dead letters.
    """

    __slots__ = ("headers", "is_result", "key", "partition", "refusal", "timestamp", "topic", "value")

    def __init__(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int | None = None
    ) -> None:
        self.topic, self.key, self.value, self.headers, self.timestamp = topic, key, value, headers, timestamp
        self.partition = ANY_PARTITION
        self.refusal: int | None = None
        self.is_result = False

    def size(self) -> int:
        """Return its approximate size in bytes, without Kafka's overhead."""
        headers = sum(len(name) + len(value or b"") + 2 for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


class DeliveryReports:
    """The delivery reports of one client: `failure` is its fatal error, `refused` are the records that were refused.

    Has no reference to the client, which would keep an abandoned client alive.
    """

    __slots__ = ("failure", "refused")

    def __init__(self) -> None:
        self.failure: DependencyError | UnresponsiveClientError | None = None
        self.refused: list[OutgoingRecord] = []

    def on_failed_result(self, error: KafkaError | None, message: Message | None) -> None:
        """Handle an undelivered score. The report lacks its headers."""
        if error is not None and message is not None and error.code() in _REFUSED:
            partition = message.partition()
            self.refuse_result(
                str(message.topic()),
                message.key(),
                message.value() or b"",
                ANY_PARTITION if partition is None else partition,
                error.code(),
            )
        else:
            self.on_failed_delivery(error, message)

    def on_unsent_result(
        self, topic: str, key: bytes | None, value: bytes, keyless_partition: int, unsent: UnsentError
    ) -> None:
        """Keep a score that the client itself refuses as too large. Raises DeliveryError for any other reason."""
        if unsent.error.code() != KafkaError.MSG_SIZE_TOO_LARGE:
            raise delivery_failure(f"a result cannot be sent to {topic}", unsent.error) from unsent
        self.refuse_result(topic, key, value, keyless_partition if key is None else ANY_PARTITION, unsent.error.code())

    def refuse_result(self, topic: str, key: bytes | None, value: bytes, partition: int, code: int) -> None:
        """Keep a refused score."""
        record = OutgoingRecord(topic, key, value, ())
        record.partition, record.refusal, record.is_result = partition, code, True
        self.refused.append(record)

    def on_failed_delivery(self, error: KafkaError | None, message: Message | None) -> None:
        """Handle an undelivered record: the first failure counts. Purged records were abandoned on purpose."""
        if error is not None and error.code() not in _PURGED and not isinstance(self.failure, DeliveryError):
            topic = "" if message is None else f" to {message.topic()}"
            self.failure = delivery_failure(f"a result could not be delivered{topic}", error)

    def on_refused_record(self, record: OutgoingRecord, error: KafkaError | None, message: Message | None) -> None:
        """Handle an undelivered record with headers."""
        if error is not None and (error.code() in _REFUSED or error.code() == KafkaError.INVALID_TIMESTAMP):
            record.timestamp, record.refusal = None, error.code()
            self.refused.append(record)
        else:
            self.on_failed_delivery(error, message)

    def on_client_error(self, error: KafkaError) -> None:
        """Handle a client-wide error; librdkafka recovers from all but fatal ones."""
        if error.fatal():
            self.failure = fatal_error(error)
        else:
            events.KafkaClientError("producer", error.name()).emit()
