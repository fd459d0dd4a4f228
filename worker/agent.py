"""The agent: takes a bundle of record batches, has it scored, hands the outcomes on, and takes the next."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Sequence
from itertools import chain

from runtime import events
from schemas.cloudevents import Content
from schemas.records import Source
from scoring.pipeline import Outcome, Rejected, Scored
from scoring.serving import Serving
from scoring.sources import exceptions_of, judged
from worker.breaker import RejectionBreaker
from worker.canary import Canary
from worker.dead_letters import dead_letter
from worker.formats import PLAIN, Formats
from worker.publisher import Publisher
from worker.shipment import Shipment
from worker.traces import Traces
from worker.transport.batch import Bundle, RecordBatch
from worker.transport.ledger import Ledger
from worker.transport.outgoing import Headers, OutgoingRecord

DOOR = "kafka"
_BYTES_A_RECORD = 1_024
"""A batch of large records takes up room as if each kilobyte were a record."""


class ScoringAgent:
    """Scores bundles of record batches in order, while the publisher has room for more outcomes."""

    def __init__(
        self,
        serving: Serving | Canary,
        ledger: Ledger,
        publisher: Publisher,
        dead_letter_topic: str,
        breaker: RejectionBreaker,
        traces: Traces,
        formats: Formats = PLAIN,
    ) -> None:
        self._serving = serving
        self._ledger = ledger
        self._publisher = publisher
        self._dead_letter_topic = dead_letter_topic
        self._breaker = breaker
        self._traces = traces
        self._formats = formats

    async def run(self, stream: AsyncIterable[Bundle]) -> None:
        """Score what the stream brings. An exception here ends the process: nothing is committed past the truth."""
        async for bundle in stream:
            await self.score(bundle)

    async def score(self, bundle: Bundle) -> None:
        """Take the batches of a bundle from raw records to outcomes that wait to be sent."""
        weights = [weight_of(batch) for batch in bundle]
        await self._publisher.reserve(sum(weights))
        await self._formats.prepare(chain.from_iterable(batch.values() for batch in bundle))
        batches = [(batch, weight) for batch, weight in zip(bundle, weights, strict=True) if self._ledger.start(batch)]
        self._publisher.release(sum(weights) - sum(weight for _, weight in batches))
        if not batches:
            return
        started = time.perf_counter()
        values = [value for batch, _ in batches for value in batch.values()]
        sources = [source for batch, _ in batches for source in batch.sources()]
        messages = list(chain.from_iterable(batch.messages for batch, _ in batches))

        def content(place: int) -> Content:
            return self._formats.content_of(messages[place])

        if isinstance(self._serving, Canary):
            keys = list(chain.from_iterable(batch.keys() for batch, _ in batches))
            outcomes = self._serving.process(values, sources, keys, content)
        else:
            outcomes = self._serving.process(values, sources, content)
        outcomes, exceptions = _judged([batch for batch, _ in batches], outcomes)
        told = _batch_scored(len(outcomes), exceptions, time.perf_counter() - started)
        told.emit()
        self._breaker.note(len(outcomes), told.rejected)
        first = 0
        for batch, weight in batches:
            own = slice(first, first := first + len(batch))
            self._publisher.put(self._shipment(batch, sources[own], outcomes[own], weight, started))

    def _shipment(
        self, batch: RecordBatch, sources: Sequence[Source], outcomes: Sequence[Outcome], weight: int, started: float
    ) -> Shipment:
        """Part scores, each with its record's key, from dead letters. The quick way is for batches without any."""
        traced = self._traces.begin(batch, sources, outcomes, started)
        headers: dict[int, Headers] = {place: span.headers for place, span in traced.items()}
        scores = self._formats.framed([outcome.value for outcome in outcomes if isinstance(outcome, Scored)])
        spans = tuple(traced.values())
        if len(scores) == len(batch):
            carried = self._formats.headers(sources, headers)
            return Shipment(batch, batch.keys(), scores, [], (), weight, started, carried, spans)
        keys: list[bytes | None] = []
        letters: list[OutgoingRecord] = []
        codes: list[str] = []
        scored: list[Source] = []
        of_scores: dict[int, Headers] = {}
        for place, (outcome, key, message) in enumerate(zip(outcomes, batch.keys(), batch.messages, strict=True)):
            own = headers.get(place, ())
            match outcome:
                case Scored():
                    if own:
                        of_scores[len(keys)] = own
                    keys.append(key)
                    scored.append(sources[place])
                case Rejected(faults):
                    letters.append(dead_letter(self._dead_letter_topic, message, sources[place], faults, own))
                    codes.append(str(faults[0].code))
        carried = self._formats.headers(scored, of_scores)
        return Shipment(batch, keys, scores, letters, tuple(codes), weight, started, carried, spans)


def weight_of(batch: RecordBatch) -> int:
    """Return the room that a batch takes up among what is outstanding, in records."""
    return max(len(batch), batch.size() // _BYTES_A_RECORD)


def _judged(batches: Sequence[RecordBatch], outcomes: list[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """Refuse the scores of partitions that show another coding; returns the outcomes, and those that are exceptions.

    Where there are none, a batch costs a microsecond, however large it is.
    """
    exceptions = exceptions_of(outcomes)
    if not exceptions and all(batch.lease.seen.is_clean for batch in batches):
        for batch in batches:
            batch.lease.seen.note([(len(batch), 0)])
        return outcomes, exceptions
    found: list[Outcome] = []
    for batch in batches:
        found.extend(judged(outcomes[len(found) : len(found) + len(batch)], batch.lease.seen))
    return found, exceptions_of(found)


def _batch_scored(records: int, exceptions: Sequence[Outcome], seconds: float) -> events.BatchScored:
    rejected = [outcome for outcome in exceptions if isinstance(outcome, Rejected)]
    codes = tuple(str(fault.code) for outcome in rejected for fault in outcome.faults)
    return events.BatchScored(DOOR, records - len(rejected), len(rejected), codes, seconds)
