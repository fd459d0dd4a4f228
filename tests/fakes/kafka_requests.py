"""The requests by which clients commit: those of transactions, and a consumer's offsets.

Parsed in the versions that librdkafka 2.16 sends: OffsetCommit 9, AddPartitionsToTxn 0, AddOffsetsToTxn 0, EndTxn 1,
TxnOffsetCommit 3.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Final

import msgspec

OFFSET_COMMIT: Final = 8
ADD_PARTITIONS_TO_TXN: Final = 24
ADD_OFFSETS_TO_TXN: Final = 25
END_TXN: Final = 26
TXN_OFFSET_COMMIT: Final = 28
_KINDS: Final = {
    OFFSET_COMMIT: "consumed",
    ADD_PARTITIONS_TO_TXN: "partitions",
    ADD_OFFSETS_TO_TXN: "begin",
    END_TXN: "abort",
    TXN_OFFSET_COMMIT: "offsets",
}
_FLEXIBLE: Final = dict.fromkeys(_KINDS, 3) | {OFFSET_COMMIT: 8}
"""From these versions on, headers have tagged fields, and the lengths of strings are varints."""
ACCEPTED: Final = 0
FENCED: Final = (47, 90)
"""INVALID_PRODUCER_EPOCH and PRODUCER_FENCED."""


class Request(msgspec.Struct):
    """A request. `owner` is a transactional id, or the group of an OffsetCommit; `name` is the kind of request."""

    kind: int
    owner: bytes
    message: bytes
    name: str


def parse(message: bytes) -> Request | None:
    """Parse a request by which a client commits; return None for others."""
    reader = _Reader(message)
    kind, version, _ = reader.take(">hhi")
    if kind not in _KINDS:
        return None
    reader.string()
    if version >= _FLEXIBLE[kind]:
        reader.is_flexible = True
        reader.take(">b")
    request = Request(kind, reader.string(), message, _KINDS[kind])
    if kind == END_TXN:
        _producer, _epoch, is_commit = reader.take(">qh?")
        request.name = "commit" if is_commit else "abort"
    return request


def of_generation_before(message: bytes) -> bytes:
    """Return a TxnOffsetCommit with the previous generation."""
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
    """Return the error code of a response; for committed offsets, that of the first partition."""
    reader = _Reader(answer)
    if request.kind in {TXN_OFFSET_COMMIT, OFFSET_COMMIT}:
        reader.is_flexible = True
        # Correlation id, no tagged fields, throttle time, number of topics; a topic and the number of its partitions.
        reader.take(">ibib")
        reader.string()
        reader.take(">bi")
    else:
        reader.take(">ii")
    (error,) = reader.take(">h")
    return int(error)


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """Read a whole request or response, without its size prefix."""
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


class _Reader:
    """Reads the parts of a message in turn; short strings have a length of one byte in flexible versions."""

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
