"""The Faust agent: scores a bundle of record batches, hands the results to the publisher, and takes the next."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Sequence
from itertools import chain
from typing import NamedTuple

from runtime import events
from schemas.codec import encode_scores
from schemas.records import Source
from scoring.pipeline import Model, Results
from scoring.sources import reject_foreign_source
from worker.dead_letters import dead_letter
from worker.kafka.batch import Bundle, RecordBatch
from worker.kafka.ledger import Ledger
from worker.kafka.outgoing_record import Headers, OutgoingRecord
from worker.publisher import Publisher
from worker.rejection_limit import RejectionLimit
from worker.scored_batch import ScoredBatch
from worker.serdes import PLAIN, Serdes
from worker.tracing import Tracer

INTERFACE = "kafka"
_BYTES_A_RECORD = 1_024
"""A batch of large records counts toward the limit as if each kilobyte were a record."""


class ScoringAgent:
    """Scores bundles of record batches in order, as long as the publisher has capacity."""

    def __init__(
        self,
        model: Model,
        ledger: Ledger,
        publisher: Publisher,
        dead_letter_topic: str,
        limit: RejectionLimit,
        tracer: Tracer,
        serdes: Serdes = PLAIN,
    ) -> None:
        self._model = model
        self._ledger = ledger
        self._publisher = publisher
        self._dead_letter_topic = dead_letter_topic
        self._limit = limit
        self._tracer = tracer
        self._serdes = serdes

    async def run(self, stream: AsyncIterable[Bundle]) -> None:
        """Score each bundle of the stream. An exception here ends the process before unscored records are committed."""
        async for bundle in stream:
            await self.score(bundle)

    async def score(self, bundle: Bundle) -> None:
        """Decode and score the batches of a bundle, and queue the results for publishing."""
        weights = [weight_of(batch) for batch in bundle]
        await self._publisher.reserve(sum(weights))
        await self._serdes.prepare(chain.from_iterable(batch.values() for batch in bundle))
        batches = [(batch, weight) for batch, weight in zip(bundle, weights, strict=True) if self._ledger.start(batch)]
        self._publisher.release(sum(weights) - sum(weight for _, weight in batches))
        if not batches:
            return
        started = time.perf_counter()
        scored = self._score_batches([batch for batch, _ in batches])
        event = _batch_scored([each.results for each in scored], time.perf_counter() - started)
        event.emit()
        self._limit.record(event.scored + event.rejected, event.rejected)
        for (_, weight), each in zip(batches, scored, strict=True):
            self._publisher.put(self._to_scored_batch(each, weight, started))

    def _score_batches(self, batches: Sequence[RecordBatch]) -> list[_BatchResults]:
        """Score batches together, then check each against the coding of its partition."""
        sources = list(chain.from_iterable(batch.sources() for batch in batches))
        keys = list(chain.from_iterable(batch.keys() for batch in batches))
        messages = list(chain.from_iterable(batch.messages for batch in batches))
        results = self._model.score(self._serdes.batch(messages, sources, keys).decode(self._model.compiled))
        scored, first = [], 0
        for batch, part in zip(batches, results.split(map(len, batches)), strict=True):
            own = slice(first, first := first + len(batch))
            found = reject_foreign_source(part, batch.assignment.source_window, self._model.compiled.table)
            scored.append(_BatchResults(batch, sources[own], keys[own], found, encode_scores(found.scores)))
        return scored

    def _to_scored_batch(self, scored: _BatchResults, weight: int, started: float) -> ScoredBatch:
        """Build the outgoing scores, with their records' keys, and dead letters of a batch."""
        batch, sources, keys, results, encoded = scored
        traced = self._tracer.begin(batch, sources, results.rejected, started)
        headers: dict[int, Headers] = {index: span.headers for index, span in traced.items()}
        letters: list[OutgoingRecord] = []
        for index, issues in results.rejected.items():
            own = headers.get(index, ())
            letters.append(dead_letter(self._dead_letter_topic, batch.messages[index], sources[index], issues, own))
        codes: tuple[str, ...] = ()
        if letters:
            codes = tuple(str(issues[0].code) for issues in results.rejected.values())
            keys = [keys[index] for index in results.positions]
            sources = [sources[index] for index in results.positions]
            headers = {row: headers[index] for row, index in enumerate(results.positions) if index in headers}
        carried, spans = self._serdes.headers(sources, headers), tuple(traced.values())
        return ScoredBatch(batch, keys, self._serdes.framed(encoded), letters, codes, weight, started, carried, spans)


class _BatchResults(NamedTuple):
    """A batch with its results; `encoded` are the scores as JSON."""

    batch: RecordBatch
    sources: list[Source]
    keys: list[bytes | None]
    results: Results
    encoded: list[bytes]


def weight_of(batch: RecordBatch) -> int:
    """Return what a batch counts toward the limit of records in flight."""
    return max(len(batch), batch.size() // _BYTES_A_RECORD)


def _batch_scored(results: Sequence[Results], seconds: float) -> events.BatchScored:
    codes = tuple(chain.from_iterable(each.codes() for each in results if each.rejected))
    rejected = sum(len(each.rejected) for each in results)
    return events.BatchScored(INTERFACE, sum(map(len, results)) - rejected, rejected, codes, seconds)
