"""Free loopback ports, for processes that run side by side on one machine, and ports that are taken."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from schemas.errors import DependencyError

_LISTENING: Final = range(10_000, 32_768)
"""Below the ephemeral ports of Linux and other systems."""
_turns: Final = itertools.count(997 * os.getpid())
"""Each process starts at a different port and never returns the same one twice: a port that was returned is free until
somebody listens there, and another process that searches at the same time is unlikely to return it."""


def free_port() -> int:
    """Return a free loopback port outside the ephemeral range, so that no outgoing connection takes it meanwhile."""
    while True:
        port = _LISTENING[next(_turns) % len(_LISTENING)]
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


def preferred_port(port: int) -> int:
    """Return this loopback port if nobody listens there, else a free one."""
    # Servers set this option, too: a connection in TIME_WAIT does not occupy the port.
    with suppress(OSError), socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return port
    return free_port()


@contextmanager
def port_of(setting: str, host: str, port: int) -> Iterator[None]:
    """Raise an OSError of opening a port as a DependencyError that names its setting."""
    try:
        yield
    except OSError as error:
        # asyncio repeats the address before the reason.
        reason = (error.strerror or str(error)).rpartition(": ")[2]
        raise DependencyError(f"cannot listen at {host}:{port} ({setting}): {reason}") from error
