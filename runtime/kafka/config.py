"""librdkafka's configuration for each kind of client: our defaults, the user's options, and fixed options.

The later of the three wins. Nothing here imports the client.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Final

from runtime.settings import Kafka, Settings

EXACTLY_ONCE: Final = "exactly_once"

_CONSUMER_DEFAULTS: Final[Mapping[str, object]] = {
    # With the default, consumption stops for a second whenever the local queue was full.
    "fetch.queue.backoff.ms": 10,
    "fetch.wait.max.ms": 100,
    # For all partitions together, so that memory stays bounded with a long backlog.
    "queued.max.messages.kbytes": 32_768,
    "topic.metadata.refresh.interval.ms": 30_000,
    # A flipped bit would be scored as a different age; the Java consumer checks by default.
    "check.crcs": True,
}
_PRODUCER_DEFAULTS: Final[Mapping[str, object]] = {
    # The partitioner of Java clients and of Faust: they send a key to the same partition.
    "partitioner": "murmur2_random",
    # Half a millisecond costs a tenth of the throughput, five cost seven milliseconds at low load.
    "linger.ms": 1,
    "compression.type": "lz4",
    "queue.buffering.max.messages": 200_000,
    "queue.buffering.max.kbytes": 131_072,
    # A dead letter contains any value that the patients topic accepted: only the broker's limit applies.
    "message.max.bytes": 100_000_000,
}
_TRANSACTION_DEFAULTS: Final[Mapping[str, object]] = {
    # After a crash, read_committed consumers and the partitions' next owner wait this long for open transactions.
    # The client's delivery timeout is the same.
    "transaction.timeout.ms": 20_000,
    # A call that takes less than 75% of this was not retried: the client need not be replaced (decision 47).
    "retry.backoff.ms": 600,
}
OWN_OPTIONS: Final = frozenset(
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
"""Options that delivery guarantees depend on; users cannot set them."""
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


def consumer_config(settings: Settings) -> dict[str, object]:
    """Return the configuration of a consumer in the worker's group."""
    own: dict[str, object] = {
        "bootstrap.servers": settings.kafka.bootstrap_servers,
        "group.id": settings.worker.group_id,
        "enable.auto.commit": False,
        # The start without a committed offset is set on assignment; an offset out of range must stop the worker.
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "group.protocol": settings.worker.group_protocol,
    }
    if settings.worker.group_protocol == "classic":
        own["partition.assignment.strategy"] = "cooperative-sticky"
    if settings.worker.instance_id:
        own["group.instance.id"] = settings.worker.instance_id
    return {**_CONSUMER_DEFAULTS, **_options_without(settings.kafka, _PRODUCER_ONLY), **own}


def standalone_consumer_config(settings: Settings, group: str) -> dict[str, object]:
    """Return the configuration of a consumer that assigns partitions to itself and never joins `group`.

    The client requires the name; it matters only to who reads or commits offsets under it.
    """
    config = {**consumer_config(settings), "group.id": group}
    config.pop("group.instance.id", None)
    return config


def producer_config(settings: Settings) -> dict[str, object]:
    """Return the configuration of the worker's producer: transactional under exactly-once."""
    kafka, worker = settings.kafka, settings.worker
    if worker.processing_guarantee != EXACTLY_ONCE:
        return plain_producer_config(kafka)
    transactional_id = f"{worker.group_id}-{worker.instance_id or uuid.uuid4().hex}"
    return {**_TRANSACTION_DEFAULTS, **plain_producer_config(kafka), "transactional.id": transactional_id}


def plain_producer_config(kafka: Kafka) -> dict[str, object]:
    """Return the configuration of an idempotent producer without transactions."""
    own = {"bootstrap.servers": kafka.bootstrap_servers, "enable.idempotence": True, "acks": "all"}
    return {**_PRODUCER_DEFAULTS, **_options_without(kafka, _CONSUMER_ONLY), **own}


def admin_config(kafka: Kafka) -> dict[str, Any]:
    """Return the configuration of a client that neither consumes nor produces."""
    own = {"bootstrap.servers": kafka.bootstrap_servers}
    return {**_options_without(kafka, (*_CONSUMER_ONLY, *_PRODUCER_ONLY)), **own}


def _options_without(kafka: Kafka, prefixes: tuple[str, ...]) -> dict[str, str]:
    return {name: text for name, text in kafka.options.items() if not name.startswith(prefixes)}
