"""Which kinds of broker the tests can have here, how to start one of one's own, and how to cut one off."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from heartstream.brokers import IMAGE, Kind, docker_is_usable

if TYPE_CHECKING:
    from docker.models.containers import Container

GIVEN_BROKER = "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"


@functools.cache
def broker_kinds() -> tuple[Kind, ...]:
    """Return the kinds of broker that can be had here, best first. Pulls Kafka's image if Docker has to."""
    kinds: list[Kind] = ["given"] if GIVEN_BROKER in os.environ else []
    if docker_is_usable():
        kinds.append("docker")
    return (*kinds, "embedded")


def with_door(
    own: Mapping[str, str], name: str, listens: int, advertised: str, protocol: str = "PLAINTEXT"
) -> dict[str, str]:
    """Return a broker's environment with one more listener, which tells clients to come to `advertised`."""
    return {
        **own,
        "KAFKA_LISTENERS": f"{own['KAFKA_LISTENERS']},{name}://0.0.0.0:{listens}",
        "KAFKA_ADVERTISED_LISTENERS": f"{own['KAFKA_ADVERTISED_LISTENERS']},{name}://{advertised}",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": f"{own['KAFKA_LISTENER_SECURITY_PROTOCOL_MAP']},{name}:{protocol}",
    }


@contextmanager
def kafka_container(
    environment: Mapping[str, str], ports: Sequence[int], command: Sequence[str] | None = None
) -> Iterator[Container]:
    """Run Apache Kafka with this environment while the context lasts, its ports on those of this machine's loopback."""
    import docker  # noqa: PLC0415  # only in the demo extra, and only where it is used

    client = docker.from_env()
    published = {str(port): ("127.0.0.1", port) for port in ports}
    try:
        container = client.containers.run(IMAGE, command, detach=True, environment=dict(environment), ports=published)
        try:
            yield container
        finally:
            container.remove(force=True, v=True)
    finally:
        client.close()


@contextmanager
def cut_off(address: str) -> Iterator[None]:
    """Freeze the container of a broker, so that connections stay open and nothing answers."""
    import docker  # noqa: PLC0415  # only in the demo extra, and only where it is used

    port = address.rsplit(":", 1)[1]
    client = docker.from_env()
    try:
        (container,) = [c for c in client.containers.list() if f"{port}/tcp" in c.ports]
        container.pause()
        try:
            yield
        finally:
            container.unpause()
    finally:
        client.close()
