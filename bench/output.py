"""What a contender wrote, read back as a read_committed consumer reads it, and compared with what it should be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from schemas.codec import decode_score

_PATIENCE_SECONDS: Final = 60.0
_CHUNK: Final = 5_000

Longs = np.ndarray[tuple[int], np.dtype[np.int64]]
Place = tuple[int, int]
"""Partition and offset of the record that a result comes from."""


class Output(msgspec.Struct, frozen=True):
    """Results by the place they come from: how many, and a hash of key and value.

    `written` is when the broker took each result of a partition, in milliseconds of Unix time.
    """

    counts: tuple[Longs, ...]
    hashes: tuple[Longs, ...]
    written: tuple[Longs, ...]

    @property
    def duplicated(self) -> int:
        """Count results beyond the first of each place."""
        return sum(int(np.maximum(counts - 1, 0).sum()) for counts in self.counts)

    @property
    def results(self) -> int:
        """Count all results."""
        return sum(map(len, self.written))

    def lost(self, *, whole: bool) -> int:
        """Count places without result: of all, or only below the last that has one in each partition."""
        lost = 0
        for counts in self.counts:
            done = np.flatnonzero(counts)
            end = len(counts) if whole else int(done[-1]) + 1 if len(done) else 0
            lost += end - len(done)
        return lost

    def differing(self, other: Output) -> int:
        """Count places for which the two wrote different bytes."""
        return sum(
            int(((mine != theirs) & (mine != 0) & (theirs != 0)).sum())
            for mine, theirs in zip(self.hashes, other.hashes, strict=True)
        )


def read_output(
    address: str, topic: str, input_ends: Sequence[int], place_of: Callable[[Message], Place | None] | None = None
) -> Output:
    """Read all results of a topic that has as many partitions as the input.

    `place_of` tells where a result comes from, None if it is none; as a rule, a score's source does.
    Raises TimeoutError if the broker does not give them, IndexError if a result comes from no input record.
    """
    place_of = place_of or _source_place
    counts = tuple(np.zeros(end, dtype=np.int64) for end in input_ends)
    hashes = tuple(np.zeros(end, dtype=np.int64) for end in input_ends)
    written: list[list[int]] = [[] for _ in input_ends]
    for message in _messages(address, topic, len(input_ends)):
        place = place_of(message)
        if place is None:
            continue
        partition, offset = place
        counts[partition][offset] += 1
        hashes[partition][offset] = hash((message.key(), message.value())) or 1
        written[message.partition() or 0].append(message.timestamp()[1])
    return Output(counts, hashes, tuple(np.array(each, dtype=np.int64) for each in written))


def same_place(message: Message) -> Place:
    """Say that a result comes from where it lies itself: where each record was written again, in its order."""
    return message.partition() or 0, message.offset() or 0


def _source_place(message: Message) -> Place:
    source = decode_score(message.value() or b"").source
    if source is None:
        raise ValueError("a result names no source")
    return source.partition, source.offset


def _messages(address: str, topic: str, partitions: int) -> Iterator[Message]:
    """Yield every committed record of a topic, to its end."""
    consumer = Consumer(
        {
            "bootstrap.servers": address,
            "group.id": "bench-reader",
            "log_level": 2,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
        }
    )
    consumer.assign([TopicPartition(topic, number, 0) for number in range(partitions)])
    unread = set(range(partitions))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while unread:
        for message in consumer.consume(_CHUNK, 0.2):
            error = message.error()
            if error is None:
                deadline = time.monotonic() + _PATIENCE_SECONDS
                yield message
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # the client's public name for it
                unread.discard(message.partition() or 0)
        if time.monotonic() > deadline:
            raise TimeoutError(f"the results of {topic} cannot be read")
    consumer.close()
