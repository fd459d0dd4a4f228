"""How a retried transaction sends the records that the broker refused before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from confluent_kafka import KafkaError

from worker.kafka.outgoing_record import OutgoingRecord
from worker.scored_batch import ScoredBatch
from worker.substitutes import Substitutes, small_groups, smaller_batches, with_headers

_NO_LIMIT: Final = 1 << 62


class ResendPlan:
    """Decides which records of a transaction are sent separately, and which are replaced.

    The broker refuses whole batches, so refused records are resent in small groups, then one by one. A record that is
    refused on its own shows the reason, and every record of the transaction that its topic would refuse for the same
    reason is replaced. Then everything is sent together again, in order.
    """

    def __init__(self, substitutes: Substitutes) -> None:
        self._substitutes = substitutes
        self._scored_batches: dict[int, ScoredBatch] = {}
        self._bulk: dict[int, ScoredBatch] = {}
        self._separate: dict[int, list[OutgoingRecord]] = {}
        self._one_by_one = False
        self._present_time = False
        self._too_large: dict[str, int] = {}
        self._needs_key: set[str] = set()
        self._letters: dict[bytes, OutgoingRecord | None] = {}
        """The substitutes of refused scores."""
        self.has_changed = False
        """Whether it was changed by a refusal since this was last reset."""
        self.batch_bytes: int | None = None
        """The new batch limit in bytes, if the batches that were sent are too large."""

    def bulk(self, scored_batch: ScoredBatch) -> ScoredBatch:
        """Return the part of a scored batch that is sent in bulk."""
        number = scored_batch.batch.number
        if number not in self._bulk:
            self._scored_batches[number] = scored_batch
            self._bulk[number] = self._substituted(scored_batch)
        if self._present_time:
            for letter in scored_batch.letters:
                letter.timestamp = None
        return self._bulk[number]

    def groups(self, scored_batch: ScoredBatch) -> Iterator[list[OutgoingRecord]]:
        """Yield the records that are sent separately, in groups that are confirmed one by one."""
        separate = self._separate.get(scored_batch.batch.number, [])
        return ([record] for record in separate) if self._one_by_one else small_groups(separate)

    def add_refused(self, refused: Sequence[OutgoingRecord], group: Sequence[OutgoingRecord], batch_bytes: int) -> None:
        """Learn from refused records; `group` is the separate group that was just sent, if any."""
        self.has_changed = True
        refused = with_headers(refused, self._scored_batches.values())
        self.batch_bytes = smaller_batches(refused, batch_bytes)
        if self.batch_bytes is not None:
            return
        self._present_time = True
        own = {id(record) for record in group}
        if len(group) == 1 and any(id(record) in own for record in refused):
            self._learn_limit(group[0])
        elif any(id(record) in own for record in refused):
            self._one_by_one = True
        self._separate_out([record for record in refused if id(record) not in own])

    def _learn_limit(self, record: OutgoingRecord) -> None:
        """Learn what a topic refuses from a record that it refused on its own."""
        if record.key is None and record.refusal == KafkaError.INVALID_RECORD:
            self._needs_key.add(record.topic)
        else:
            self._too_large[record.topic] = min(record.size(), self._too_large.get(record.topic, _NO_LIMIT))
        self._bulk = {number: self._substituted(scored_batch) for number, scored_batch in self._scored_batches.items()}
        self._separate = {}

    def _separate_out(self, refused: Iterable[OutgoingRecord]) -> None:
        """Move records from the bulk to the separate ones."""
        results = {record.value: record for record in refused if record.is_result}
        letters = {id(record) for record in refused if not record.is_result}
        for number, scored_batch in self._bulk.items():
            indexes = [index for index, score in enumerate(scored_batch.scores) if score in results]
            moved = [letter for letter in scored_batch.letters if id(letter) in letters]
            if indexes or moved:
                separate = self._separate.setdefault(number, [])
                separate += [results[scored_batch.scores[index]] for index in indexes] + moved
                left = [letter for letter in scored_batch.letters if id(letter) not in letters]
                self._bulk[number] = msgspec.structs.replace(_without(scored_batch, set(indexes)), letters=left)

    def _substituted(self, scored_batch: ScoredBatch) -> ScoredBatch:
        """Return a scored batch in which records that their topics are known to refuse are replaced."""
        if not self._too_large and not self._needs_key:
            return scored_batch
        indexes = {
            index
            for index, (key, score) in enumerate(zip(scored_batch.keys, scored_batch.scores, strict=True))
            if self._is_refused(self._substitutes.scores, key, len(key or b"") + len(score))
        }
        results = []
        for index in sorted(indexes):
            result = OutgoingRecord(self._substitutes.scores, scored_batch.keys[index], scored_batch.scores[index], ())
            result.is_result = True
            results.append(result)
        letters = self._acceptable([*scored_batch.letters, *results])
        return msgspec.structs.replace(_without(scored_batch, indexes), letters=letters)

    def _acceptable(self, records: Iterable[OutgoingRecord]) -> list[OutgoingRecord]:
        acceptable = []
        for record in records:
            found: OutgoingRecord | None = record
            while found is not None and self._is_refused(found.topic, found.key, found.size()):
                lacks_key = found.key is None and found.topic in self._needs_key
                found.refusal = KafkaError.INVALID_RECORD if lacks_key else KafkaError.MSG_SIZE_TOO_LARGE
                found = self._substitute(found)
            if found is not None:
                acceptable.append(found)
        return acceptable

    def _substitute(self, record: OutgoingRecord) -> OutgoingRecord | None:
        """Return the substitute of a refused record; that of a score is created, and counted, once."""
        if not record.is_result:
            return self._substitutes.of(record, self._scored_batches.values())
        score = record.value or b""
        if score not in self._letters:
            self._letters[score] = self._substitutes.of(record, self._scored_batches.values())
        return self._letters[score]

    def _is_refused(self, topic: str, key: bytes | None, size: int) -> bool:
        return size >= self._too_large.get(topic, _NO_LIMIT) or (key is None and topic in self._needs_key)


def _without(scored_batch: ScoredBatch, indexes: set[int]) -> ScoredBatch:
    """Return a scored batch without the scores at some indexes."""
    if not indexes:
        return scored_batch
    kept = [index for index in range(len(scored_batch.scores)) if index not in indexes]
    headers = {new: scored_batch.headers[old] for new, old in enumerate(kept) if old in scored_batch.headers}
    keys, scores = [scored_batch.keys[index] for index in kept], [scored_batch.scores[index] for index in kept]
    return msgspec.structs.replace(scored_batch, keys=keys, scores=scores, headers=headers)
