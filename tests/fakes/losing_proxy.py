"""Proxies that parse Kafka's framing, and lose one request of a kind, or its response."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from enum import Enum

from tests.fakes.kafka_requests import END_TXN, read_message
from tests.fakes.tcp_proxy import Link, Proxy

_JOIN_GROUP = 11


class Loss(Enum):
    """What is lost."""

    REQUEST = "request"
    ANSWER = "answer"


class LosingProxy(Proxy):
    """Forwards whole messages, and loses the request or the response of the first EndTxn; the connection stays open.

    `lost` counts lost messages.
    """

    def __init__(self, port: int, target: int, loss: Loss) -> None:
        super().__init__(port, target)
        self._loss = loss
        self._awaited: set[tuple[int, int]] = set()
        self.lost = 0

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        asks = writer.get_extra_info("peername")[1] == self.target
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await read_message(reader)
                if self._is_lost(message, id(link), asks=asks):
                    self.lost += 1
                    continue
                writer.write(struct.pack(">i", len(message)) + message)
                await writer.drain()

    def _is_lost(self, message: bytes, link: int, *, asks: bool) -> bool:
        """Whether to lose this message; remember the request whose response is to be lost."""
        if not asks:
            return (link, *struct.unpack_from(">i", message)) in self._awaited
        kind, correlation = struct.unpack_from(">h2xi", message)
        if kind != END_TXN or self.lost or self._awaited:
            return False
        if self._loss is Loss.REQUEST:
            return True
        self._awaited = {(link, correlation)}
        return False


class JoinLosingProxy(Proxy):
    """Forwards whole messages. Once `armed`, the next request to join a group is lost with its connection.

    That connection stays open without data; `lost` counts such requests.
    """

    armed = False
    lost = 0

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        asks = writer.get_extra_info("peername")[1] == self.target
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                message = await read_message(reader)
                if asks and self.armed and struct.unpack_from(">h", message) == (_JOIN_GROUP,):
                    self.armed, link.broken = False, True
                    self.lost += 1
                if not link.broken:
                    writer.write(struct.pack(">i", len(message)) + message)
                    await writer.drain()
