"""Laws of free ports: whoever is told of one has it to themselves, though nobody listens there yet."""

from __future__ import annotations

import socket
import subprocess
import sys

from runtime.embedded import free_port

_OTHERS = "from runtime.embedded import free_port; print(*(free_port() for _ in range(200)))"


def test_no_port_is_told_twice() -> None:
    """Not in one process, and not in several that ask at the same time."""
    asking = [subprocess.Popen([sys.executable, "-c", _OTHERS], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    told = [str(free_port()) for _ in range(200)]
    for other in asking:
        told += other.communicate()[0].split()
    assert len(set(told)) == len(told) == 800


def test_a_port_that_is_listened_at_is_not_told() -> None:
    """It is passed over."""
    first = free_port()
    with socket.create_server(("127.0.0.1", first + 1)):
        assert free_port() != first + 1
