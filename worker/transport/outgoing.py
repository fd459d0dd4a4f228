"""Records that are to be sent, and what a client reports of those that were not delivered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from confluent_kafka import KafkaError, Message

from runtime import events
from schemas.errors import DependencyError
from worker.transport.deliveries import DeliveryError, delivery_failure
from worker.transport.transactions import SilentClientError, hopeless

_REFUSED: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        # What the client makes of it where several records of a batch are bad, and of the good ones beside them.
        KafkaError.INVALID_RECORD,
        KafkaError._INVALID_DIFFERENT_RECORD,  # noqa: SLF001  # the client's public name for it
    }
)
"""What a topic says of records, or of batches, that it does not take."""
_PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001  # the client's public names
ANY_PARTITION: Final = -1

Headers = Sequence[tuple[str, bytes | None]]


class OutgoingRecord:
    """A record to be sent that carries headers; results without headers take the shorter way of `queue`.

    `timestamp` is in milliseconds of Unix time, or `NO_TIMESTAMP`; None lets the client take the present. `refusal` is
    the code with which its topic refused it. `is_result` says that it was queued as a result.
    """

    __slots__ = ("headers", "is_result", "key", "partition", "refusal", "timestamp", "topic", "value")

    def __init__(
        self, topic: str, key: bytes | None, value: bytes | None, headers: Headers, timestamp: int | None = None
    ) -> None:
        """Keep the parts."""
        self.topic, self.key, self.value, self.headers, self.timestamp = topic, key, value, headers, timestamp
        self.partition = ANY_PARTITION
        self.refusal: int | None = None
        self.is_result = False

    def size(self) -> int:
        """Count its bytes, about: Kafka adds some to each header and record."""
        headers = sum(len(name) + len(value or b"") + 2 for name, value in self.headers)
        return len(self.key or b"") + len(self.value or b"") + headers


class Reports:
    """What one client has told: `failure` is why it cannot go on, `refused` are records that their topics did not take.

    It does not know the client, so that a client is gone when its last user is.
    """

    __slots__ = ("failure", "refused")

    def __init__(self) -> None:
        self.failure: DependencyError | SilentClientError | None = None
        self.refused: list[OutgoingRecord] = []

    def on_failed_result(self, error: KafkaError | None, message: Message | None) -> None:
        """Hear of a result that was not delivered. Its headers are not reported."""
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

    def refuse_result(self, topic: str, key: bytes | None, value: bytes, partition: int, code: int) -> None:
        """Keep a result that its topic does not take."""
        record = OutgoingRecord(topic, key, value, ())
        record.partition, record.refusal, record.is_result = partition, code, True
        self.refused.append(record)

    def on_failed_delivery(self, error: KafkaError | None, message: Message | None) -> None:
        """Hear of a record that was not delivered: the first one counts. What was purged was given up on purpose."""
        if error is not None and error.code() not in _PURGED and not isinstance(self.failure, DeliveryError):
            topic = "" if message is None else f" to {message.topic()}"
            self.failure = delivery_failure(f"a result could not be delivered{topic}", error)

    def on_refused_record(self, record: OutgoingRecord, error: KafkaError | None, message: Message | None) -> None:
        """Hear of a record with headers that was not delivered."""
        if error is not None and (error.code() in _REFUSED or error.code() == KafkaError.INVALID_TIMESTAMP):
            record.timestamp, record.refusal = None, error.code()
            self.refused.append(record)
        else:
            self.on_failed_delivery(error, message)

    def on_client_error(self, error: KafkaError) -> None:
        """Hear of client-wide troubles: librdkafka overcomes all but fatal ones."""
        if error.fatal():
            self.failure = hopeless(error)
        else:
            events.KafkaClientError("producer", error.name()).emit()
