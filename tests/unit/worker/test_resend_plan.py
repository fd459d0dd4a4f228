"""A retried transaction replaces each rejected score once."""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import KafkaError

from tests.unit.worker.ledgers import enter, granted
from worker.kafka.outgoing_record import OutgoingRecord
from worker.resend_plan import ResendPlan
from worker.scored_batch import ScoredBatch
from worker.substitutes import Substitutes

BATCH_BYTES = 16_384
LARGE, MEDIUM, SMALL = b"l" * 300, b"m" * 200, b"s" * 100


class RecordingSubstitutes(Substitutes):
    """Records which scores it replaces."""

    def __init__(self) -> None:
        super().__init__("scores", "dead-letters", lambda: None)
        self.replaced: list[bytes | None] = []

    def of(self, record: OutgoingRecord, _scored_batches: Iterable[ScoredBatch]) -> OutgoingRecord:
        self.replaced.append(record.value)
        return OutgoingRecord("dead-letters", record.key, b"", ())


def rejected(score: bytes) -> OutgoingRecord:
    """Return a score that the broker rejected as too large."""
    record = OutgoingRecord("scores", b"", score, ())
    record.is_result, record.refusal = True, KafkaError.MSG_SIZE_TOO_LARGE
    return record


def test_a_score_is_replaced_and_counted_once() -> None:
    """Also if a later rejection lowers the limit: what was replaced stays replaced, and its letter is the same."""
    substitutes = RecordingSubstitutes()
    plan = ResendPlan(substitutes)
    scores = [LARGE, MEDIUM, SMALL]
    scored = ScoredBatch(enter(granted(), 0), [b""] * 3, scores, [], (), 3, 0.0)
    plan.bulk(scored)
    sent = []
    for score in (LARGE, MEDIUM):
        record = rejected(score)
        plan.add_refused([record], [record], BATCH_BYTES)
        sent.append(plan.bulk(scored))
    assert substitutes.replaced == [LARGE, MEDIUM]
    assert [each.scores for each in sent] == [[MEDIUM, SMALL], [SMALL]]
    assert sent[1].letters[0] is sent[0].letters[0]
