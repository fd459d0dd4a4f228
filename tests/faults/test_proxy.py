"""The TCP proxy, with plain sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from runtime.ports import free_port
from tests.fakes.tcp_proxy import Mode, Proxy

DEADLINE = 20.0


class Echo:
    """A server that returns what it receives."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._clients: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    @staticmethod
    def _serve(client: socket.socket) -> None:
        with closing(client):
            try:
                while data := client.recv(4096):
                    client.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    echo = Echo()
    with Proxy(free_port(), echo.port, delay_seconds=0.3) as proxy:
        yield proxy
    echo.close()


def connected(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE)
    assert echoed(client, b"hello")
    return client


def echoed(client: socket.socket, data: bytes) -> bool:
    client.sendall(data)
    return received(client, len(data)) == data


def received(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size and (data := client.recv(size - len(found))):
        found += data
    return found


def is_reset(client: socket.socket) -> bool:
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def await_(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_passes_bytes_both_ways(proxy: Proxy) -> None:
    """A megabyte is echoed unchanged over each of two connections."""
    data = bytes(range(256)) * 4096
    with connected(proxy) as one, connected(proxy) as two:
        for client in (one, two):
            threading.Thread(target=client.sendall, args=(data,), daemon=True).start()
            assert received(client, len(data)) == data


def test_a_cut_resets_connections_and_accepts_new_ones(proxy: Proxy) -> None:
    """The old connection is reset, a new one works."""
    with connected(proxy) as client:
        proxy.cut()
        assert is_reset(client)
    with connected(proxy):
        await_(lambda: proxy.connections() == 1)


def test_a_vanished_proxy_refuses_connections(proxy: Proxy) -> None:
    """Old connections are reset and new ones refused until it comes back."""
    with connected(proxy) as client:
        proxy.vanish()
        assert is_reset(client)
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.come_back()
    connected(proxy).close()


def test_held_bytes_are_delivered_in_order(proxy: Proxy) -> None:
    """Bytes sent while it holds arrive when it passes again; none is lost."""
    with connected(proxy) as client:
        proxy.set_mode(Mode.HOLD)
        client.sendall(b"one ")
        client.sendall(b"two")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.set_mode(Mode.PASS)
        client.settimeout(DEADLINE)
        assert received(client, 7) == b"one two"


def test_swallowed_bytes_never_arrive(proxy: Proxy) -> None:
    """A half-open connection stays open without data forever; a new one works."""
    with connected(proxy) as client:
        proxy.set_mode(Mode.SWALLOW)
        client.sendall(b"gone")
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.set_mode(Mode.PASS)
        client.sendall(b"gone too")
        with pytest.raises(TimeoutError):
            client.recv(1)
        connected(proxy).close()


def test_slow_bytes_arrive(proxy: Proxy) -> None:
    """Each direction is delayed, and everything arrives."""
    with connected(proxy) as client:
        proxy.set_mode(Mode.SLOW)
        started = time.monotonic()
        assert echoed(client, b"slowly")
        assert time.monotonic() - started >= 0.6


def test_a_missing_target_resets_the_client() -> None:
    """The proxy keeps running."""
    with Proxy(free_port(), free_port()) as proxy:
        assert [meets_reset(proxy) for _ in range(2)] == [True, True]


def meets_reset(proxy: Proxy) -> bool:
    """Return whether a new client is reset, even while it connects."""
    try:
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=DEADLINE) as client:
            return is_reset(client)
    except ConnectionResetError:
        return True
