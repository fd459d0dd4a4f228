"""The audit trail on a Kafka topic: a message per line, each acknowledged by the broker before any response."""

from __future__ import annotations

import errno
import time
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from runtime.kafka.config import plain_producer_config
from runtime.settings import Kafka

_DELIVERY_MS: Final = 10_000
_FLUSH_SECONDS: Final = 12.0
_POLL_SECONDS: Final = 0.1
_PROBE_SECONDS: Final = 1.0
_REACHABLE_SECONDS: Final = 10.0
"""How long after its last response the broker is assumed to be reachable."""


class AuditTopic:
    """Writes lines to a topic. Used by one thread."""

    def __init__(self, settings: Kafka, topic: str) -> None:
        """Create the client, which connects in the background. Raises KafkaException for invalid options."""
        self._topic = topic
        self._delivery_error: KafkaError | None = None
        self._responded_at = float("-inf")
        self._producer = Producer(
            {
                **plain_producer_config(settings),
                "linger.ms": 0,
                "delivery.timeout.ms": _DELIVERY_MS,
                "log_level": 2,
            }
        )

    def write(self, lines: bytes) -> None:
        """Send lines and wait until all are acknowledged; raises OSError."""
        if problem := self.problem():
            raise OSError(errno.EHOSTUNREACH, f"the audit topic {problem}")
        self._delivery_error = None
        for line in lines.splitlines():
            self._produce(line)
        if self._producer.flush(_FLUSH_SECONDS) or self._delivery_error is not None:
            self._responded_at = float("-inf")
            raise OSError(errno.EIO, "the audit topic did not acknowledge all lines")
        self._responded_at = time.monotonic()

    def problem(self) -> str | None:
        """Return whether the broker is unreachable; blocks for a second if it has not responded recently."""
        if time.monotonic() - self._responded_at < _REACHABLE_SECONDS:
            return None
        try:
            self._producer.list_topics(self._topic, _PROBE_SECONDS)
        except KafkaException:
            return "cannot be reached"
        self._responded_at = time.monotonic()
        return None

    def _produce(self, line: bytes) -> None:
        deadline = time.monotonic() + _FLUSH_SECONDS
        while True:
            try:
                self._producer.produce(self._topic, line, on_delivery=self._delivered)
            except BufferError as error:
                if time.monotonic() > deadline:
                    raise OSError(errno.ENOBUFS, "the producer queue of the audit topic is full") from error
                self._producer.poll(_POLL_SECONDS)
            except KafkaException as error:
                raise OSError(errno.EIO, "the audit topic refused a line") from error
            else:
                return

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._delivery_error = error

    def close(self) -> None:
        """Flush, for some seconds at most."""
        self._producer.flush(_FLUSH_SECONDS)
