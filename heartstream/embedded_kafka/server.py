"""A single Apache Kafka process: broker and controller (KRaft), with its data in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from heartstream.embedded_kafka import supervisor
from heartstream.embedded_kafka.installation import Installation
from runtime.ports import free_port
from schemas.errors import DependencyError

_START_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 30.0
_TAIL_LINES: Final = 5

_SMALL: Final = {
    # Group and transaction state has one replica, one partition and small segments.
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "1",
    "offsets.topic.segment.bytes": "1048576",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "1",
    "transaction.state.log.segment.bytes": "1048576",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.segment.bytes": "1048576",
    # The first member of a group does not wait for others.
    "group.initial.rebalance.delay.ms": "0",
    # Expired records are deleted at once.
    "log.retention.check.interval.ms": "10000",
    "log.segment.delete.delay.ms": "1000",
    # Little memory and few threads.
    "log.index.size.max.bytes": "1048576",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "num.network.threads": "1",
    "num.io.threads": "2",
    "background.threads": "2",
    # The metadata log does not grow while nothing changes.
    "metadata.max.idle.interval.ms": "0",
}


def broker_properties(port: int, controller_port: int) -> dict[str, str]:
    """Return the properties of a single broker on this loopback port."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "inter.broker.listener.name": "PLAINTEXT",
        **_SMALL,
    }


class KafkaServer:
    """A broker that can be stopped, killed, frozen, and restarted with its data, until its folder is deleted."""

    def __init__(
        self,
        installation: Installation,
        folder: Path,
        port: int,
        properties: Mapping[str, str] | None = None,
        jvm_options: tuple[str, ...] = (),
    ) -> None:
        """Configure a broker in the existing `folder`; `properties` override those of `broker_properties`."""
        self.port, self.address = port, f"127.0.0.1:{port}"
        self.folder, self._log = folder, folder / "kafka.log"
        configuration = folder / "server.properties"
        own = broker_properties(port, free_port()) | {"log.dirs": str(folder / "data")} | dict(properties or {})
        configuration.write_text("".join(f"{name}={value}\n" for name, value in own.items()), encoding="utf-8")
        shutil.copytree(installation.formatted, folder / "data")
        cached = (f"-XX:AOTCache={installation.aot_cache}",) if installation.aot_cache.is_file() else ()
        command = installation.command("kafka.Kafka", folder, *cached, *jvm_options)
        self._command = [sys.executable, "-I", "-S", supervisor.__file__, str(folder), *command, str(configuration)]

    def start(self) -> None:
        """Start it and wait until it listens. Raises DependencyError with the end of its log if it does not."""
        with self._log.open("ab") as log:
            supervisor_process = subprocess.Popen(  # noqa: S603  # our own command
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, start_new_session=True
            )
        self._supervisor = supervisor_process
        self.pid = int(_stream(supervisor_process.stdout).readline())
        try:
            self._await_port()
        except BaseException:
            self.kill()
            raise

    @property
    def supervisor_pid(self) -> int:
        """Return the id of the process that stops the broker when this one ends."""
        return self._supervisor.pid

    def stop(self, timeout_seconds: float = _STOP_SECONDS) -> None:
        """Stop it cleanly; kill it if that times out."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._supervisor.wait(timeout_seconds)
        self.kill()

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self._signal(signal.SIGKILL)
        self._supervisor.wait()
        for stream in (self._supervisor.stdin, self._supervisor.stdout):
            _stream(stream).close()

    def freeze(self) -> None:
        """Suspend it (SIGSTOP): connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume it (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._supervisor.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _await_port(self) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._supervisor.poll() is not None:
                raise DependencyError(
                    f"the embedded Kafka ended with code {self._supervisor.returncode}; its log ends:\n{self._tail()}"
                )
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise DependencyError(
            f"the embedded Kafka did not listen within {_START_SECONDS:g} s; its log ends:\n{self._tail()}"
        )

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:])


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    """Return one of the supervisor's pipes, which all exist."""
    assert stream is not None  # noqa: S101  # for the type checker
    return stream


@contextmanager
def running_kafka(
    installation: Installation, port: int | None = None, properties: Mapping[str, str] | None = None
) -> Iterator[KafkaServer]:
    """Run a broker on this loopback port, by default on a free one; its data is deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="heartstream-kafka-", ignore_cleanup_errors=True) as folder:
        server = KafkaServer(installation, Path(folder), port or free_port(), properties)
        server.start()
        try:
            yield server
        finally:
            server.stop()
