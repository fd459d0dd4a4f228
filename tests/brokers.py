"""Which kinds of broker the tests can have here."""

from __future__ import annotations

import functools
import os

from heartstream.brokers import Kind, docker_is_usable

GIVEN_BROKER = "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"


@functools.cache
def broker_kinds() -> tuple[Kind, ...]:
    """Return the kinds of broker that can be had here, best first. Pulls Kafka's image if Docker has to."""
    kinds: list[Kind] = ["given"] if GIVEN_BROKER in os.environ else []
    if docker_is_usable():
        kinds.append("docker")
    return (*kinds, "embedded")
