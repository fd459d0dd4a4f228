"""The Faust transport: puts consumer and producer together, with librdkafka's configuration."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from faust import App, Schema
from faust.transport.base import Transport
from mode.utils.queues import FlowControlEvent
from yarl import URL

from runtime.settings import Settings
from worker.transport.batch import Bundle
from worker.transport.consumer import LibrdkafkaConsumer
from worker.transport.ledger import Ledger
from worker.transport.poller import ConsumerOptions
from worker.transport.producer import LibrdkafkaProducer

SCHEME: Final = "librdkafka"
EXACTLY_ONCE: Final = "exactly_once"

_CONSUMER_DEFAULTS: Final[Mapping[str, object]] = {
    # The default of a second stops the flow for that long whenever the local queue was full once.
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    # For all partitions together, so memory stays flat behind a long backlog.
    "queued.max.messages.kbytes": 32_768,
    "topic.metadata.refresh.interval.ms": 30_000,
    # A flipped bit would be scored as another age; Java's consumer checks by default, too.
    "check.crcs": True,
}
_PRODUCER_DEFAULTS: Final[Mapping[str, object]] = {
    # The hash of Java clients and of Faust: a key stays on the partition where they would put it.
    "partitioner": "murmur2_random",
    # Half a millisecond costs a tenth of the throughput, five cost seven milliseconds at low load.
    "linger.ms": 1,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    # A dead letter carries whatever the patients topic took: the broker's limit decides, not the client's.
    "message.max.bytes": 100_000_000,
}
_TRANSACTION_DEFAULTS: Final[Mapping[str, object]] = {
    # After a crash, readers of committed records and the partitions' next owner wait this long for what was left open.
    # The client gives up on a record's delivery after the same time.
    "transaction.timeout.ms": 20_000,
    # A call that takes less than three quarters of it was not repeated: the client must not be replaced (decision 47).
    "retry.backoff.ms": 600,
}
_OURS: Final = frozenset(
    {
        "bootstrap.servers",
        "group.id",
        "group.instance.id",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "acks",
        "transactional.id",
        "delivery.report.only.error",
        "auto.offset.reset",
        "isolation.level",
        "enable.partition.eof",
        "partition.assignment.strategy",
        "group.protocol",
        "on_delivery",
    }
)
_CONSUMER_ONLY: Final = (
    "fetch.",
    "queued.",
    "session.",
    "heartbeat.",
    "auto.offset.",
    "partition.assignment.",
    "max.poll.",
    "isolation.",
    "check.crcs",
    "group.",
)
_PRODUCER_ONLY: Final = (
    "linger.",
    "queue.buffering.",
    "batch.",
    "compression.",
    "delivery.",
    "message.timeout.",
    "message.send.",
    "partitioner",
    "retries",
    "request.required.",
    "sticky.",
    "transaction.",
)


class BundleSchema(Schema[None, Bundle]):
    """Hands bundles through undecoded, so that no Faust codec ever sees, or silently skips, a record."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:  # noqa: ARG002, D102
        return None

    def loads_value(self, app: Any, message: Any, **_: Any) -> Any:  # noqa: ARG002, D102
        return message.value


class KeepingFlowControl(FlowControlEvent):
    """Flow control that throws nothing away.

    Stock Faust empties its queues whenever flow resumes after a rebalance, and counts on reading everything again. Here
    partitions that stay are not read again, so a batch that waits for the agent must keep its place.
    """

    def clear(self) -> None:
        """Keep what is queued: the ledger knows which batches may not be started any more."""


class LibrdkafkaTransport(Transport):
    """Makes this app's consumer and producer."""

    driver_version = "librdkafka"
    default_port = 9092

    def __init__(self, app: App, settings: Settings, ledger: Ledger) -> None:
        """Keep what the parts need."""
        super().__init__([URL(f"{SCHEME}://")], app)
        self._settings = settings
        self._ledger = ledger

    def create_consumer(self, callback: Any, **kwargs: Any) -> LibrdkafkaConsumer:
        """Make the consumer."""
        consumer = LibrdkafkaConsumer(self, callback=callback, loop=self.loop, **kwargs)
        worker = self._settings.worker
        consumer.ledger = self._ledger
        consumer.options = ConsumerOptions(
            client_config=consumer_config(self._settings),
            admin_config=admin_config(self._settings),
            batch_records=worker.batch_records,
            # In exactly-once the transactions carry the offsets.
            commit_interval=None if worker.processing_guarantee == EXACTLY_ONCE else worker.commit_interval_seconds,
            drain_timeout=worker.drain_seconds,
            revoke_timeout=worker.drain_seconds,
            stall_limit=worker.stall_seconds,
        )
        return consumer

    def create_producer(self, **kwargs: Any) -> LibrdkafkaProducer:
        """Make the producer."""
        producer = LibrdkafkaProducer(self, **kwargs)
        producer.client_config = producer_config(self._settings)
        return producer


def consumer_config(settings: Settings) -> dict[str, object]:
    """Return librdkafka's consumer configuration: our defaults, the user's options, what must not be changed."""
    own: dict[str, object] = {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "group.id": settings.worker.group_id,
        "enable.auto.commit": False,
        # Where to begin without a committed offset is decided on assignment; a lost one must stop the worker.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "group.protocol": settings.worker.group_protocol,
    }
    if settings.worker.group_protocol == "classic":
        own["partition.assignment.strategy"] = "cooperative-sticky"
    if settings.worker.instance_id:
        own["group.instance.id"] = settings.worker.instance_id
    return {**_CONSUMER_DEFAULTS, **_options_without(settings, _PRODUCER_ONLY), **own}


def producer_config(settings: Settings) -> dict[str, object]:
    """Return librdkafka's producer configuration: our defaults, the user's options, what must not be changed."""
    own: dict[str, object] = {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "enable.idempotence": True,
        "acks": "all",
    }
    defaults, worker = _PRODUCER_DEFAULTS, settings.worker
    if worker.processing_guarantee == EXACTLY_ONCE:
        defaults = {**defaults, **_TRANSACTION_DEFAULTS}
        own["transactional.id"] = f"{worker.group_id}-{worker.instance_id or uuid.uuid4().hex}"
    return {**defaults, **_options_without(settings, _CONSUMER_ONLY), **own}


def admin_config(settings: Settings) -> dict[str, object]:
    """Return the configuration of a client that neither consumes nor produces."""
    own = {"bootstrap.servers": settings.kafka.bootstrap_servers}
    return {**_options_without(settings, (*_CONSUMER_ONLY, *_PRODUCER_ONLY)), **own}


def _options_without(settings: Settings, prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: text for name, text in settings.kafka.options.items() if not name.startswith(prefixes)}


def option_problems(settings: Settings) -> tuple[str, ...]:
    """Return what is wrong with the user's client options, one line each, as librdkafka itself sees it."""
    options = settings.kafka.options
    problems = [f"Kafka option {name} is set by heartstream itself" for name in sorted(_OURS & options.keys())]
    for name, text in sorted(options.items()):
        alone = {"group.id": "check", "log_level": 2, name: text}
        complaint = _complaint(partial(_try_consumer, alone))
        if complaint is not None and not complaint.startswith("Failed to create"):
            problems.append(f"Kafka option {name}: {complaint.replace(text, '(value)')}")
    if not problems:
        together = _complaint(partial(_try_consumer, consumer_config(settings)))
        together = together or _complaint(lambda: Producer(producer_config(settings)))
        problems += [f"Kafka options: {together}"] if together else []
    return tuple(problems)


def _try_consumer(config: dict[str, object]) -> None:
    Consumer(config).close()


def _complaint(make: Callable[[], object]) -> str | None:
    """Return what librdkafka says against making a client, or None."""
    try:
        make()
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        return error.str()
    except (TypeError, ValueError) as failure:
        return type(failure).__name__
    return None
