"""The challenger's agent: scores a sample of the stream with two models, and sends the second one's scores.

It is a process and a group of its own, so that nothing of it can hold up, break or lose what the champion does. It
writes no dead letters: those are the champion's.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, Sequence
from typing import Final

import msgspec

from runtime import events
from schemas.cloudevents import Content
from schemas.records import Source
from scoring.pipeline import Outcome, Scored
from scoring.serving import Serving
from scoring.sources import judged
from worker.agent import weight_of
from worker.formats import PLAIN, Formats
from worker.publisher import Publisher
from worker.shipment import Shipment
from worker.transport.batch import Bundle, RecordBatch
from worker.transport.ledger import Ledger

GROUP_SUFFIX: Final = "-shadow"
_MASK: Final = (1 << 64) - 1
_BITS: Final = 53


class _Told(msgspec.Struct):
    """What is compared of two scores."""

    risk: float
    label: int


_read: Final = msgspec.json.Decoder(_Told).decode


class Sample:
    """Which records are taken: a share of them, the same after a restart and in any batch."""

    def __init__(self, share: float) -> None:
        """`share` is 0 to 1."""
        self._limit = int(share * (1 << _BITS))

    def takes(self, source: Source) -> bool:
        """Say whether a record is taken, by where it stands: SplitMix64's mixing of partition and offset."""
        mixed = (source.offset + (source.partition << 40) + 1) * 0x9E3779B97F4A7C15 & _MASK
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & _MASK
        return (mixed ^ (mixed >> 31)) >> (64 - _BITS) < self._limit


class ShadowAgent:
    """Scores samples of bundles in order, while the publisher has room; what is not taken is done with at once."""

    def __init__(
        self,
        champion: Serving,
        challenger: Serving,
        ledger: Ledger,
        publisher: Publisher,
        sample: Sample,
        formats: Formats = PLAIN,
    ) -> None:
        self._champion = champion
        self._challenger = challenger
        self._ledger = ledger
        self._publisher = publisher
        self._sample = sample
        self._formats = formats

    async def run(self, stream: AsyncIterable[Bundle]) -> None:
        """Score what the stream brings. An exception here ends the process, which is the challenger's alone."""
        async for bundle in stream:
            for batch in bundle:
                await self.score(batch)

    async def score(self, batch: RecordBatch) -> None:
        """Take a batch from raw records to the challenger's scores, which wait to be sent."""
        weight = weight_of(batch)
        await self._publisher.reserve(weight)
        await self._formats.prepare(batch.values())
        if not self._ledger.start(batch):
            self._publisher.release(weight)
            return
        started = time.perf_counter()
        sources, values, keys = batch.sources(), batch.values(), batch.keys()
        places = [place for place, source in enumerate(sources) if self._sample.takes(source)]
        taken, at = [values[place] for place in places], [sources[place] for place in places]

        def content(number: int) -> Content:
            return self._formats.content_of(batch.messages[places[number]])

        before = time.perf_counter()
        champions = self._champion.process(taken, at, content)
        between = time.perf_counter()
        challengers: Sequence[Outcome] = self._challenger.process(taken, at, content)
        _compared(champions, challengers, between - before, time.perf_counter() - between).emit()
        challengers = judged(challengers, batch.lease.seen)
        scored = [
            (place, outcome.value)
            for place, outcome in zip(places, challengers, strict=True)
            if isinstance(outcome, Scored)
        ]
        headers = self._formats.headers([sources[place] for place, _ in scored], {})
        its_keys, scores = [keys[place] for place, _ in scored], self._formats.framed([score for _, score in scored])
        self._publisher.put(Shipment(batch, its_keys, scores, [], (), weight, started, headers, is_awaited=False))


def _compared(
    champions: Sequence[Outcome], challengers: Sequence[Outcome], champion_seconds: float, challenger_seconds: float
) -> events.ModelsCompared:
    """Compare what two models made of the same records."""
    same = other = higher = lower = one = 0.0
    for first, second in zip(champions, challengers, strict=True):
        if not (isinstance(first, Scored) and isinstance(second, Scored)):
            one += isinstance(first, Scored) is not isinstance(second, Scored)
            continue
        ours, theirs = _read(first.value), _read(second.value)
        if ours.label == theirs.label:
            same += 1
        else:
            other += 1
        difference = theirs.risk - ours.risk
        higher, lower = higher + max(difference, 0.0), lower + max(-difference, 0.0)
    return events.ModelsCompared(int(same), int(other), int(one), higher, lower, champion_seconds, challenger_seconds)
