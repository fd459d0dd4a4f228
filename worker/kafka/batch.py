"""Batches of records of one partition, their assignment, and bundles: batches that are one message for Faust."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from enum import Enum

from confluent_kafka import KafkaError, Message
from faust.types import TP

from runtime.kafka.messages import timestamp_of
from schemas.records import Source
from scoring.evidence import SourceWindow
from worker.kafka.consumer_errors import is_corrupt


class BatchState(Enum):
    """The state of a batch. It only moves down this list."""

    WAITING = "waiting"
    STARTED = "started"
    FINISHED = "finished"
    DROPPED = "dropped"


class PartitionAssignment:
    """One period in which this worker owns a partition. A partition that is revoked and returns gets a new one."""

    __slots__ = ("batches", "committed", "end", "finished_to", "open", "requested", "source_window", "tp")

    def __init__(self, tp: TP, committed: int | None = None) -> None:
        """Start with nothing in flight; `committed` is the group's committed offset."""
        self.tp = tp
        self.open = True
        self.batches: deque[RecordBatch] = deque()
        self.end: int | None = None
        """The end offset of the partition, if the client has read up to it and nothing since."""
        self.finished_to: int | None = None
        """End of the finished prefix."""
        self.requested: int | None = committed
        """The offset of the last commit request."""
        self.committed: int | None = committed
        """The last committed offset that the broker confirmed."""
        self.source_window = SourceWindow()
        """Evidence of the coding of the partition's last records. Used by the scoring agent only, without a lock."""


class RecordBatch:
    """Consecutive records of one partition, undecoded, in order. The ledger owns `state` and `number`."""

    __slots__ = ("__weakref__", "assignment", "messages", "next_offset", "number", "state", "tp")

    def __init__(self, tp: TP, messages: Sequence[Message], assignment: PartitionAssignment) -> None:
        """`messages` has at least one message; they were read under `assignment`."""
        self.tp = tp
        self.messages = messages
        self.assignment = assignment
        self.next_offset: int = _offset(messages[-1]) + 1
        self.state = BatchState.WAITING
        self.number = 0
        """Its sequence number among all batches, in reading order."""

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
        """Return each record's topic, partition and offset."""
        topic, partition = self.tp
        return [Source(topic, partition, _offset(message)) for message in self.messages]

    def first_offset(self) -> int:
        """Return the first record's offset."""
        return _offset(self.messages[0])

    def oldest(self) -> float | None:
        """Return the first record's timestamp (Unix time, s), usually the oldest; None if it has none since 1970."""
        return _timestamp(self.messages[0])

    def newest(self) -> float | None:
        """Return the last record's timestamp (Unix time, s); None if it has none since 1970."""
        return _timestamp(self.messages[-1])


Bundle = tuple[RecordBatch, ...]
"""Batches that are scored together: one large batch, or small ones of any partitions, in reading order."""


def by_partition(messages: Iterable[Message]) -> tuple[dict[int, list[Message]], list[tuple[Message, KafkaError]]]:
    """Group records by partition, apart from events in place of records; ignore what follows a corrupt batch."""
    runs: dict[int, list[Message]] = {}
    others: list[tuple[Message, KafkaError]] = []
    for message in messages:
        partition = message.partition()
        error = message.error()
        if error is None:
            run = runs.get(partition)  # type: ignore[arg-type]  # a consumed message has a partition
            if run is None:
                runs[partition] = [message]  # type: ignore[index]
            else:
                run.append(message)
        else:
            others.append((message, error))
            if is_corrupt(error):
                break
    return runs, others


def _offset(message: Message) -> int:
    offset = message.offset()
    if offset is None:
        raise AssertionError("a consumed message has an offset")
    return offset


def _timestamp(message: Message) -> float | None:
    milliseconds = timestamp_of(message)
    return None if milliseconds is None or milliseconds < 0 else milliseconds / 1000
