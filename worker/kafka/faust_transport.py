"""The Faust transport: creates the consumer and the producer."""

from __future__ import annotations

from typing import Any, Final

from faust import App, Schema
from faust.transport.base import Transport
from mode.utils.queues import FlowControlEvent
from yarl import URL

from runtime.kafka.config import EXACTLY_ONCE, admin_config, consumer_config, producer_config
from runtime.settings import Settings
from worker.kafka.batch import Bundle
from worker.kafka.consumer import LibrdkafkaConsumer
from worker.kafka.consumer_options import ConsumerOptions
from worker.kafka.ledger import Ledger
from worker.kafka.producer import LibrdkafkaProducer

SCHEME: Final = "librdkafka"


class BundleSchema(Schema[None, Bundle]):
    """Passes bundles on undecoded, so that no Faust codec can silently skip a record."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:  # noqa: ARG002, D102
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ARG002, D102
        return message.value


class KeepingFlowControl(FlowControlEvent):
    """Flow control that keeps queued batches.

    Stock Faust clears its queues when flow resumes after a rebalance, and reads everything again. Here partitions that
    stay assigned are not read again, so queued batches must be kept.
    """

    def clear(self) -> None:
        """Keep the queue: the ledger knows which batches may no longer be started."""


class LibrdkafkaTransport(Transport):
    """Creates the app's consumer and producer."""

    driver_version = "librdkafka"
    default_port = 9092

    def __init__(self, app: App, settings: Settings, ledger: Ledger) -> None:
        """Keep what consumer and producer need."""
        super().__init__([URL(f"{SCHEME}://")], app)
        self._settings = settings
        self._ledger = ledger

    def create_consumer(self, callback: Any, **kwargs: Any) -> LibrdkafkaConsumer:
        """Create the consumer."""
        consumer = LibrdkafkaConsumer(self, callback=callback, loop=self.loop, **kwargs)
        worker = self._settings.worker
        consumer.ledger = self._ledger
        consumer.options = ConsumerOptions(
            client_config=consumer_config(self._settings),
            admin_config=admin_config(self._settings.kafka),
            batch_records=worker.batch_records,
            # Under exactly-once, the transactions commit the offsets.
            commit_interval=None if worker.processing_guarantee == EXACTLY_ONCE else worker.commit_interval_seconds,
            drain_timeout=worker.drain_seconds,
            revoke_timeout=worker.drain_seconds,
            stall_limit=worker.stall_seconds,
        )
        return consumer

    def create_producer(self, **kwargs: Any) -> LibrdkafkaProducer:
        """Create the producer."""
        producer = LibrdkafkaProducer(self, **kwargs)
        producer.client_config = producer_config(self._settings)
        return producer
