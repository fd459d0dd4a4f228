"""What goes out in place of a record that its topic does not take: nothing is lost, and nothing stops a worker.

A dead letter is cut down to what fits. In place of a score its record becomes a dead letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from confluent_kafka import KafkaError, Message

from runtime import events
from schemas.codec import decode_score
from schemas.errors import DependencyError, Fault, FaultCode
from schemas.records import Source
from worker.dead_letters import dead_letter, reduced, without_key
from worker.shipment import Shipment
from worker.transport.outgoing import ANY_PARTITION, OutgoingRecord

_GROUP_BYTES: Final = 8_192
_SMALLEST_BATCH: Final = 16_384
_CODE: Final = FaultCode.UNDELIVERABLE_SCORE
_NO_KEY: Final = Fault(_CODE, "", "has no key, and the scores topic is compacted: it takes no record without one")
_TOO_LARGE: Final = Fault(
    _CODE, "", "gives a score that is, with its key, larger than max.message.bytes of the scores topic"
)


class Substitutes:
    """Makes what goes out in place of refused records."""

    def __init__(
        self,
        scores: str,
        dead_letters: str | None,
        note_rejected: Callable[[], None],
        home: Callable[[str, int], int] = lambda _topic, _partition: ANY_PARTITION,
    ) -> None:
        """Without a topic for `dead_letters`, a score that is refused is told and left out.

        `home` tells where letters without a key go.
        """
        self._home = home
        self.scores = scores
        self._dead_letters = dead_letters
        self._note_rejected = note_rejected

    def of(self, record: OutgoingRecord, shipments: Iterable[Shipment]) -> OutgoingRecord | None:
        """Return what takes the place of a record that was refused alone; None is nothing.

        Raises DependencyError where the topic takes not even the smallest dead letter.
        """
        if record.is_result:
            return self._letter_of(record, shipments)
        if record.key is None and record.refusal == KafkaError.INVALID_RECORD:
            return without_key(record)
        less = reduced(record)
        if less is None:
            raise DependencyError(f"{record.topic} does not take a dead letter that holds nothing but its source")
        return less

    def _letter_of(self, record: OutgoingRecord, shipments: Iterable[Shipment]) -> OutgoingRecord | None:
        events.ScoreRefused(str(_CODE), is_letter=self._dead_letters is not None).emit()
        if self._dead_letters is None:
            return None
        self._note_rejected()
        source = decode_score(record.value or b"").source
        if source is None:
            raise AssertionError("a score of the stream has a source")
        fault = _NO_KEY if record.key is None and record.refusal == KafkaError.INVALID_RECORD else _TOO_LARGE
        letter = dead_letter(self._dead_letters, _message(source, shipments), source, (fault,))
        if letter.key is None:
            letter.partition = self._home(self._dead_letters, source.partition)
        return letter


NO_SUBSTITUTES: Final = Substitutes("", None, lambda: None)


def _message(source: Source, shipments: Iterable[Shipment]) -> Message:
    """Return the record at `source`, which is one of those of the round."""
    place = source.topic, source.partition
    batches = (each.batch for each in shipments if (each.batch.tp.topic, each.batch.tp.partition) == place)
    return next(found for batch in batches for found in batch.messages if found.offset() == source.offset)


def with_headers(refused: Sequence[OutgoingRecord], shipments: Iterable[Shipment]) -> Sequence[OutgoingRecord]:
    """Give results back the headers that the client does not report."""
    wanted = {record.value: record for record in refused if record.is_result}
    if wanted:
        for shipment in shipments:
            for place, score in enumerate(shipment.scores if shipment.headers else ()):
                if score in wanted:
                    wanted[score].headers = shipment.headers.get(place, ())
    return refused


def smaller_batches(refused: Iterable[OutgoingRecord], batch_bytes: int) -> int | None:
    """Return how large batches may be from now on, None where it was not for batches that results were refused."""
    is_for_batches = any(
        record.is_result and record.refusal == KafkaError.MSG_SIZE_TOO_LARGE and record.size() < batch_bytes
        for record in refused
    )
    return max(_SMALLEST_BATCH, batch_bytes // 4) if is_for_batches and batch_bytes > _SMALLEST_BATCH else None


def small_groups(records: Iterable[OutgoingRecord]) -> Iterator[list[OutgoingRecord]]:
    """Yield records in order, in groups of a few kilobytes; a larger one stands alone."""
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
