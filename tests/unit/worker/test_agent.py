"""Laws of the agent: batches of several partitions go through scoring together, and part again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from faust.types import TP

from schemas.records import Source
from scoring.pipeline import Scored, process
from scoring.scorer import Scorer
from tests.examples import accepted, rejected
from tests.unit.worker.test_ledger import OTHER, TOPIC, FakeMessage, granted
from tests.unit.worker.test_publisher import HeldGuarantee, publishing
from worker.agent import ScoringAgent
from worker.breaker import RejectionBreaker
from worker.publisher import Publisher
from worker.traces import NoTraces
from worker.transport.batch import RecordBatch
from worker.transport.ledger import Ledger

_GOOD = accepted()[0][1]
_BAD = rejected()[0][1]


@dataclass
class ReadMessage(FakeMessage):
    """A message whose key is its offset."""

    content: bytes

    def value(self) -> bytes:
        return self.content

    def key(self) -> bytes:
        return b"%d" % self.at

    def headers(self) -> None:
        return None


def entered(ledger: Ledger, tp: TP, *values: bytes) -> RecordBatch:
    lease = ledger.lease(tp)
    assert lease is not None
    batch = RecordBatch(tp, [ReadMessage(at, value) for at, value in enumerate(values)], lease)
    ledger.enter(batch)
    return batch


def agent(scorer: Scorer, ledger: Ledger, publisher: Publisher) -> ScoringAgent:
    return ScoringAgent(scorer, ledger, publisher, "dead-letters", RejectionBreaker(100, 1.0), NoTraces())


async def test_each_batch_of_a_bundle_gets_its_own_outcomes(scorer: Scorer) -> None:
    """Scores are those of records scored alone, with their keys; a dead letter stays with its batch."""
    ledger, guarantee = granted(TOPIC, OTHER), HeldGuarantee()
    guarantee.more = True
    bundle = entered(ledger, TOPIC, _GOOD), entered(ledger, OTHER, _BAD, _GOOD)
    async with publishing(ledger, guarantee) as publisher:
        await agent(scorer, ledger, publisher).score(bundle)
        guarantee.more = False
        await asyncio.wait_for(guarantee.closing.wait(), 5)
    (first, second), alone = guarantee.rounds[0], [_alone(scorer, TOPIC, 0), _alone(scorer, OTHER, 1)]
    assert (first.batch, first.keys, first.scores, first.letters) == (bundle[0], [b"0"], alone[:1], [])
    assert (second.batch, second.keys, second.scores, len(second.letters)) == (bundle[1], [b"1"], alone[1:], 1)


async def test_a_batch_whose_partition_left_is_left_alone(scorer: Scorer) -> None:
    """The others of its bundle are scored, and its room is given back."""
    ledger, guarantee = granted(TOPIC, OTHER), HeldGuarantee()
    bundle = entered(ledger, TOPIC, _GOOD), entered(ledger, OTHER, *[_GOOD] * 19)
    ledger.close({OTHER})
    async with publishing(ledger, guarantee) as publisher:
        await agent(scorer, ledger, publisher).score(bundle)
        await asyncio.wait_for(guarantee.closing.wait(), 5)
        await asyncio.wait_for(publisher.reserve(19), 5)
    assert [shipment.batch for shipment in guarantee.rounds[0]] == [bundle[0]]


def _alone(scorer: Scorer, tp: TP, offset: int) -> bytes:
    (outcome,) = process([_GOOD], [Source(tp.topic, tp.partition, offset)], scorer)
    assert isinstance(outcome, Scored)
    return outcome.value
