"""A run of raw records of one partition, its lease, and what flows through Faust as one message: a bundle of runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum

from confluent_kafka import Message
from faust.types import TP

from runtime.kafka.messages import timestamp_of
from schemas.records import Source
from scoring.evidence import SourceWindow


class BatchState(Enum):
    """How far a batch has come. It only ever moves down this list."""

    WAITING = "waiting"
    STARTED = "started"
    FINISHED = "finished"
    DROPPED = "dropped"


class Lease:
    """One period in which this worker owns one partition. A partition that leaves and returns gets a new lease."""

    __slots__ = ("batches", "end", "finished_to", "open", "requested", "seen", "stored", "tp")

    def __init__(self, tp: TP, stored: int | None = None) -> None:
        """Begin with nothing in flight, and the offset that the group has committed already."""
        self.tp = tp
        self.open = True
        self.batches: deque[RecordBatch] = deque()
        self.end: int | None = None
        """The end of the partition, if the client has read up to it and has read nothing since."""
        self.finished_to: int | None = None
        """End of the finished prefix."""
        self.requested: int | None = stored
        """The offset that the broker was last asked to store."""
        self.stored: int | None = stored
        """The offset that the broker last confirmed to have stored."""
        self.seen = SourceWindow()
        """What the partition's last records show of their coding. The scoring agent's alone: it takes no lock."""


class RecordBatch:
    """Consecutive records of one partition, undecoded, in order. The ledger owns `state` and `number`."""

    __slots__ = ("__weakref__", "lease", "messages", "next_offset", "number", "state", "tp")

    def __init__(self, tp: TP, messages: Sequence[Message], lease: Lease) -> None:
        """Take at least one message; `lease` is the ownership under which they were read."""
        self.tp = tp
        self.messages = messages
        self.lease = lease
        self.next_offset: int = _offset(messages[-1]) + 1
        self.state = BatchState.WAITING
        self.number = 0
        """Its place among all batches, in the order in which they were read."""

    def size(self) -> int:
        """Count the bytes of the records' values."""
        return sum(map(len, self.messages))

    def __len__(self) -> int:
        """Count the records."""
        return len(self.messages)

    def values(self) -> list[bytes | None]:
        """Return the records' values; None is a tombstone."""
        return [message.value() for message in self.messages]

    def keys(self) -> list[bytes | None]:
        """Return the records' keys."""
        return [message.key() for message in self.messages]

    def sources(self) -> list[Source]:
        """Return where each record was read."""
        topic, partition = self.tp
        return [Source(topic, partition, _offset(message)) for message in self.messages]

    def first_offset(self) -> int:
        """Return the first record's offset."""
        return _offset(self.messages[0])

    def oldest(self) -> float | None:
        """Return the first record's timestamp (Unix time), None if it has none since 1970; mostly it is the oldest."""
        return _timestamp(self.messages[0])

    def newest(self) -> float | None:
        """Return the last record's timestamp (Unix time), None if it has none since 1970."""
        return _timestamp(self.messages[-1])


Bundle = tuple[RecordBatch, ...]
"""Batches that go together: a large one alone, or small ones, mostly of several partitions, in the order of reading."""


def _offset(message: Message) -> int:
    offset = message.offset()
    if offset is None:
        raise AssertionError("a consumed message has an offset")
    return offset


def _timestamp(message: Message) -> float | None:
    milliseconds = timestamp_of(message)
    return None if milliseconds is None or milliseconds < 0 else milliseconds / 1000
