"""How far behind each partition is, and whether it moves at all. Runs on the thread that owns the consumer."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP

from runtime import events
from schemas.errors import DependencyError
from worker.transport.ledger import Ledger
from worker.transport.stall import StallWatch

_ASK_SECONDS: Final = 1.0


class LagMeter:
    """Measures the lag of every owned partition, and cures or reports one that stands still."""

    def __init__(self, consumer: Consumer, ledger: Ledger, stall_limit: float) -> None:
        """`stall_limit` is how long, in seconds, a partition may stand still behind its end."""
        self._consumer = consumer
        self._ledger = ledger
        self._stalls = StallWatch(stall_limit)
        self._ends: dict[TP, int] = {}
        self._reached: dict[TP, int] = {}
        self._turns = 0

    def reached_end(self, tp: TP, offset: int) -> None:
        """Note that the client has read a partition up to `offset`, its end then.

        The last offsets may belong to no record (transaction markers, compaction): only this tells that they are done.
        """
        self._reached[tp] = offset

    def forget(self, tps: Iterable[TP]) -> None:
        """Drop partitions that are no longer this worker's."""
        for tp in tps:
            self._stalls.forget(tp)
            self._reached.pop(tp, None)
            if self._ends.pop(tp, None) is not None:
                events.LagForgotten(*tp).emit()

    def measure(self) -> None:
        """Report, for each owned partition, how many records have no confirmed outcome, and see that it moves."""
        progress = self._ledger.progress()
        asked = self._whose_turn(progress)
        for tp, finished_to in progress.items():
            done = self._done_to(tp, finished_to)
            end = max(self._end_of(tp, ask_broker=tp == asked), self._ends.get(tp, -1))
            if done < 0 or end < 0:
                continue
            self._ends[tp] = end
            events.LagMeasured(*tp, max(0, end - done)).emit()
            if self._stalls.stands_still(tp, done, end, time.monotonic()):
                self._answer_stall(tp, done)

    def _done_to(self, tp: TP, finished_to: int | None) -> int:
        """Return the offset up to which nothing is left to do; -1 while that is not known."""
        done = finished_to
        if done is None:
            done = self._consumer.position([TopicPartition(*tp)])[0].offset
        return done if self._ledger.head(tp) is not None else max(done, self._reached.get(tp, -1))

    def _whose_turn(self, progress: Mapping[TP, int | None]) -> TP | None:
        """Choose, in rotation, the partition whose end the broker itself is asked for this time.

        The client learns a partition's end by fetching from it. One that it has stopped to fetch would look as if it
        had come to its end.
        """
        tps = sorted(progress)
        self._turns += 1
        return tps[self._turns % len(tps)] if tps else None

    def _end_of(self, tp: TP, *, ask_broker: bool) -> int:
        """Return the end of a partition, as the client knows it or as the broker says; -1 if neither does."""
        position = TopicPartition(*tp)
        if ask_broker:
            with contextlib.suppress(KafkaException):
                return _high(self._consumer.get_watermark_offsets(position, timeout=_ASK_SECONDS))
        return _high(self._consumer.get_watermark_offsets(position, cached=True))

    def _answer_stall(self, tp: TP, done: int) -> None:
        """Cure a partition that stands still by fetching it anew, once; then give up.

        While any batch is on its way to the broker, others may have to wait: its delivery times out by itself. Nor is
        it a stall if the broker does not answer, or if a transaction of the producer's is still open.
        """
        if self._ledger.any_started():
            self._stalls.excuse(tp, time.monotonic())
            return
        try:
            end = _high(self._consumer.get_watermark_offsets(TopicPartition(*tp), timeout=_ASK_SECONDS))
        except KafkaException:
            # The broker is the trouble: ask again when the limit is over, not once for each partition.
            for owned in self._ledger.owned():
                self._stalls.excuse(owned, time.monotonic())
            return
        if done >= end:
            self._stalls.excuse(tp, time.monotonic())
            return
        if self._ledger.head(tp) is not None or not self._stalls.try_cure(tp, time.monotonic()):
            raise DependencyError(f"partition {tp.partition} of {tp.topic} stands still though the broker answers")
        events.PartitionStalled(*tp).emit()
        position = TopicPartition(*tp, done)
        self._consumer.resume([position])
        self._consumer.seek(position)


def _high(watermarks: tuple[int, int] | None) -> int:
    """Return the end of a partition from its watermarks, -1 where they are not known."""
    return -1 if watermarks is None else watermarks[1]
