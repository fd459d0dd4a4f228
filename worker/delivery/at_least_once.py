"""At-least-once delivery: a flush is confirmed once the broker has all of its records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from worker.kafka.outgoing_record import OutgoingRecord
from worker.kafka.producer import LibrdkafkaProducer
from worker.output_topics import OutputTopics, query_limits, queue_results
from worker.scored_batch import ScoredBatch
from worker.substitutes import NO_SUBSTITUTES, Substitutes, small_groups, smaller_batches, with_headers


class AtLeastOnce:
    """A flush is confirmed when the broker has all of its records. After a crash, records are scored again."""

    linger = 0.02
    """Under a steady load, something is always unconfirmed: a flush then ends with a short wait for the broker."""

    def __init__(
        self,
        producer: Callable[[], LibrdkafkaProducer],
        topic: str,
        output_topics: OutputTopics | None = None,
        substitutes: Substitutes = NO_SUBSTITUTES,
    ) -> None:
        """`producer` returns the producer, which Faust creates at start; `topic` is the scores topic."""
        self._producer = producer
        self._topic = topic
        self._output_topics = output_topics
        self._substitutes = substitutes

    async def open(self) -> None:
        """Query the output topics before anything is sent."""
        await query_limits(self._output_topics, self._producer())

    async def idle(self) -> None:
        """Nothing to do: the consumer commits."""

    async def add(self, scored_batch: ScoredBatch) -> None:
        """Queue scores, then dead letters."""
        await queue_results(self._producer(), self._topic, scored_batch, self._output_topics)

    def accepts_more(self) -> bool:
        """Accept more as long as something is unconfirmed, since the flush waits for that anyway."""
        return self._producer().in_flight > 0

    async def close(self, scored_batches: Sequence[ScoredBatch]) -> Sequence[ScoredBatch]:
        """Wait for confirmation; resend or replace what the broker refused."""
        refused = with_headers(await self._producer().await_deliveries(), scored_batches)
        while (size := smaller_batches(refused, self._producer().batch_bytes)) is not None:
            await self._producer().limit_batches(size)
            refused = with_headers(await self._send(refused), scored_batches)
        for group in small_groups(refused):
            await self._send_carefully(group, scored_batches)
        return scored_batches

    async def _send_carefully(self, records: Sequence[OutgoingRecord], scored_batches: Sequence[ScoredBatch]) -> None:
        refused = await self._send(records)
        if len(records) > 1:
            for record in refused:
                await self._send_carefully([record], scored_batches)
        elif refused and (substitute := self._substitutes.of(refused[0], scored_batches)) is not None:
            await self._send_carefully([substitute], scored_batches)

    async def _send(self, records: Sequence[OutgoingRecord]) -> list[OutgoingRecord]:
        """Send records; return those that the broker refused."""
        for record in records:
            await self._producer().queue_record(record)
        return await self._producer().await_deliveries()
