"""Which kinds of broker the tests can have here, and how to cut one off."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from heartstream.brokers import Kind, docker_is_usable

GIVEN_BROKER = "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"


@functools.cache
def broker_kinds() -> tuple[Kind, ...]:
    """Return the kinds of broker that can be had here, best first. Pulls Kafka's image if Docker has to."""
    kinds: list[Kind] = ["given"] if GIVEN_BROKER in os.environ else []
    if docker_is_usable():
        kinds.append("docker")
    return (*kinds, "embedded")


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
