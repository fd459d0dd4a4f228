"""Apache Kafka that can be stopped, killed and restarted, with a second listener through a proxy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]  # exported, says its guide

from heartstream.brokers import Kind, await_broker
from runtime.ports import free_port
from tests.fakes.tcp_proxy import Proxy
from tests.support.brokers import Listener, OwnKafka, own_kafka

LARGEST_RECORD_BYTES: Final = 20_000_000
_CALL_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 0.05
_PROPERTIES: Final = {
    "auto.create.topics.enable": "false",
    # A killed member's session expires soon, so that thirty kills take minutes.
    "group.min.session.timeout.ms": "1000",
    # So does the transaction of a killed producer.
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A killed broker may register again soon.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Fewer files to open at a restart.
    "offsets.topic.num.partitions": "5",
    "transaction.state.log.num.partitions": "5",
    "share.coordinator.state.topic.replication.factor": "1",
}
"""Short timeouts."""
_NO_COORDINATOR: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
"""A broker's errors for a group whose coordinator is still starting or being elected."""


class Broker:
    """A running broker. `direct` is its own address, `proxied` the address of `proxy`."""

    def __init__(self, server: OwnKafka, proxy: Proxy) -> None:
        self.direct = server.address
        self.proxied = f"localhost:{proxy.port}"
        self.proxy = proxy
        self._server = server
        self._interposed: Proxy | None = None

    def interpose(self, make: Callable[[Proxy], Proxy]) -> None:
        """Replace the current proxy by one that `make` creates from it, until `heal`."""
        self.proxy.vanish()
        self._interposed = make(self.proxy).__enter__()

    def interposed(self) -> Proxy:
        """Return the proxy that was interposed."""
        if self._interposed is None:
            raise AssertionError("no proxy is interposed")
        return self._interposed

    def heal(self) -> None:
        """Restore a normal network."""
        if self._interposed is not None:
            self._interposed.__exit__()
            self._interposed = None
        self.proxy.heal()

    def restart(self) -> None:
        """Stop it gracefully, start it again on the same ports with its data, and wait until it responds."""
        self._server.stop()
        self._start()

    def crash(self) -> None:
        """Kill it (SIGKILL), start it again in the same way, and wait until it responds."""
        self._server.kill()
        self._start()

    def _start(self) -> None:
        self._server.start()
        await_broker(self.direct)

    def create_topic(self, name: str, partitions: int, largest_bytes: int = LARGEST_RECORD_BYTES) -> None:
        """Create a topic with the broker's time as the timestamp of records; wait until it exists."""
        config = {"max.message.bytes": str(largest_bytes), "message.timestamp.type": "LogAppendTime"}
        topic = NewTopic(name, num_partitions=partitions, config=config)
        admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 2})
        admin.create_topics([topic], operation_timeout=_CALL_SECONDS)[name].result(_CALL_SECONDS)

    def add_partitions(self, name: str, count: int) -> None:
        """Increase the number of a topic's partitions to `count`."""
        admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 2})
        admin.create_partitions([NewPartitions(name, count)])[name].result(_CALL_SECONDS)

    def replace_topic(self, name: str, partitions: int) -> None:
        """Delete a topic and create another of the same name at once."""
        admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 2})
        admin.delete_topics([name])[name].result(_CALL_SECONDS)
        while True:
            try:
                self.create_topic(name, partitions)
            except KafkaException as failure:
                # The broker still has the old topic for a moment.
                if failure.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                return

    def members(self, group: str, *, working: bool = False) -> int:
        """Count the members of a consumer group, or only those with partitions; 0 while it has no coordinator."""
        admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 2})
        try:
            found = admin.describe_consumer_groups([group])[group].result(_CALL_SECONDS).members
        except KafkaException as failure:
            if failure.args[0].code() not in _NO_COORDINATOR:
                raise
            return 0
        return sum(not working or bool(member.assignment.topic_partitions) for member in found)


@contextmanager
def running_broker(kind: Kind | None = None) -> Iterator[Broker]:
    """Run a broker in the context, with a second listener whose advertised port is the proxy's."""
    inner, outer = free_port(), free_port()
    listener = Listener("PROXIED", inner, f"localhost:{outer}")
    with own_kafka(listeners=[listener], properties=_PROPERTIES, kind=kind) as server, Proxy(outer, inner) as proxy:
        yield Broker(server, proxy)
