"""Laws of free ports: a returned port is reserved for its caller, though nobody listens on it yet."""

from __future__ import annotations

import socket

from runtime.ports import free_port


def test_no_port_is_returned_twice() -> None:
    """A thousand calls return a thousand different ports."""
    ports = [free_port() for _ in range(1_000)]
    assert len(set(ports)) == len(ports)


def test_a_port_with_a_listener_is_not_returned() -> None:
    """A port that somebody listens on is skipped."""
    first = free_port()
    with socket.create_server(("127.0.0.1", first + 1)):
        assert free_port() != first + 1
