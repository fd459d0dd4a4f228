"""The audit trail on a Kafka topic, a message a line.

Messages are sent in the background, so a request does not wait for the broker. While the broker does not take them,
requests are refused; what was on its way when the process is killed is lost here, and stands in the file alone.
"""

from __future__ import annotations

import errno
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from runtime.settings import Kafka

_FLUSH_SECONDS: Final = 10.0
_DELIVERY_MS: Final = 10_000


class AuditTopic:
    """Writes lines to a topic. One thread calls."""

    def __init__(self, settings: Kafka, topic: str) -> None:
        """Make the client; it reaches the broker in the background. Raises KafkaException for options that are none."""
        self._topic = topic
        self._failed = False
        self._producer = Producer(
            {
                "bootstrap.servers": settings.bootstrap_servers,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 50,
                "delivery.timeout.ms": _DELIVERY_MS,
                "log_level": 2,
                **settings.options,
            }
        )

    def write(self, lines: bytes) -> None:
        """Queue some lines; raises OSError while the topic does not take any."""
        try:
            for line in lines.splitlines():
                self._producer.produce(self._topic, line, on_delivery=self._delivered)
        except (BufferError, KafkaException) as error:
            self._producer.poll(0)
            raise OSError(errno.ENOBUFS, "the audit topic takes nothing") from error
        self._producer.poll(0)
        if self._failed:
            raise OSError(errno.EIO, "the audit topic took nothing lately")

    def _delivered(self, error: KafkaError | None, _message: Message) -> None:
        self._failed = error is not None

    def close(self) -> None:
        """Wait until all is sent, for ten seconds at most."""
        self._producer.flush(_FLUSH_SECONDS)
