"""The agent: takes a record batch, has it scored, hands the outcomes on, and takes the next."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Sequence

from runtime import events
from schemas.records import Source
from scoring.pipeline import Outcome, Rejected, Scored, process
from scoring.scorer import Scorer
from worker.breaker import RejectionBreaker
from worker.dead_letters import dead_letter
from worker.publisher import Publisher
from worker.shipment import Shipment
from worker.transport.batch import RecordBatch
from worker.transport.ledger import Ledger
from worker.transport.producer import OutgoingRecord

DOOR = "kafka"
_BYTES_A_RECORD = 1_024
"""A batch of large records takes up room as if each kilobyte were a record."""


class ScoringAgent:
    """Scores record batches in order, while the publisher has room for more outcomes."""

    def __init__(
        self, scorer: Scorer, ledger: Ledger, publisher: Publisher, dead_letter_topic: str, breaker: RejectionBreaker
    ) -> None:
        self._scorer = scorer
        self._ledger = ledger
        self._publisher = publisher
        self._dead_letter_topic = dead_letter_topic
        self._breaker = breaker

    async def run(self, stream: AsyncIterable[RecordBatch]) -> None:
        """Score what the stream brings. An exception here ends the process: nothing is committed past the truth."""
        async for batch in stream:
            await self.score(batch)

    async def score(self, batch: RecordBatch) -> None:
        """Take one batch from raw records to outcomes that wait to be sent."""
        weight = max(len(batch), batch.size() // _BYTES_A_RECORD)
        await self._publisher.reserve(weight)
        if not self._ledger.start(batch):
            self._publisher.release(weight)
            return
        started = time.perf_counter()
        sources = batch.sources()
        outcomes = process(batch.values(), sources, self._scorer)
        told = _batch_scored(outcomes, time.perf_counter() - started)
        told.emit()
        self._breaker.note(len(batch), told.rejected)
        keys, scores, letters = self._sorted(batch, sources, outcomes, told.rejected)
        codes = _dead_letter_codes(outcomes) if told.rejected else ()
        self._publisher.put(Shipment(batch, keys, scores, letters, codes, weight, started))

    def _sorted(
        self, batch: RecordBatch, sources: Sequence[Source], outcomes: Sequence[Outcome], rejected: int
    ) -> tuple[list[bytes | None], list[bytes], list[OutgoingRecord]]:
        """Part scores, each with its record's key, from dead letters."""
        keys = batch.keys()
        if not rejected:
            return keys, [outcome.value for outcome in outcomes if isinstance(outcome, Scored)], []
        scored_keys: list[bytes | None] = []
        scores: list[bytes] = []
        letters: list[OutgoingRecord] = []
        for outcome, key, message, source in zip(outcomes, keys, batch.messages, sources, strict=True):
            match outcome:
                case Scored(value):
                    scored_keys.append(key)
                    scores.append(value)
                case Rejected(faults):
                    letters.append(dead_letter(self._dead_letter_topic, message, source, faults))
        return scored_keys, scores, letters


def _batch_scored(outcomes: Sequence[Outcome], seconds: float) -> events.BatchScored:
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    codes = tuple(str(fault.code) for outcome in rejected for fault in outcome.faults)
    return events.BatchScored(DOOR, len(outcomes) - len(rejected), len(rejected), codes, seconds)


def _dead_letter_codes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return, for each dead letter, the code of its first fault."""
    return tuple(str(outcome.faults[0].code) for outcome in outcomes if isinstance(outcome, Rejected))
