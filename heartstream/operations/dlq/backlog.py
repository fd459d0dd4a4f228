"""The dead letter topic, and which of its letters were already redriven."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Self

from heartstream.operations.dlq.completed_offsets import CompletedOffsets
from heartstream.operations.dlq.dead_letters import DeadLetterRecord
from runtime.kafka.range_reader import OffsetRange, Reader

GROUP: Final = "heartstream-redrive"
"""The consumer group whose committed offsets record which dead letters were redriven."""


class Backlog:
    """A snapshot of the topic, and what the consumer group records as redriven."""

    def __init__(
        self, reader: Reader, topic: str, ranges: dict[int, OffsetRange], done: dict[int, CompletedOffsets]
    ) -> None:
        self._reader = reader
        self._topic = topic
        self._ranges = ranges
        self._completed_offsets = done
        self._stored: dict[int, tuple[int, str]] = {}

    @classmethod
    def of(cls, reader: Reader, topic: str) -> Self:
        """Ask the broker. A committed offset past the end belongs to an earlier topic of that name, and is ignored."""
        ranges = reader.ranges(topic)
        committed = reader.committed(topic, ranges)
        done = {number: _completed(offsets, committed.get(number)) for number, offsets in ranges.items()}
        return cls(reader, topic, ranges, done)

    @property
    def size(self) -> int:
        """The number of offsets on the topic: an upper bound for the number of letters."""
        return sum(offsets.end - offsets.first for offsets in self._ranges.values())

    def all_letters(self) -> Iterator[DeadLetterRecord]:
        """Yield every letter, in order within each partition."""
        return map(DeadLetterRecord.of, self._reader.read(self._topic, self._ranges))

    def waiting(self) -> Iterator[DeadLetterRecord]:
        """Yield the letters that were not redriven, and mark offsets without a letter as completed."""
        completed = self._completed_offsets
        remaining = {
            number: OffsetRange(completed[number].offset, offsets.end) for number, offsets in self._ranges.items()
        }
        expected = {number: offsets.first for number, offsets in remaining.items()}
        for letter in map(DeadLetterRecord.of, self._reader.read(self._topic, remaining)):
            # Transaction markers have offsets, and records of aborted transactions are not delivered.
            completed[letter.partition].add(expected[letter.partition], letter.offset)
            expected[letter.partition] = letter.offset + 1
            if not self.is_redriven(letter):
                yield letter

    def is_redriven(self, letter: DeadLetterRecord) -> bool:
        """Return whether the letter was redriven."""
        return letter.offset in self._completed_offsets[letter.partition]

    def can_store(self, letters: Sequence[DeadLetterRecord]) -> bool:
        """Return whether the offset metadata can record that these letters were redriven."""
        touched = {letter.partition: self._completed_offsets[letter.partition].copy() for letter in letters}
        for letter in letters:
            touched[letter.partition].add(letter.offset, letter.offset + 1)
        return all(completed.fits() for completed in touched.values())

    def mark_redriven(self, letters: Sequence[DeadLetterRecord]) -> None:
        """Commit that letters were redriven."""
        for letter in letters:
            self._completed_offsets[letter.partition].add(letter.offset, letter.offset + 1)
        changed = {
            number: (completed.offset, completed.encode())
            for number, completed in self._completed_offsets.items()
            if self._stored.get(number) != (completed.offset, completed.encode()) and completed.fits()
        }
        self._reader.commit(self._topic, changed)
        self._stored.update(changed)


def _completed(offsets: OffsetRange, committed: tuple[int, str] | None) -> CompletedOffsets:
    if committed is None or committed[0] > offsets.end:
        return CompletedOffsets(offsets.first)
    completed = CompletedOffsets.decode(*committed)
    completed.add(completed.offset, offsets.first)
    return completed
