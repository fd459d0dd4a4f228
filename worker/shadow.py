"""The shadow agent: scores a sample of the stream with champion and challenger, and publishes the challenger's scores.

It runs as its own process and consumer group, so it cannot delay or break the champion's worker, which also writes the
dead letters.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable
from typing import Final

import numpy as np

from runtime import events
from schemas.codec import encode_scores
from schemas.records import Source
from scoring.pipeline import Model, Results
from scoring.sources import reject_foreign_source
from worker.agent import weight_of
from worker.kafka.batch import Bundle, RecordBatch
from worker.kafka.ledger import Ledger
from worker.publisher import Publisher
from worker.scored_batch import ScoredBatch
from worker.serdes import PLAIN, Serdes

GROUP_SUFFIX: Final = "-shadow"
_MASK: Final = (1 << 64) - 1
_BITS: Final = 53


class Sample:
    """Selects a share of the records, the same ones after a restart and in any batch."""

    def __init__(self, share: float) -> None:
        """`share` is 0 to 1."""
        self._limit = int(share * (1 << _BITS))

    def selects(self, source: Source) -> bool:
        """Whether a record is selected: SplitMix64's mixing of its partition and offset."""
        mixed = (source.offset + (source.partition << 40) + 1) * 0x9E3779B97F4A7C15 & _MASK
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
        return (mixed ^ (mixed >> 31)) >> (64 - _BITS) < self._limit


class ShadowAgent:
    """Scores samples of bundles in order, as long as the publisher has capacity; skips other records."""

    def __init__(
        self,
        champion: Model,
        challenger: Model,
        ledger: Ledger,
        publisher: Publisher,
        sample: Sample,
        serdes: Serdes = PLAIN,
    ) -> None:
        self._champion = champion
        self._challenger = challenger
        self._ledger = ledger
        self._publisher = publisher
        self._sample = sample
        self._serdes = serdes

    async def run(self, stream: AsyncIterable[Bundle]) -> None:
        """Score each bundle of the stream. An exception here ends this process, not the champion's."""
        async for bundle in stream:
            for batch in bundle:
                await self.score(batch)

    async def score(self, batch: RecordBatch) -> None:
        """Decode and score a batch's sample, and queue the challenger's scores for publishing."""
        weight = weight_of(batch)
        await self._publisher.reserve(weight)
        await self._serdes.prepare(batch.values())
        if not self._ledger.start(batch):
            self._publisher.release(weight)
            return
        started = time.perf_counter()
        sources = batch.sources()
        selected = [index for index, source in enumerate(sources) if self._sample.selects(source)]
        messages, compiled = [batch.messages[index] for index in selected], self._champion.compiled
        decoded = self._serdes.batch(messages, [sources[index] for index in selected]).decode(compiled)
        before = time.perf_counter()
        champion = self._champion.score(decoded)
        between = time.perf_counter()
        challenger = self._challenger.score(decoded)
        _compared(champion, challenger, between - before, time.perf_counter() - between).emit()
        results = reject_foreign_source(challenger, batch.assignment.source_window, compiled.table)
        scored = [selected[index] for index in results.positions]
        keys, scores = batch.keys(), self._serdes.framed(encode_scores(results.scores))
        headers = self._serdes.headers([sources[index] for index in scored], {})
        its_keys = [keys[index] for index in scored]
        self._publisher.put(ScoredBatch(batch, its_keys, scores, [], (), weight, started, headers, is_awaited=False))


def _compared(
    champion: Results, challenger: Results, champion_seconds: float, challenger_seconds: float
) -> events.ModelsCompared:
    """Compare two models' results on the same records."""
    _, ours, theirs = np.intersect1d(champion.positions, challenger.positions, assume_unique=True, return_indices=True)
    same = int((champion.labels[ours] == challenger.labels[theirs]).sum())
    difference = challenger.risks[theirs] - champion.risks[ours]
    return events.ModelsCompared(
        same,
        len(ours) - same,
        champion.scored + challenger.scored - 2 * len(ours),
        float(difference.clip(min=0).sum()),
        float(-difference.clip(max=0).sum()),
        champion_seconds,
        challenger_seconds,
    )
