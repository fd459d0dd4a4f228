"""Laws of free ports: whoever is told of one has it to themselves, though nobody listens there yet."""

from __future__ import annotations

import socket

from runtime.ports import free_port


def test_no_port_is_told_twice() -> None:
    """Not before thousands of others were."""
    told = [free_port() for _ in range(1_000)]
    assert len(set(told)) == len(told)


def test_a_port_that_is_listened_at_is_not_told() -> None:
    """It is passed over."""
    first = free_port()
    with socket.create_server(("127.0.0.1", first + 1)):
        assert free_port() != first + 1
