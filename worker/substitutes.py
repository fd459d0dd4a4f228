"""Substitutes for output records that the broker refuses, so that nothing is lost and the worker goes on.

A refused dead letter is reduced until it fits. A refused score is replaced by a dead letter of its record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from confluent_kafka import KafkaError, Message

from runtime import events
from schemas.codec import decode_score
from schemas.errors import DependencyError, RejectionCode, ValidationIssue
from schemas.records import Source
from worker.dead_letters import dead_letter, reduced, without_key
from worker.kafka.outgoing_record import ANY_PARTITION, OutgoingRecord
from worker.scored_batch import ScoredBatch

_GROUP_BYTES: Final = 8_192
_SMALLEST_BATCH: Final = 16_384
_CODE: Final = RejectionCode.UNDELIVERABLE_SCORE
_NO_KEY: Final = ValidationIssue(
    _CODE, "", "has no key, and the scores topic is compacted: it accepts no record without one"
)
_TOO_LARGE: Final = ValidationIssue(
    _CODE, "", "its score and key are larger than max.message.bytes of the scores topic"
)


class Substitutes:
    """Creates the substitutes of refused output records."""

    def __init__(
        self,
        scores: str,
        dead_letters: str | None,
        count_rejected: Callable[[], None],
        partition_for: Callable[[str, int], int] = lambda _topic, _partition: ANY_PARTITION,
    ) -> None:
        """Without a topic for `dead_letters`, a refused score is logged and dropped.

        `partition_for` returns the partition of letters without a key.
        """
        self._partition_for = partition_for
        self.scores = scores
        self._dead_letters = dead_letters
        self._count_rejected = count_rejected

    def of(self, record: OutgoingRecord, scored_batches: Iterable[ScoredBatch]) -> OutgoingRecord | None:
        """Return the substitute of a record that was refused on its own; None if there is none.

        Raises DependencyError if the topic refuses even the smallest dead letter.
        """
        if record.is_result:
            return self._letter_of(record, scored_batches)
        if record.key is None and record.refusal == KafkaError.INVALID_RECORD:
            return without_key(record)
        less = reduced(record)
        if less is None:
            raise DependencyError(f"{record.topic} refuses a dead letter that contains only its source")
        return less

    def _letter_of(self, record: OutgoingRecord, scored_batches: Iterable[ScoredBatch]) -> OutgoingRecord | None:
        events.ScoreRefused(str(_CODE), is_letter=self._dead_letters is not None).emit()
        if self._dead_letters is None:
            return None
        self._count_rejected()
        source = decode_score(record.value or b"").source
        if source is None:
            raise AssertionError("a score of the stream has a source")
        issue = _NO_KEY if record.key is None and record.refusal == KafkaError.INVALID_RECORD else _TOO_LARGE
        letter = dead_letter(self._dead_letters, _message(source, scored_batches), source, (issue,))
        if letter.key is None:
            letter.partition = self._partition_for(self._dead_letters, source.partition)
        return letter


NO_SUBSTITUTES: Final = Substitutes("", None, lambda: None)


def _message(source: Source, scored_batches: Iterable[ScoredBatch]) -> Message:
    """Return the record at `source`, which is in one of the batches."""
    partition = source.topic, source.partition
    batches = (each.batch for each in scored_batches if (each.batch.tp.topic, each.batch.tp.partition) == partition)
    return next(found for batch in batches for found in batch.messages if found.offset() == source.offset)


def with_headers(refused: Sequence[OutgoingRecord], scored_batches: Iterable[ScoredBatch]) -> Sequence[OutgoingRecord]:
    """Restore the headers of results, which the client's delivery reports lack."""
    wanted = {record.value: record for record in refused if record.is_result}
    if wanted:
        for scored_batch in scored_batches:
            for index, score in enumerate(scored_batch.scores if scored_batch.headers else ()):
                if score in wanted:
                    wanted[score].headers = scored_batch.headers.get(index, ())
    return refused


def smaller_batches(refused: Iterable[OutgoingRecord], batch_bytes: int) -> int | None:
    """Return a smaller batch limit in bytes, or None if the batch size was not the reason for the refusal."""
    is_for_batches = any(
        record.is_result and record.refusal == KafkaError.MSG_SIZE_TOO_LARGE and record.size() < batch_bytes
        for record in refused
    )
    return max(_SMALLEST_BATCH, batch_bytes // 4) if is_for_batches and batch_bytes > _SMALLEST_BATCH else None


def small_groups(records: Iterable[OutgoingRecord]) -> Iterator[list[OutgoingRecord]]:
    """Yield records in order, in groups of a few kilobytes; a larger record is a group of its own."""
    group: list[OutgoingRecord] = []
    total = 0
    for record in records:
        if group and total + record.size() > _GROUP_BYTES:
            yield group
            group, total = [], 0
        group.append(record)
        total += record.size()
    if group:
        yield group
