"""The agent: takes a record batch, has it scored, publishes the outcomes, and goes on while they are confirmed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Sequence

from runtime import events
from runtime.settings import Topics
from schemas.records import Source
from scoring.pipeline import Outcome, Rejected, Scored, process
from scoring.scorer import Scorer
from worker.breaker import RejectionBreaker
from worker.dead_letters import dead_letter
from worker.transport.batch import RecordBatch
from worker.transport.delivery import Delivery
from worker.transport.ledger import Ledger
from worker.transport.producer import LibrdkafkaProducer, OutgoingRecord

DOOR = "kafka"


class ScoringAgent:
    """Scores record batches in order; at most `outstanding` of them wait for the broker's confirmation.

    `producer` is asked for when it is needed, as Faust makes it at start; `on_failure` hears of a delivery that failed
    for good.
    """

    def __init__(
        self,
        scorer: Scorer,
        ledger: Ledger,
        topics: Topics,
        producer: Callable[[], LibrdkafkaProducer],
        on_failure: Callable[[BaseException], None],
        breaker: RejectionBreaker,
        outstanding: int,
    ) -> None:
        self._scorer = scorer
        self._ledger = ledger
        self._topics = topics
        self._producer = producer
        self._on_failure = on_failure
        self._breaker = breaker
        self._slots = asyncio.Semaphore(outstanding)

    async def run(self, stream: AsyncIterable[RecordBatch]) -> None:
        """Score what the stream brings. An exception here ends the process: nothing is committed past the truth."""
        async for batch in stream:
            await self.score(batch)

    async def score(self, batch: RecordBatch) -> None:
        """Take one batch from raw records to results on their way; returns before they are confirmed."""
        await self._slots.acquire()
        if not self._ledger.start(batch):
            self._slots.release()
            return
        started = time.perf_counter()
        sources = batch.sources()
        outcomes = process(batch.values(), sources, self._scorer)
        told = _batch_scored(outcomes, time.perf_counter() - started)
        told.emit()
        self._breaker.note(len(batch), told.rejected)
        delivery = await self._publish(batch, sources, outcomes)
        codes = _dead_letter_codes(outcomes) if told.rejected else ()
        delivery.done.add_done_callback(lambda done: self._delivered(batch, codes, started, done))

    async def _publish(self, batch: RecordBatch, sources: Sequence[Source], outcomes: Sequence[Outcome]) -> Delivery:
        """Queue scores and dead letters, each with its record's key."""
        keys: list[bytes | None] = []
        scores: list[bytes] = []
        letters: list[OutgoingRecord] = []
        for outcome, key, message, source in zip(outcomes, batch.keys(), batch.messages, sources, strict=True):
            match outcome:
                case Scored(value):
                    keys.append(key)
                    scores.append(value)
                case Rejected(faults):
                    letters.append(dead_letter(self._topics.dead_letters, message, source, faults))
        return await self._producer().send_batch(self._topics.scores, keys, scores, letters)

    def _delivered(
        self, batch: RecordBatch, codes: tuple[str, ...], started: float, done: asyncio.Future[None]
    ) -> None:
        """Hear how a delivery ended."""
        self._slots.release()
        if done.cancelled():
            return
        error = done.exception()
        if error is not None:
            self._on_failure(error)
            return
        self._ledger.finish(batch)
        seconds, now = time.perf_counter() - started, time.time()
        events.BatchDelivered(seconds, now, len(batch), batch.oldest(), batch.newest(), codes).emit()


def _batch_scored(outcomes: Sequence[Outcome], seconds: float) -> events.BatchScored:
    rejected = [outcome for outcome in outcomes if isinstance(outcome, Rejected)]
    codes = tuple(str(fault.code) for outcome in rejected for fault in outcome.faults)
    return events.BatchScored(DOOR, len(outcomes) - len(rejected), len(rejected), codes, seconds)


def _dead_letter_codes(outcomes: Sequence[Outcome]) -> tuple[str, ...]:
    """Return, for each dead letter, the code of its first fault."""
    return tuple(str(outcome.faults[0].code) for outcome in outcomes if isinstance(outcome, Rejected))
