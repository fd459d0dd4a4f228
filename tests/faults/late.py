"""A proxy that delivers requests of a transaction a second time, late: after the next transaction has begun.

It reads the versions that librdkafka 2.16 sends: EndTxn 1, AddOffsetsToTxn 0 and TxnOffsetCommit 3.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

import msgspec

from tests.faults.proxy import Proxy, _Link, _reset

ADD_OFFSETS_TO_TXN: Final = 25
END_TXN: Final = 26
TXN_OFFSET_COMMIT: Final = 28
ACCEPTED: Final = 0
FENCED: Final = (47, 90)
"""INVALID_PRODUCER_EPOCH and PRODUCER_FENCED."""
_FLEXIBLE: Final = 3
"""From this version on, all three have a header with tagged fields, and strings with lengths of variable size."""


class Request(msgspec.Struct):
    """One of a transaction's requests. `is_commit` is what an EndTxn asks for."""

    kind: int
    transactional_id: bytes
    message: bytes
    is_commit: bool = False
    next_has_begun: bool = False
    """Whether the next transaction has come as far as its offsets."""

    @property
    def name(self) -> str:
        """What it asks for, in a word."""
        return "offsets" if self.kind == TXN_OFFSET_COMMIT else "commit" if self.is_commit else "abort"


class LateProxy(Proxy):
    """Carries whole messages. Each request that `chooses` picks is lost with its connection, and the client repeats it.

    The lost copy arrives over a connection of its own in the next transaction of the same transactional id, where it
    does the most harm: an EndTxn before the offsets are added, a TxnOffsetCommit before the end. `answers` counts the
    errors that it got, 0 being none; then `on_late` is called, and the client's request goes on. The TxnOffsetCommits
    that `ages` picks arrive with the generation before the group's, as if it had just rebalanced: they are refused.
    """

    def __init__(
        self, door: Proxy, chooses: Callable[[Request], bool], ages: Callable[[Request], bool] = lambda _request: False
    ) -> None:
        """Take the place of `door`, which must have vanished."""
        super().__init__(door.port, door.target)
        self._chooses = chooses
        self._ages = ages
        self.on_late: Callable[[], None] = lambda: None
        self._lost: dict[bytes, Request] = {}
        self.answers: Counter[tuple[str, int]] = Counter()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        link: _Link,  # noqa: ARG002  # as in the base class
    ) -> None:
        asks = writer.get_extra_info("peername")[1] == self.target
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                size = await reader.readexactly(4)
                message = await reader.readexactly(*struct.unpack(">i", size))
                request = parse(message) if asks else None
                if request is not None:
                    await self._deliver_what_is_due(request)
                    if self._loses(request):
                        return
                    message = request.message
                writer.write(size + message)
                await writer.drain()

    def _loses(self, request: Request) -> bool:
        """Say whether the request is lost here, to come again late; otherwise it may go on as an old one."""
        if request.transactional_id in self._lost or request.kind == ADD_OFFSETS_TO_TXN:
            return False
        if self._chooses(request):
            self._lost[request.transactional_id] = request
            return True
        if request.kind == TXN_OFFSET_COMMIT and self._ages(request):
            request.message = of_generation_before(request.message)
        return False

    async def _deliver_what_is_due(self, request: Request) -> None:
        late = self._lost.get(request.transactional_id)
        if late is None:
            return
        late.next_has_begun = late.next_has_begun or request.kind == ADD_OFFSETS_TO_TXN
        if late.next_has_begun and request.kind == (ADD_OFFSETS_TO_TXN if late.kind == END_TXN else END_TXN):
            del self._lost[request.transactional_id]
            reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
            writer.write(struct.pack(">i", len(late.message)) + late.message)
            answer = await reader.readexactly(*struct.unpack(">i", await reader.readexactly(4)))
            _reset(writer)
            self.answers[late.name, error_of(late, answer)] += 1
            await asyncio.to_thread(self.on_late)


def parse(message: bytes) -> Request | None:
    """Read a request of a transaction; others are None."""
    reader = _Reader(message)
    kind, version, _ = reader.take(">hhi")
    if kind not in {ADD_OFFSETS_TO_TXN, END_TXN, TXN_OFFSET_COMMIT}:
        return None
    reader.string()
    if version >= _FLEXIBLE:
        reader.is_flexible = True
        reader.take(">b")
    request = Request(kind, reader.string(), message)
    if kind == END_TXN:
        _producer, _epoch, request.is_commit = reader.take(">qh?")
    return request


def of_generation_before(message: bytes) -> bytes:
    """Return a TxnOffsetCommit with the generation before its own."""
    reader = _Reader(message, 8)
    reader.string()
    reader.is_flexible = True
    reader.take(">b")
    reader.string()
    reader.string()
    reader.take(">qh")
    place = reader.place
    (generation,) = reader.take(">i")
    return message[:place] + struct.pack(">i", generation - 1) + message[reader.place :]


def error_of(request: Request, answer: bytes) -> int:
    """Return the error of an answer; of a TxnOffsetCommit's, that of its first partition."""
    reader = _Reader(answer)
    if request.kind == TXN_OFFSET_COMMIT:
        reader.is_flexible = True
        # Correlation, no tagged fields, time to wait, number of topics; a topic and the number of its partitions.
        reader.take(">ibib")
        reader.string()
        reader.take(">bi")
    else:
        reader.take(">ii")
    (error,) = reader.take(">h")
    return int(error)


class _Reader:
    """Reads the parts of a message in turn; short strings have a length of one byte where they are flexible."""

    def __init__(self, message: bytes, place: int = 0) -> None:
        self.message, self.place, self.is_flexible = message, place, False

    def take(self, layout: str) -> tuple[int, ...]:
        parts = struct.unpack_from(layout, self.message, self.place)
        self.place += struct.calcsize(layout)
        return parts

    def string(self) -> bytes:
        (size,) = self.take(">B" if self.is_flexible else ">h")
        start = self.place
        self.place += max(size - 1 if self.is_flexible else size, 0)
        return self.message[start : self.place]
