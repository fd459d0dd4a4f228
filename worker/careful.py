"""What a transaction that is done again has learnt of the records that were refused before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from confluent_kafka import KafkaError

from worker.refusals import Substitutes, small_groups, smaller_batches, with_headers
from worker.shipment import Shipment
from worker.transport.outgoing import OutgoingRecord

_NO_LIMIT: Final = 1 << 62


class Care:
    """Knows which records of one round go apart from the others, and what goes in the place of which.

    A refusal is of a whole batch, so what was refused goes apart, in small groups, and then alone. What is refused
    alone tells why, and whatever of the round its topic does not take for the same reason is replaced. Then all goes
    together again, in its order.
    """

    def __init__(self, substitutes: Substitutes) -> None:
        self._substitutes = substitutes
        self._shipments: dict[int, Shipment] = {}
        self._bulk: dict[int, Shipment] = {}
        self._apart: dict[int, list[OutgoingRecord]] = {}
        self._alone = False
        self._present_time = False
        self._too_large: dict[str, int] = {}
        self._needs_key: set[str] = set()
        self.news = False
        """Whether something was learnt since this was last set back."""
        self.batch_bytes: int | None = None
        """How large batches may be from now on, where those that were sent are too large."""

    def bulk(self, shipment: Shipment) -> Shipment:
        """Return what of a shipment goes the quick way."""
        number = shipment.batch.number
        if number not in self._bulk:
            self._shipments[number] = shipment
            self._bulk[number] = self._fitted(shipment)
        if self._present_time:
            for letter in shipment.letters:
                letter.timestamp = None
        return self._bulk[number]

    def groups(self, shipment: Shipment) -> Iterator[list[OutgoingRecord]]:
        """Yield what goes apart, in groups that are confirmed one by one."""
        apart = self._apart.get(shipment.batch.number, [])
        return ([record] for record in apart) if self._alone else small_groups(apart)

    def note(self, refused: Sequence[OutgoingRecord], group: Sequence[OutgoingRecord], batch_bytes: int) -> None:
        """Learn from what was refused; `group` is what went apart just then."""
        self.news = True
        refused = with_headers(refused, self._shipments.values())
        self.batch_bytes = smaller_batches(refused, batch_bytes)
        if self.batch_bytes is not None:
            return
        self._present_time = True
        own = {id(record) for record in group}
        if len(group) == 1 and any(id(record) in own for record in refused):
            self._learn(group[0])
        elif any(id(record) in own for record in refused):
            self._alone = True
        self._set_apart([record for record in refused if id(record) not in own])

    def _learn(self, record: OutgoingRecord) -> None:
        """Learn what its topic does not take from a record that it refused alone."""
        if record.key is None and record.refusal == KafkaError.INVALID_RECORD:
            self._needs_key.add(record.topic)
        else:
            self._too_large[record.topic] = min(record.size(), self._too_large.get(record.topic, _NO_LIMIT))
        self._bulk = {number: self._fitted(shipment) for number, shipment in self._shipments.items()}
        self._apart = {}

    def _set_apart(self, refused: Iterable[OutgoingRecord]) -> None:
        """Take records out of what goes the quick way."""
        results = {record.value: record for record in refused if record.is_result}
        letters = {id(record) for record in refused if not record.is_result}
        for number, shipment in self._bulk.items():
            places = [place for place, score in enumerate(shipment.scores) if score in results]
            moved = [letter for letter in shipment.letters if id(letter) in letters]
            if places or moved:
                apart = self._apart.setdefault(number, [])
                apart += [results[shipment.scores[place]] for place in places] + moved
                left = [letter for letter in shipment.letters if id(letter) not in letters]
                self._bulk[number] = msgspec.structs.replace(_without(shipment, set(places)), letters=left)

    def _fitted(self, shipment: Shipment) -> Shipment:
        """Return a shipment in which all that its topic is known not to take is replaced."""
        if not self._too_large and not self._needs_key:
            return shipment
        places = {
            place
            for place, (key, score) in enumerate(zip(shipment.keys, shipment.scores, strict=True))
            if self._is_known(self._substitutes.scores, key, len(key or b"") + len(score))
        }
        results = []
        for place in sorted(places):
            result = OutgoingRecord(self._substitutes.scores, shipment.keys[place], shipment.scores[place], ())
            result.is_result = True
            results.append(result)
        letters = self._fitting([*shipment.letters, *results])
        return msgspec.structs.replace(_without(shipment, places), letters=letters)

    def _fitting(self, records: Iterable[OutgoingRecord]) -> list[OutgoingRecord]:
        fitting = []
        for record in records:
            found: OutgoingRecord | None = record
            while found is not None and self._is_known(found.topic, found.key, found.size()):
                lacks_key = found.key is None and found.topic in self._needs_key
                found.refusal = KafkaError.INVALID_RECORD if lacks_key else KafkaError.MSG_SIZE_TOO_LARGE
                found = self._substitutes.of(found, self._shipments.values())
            if found is not None:
                fitting.append(found)
        return fitting

    def _is_known(self, topic: str, key: bytes | None, size: int) -> bool:
        return size >= self._too_large.get(topic, _NO_LIMIT) or (key is None and topic in self._needs_key)


def _without(shipment: Shipment, places: set[int]) -> Shipment:
    """Return a shipment without the scores at some places."""
    if not places:
        return shipment
    kept = [place for place in range(len(shipment.scores)) if place not in places]
    headers = {new: shipment.headers[old] for new, old in enumerate(kept) if old in shipment.headers}
    keys, scores = [shipment.keys[place] for place in kept], [shipment.scores[place] for place in kept]
    return msgspec.structs.replace(shipment, keys=keys, scores=scores, headers=headers)
