"""The broker's logs: appended records, open transactions, and what a read_committed reader gets."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import TIMESTAMP_CREATE_TIME, KafkaError

OPEN: Final = 0
COMMITTED: Final = 1
ABORTED: Final = 2


class Entry:
    """One offset of a partition; without a value it is a marker or an offset without a record."""

    __slots__ = ("headers", "key", "state", "value")

    def __init__(self, key: bytes | None, value: bytes | None, headers: Any, state: int) -> None:
        self.key, self.value, self.headers, self.state = key, value, headers, state


class FakeMessage:
    """Replaces `confluent_kafka.Message`."""

    __slots__ = ("_entry", "_error", "_offset", "_partition", "_topic")

    def __init__(
        self, topic: str, partition: int, offset: int | None, entry: Entry | None, error: KafkaError | None = None
    ) -> None:
        self._topic, self._partition, self._offset, self._entry, self._error = topic, partition, offset, entry, error

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return self._partition

    def offset(self) -> int | None:
        return self._offset

    def key(self) -> bytes | None:
        return None if self._entry is None else self._entry.key

    def value(self) -> bytes | None:
        return None if self._entry is None else self._entry.value

    def headers(self) -> Any:
        return None if self._entry is None else self._entry.headers

    def timestamp(self) -> tuple[int, int]:
        return TIMESTAMP_CREATE_TIME, 1_000_000

    def error(self) -> KafkaError | None:
        return self._error

    def __len__(self) -> int:
        return len(self.value() or b"")


class Log:
    """The log of one partition."""

    __slots__ = ("entries", "open_transactions", "parked", "sequences")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.open_transactions: dict[str, tuple[int, list[Entry]]] = {}
        """The first offset and the records of each open transaction."""
        self.sequences: dict[tuple[int, int], tuple[int, int]] = {}
        """The next sequence number of each producer and epoch, and the first offset of its last batch."""
        self.parked: list[Callable[[], None]] = []
        """Fetches that wait for new records."""

    def append(self, entry: Entry, transaction: str | None = None) -> int:
        """Append a record; return its offset."""
        offset = len(self.entries)
        self.entries.append(entry)
        if transaction is not None:
            self.open_transactions.setdefault(transaction, (offset, []))[1].append(entry)
        return offset

    def end_transaction(self, transaction: str, state: int) -> list[Entry]:
        """Write a transaction's marker; return its records."""
        _, entries = self.open_transactions.pop(transaction, (0, []))
        for entry in entries:
            entry.state = state
        self.entries.append(Entry(None, None, None, COMMITTED))
        self.notify()
        return entries

    def stable_end(self) -> int:
        """Return the last stable offset."""
        starts = [first for first, _ in self.open_transactions.values()]
        return min(starts) if starts else len(self.entries)

    def read(self, position: int, limit: int) -> tuple[list[tuple[int, Entry]], int]:
        """Return records from a position on, and the next position."""
        found: list[tuple[int, Entry]] = []
        stop = self.stable_end()
        while position < stop and len(found) < limit:
            entry = self.entries[position]
            if entry.state == COMMITTED and entry.value is not None:
                found.append((position, entry))
            position += 1
        while position < stop and (self.entries[position].value is None or self.entries[position].state == ABORTED):
            position += 1
        return found, position

    def notify(self) -> None:
        """Respond to the waiting fetches."""
        parked, self.parked = self.parked, []
        for answer in parked:
            answer()


class Topics:
    """All partitions of all topics."""

    def __init__(self) -> None:
        self.logs: dict[tuple[str, int], Log] = {}
        self.partitions: dict[str, int] = {}
        self.most_bytes: dict[str, int] = {}

    def create(self, topic: str, partitions: int, most_bytes: int = 1_000_000) -> None:
        """Create a topic, or add partitions to it. It accepts batches of at most `most_bytes` bytes."""
        self.most_bytes[topic] = most_bytes
        for partition in range(self.partitions.get(topic, 0), partitions):
            self.logs[topic, partition] = Log()
        self.partitions[topic] = partitions

    def partition_of(self, topic: str, key: bytes | None) -> int:
        """Return the partition of a key."""
        return zlib.crc32(key or b"") % self.partitions[topic]

    def publish(self, topic: str, partition: int, key: bytes | None, values: Sequence[bytes | None]) -> int:
        """Append other producers' records at once; return the first offset."""
        log = self.logs[topic, partition]
        first = len(log.entries)
        for value in values:
            log.append(Entry(key, value, None, COMMITTED))
        log.notify()
        return first
