"""Brokers for the demo and tests: a given one, one in a container, or the embedded one."""

from __future__ import annotations

import gc
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from runtime.kafka.config import admin_config
from runtime.kafka.unreachable import no_broker
from runtime.ports import free_port
from runtime.settings import Kafka, Settings
from runtime.waiting import SILENT_SECONDS, waiting_for
from schemas.errors import DependencyError
from schemas.extras import install_command

if TYPE_CHECKING:
    from docker import DockerClient

IMAGE: Final = "apache/kafka:4.1.0"
_READY_SECONDS: Final = 90.0
_START_SECONDS: Final = 10.0
"""Longer than the start of a broker takes."""
_PULL_SECONDS: Final = 300

Kind = Literal["given", "docker", "embedded"]


@contextmanager
def running_broker(kind: Kind, given: str | None = None, port: int | None = None) -> Iterator[str]:
    """Yield the bootstrap address of a broker that is ready; a broker that was started here is stopped afterwards.

    A broker that is started here listens on this loopback port, by default on a free one. Raises DependencyError if the
    broker is unavailable.
    """
    match kind:
        case "given":
            if given is None:
                raise DependencyError("no broker is given")
            await_broker(given)
            yield given
        case "docker":
            with _docker_broker(port or free_port()) as address:
                yield address
        case "embedded":
            from heartstream.embedded_kafka.preparation import install  # noqa: PLC0415  # only in the demo extra
            from heartstream.embedded_kafka.server import running_kafka  # noqa: PLC0415  # as above

            settings = Settings.from_mapping(os.environ)
            with running_kafka(install(settings.embedded_kafka.maven_repository), port) as server:
                await_broker(server.address, silent_seconds=_START_SECONDS)
                yield server.address


@contextmanager
def _docker_broker(port: int) -> Iterator[str]:
    """Run Apache Kafka in a container, reachable on this loopback port."""
    try:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415  # only in the demo extra
    except ImportError as error:
        raise DependencyError(f"testcontainers is not installed: {install_command('demo')}") from error
    logging.getLogger("testcontainers").setLevel(logging.WARNING)
    if not docker_is_usable():
        raise DependencyError(
            f"no Docker engine answers, or it has no {IMAGE}: `docker pull {IMAGE}` shows why; "
            "--broker embedded needs no Docker"
        )
    container = DockerContainer(IMAGE).with_bind_ports(port, port)
    for name, text in container_environment(container_properties(port)).items():
        container = container.with_env(name, text)
    try:
        container.start()
    except Exception as error:
        raise DependencyError(f"cannot run {IMAGE} in a container ({type(error).__name__})") from error
    try:
        address = f"localhost:{port}"
        await_broker(address, silent_seconds=_START_SECONDS)
        yield address
    finally:
        container.stop()


def container_properties(port: int) -> dict[str, str]:
    """Return Kafka's properties for a single broker on this loopback port."""
    return {
        "node.id": "1",
        "process.roles": "broker,controller",
        "listeners": f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://localhost:9093",
        "advertised.listeners": f"PLAINTEXT://localhost:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": "1@localhost:9093",
        "inter.broker.listener.name": "PLAINTEXT",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def container_environment(properties: Mapping[str, str]) -> dict[str, str]:
    """Return Kafka's properties as environment variables of the image."""
    escaped = str.maketrans({"_": "__", "-": "___", ".": "_"})
    return {f"KAFKA_{name.translate(escaped).upper()}": text for name, text in properties.items()}


def docker_is_usable() -> bool:
    """Return whether a Docker engine answers and has, or can pull, the image of Apache Kafka.

    Without the helper image of testcontainers, which cleans up after a killed process, its use is disabled.
    """
    with warnings.catch_warnings():
        # Docker's client leaves its socket to the garbage collector if nothing answers.
        warnings.simplefilter("ignore", ResourceWarning)
        usable = _docker_has_kafka()
        gc.collect()
    return usable


def _docker_has_kafka() -> bool:
    try:
        import docker  # noqa: PLC0415  # only in the demo extra
        from testcontainers.core.config import testcontainers_config  # noqa: PLC0415

        client = docker.from_env(timeout=_PULL_SECONDS)
        try:
            if not testcontainers_config.ryuk_disabled and not _has_image(client, testcontainers_config.ryuk_image):
                testcontainers_config.ryuk_disabled = True
            return _has_image(client, IMAGE)
        finally:
            client.close()
    except Exception:  # noqa: BLE001  # unusable, whatever the reason
        return False


def _has_image(client: DockerClient, name: str) -> bool:
    """Look for an image locally, then try to pull it."""
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415  # only in the demo extra

    try:
        client.images.get(name)
    except ImageNotFound:
        sys.stderr.write(f"heartstream: pulling the image {name}\n")
        try:
            client.images.pull(name)
        except DockerException:
            return False
    return True


def await_broker(
    address: str, options: Mapping[str, str] | None = None, silent_seconds: float = SILENT_SECONDS
) -> None:
    """Wait until a broker answers; print that after `silent_seconds`. Raises DependencyError after 90 seconds."""
    problems: list[str] = []
    own: dict[str, Any] = {"log_level": 0, "error_cb": lambda error: problems.append(error.str())}
    admin = AdminClient({**admin_config(Kafka(address, dict(options or {}))), **own})
    deadline = time.monotonic() + _READY_SECONDS
    with waiting_for(f"a broker at {address}", silent_seconds):
        while True:
            try:
                admin.list_topics(timeout=1)
            except KafkaException as error:
                admin.poll(0)
                if time.monotonic() > deadline:
                    raise no_broker(address, problems[0] if problems else "") from error
            else:
                return
