"""Micro-batching: requests of one turn of the event loop are scored together, each with its own outcome."""

from __future__ import annotations

import asyncio
import json

import pytest

from api.microbatch import MicroBatch
from heartstream.demo.patients import FLAWS, real_patients
from schemas.codec import encode_score
from schemas.errors import ArtifactError
from scoring.model_manager import ModelManager
from scoring.scorer import Scorer
from tests.support.outcomes import Outcome, outcomes_of, process


class Counting(Scorer):
    """A scorer that counts its batches."""

    sizes: list[int]

    @classmethod
    def of(cls, scorer: Scorer) -> Counting:
        """Take over a scorer's state."""
        counting = cls.__new__(cls)
        counting.__dict__.update(scorer.__dict__)
        counting.sizes = []
        return counting

    def explain(self, matrix):
        """Record the number of rows."""
        self.sizes.append(len(matrix))
        return super().explain(matrix)


async def all_at_once(batch: MicroBatch, bodies: list[bytes]) -> list[Outcome]:
    async def one(body: bytes) -> Outcome:
        _, results, place = await batch.score(body)
        return outcomes_of(results)[place]

    return await asyncio.gather(*map(one, bodies))


async def test_concurrent_requests_are_one_batch(scorer: Scorer) -> None:
    """Thirty tasks of one turn cost one call of the model."""
    counting = Counting.of(scorer)
    bodies = [json.dumps(record).encode() for record in real_patients()[:30]]
    await all_at_once(MicroBatch(ModelManager(counting)), bodies)
    assert counting.sizes == [30]


async def test_each_gets_its_own_outcome(scorer: Scorer) -> None:
    """Valid and invalid records together have the outcomes that they have alone."""
    bodies = [json.dumps(record).encode() for record in real_patients()[:20]]
    bodies[3::5] = [flaw(real_patients()[0]) or b"" for flaw in list(FLAWS.values())[:4]]
    assert await all_at_once(MicroBatch(ModelManager(scorer)), bodies) == [
        process([body], [None], scorer)[0] for body in bodies
    ]


async def test_each_is_encoded_as_alone(scorer: Scorer) -> None:
    """Scores are encoded with those of the batch, each to the bytes that it has alone; issues stay as they are."""
    bodies = [json.dumps(record).encode() for record in real_patients()[:20]]
    bodies[3::5] = [flaw(real_patients()[0]) or b"" for flaw in list(FLAWS.values())[:4]]
    batch = MicroBatch(ModelManager(scorer))
    found = await asyncio.gather(*map(batch.score, bodies))
    alone = [results.outcome(place) for _, results, place in found]
    assert [each if isinstance(each, tuple) else encode_score(each) for each in alone] == [each[0] for each in found]


async def test_a_disconnected_client_disturbs_no_other(scorer: Scorer) -> None:
    """A cancelled request does not affect the others of its batch."""
    batch = MicroBatch(ModelManager(scorer))
    body = json.dumps(real_patients()[0]).encode()
    gone, here = batch.score(body), batch.score(body)
    gone.cancel()
    _, results, place = await here
    assert outcomes_of(results)[place : place + 1] == process([body], [None], scorer)


async def test_all_requests_of_a_batch_get_the_models_error(scorer: Scorer) -> None:
    """Each request of the batch gets the error; the next batch is tried again."""

    class Broken(Counting):
        def explain(self, matrix):  # noqa: ARG002  # the core's signature
            raise ValueError

    batch = MicroBatch(ModelManager(Broken.of(scorer)))
    body = json.dumps(real_patients()[0]).encode()
    for _ in range(2):
        found = await asyncio.gather(batch.score(body), batch.score(body), return_exceptions=True)
        assert [type(each) for each in found] == [ArtifactError, ArtifactError]


def test_needs_a_running_loop(scorer: Scorer) -> None:
    """Without an event loop nothing could return the result."""
    with pytest.raises(RuntimeError):
        MicroBatch(ModelManager(scorer)).score(b"{}")
