"""Apache Kafka in a container that can be stopped, killed and started again, with a second door through a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # exported, says its guide

from heartstream.brokers import await_broker, container_environment
from runtime.embedded import free_port
from tests.brokers import kafka_container, with_door
from tests.faults.proxy import Proxy

if TYPE_CHECKING:
    from docker.models.containers import Container

LARGEST_RECORD_BYTES: Final = 20_000_000
_STOP_SECONDS: Final = 60
_COMMAND: Final = """
if [ -f /tmp/started ]; then
  exec java -Xms256m -Xmx512m -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml \\
    -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties
fi
touch /tmp/started
exec /etc/kafka/docker/run
"""
"""The image's own command, but it formats the storage once only: not every version of it starts a second time."""
_CALL_SECONDS: Final = 60.0


class Broker:
    """A running broker. `direct` is its own address, `proxied` the one that leads through `proxy`."""

    def __init__(self, container: Container, direct: str, proxy: Proxy) -> None:
        self.direct = direct
        self.proxied = f"localhost:{proxy.port}"
        self.proxy = proxy
        self._container = container

    def restart(self) -> None:
        """Stop it in good order, start it again on the same ports with its data, and wait until it answers."""
        self._container.stop(timeout=_STOP_SECONDS)
        self._start()

    def crash(self) -> None:
        """Kill it (SIGKILL), start it again likewise, and wait until it answers."""
        self._container.kill()
        self._container.wait(timeout=_STOP_SECONDS)
        self._start()

    def _start(self) -> None:
        self._container.start()
        await_broker(self.direct)

    def create_topic(self, name: str, partitions: int, largest_bytes: int = LARGEST_RECORD_BYTES) -> None:
        """Create a topic, whose records bear the time at which the broker took them; wait until the broker has it."""
        config = {"max.message.bytes": str(largest_bytes), "message.timestamp.type": "LogAppendTime"}
        topic = NewTopic(name, num_partitions=partitions, config=config)
        admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 2})
        admin.create_topics([topic], operation_timeout=_CALL_SECONDS)[name].result(_CALL_SECONDS)

    def members(self, group: str) -> int:
        """Count the members of a consumer group."""
        admin = AdminClient({"bootstrap.servers": self.direct, "log_level": 2})
        return len(admin.describe_consumer_groups([group])[group].result(_CALL_SECONDS).members)


@contextmanager
def running_broker() -> Iterator[Broker]:
    """Run one broker while the context lasts."""
    direct, inner, outer = free_port(), free_port(), free_port()
    command = ["/bin/bash", "-c", _COMMAND]
    with kafka_container(_environment(direct, inner, outer), (direct, inner), command) as container:
        await_broker(f"localhost:{direct}")
        with Proxy(outer, inner) as proxy:
            yield Broker(container, f"localhost:{direct}", proxy)


def _environment(direct: int, inner: int, outer: int) -> dict[str, str]:
    """Give the broker a second listener whose advertised port is the proxy's, and short time limits."""
    return {
        **with_door(container_environment(direct), "PROXIED", inner, f"localhost:{outer}"),
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        # A killed member is missed soon, so that thirty kills take minutes.
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        # Likewise a killed transaction.
        "KAFKA_TRANSACTION_ABORT_TIMED_OUT_TRANSACTION_CLEANUP_INTERVAL_MS": "1000",
        # A killed broker may register again soon.
        "KAFKA_BROKER_SESSION_TIMEOUT_MS": "3000",
        "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": "500",
        # Fewer files to open when it starts again.
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "5",
        "KAFKA_TRANSACTION_STATE_LOG_NUM_PARTITIONS": "5",
        "KAFKA_SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR": "1",
    }
