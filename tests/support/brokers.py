"""The kinds of broker that tests run on, and Kafka servers of a test's own, which it can stop, kill and freeze."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from heartstream.brokers import (
    IMAGE,
    Kind,
    await_broker,
    container_environment,
    container_properties,
    docker_is_usable,
    running_broker,
)
from heartstream.embedded_kafka.preparation import install
from heartstream.embedded_kafka.server import KafkaServer, broker_properties
from runtime.ports import free_port
from runtime.settings import Settings

if TYPE_CHECKING:
    from docker.models.containers import Container

GIVEN_BROKER = "HEARTSTREAM_KAFKA__BOOTSTRAP_SERVERS"
CHOSEN_KIND = "TEST_BROKER"
"""Selects one kind of broker, such as embedded, instead of the best available."""
_STOP_SECONDS: Final = 60
_COMMAND: Final = """
if [ -f /tmp/started ]; then
  exec java -Xms256m -Xmx512m -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml \\
    -cp '/opt/kafka/libs/*' kafka.Kafka /opt/kafka/config/server.properties
fi
touch /tmp/started
exec /etc/kafka/docker/run
"""
"""The image's own command, but it formats the storage only once: some versions do not start a second time."""
_ROOM_FOR_LARGE_RECORDS: Final = ("-Xmx384m",)
_QUICK: Final = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java's second compiler takes more time than it saves in a broker of some minutes."""
_own: Final[dict[str, OwnKafka]] = {}
"""The running servers by address."""


class OwnKafka(Protocol):
    """A Kafka server of a test's own, with its files below the folder `data`."""

    address: str
    data: str

    def start(self) -> None:
        """Start it again with its data after it was stopped or killed."""

    def stop(self) -> None:
        """Stop it gracefully."""

    def kill(self) -> None:
        """Kill it (SIGKILL)."""

    def freeze(self) -> None:
        """Suspend it: connections stay open and nothing answers."""

    def thaw(self) -> None:
        """Resume it."""

    def shell(self, script: str) -> tuple[int, bytes]:
        """Run a shell script where its data is; return the exit code and the output."""


class Listener(msgspec.Struct, frozen=True):
    """An additional listener of a server on `port`, which advertises the address `advertised`."""

    name: str
    port: int
    advertised: str
    protocol: str = "PLAINTEXT"


def with_listener(own: Mapping[str, str], listener: Listener) -> dict[str, str]:
    """Return a server's properties with one more listener, on the interface of its first."""
    host = own["listeners"].partition("://")[2].partition(":")[0]
    name = listener.name
    return {
        **own,
        "listeners": f"{own['listeners']},{name}://{host}:{listener.port}",
        "advertised.listeners": f"{own['advertised.listeners']},{name}://{listener.advertised}",
        "listener.security.protocol.map": f"{own['listener.security.protocol.map']},{name}:{listener.protocol}",
    }


@functools.cache
def broker_kinds() -> tuple[Kind, ...]:
    """Return the kinds of broker to test on, best first; pull Kafka's image if Docker must."""
    chosen = os.environ.get(CHOSEN_KIND)
    if chosen:
        return (msgspec.convert(chosen, Kind),)
    kinds: list[Kind] = ["given"] if GIVEN_BROKER in os.environ else []
    if docker_is_usable():
        kinds.append("docker")
    return (*kinds, "embedded")


def own_kind() -> Kind:
    """Return the best kind of broker that a test can start itself."""
    return next((kind for kind in broker_kinds() if kind != "given"), "embedded")


@contextmanager
def running_kind(kind: Kind) -> Iterator[str]:
    """Yield the address of a broker of this kind; unless its address was given, `cut_off` can freeze it."""
    if kind == "given":
        with running_broker(kind, os.environ.get(GIVEN_BROKER)) as address:
            yield address
    else:
        with own_kafka(kind=kind) as server:
            yield server.address


@contextmanager
def own_kafka(
    port: int | None = None,
    listeners: Sequence[Listener] = (),
    properties: Mapping[str, str] | None = None,
    kind: Kind | None = None,
) -> Iterator[OwnKafka]:
    """Run a server of a kind, by default the best, with additional listeners and properties."""
    port = port or free_port()
    run = _run_container if (kind or own_kind()) == "docker" else _run_embedded
    with run(port, listeners, properties or {}) as server:
        await_broker(server.address)
        _own[server.address] = server
        try:
            yield server
        finally:
            del _own[server.address]


@contextmanager
def cut_off(address: str) -> Iterator[None]:
    """Freeze the test's own server at this address."""
    server = _own[address]
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


class _Embedded(KafkaServer):
    @property
    def data(self) -> str:
        return str(self.folder)

    def shell(self, script: str) -> tuple[int, bytes]:
        done = subprocess.run(["/bin/sh", "-c", script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout


@contextmanager
def _run_embedded(port: int, listeners: Sequence[Listener], properties: Mapping[str, str]) -> Iterator[OwnKafka]:
    own = functools.reduce(with_listener, listeners, broker_properties(port, free_port()))
    installation = install(Settings.from_mapping(os.environ).embedded_kafka.maven_repository)
    with tempfile.TemporaryDirectory(prefix="heartstream-kafka-", ignore_cleanup_errors=True) as folder:
        server = _Embedded(installation, Path(folder), port, {**own, **properties}, _ROOM_FOR_LARGE_RECORDS)
        server.start()
        try:
            yield server
        finally:
            server.stop()


class _Contained:
    data = "/"

    def __init__(self, container: Container, port: int) -> None:
        self.address = f"localhost:{port}"
        self._container = container
        self.start, self.freeze, self.thaw = container.start, container.pause, container.unpause

    def stop(self) -> None:
        self._container.stop(timeout=_STOP_SECONDS)

    def kill(self) -> None:
        self._container.kill()
        self._container.wait(timeout=_STOP_SECONDS)

    def shell(self, script: str) -> tuple[int, bytes]:
        code, output = self._container.exec_run(["sh", "-c", script])
        return code, output


@contextmanager
def _run_container(port: int, listeners: Sequence[Listener], properties: Mapping[str, str]) -> Iterator[OwnKafka]:
    import docker  # noqa: PLC0415  # only where it is used

    own = functools.reduce(with_listener, listeners, container_properties(port))
    published = {str(each): ("127.0.0.1", each) for each in (port, *(listener.port for listener in listeners))}
    client = docker.from_env()
    try:
        container = client.containers.run(
            IMAGE,
            ["/bin/bash", "-c", _COMMAND],
            detach=True,
            environment={**container_environment({**own, **properties}), "JAVA_TOOL_OPTIONS": _QUICK},
            ports=published,
        )
        try:
            yield _Contained(container, port)
        finally:
            container.remove(force=True, v=True)
    finally:
        client.close()
