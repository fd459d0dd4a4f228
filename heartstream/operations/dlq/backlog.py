"""The letters of the dead letter topic, and which of them were redriven already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Self

from heartstream.operations.dlq.completed_offsets import Progress
from heartstream.operations.dlq.dead_letters import Letter
from runtime.kafka.range_reader import Reader, Span

GROUP: Final = "heartstream-redrive"
"""The consumer group whose offsets say which dead letters were redriven."""


class Backlog:
    """What stood on the topic when this was made, with the group's memory of what was redriven."""

    def __init__(self, reader: Reader, topic: str, spans: dict[int, Span], done: dict[int, Progress]) -> None:
        self._reader = reader
        self._topic = topic
        self._spans = spans
        self._done = done
        self._stored: dict[int, tuple[int, str]] = {}

    @classmethod
    def of(cls, reader: Reader, topic: str) -> Self:
        """Ask the broker. An offset beyond the partition's end is of an earlier topic of that name, and forgotten."""
        spans = reader.spans(topic)
        kept = reader.committed(topic, spans)
        done = {number: _progress(span, kept.get(number)) for number, span in spans.items()}
        return cls(reader, topic, spans, done)

    @property
    def size(self) -> int:
        """Offsets on the topic: at least as many as letters."""
        return sum(span.end - span.first for span in self._spans.values())

    def all_letters(self) -> Iterator[Letter]:
        """Yield every letter, each partition in order."""
        return map(Letter.of, self._reader.read(self._topic, self._spans))

    def waiting(self) -> Iterator[Letter]:
        """Yield the letters that were not redriven. Offsets that hold no letter count as done on the way."""
        left = {number: Span(self._done[number].offset, span.end) for number, span in self._spans.items()}
        expected = {number: span.first for number, span in left.items()}
        for letter in map(Letter.of, self._reader.read(self._topic, left)):
            # Kafka gives offsets to what ends a transaction, and what was in one that was aborted stays unseen.
            self._done[letter.partition].add(expected[letter.partition], letter.offset)
            expected[letter.partition] = letter.offset + 1
            if not self.is_redriven(letter):
                yield letter

    def is_redriven(self, letter: Letter) -> bool:
        """Say whether the letter was sent back."""
        return letter.offset in self._done[letter.partition]

    def has_room_for(self, letters: Sequence[Letter]) -> bool:
        """Say whether Kafka could keep in mind that these letters were redriven."""
        touched = {letter.partition: self._done[letter.partition].copy() for letter in letters}
        for letter in letters:
            touched[letter.partition].add(letter.offset, letter.offset + 1)
        return all(progress.fits() for progress in touched.values())

    def note(self, letters: Sequence[Letter]) -> None:
        """Note that letters were sent back, and have the broker keep that."""
        for letter in letters:
            self._done[letter.partition].add(letter.offset, letter.offset + 1)
        changed = {
            number: (progress.offset, progress.text())
            for number, progress in self._done.items()
            if self._stored.get(number) != (progress.offset, progress.text()) and progress.fits()
        }
        self._reader.commit(self._topic, changed)
        self._stored.update(changed)


def _progress(span: Span, kept: tuple[int, str] | None) -> Progress:
    if kept is None or kept[0] > span.end:
        return Progress(span.first)
    progress = Progress.read(*kept)
    progress.add(progress.offset, span.first)
    return progress
