"""A Kafka broker in a child process, for demos and tests where there is no other: noida-db, one small binary.

Not for production, and not in production images: it keeps everything in memory, on one node.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from schemas.errors import DependencyError

_START_SECONDS: Final = 20.0
_LISTENING: Final = range(10_000, 32_768)
"""Below the ports that Linux and others give to connections that go out."""
_turns: Final = itertools.count(997 * os.getpid())
"""Each process begins at a place of its own and goes on where it was: a port that was told to be free, and at which
nobody listens yet, is not told again, and seldom by another process that looks at the same time."""
_STOP_SECONDS: Final = 5.0


@contextmanager
def embedded_broker(port: int | None = None) -> Iterator[str]:
    """Run a broker on this loopback port, or on a free one; yields its address. Its data goes when it stops.

    Raises DependencyError where the package is not installed or the broker does not start.
    """
    binary = _binary()
    with tempfile.TemporaryDirectory(prefix="heartstream-broker-") as folder:
        port = port or free_port()
        command = [str(binary), "start", "--only", "kafka", "--data-dir", folder, "--kafka-port", str(port)]
        # In a session of its own: Ctrl-C is for who started it, and has to find it still there to end in order.
        process = subprocess.Popen(  # noqa: S603  # our own binary
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            _wait_until_open(port, process)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _binary() -> Path:
    spec = importlib.util.find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise DependencyError("the embedded broker is not installed: pip install 'heartstream[demo]'")
    return Path(spec.origin).with_name("noida-db")


def free_port() -> int:
    """Return a loopback port that is free now, and that the system does not give to anybody's connection meanwhile."""
    while True:
        port = _LISTENING[next(_turns) % len(_LISTENING)]
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def usual_port(port: int) -> int:
    """Return this loopback port if nobody listens there, else one that is free."""
    # The option is what servers set too: connections that were closed a moment ago are nobody.
    with suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return port
    return free_port()


def _wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DependencyError(f"the embedded broker ended at once, with code {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=0.2).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise DependencyError("the embedded broker did not open its port in time")
