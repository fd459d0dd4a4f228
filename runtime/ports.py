"""Loopback ports that are free, for processes that are started side by side on one machine."""

from __future__ import annotations

import itertools
import os
import socket
from contextlib import suppress
from typing import Final

_LISTENING: Final = range(10_000, 32_768)
"""Below the ports that Linux and others give to connections that go out."""
_turns: Final = itertools.count(997 * os.getpid())
"""Each process begins at a place of its own and goes on where it was: a port that was told to be free, and at which
nobody listens yet, is not told again, and seldom by another process that looks at the same time."""


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
