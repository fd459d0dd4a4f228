"""A client that keeps some connections busy with one request each, as fast as answers come.

It sends ready-made requests over keep-alive connections and reads no more of an answer than its status and length, so
that it is cheaper than any server it is held against. What the answers say is checked beforehand, elsewhere.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import Final

import msgspec
import numpy as np

_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"content-length:"
_OK: Final = b" 200"


class Order(msgspec.Struct, frozen=True):
    """What to do. `bodies` are sent in turn; the first `warm_up_seconds` do not count."""

    port: int
    path: str
    content_type: str
    bodies: tuple[str, ...]
    connections: int
    seconds: float
    warm_up_seconds: float


class Measured(msgspec.Struct, frozen=True):
    """What came of it: answers in `seconds`, their latencies, and how many were no 200."""

    answers: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    bad: int


class Connection(asyncio.Protocol):
    """Sends the next request when the last one is answered."""

    def __init__(self, requests: Iterator[bytes], took: list[tuple[float, float, bool]], gone: asyncio.Event) -> None:
        self._requests = requests
        self._took = took
        self._gone = gone
        self._buffer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))  # type: ignore[attr-defined]  # it is a transport of bytes

    def data_received(self, data: bytes) -> None:
        """Note an answer when it is whole."""
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(_HEAD_END)
        if end < 0:
            return
        head = self._buffer[:end].lower()
        place = head.find(_LENGTH)
        if place < 0:
            raise ValueError("an answer without Content-Length")
        length = int(head[place + len(_LENGTH) :].split(b"\r\n", 1)[0])
        if len(self._buffer) < end + len(_HEAD_END) + length:
            return
        self._took.append((self._sent, time.perf_counter(), _OK in head[:16]))
        self._buffer = b""
        self._send()

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell that the server has hung up, or we have."""
        self._gone.set()


def requests(order: Order) -> list[bytes]:
    """Return the requests as they go over the wire."""
    head = f"POST {order.path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nContent-Type: {order.content_type}\r\n"
    return [f"{head}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode() for body in order.bodies]


async def drive(order: Order) -> Measured:
    """Keep the connections busy; raises ConnectionError if the server hangs up."""
    took: list[tuple[float, float, bool]] = []
    ready, gone = cycle(requests(order)), asyncio.Event()
    loop = asyncio.get_running_loop()
    transports = [
        (await loop.create_connection(lambda: Connection(ready, took, gone), "127.0.0.1", order.port))[0]
        for _ in range(order.connections)
    ]
    await asyncio.sleep(order.warm_up_seconds)
    begin = time.perf_counter()
    await asyncio.sleep(order.seconds)
    end = time.perf_counter()
    if gone.is_set():
        raise ConnectionError("the server has hung up")
    for transport in transports:
        transport.abort()
    return measured([each for each in took if begin <= each[0] and each[1] <= end], end - begin)


def measured(took: Sequence[tuple[float, float, bool]], seconds: float) -> Measured:
    """Sum up answers that were sent for and came within the counted time."""
    if not took:
        raise ConnectionError("no answer came")
    p50, p99, most = np.quantile([done - sent for sent, done, _ in took], [0.5, 0.99, 1]) * 1000
    return Measured(len(took), seconds, float(p50), float(p99), float(most), sum(not good for _, _, good in took))


def main() -> None:
    """Read an order as JSON, and write what was measured."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(drive(order))))


if __name__ == "__main__":
    main()
