"""The agent scores batches of several partitions together and returns each batch's own outcomes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from faust.types import TP

from schemas.cloudevents import ScoreEvents
from schemas.records import Source
from scoring.model_manager import ModelManager
from scoring.scorer import Scorer
from tests.support.examples import accepted, rejected
from tests.support.outcomes import Scored, process
from tests.support.public_copies import copy_records, uci_records
from tests.unit.worker.ledgers import OTHER, TOPIC, FakeMessage, HeldGuarantee, granted, publishing
from worker.agent import ScoringAgent
from worker.kafka.batch import RecordBatch
from worker.kafka.ledger import Ledger
from worker.publisher import Publisher
from worker.rejection_limit import RejectionLimit
from worker.scored_batch import ScoredBatch
from worker.serdes import PLAIN, Serdes
from worker.shadow import Sample, ShadowAgent
from worker.tracing import NoTracer

_GOOD = accepted()[0][1]
_BAD = rejected()[0][1]
_STRUCTURED = [("content-type", b"application/cloudevents+json")]
_ENVELOPE = b'{"specversion":"1.0","id":"1","source":"/clinic","type":"patient","data":%b}' % _GOOD
_EVENTS = ScoreEvents("scores")


@dataclass
class ReadMessage(FakeMessage):
    """A message whose key is its offset."""

    content: bytes
    carried: list[tuple[str, bytes]] | None = None

    def value(self) -> bytes:
        return self.content

    def key(self) -> bytes:
        return b"%d" % self.at

    def headers(self) -> list[tuple[str, bytes]] | None:
        return self.carried


def entered(ledger: Ledger, tp: TP, *values: bytes) -> RecordBatch:
    return entered_with(ledger, tp, *[(value, None) for value in values])


def entered_with(ledger: Ledger, tp: TP, *records: tuple[bytes, list[tuple[str, bytes]] | None]) -> RecordBatch:
    """Enter a batch of values, each with its record's headers."""
    assignment = ledger.assignment(tp)
    assert assignment is not None
    batch = RecordBatch(tp, [ReadMessage(at, *record) for at, record in enumerate(records)], assignment)
    ledger.add(batch)
    return batch


def agent(scorer: Scorer, ledger: Ledger, publisher: Publisher, serdes: Serdes = PLAIN) -> ScoringAgent:
    limit = RejectionLimit(100, 1.0)
    return ScoringAgent(ModelManager(scorer), ledger, publisher, "dead-letters", limit, NoTracer(), serdes)


async def test_each_batch_of_a_bundle_gets_its_own_outcomes(scorer: Scorer) -> None:
    """Each score equals that of the record scored alone; keys and dead letters stay with their batch."""
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


async def test_a_batch_of_a_revoked_partition_is_not_scored(scorer: Scorer) -> None:
    """The other batches of its bundle are scored, and its in-flight capacity is released."""
    ledger, guarantee = granted(TOPIC, OTHER), HeldGuarantee()
    bundle = entered(ledger, TOPIC, _GOOD), entered(ledger, OTHER, *[_GOOD] * 19)
    ledger.close({OTHER})
    async with publishing(ledger, guarantee) as publisher:
        await agent(scorer, ledger, publisher).score(bundle)
        await asyncio.wait_for(guarantee.closing.wait(), 5)
        await asyncio.wait_for(publisher.reserve(19), 5)
    assert [scored_batch.batch for scored_batch in guarantee.rounds[0]] == [bundle[0]]


async def test_cloudevents_are_unwrapped_at_any_position_of_a_bundle(scorer: Scorer) -> None:
    """Events and plain records can alternate; a dead letter keeps its record's headers and gets none of an event's."""
    ledger, guarantee = granted(TOPIC, OTHER), HeldGuarantee()
    guarantee.more = True
    bad = _ENVELOPE.replace(b'"age": 63', b'"age": 630')
    assert bad != _ENVELOPE
    first = entered_with(ledger, TOPIC, (_GOOD, None), (_ENVELOPE, _STRUCTURED))
    second = entered_with(ledger, OTHER, (_ENVELOPE, _STRUCTURED), (bad, _STRUCTURED), (_GOOD, None))
    async with publishing(ledger, guarantee) as publisher:
        await agent(scorer, ledger, publisher, Serdes(score_events=_EVENTS)).score((first, second))
        guarantee.more = False
        await asyncio.wait_for(guarantee.closing.wait(), 5)
    one, two = guarantee.rounds[0]
    assert one.scores == [_alone(scorer, TOPIC, 0), _alone(scorer, TOPIC, 1)]
    assert (two.scores, two.keys) == ([_alone(scorer, OTHER, 0), _alone(scorer, OTHER, 2)], [b"0", b"2"])
    assert two.headers == {at: _EVENTS.headers(Source(OTHER.topic, OTHER.partition, of)) for at, of in ((0, 0), (1, 2))}
    (letter,) = two.letters
    assert (letter.value, two.codes) == (bad, ("out_of_range",))
    assert [name for name, _ in letter.headers if name.startswith(("ce_", "content"))] == ["content-type"]


async def test_a_challenger_unwraps_cloudevents_and_identifies_its_own_scores(scorer: Scorer) -> None:
    """The challenger reads its sample of a batch exactly as the champion does."""
    ledger, guarantee, sample = granted(TOPIC), HeldGuarantee(), Sample(0.5)
    batch = entered_with(ledger, TOPIC, *[(_ENVELOPE, _STRUCTURED), (_GOOD, None), (_BAD, None)] * 4)
    places = [place for place, source in enumerate(batch.sources()) if sample.selects(source)]
    async with publishing(ledger, guarantee) as publisher:
        await ShadowAgent(
            ModelManager(scorer), ModelManager(scorer), ledger, publisher, sample, Serdes(score_events=_EVENTS)
        ).score(batch)
        await asyncio.wait_for(guarantee.closing.wait(), 5)
    (scored_batch,) = guarantee.rounds[0]
    kept = [place for place in places if place % 3 != 2]
    assert {place % 3 for place in places} == {0, 1, 2}
    assert scored_batch.scores == [_alone(scorer, TOPIC, place) for place in kept]
    assert [scored_batch.headers[at] for at in range(len(kept))] == [
        _EVENTS.headers(batch.sources()[at]) for at in kept
    ]


def _alone(scorer: Scorer, tp: TP, offset: int) -> bytes:
    (outcome,) = process([_GOOD], [Source(tp.topic, tp.partition, offset)], scorer)
    assert isinstance(outcome, Scored)
    return outcome.value


async def test_a_partition_in_another_coding_is_dead_lettered_and_the_others_are_scored(scorer: Scorer) -> None:
    """A partition's recent records decide for that partition only, across batches, until it is revoked."""
    ledger, guarantee = granted(TOPIC, OTHER), HeldGuarantee()
    guarantee.confirm.set()
    foreign, own = copy_records("kaggle-303"), uci_records("statlog")

    async def of_next(worker: ScoringAgent, *batches: RecordBatch) -> dict[TP, ScoredBatch]:
        guarantee.closing.clear()
        await worker.score(batches)
        await asyncio.wait_for(guarantee.closing.wait(), 5)
        return {each.batch.tp: each for each in guarantee.rounds[-1]}

    async with publishing(ledger, guarantee) as publisher:
        worker, sent = agent(scorer, ledger, publisher), []
        for start in range(0, 60, 6):
            part = slice(start, start + 6)
            bundle = entered(ledger, TOPIC, *foreign[part]), entered(ledger, OTHER, *own[part])
            sent.append(await of_next(worker, *bundle))
        assert [(len(each[TOPIC].scores), len(each[OTHER].scores)) for each in sent] == [(0, 6)] * 10
        assert {code for each in sent for code in each[TOPIC].codes} == {"foreign_code", "foreign_source"}
        again = await of_next(worker, entered(ledger, TOPIC, *own[:6]))
        ledger.remove([TOPIC])
        ledger.assign([TOPIC])
        anew = await of_next(worker, entered(ledger, TOPIC, *own[:6]))
    assert (again[TOPIC].scores, len(anew[TOPIC].scores)) == ([], 6)
