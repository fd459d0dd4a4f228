"""Proxies that understand Kafka's framing, and lose one request, or its answer, of a kind."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from enum import Enum

from tests.fakes.kafka_requests import END_TXN, read_message
from tests.fakes.tcp_proxy import Link, Proxy

_JOIN_GROUP = 11


class Loss(Enum):
    """What is lost on the way."""

    REQUEST = "request"
    ANSWER = "answer"


class LosingProxy(Proxy):
    """Carries whole messages, and loses the first EndTxn's request or answer; the connection stays open.

    `lost` counts what was lost.
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
        """Say if this message is the one; note the request whose answer is to be lost."""
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
    """Carries whole messages. Once `armed`, the next request to join a group is lost, and its connection with it.

    That one stays open and carries nothing more; `lost` counts such requests.
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
