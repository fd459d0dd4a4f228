"""Measures the lag of each partition, and detects stalled ones. Runs on the consumer thread."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP

from runtime import events
from schemas.errors import DependencyError
from worker.kafka.ledger import Ledger
from worker.kafka.stall_detector import StallDetector

_ASK_SECONDS: Final = 1.0
_ASK_AGAIN_SECONDS: Final = 5.0
"""After an unanswered request: each blocks the consumer thread for a second."""
_GAP_SECONDS: Final = 10.0
"""A longer gap between measurements means that this thread was blocked, or the process suspended."""
SILENT_SECONDS: Final = 30.0
"""A broker that has not answered for this long is unreachable."""


class PartitionLag(msgspec.Struct, frozen=True):
    """A partition with a lag of `records`: all records before offset `done` have a confirmed result.

    `seen_since` is since when the record at `done` is known to exist; `unchanged_since` since when the partition has
    been at `done` although the broker answers and it is read. Both are in monotonic seconds.
    """

    done: int
    records: int
    seen_since: float
    unchanged_since: float


class LagMeter:
    """Measures the lag of all owned partitions, and restarts or reports stalled ones.

    `lagging` has the partitions with lag, as last measured; `answered_at` is when a broker last answered (None: not
    yet), and `unfinished_since` since when batches have been in flight without one finishing (None: there are none),
    both in monotonic seconds. Other threads may read all three: they are replaced, never changed.
    """

    def __init__(self, consumer: Consumer, ledger: Ledger, stall_limit: float) -> None:
        """`stall_limit`: seconds for which a partition with lag may make no progress."""
        self._consumer = consumer
        self._ledger = ledger
        self._stall_detector = StallDetector(stall_limit)
        self._ends: dict[TP, int] = {}
        self._shown: set[TP] = set()
        self._done: Mapping[TP, int] = {}
        self._begun: dict[TP, int] = {}
        self._queries = 0
        self._ask_at = 0.0
        self._measured_at = self._watched_at = time.monotonic()
        self._unwatched = 0
        self._is_dry = False
        self.lagging: Mapping[TP, PartitionLag] = {}
        self.answered_at: float | None = None
        self.unfinished_since: float | None = None
        self._finished: Mapping[TP, int | None] = {}

    def silence(self, now: float) -> float:
        """Return for how many seconds no broker has answered; infinite before the first answer."""
        return math.inf if self.answered_at is None else now - self.answered_at

    def begin(self, positions: Iterable[TopicPartition]) -> None:
        """Add partitions with the offsets where reading starts, or OFFSET_BEGINNING."""
        self._begun.update({TP(position.topic, position.partition): position.offset for position in positions})

    def ran_dry(self) -> None:
        """Record that all fetched records have been read."""
        self._is_dry = True

    def forget(self, tps: Iterable[TP]) -> None:
        """Forget partitions that are no longer owned."""
        gone = set(tps)
        self.lagging = {tp: lag for tp, lag in self.lagging.items() if tp not in gone}
        for tp in gone:
            self._stall_detector.forget(tp)
            self._begun.pop(tp, None)
            self._ends.pop(tp, None)
            if tp in self._shown:
                self._shown.remove(tp)
                events.LagForgotten(*tp).emit()

    def measure(self, topic: str, *, is_paused: bool = False) -> None:
        """Report, for each owned partition, the number and age of the records without a confirmed result.

        `topic` is queried if there is no partition to query. `is_paused`: reading is paused for commits, so no
        partition is expected to progress.
        """
        progress = self._ledger.progress()
        asked = self._partition_to_query(progress)
        if not progress:
            self._ask_for_topic(topic)
        all_lags: dict[TP, PartitionLag] = {}
        all_done: dict[TP, int] = {}
        ends = self._ledger.ends()
        for tp, finished_to in progress.items():
            low, end = self._bounds(tp, ends.get(tp), ask_broker=tp == asked)
            done = self._done_to(tp, finished_to, low)
            if done < 0 or end < 0:
                continue
            all_done[tp] = done
            if end > done:
                all_lags[tp] = self._lag_of(tp, done, end, is_paused=is_paused)
            self._report(tp, all_lags.get(tp))
        self.lagging, self._done = all_lags, all_done
        self._measured_at = time.monotonic()
        self._unwatched += 1
        self._report_in_flight(progress)

    def restart_stalled(self) -> None:
        """Check that each partition with lag progresses; called all the time, except while reading is paused.

        Time counts only after the partition's turn has passed, while a broker answers, and this thread was not blocked.
        """
        if not self._unwatched:
            return
        now, was_paused = time.monotonic(), self._unwatched > 1
        seconds = now - self._watched_at
        counts = seconds <= _GAP_SECONDS and self._broker_answers(now)
        is_dry = self._is_dry and not was_paused
        self._unwatched, self._watched_at, self._is_dry = 0, now, False
        for tp in self._ledger.owned() - self.lagging.keys():
            self._stall_detector.forget(tp)
        for tp, lag in self.lagging.items():
            if self._stall_detector.has_moved(tp, self._done) or not (
                counts and self._should_have_progressed(tp, is_dry, was_paused)
            ):
                continue
            if self._stall_detector.is_stalled(tp, seconds):
                self._handle_stall(tp, lag.done)

    def _should_have_progressed(self, tp: TP, is_dry: bool, was_paused: bool) -> bool:  # noqa: FBT001  # two facts, no ways to act
        """Whether a healthy partition would have progressed since the last check.

        What is read first is scored and confirmed first. So a batch's turn has passed when a later one is finished, or
        when none is in flight: deliveries time out by themselves. The turn of unread records has passed when all
        fetched records have been read, or more of another partition than can have been fetched before them.
        """
        if self._ledger.oldest(tp) is not None:
            return self._ledger.is_overtaken(tp) or not (was_paused or self._ledger.any_started())
        return is_dry or self._stall_detector.is_passed(tp, self._done)

    def _report(self, tp: TP, lag: PartitionLag | None) -> None:
        """Report the lag of a partition. The age of its oldest record is exact once the record is read.

        Before that it is a lower bound: since when the record is known to exist.
        """
        self._shown.add(tp)
        if lag is None:
            events.LagMeasured(*tp, 0, 0.0).emit()
            return
        batch = self._ledger.oldest(tp)
        oldest = batch.oldest() if batch is not None else None
        age = time.monotonic() - lag.seen_since if oldest is None else time.time() - oldest
        events.LagMeasured(*tp, lag.records, max(0.0, age)).emit()

    def _report_in_flight(self, progress: Mapping[TP, int | None]) -> None:
        """Report the batches in flight, and since when none of them has finished."""
        batches, records = self._ledger.in_flight()
        events.InFlightMeasured(batches, records).emit()
        if not batches:
            self.unfinished_since = None
        elif self.unfinished_since is None or progress != self._finished:
            self.unfinished_since = time.monotonic()
        self._finished = progress

    def _lag_of(self, tp: TP, done: int, end: int, *, is_paused: bool) -> PartitionLag:
        """Return the lag of a partition, and since when it has made no progress."""
        now, before = time.monotonic(), self.lagging.get(tp)
        if before is None or before.done != done:
            return PartitionLag(done, end - done, now, now)
        counts = not is_paused and self._broker_answers(now) and now - self._measured_at <= _GAP_SECONDS
        return PartitionLag(done, end - done, before.seen_since, before.unchanged_since if counts else now)

    def _broker_answers(self, now: float) -> bool:
        """Whether a broker has answered recently, given how often it is queried."""
        return self.answered_at is not None and now - self.answered_at < _ASK_AGAIN_SECONDS + 2 * _ASK_SECONDS

    def _done_to(self, tp: TP, finished_to: int | None, low: int) -> int:
        """Return the offset up to which the partition is done; -1 if unknown."""
        batch = self._ledger.oldest(tp)
        if finished_to is not None and batch is not None:
            return finished_to
        if batch is not None:
            return batch.first_offset()
        begun = self._begun.get(tp, -1)
        return max(finished_to or -1, begun if begun >= 0 else low)

    def _partition_to_query(self, progress: Mapping[TP, int | None]) -> TP | None:
        """Choose, in rotation, the partition whose end offset to query from the broker this time.

        The client learns a partition's end by fetching, so one that it has stopped fetching would look fully read. A
        partition that progresses need not be queried, and shows that a broker answers. Each query blocks the consumer
        thread until the response.
        """
        quiet = sorted(tp for tp, finished_to in progress.items() if finished_to == self._finished.get(tp))
        if any(tp in self._finished for tp in progress.keys() - set(quiet)):
            self._record_answer()
        self._queries += 1
        return quiet[self._queries % len(quiet)] if quiet else None

    def _bounds(self, tp: TP, reached: int | None, *, ask_broker: bool) -> tuple[int, int]:
        """Return the first offset of a partition and the end of what can be read; -1 if unknown.

        `reached` is the end up to which the client has read. The client's cached end is used only without it, as that
        includes records of open transactions, which a consumer of committed records does not get.
        """
        if ask_broker and time.monotonic() >= self._ask_at:
            answer = self._ask_for_watermarks(tp)
            if answer is not None:
                self._ends[tp] = answer[1]
                return answer
        low, high = _known(self._consumer.get_watermark_offsets(TopicPartition(*tp), cached=True))
        return low, max(high if reached is None else reached, self._ends.get(tp, -1))

    def _ask_for_watermarks(self, tp: TP) -> tuple[int, int] | None:
        """Query the first offset of a partition and the end of what can be read; None without an answer."""
        try:
            watermarks = self._consumer.get_watermark_offsets(TopicPartition(*tp), timeout=_ASK_SECONDS)
        except KafkaException:
            self._record_silence()
            return None
        self._record_answer()
        return _known(watermarks)

    def _ask_for_topic(self, topic: str) -> None:
        """Query the topic, to check that the broker answers."""
        if time.monotonic() < self._ask_at:
            return
        try:
            self._consumer.list_topics(topic, timeout=_ASK_SECONDS)
        except KafkaException:
            self._record_silence()
        else:
            self._record_answer()

    def _record_answer(self) -> None:
        self.answered_at = time.monotonic()
        events.BrokerAnswered(time.time()).emit()

    def _record_silence(self) -> None:
        self._ask_at = time.monotonic() + _ASK_AGAIN_SECONDS

    def _handle_stall(self, tp: TP, done: int) -> None:
        """Restart fetching a stalled partition, once; raise DependencyError the second time.

        It is not stalled if its broker does not answer, or if a producer's transaction is still open.
        """
        watermarks = self._ask_for_watermarks(tp)
        if watermarks is None:
            # The broker is the cause: query again after the limit, not once for each partition.
            for owned in self._ledger.owned():
                self._stall_detector.reset(owned)
            return
        if done >= watermarks[1]:
            self._stall_detector.reset(tp)
            return
        if self._ledger.oldest(tp) is not None or not self._stall_detector.try_restart(tp, self._done):
            raise DependencyError(f"partition {tp.partition} of {tp.topic} is stalled although the broker answers")
        events.PartitionStalled(*tp).emit()
        position = TopicPartition(*tp, done)
        self._consumer.resume([position])
        self._consumer.seek(position)


def _known(watermarks: tuple[int, int] | None) -> tuple[int, int]:
    """Return the first and end offsets of a partition, -1 if unknown."""
    return (-1, -1) if watermarks is None else watermarks
