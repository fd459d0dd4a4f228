"""How far behind each partition is, and whether it moves at all. Runs on the thread that owns the consumer."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec
from confluent_kafka import Consumer, KafkaException, TopicPartition
from faust.types import TP

from runtime import events
from schemas.errors import DependencyError
from worker.transport.ledger import Ledger
from worker.transport.stall import StallWatch

_ASK_SECONDS: Final = 1.0
_ASK_AGAIN_SECONDS: Final = 5.0
"""After a question without an answer: each costs the consumer's thread a second."""
_GAP_SECONDS: Final = 10.0
"""Between two measurements: more than that, and this thread itself was held up, or the whole process suspended."""
SILENT_SECONDS: Final = 30.0
"""A broker that has not answered for this long is out of reach."""


class Behind(msgspec.Struct, frozen=True):
    """A partition that is behind its end by `records`: all before offset `done` have a confirmed outcome.

    `seen` is since when the record at `done` is known to be there; `still` since when the partition stands at `done`
    though the broker answers and it is read. Both are in monotonic seconds.
    """

    done: int
    records: int
    seen: float
    still: float


class LagMeter:
    """Measures the lag of every owned partition, and cures or reports one that stands still.

    `behind` holds the partitions with lag, as they were last measured; `answered_at` is when a broker last answered
    (None: not yet), and `held_since` since when batches are outstanding without any being finished (None: there are
    none), both in monotonic seconds. Other threads may read all three: they are replaced, never changed.
    """

    def __init__(self, consumer: Consumer, ledger: Ledger, stall_limit: float) -> None:
        """`stall_limit` is how long, in seconds, a partition may stand still behind its end."""
        self._consumer = consumer
        self._ledger = ledger
        self._stalls = StallWatch(stall_limit)
        self._ends: dict[TP, int] = {}
        self._shown: set[TP] = set()
        self._done: Mapping[TP, int] = {}
        self._begun: dict[TP, int] = {}
        self._turns = 0
        self._ask_at = 0.0
        self._measured_at = self._watched_at = time.monotonic()
        self._unwatched = 0
        self._is_dry = False
        self.behind: Mapping[TP, Behind] = {}
        self.answered_at: float | None = None
        self.held_since: float | None = None
        self._finished: Mapping[TP, int | None] = {}

    def begin(self, positions: Iterable[TopicPartition]) -> None:
        """Take up partitions, each where reading begins: an offset, or OFFSET_BEGINNING."""
        self._begun.update({TP(position.topic, position.partition): position.offset for position in positions})

    def ran_dry(self) -> None:
        """Note that all that the client had fetched has been read."""
        self._is_dry = True

    def forget(self, tps: Iterable[TP]) -> None:
        """Drop partitions that are no longer this worker's."""
        gone = set(tps)
        self.behind = {tp: behind for tp, behind in self.behind.items() if tp not in gone}
        for tp in gone:
            self._stalls.forget(tp)
            self._begun.pop(tp, None)
            self._ends.pop(tp, None)
            if tp in self._shown:
                self._shown.remove(tp)
                events.LagForgotten(*tp).emit()

    def measure(self, topic: str, *, held: bool = False) -> None:
        """Report, for each owned partition, how many records have no confirmed outcome, and how old they are.

        `topic` is what the worker reads: with no partition to ask for, the broker is asked for the topic itself. `held`
        says that reading waits for commits: no partition has to move meanwhile.
        """
        progress = self._ledger.progress()
        asked = self._whose_turn(progress)
        if not progress:
            self._ask_for_topic(topic)
        all_behind: dict[TP, Behind] = {}
        all_done: dict[TP, int] = {}
        ends = self._ledger.ends()
        for tp, finished_to in progress.items():
            low, end = self._bounds(tp, ends.get(tp), ask_broker=tp == asked)
            done = self._done_to(tp, finished_to, low)
            if done < 0 or end < 0:
                continue
            all_done[tp] = done
            if end > done:
                all_behind[tp] = self._still_behind(tp, done, end, held=held)
            self._tell(tp, all_behind.get(tp))
        self.behind, self._done = all_behind, all_done
        self._measured_at = time.monotonic()
        self._unwatched += 1
        self._tell_outstanding(progress)

    def cure_stalls(self) -> None:
        """See that each partition which is behind moves; called all the time, but not while reading is held back.

        Only time counts in which the partition had its turn, a broker answered, and this thread was not held up.
        """
        if not self._unwatched:
            return
        now, was_held = time.monotonic(), self._unwatched > 1
        seconds = now - self._watched_at
        counts = seconds <= _GAP_SECONDS and self._answers(now)
        is_dry = self._is_dry and not was_held
        self._unwatched, self._watched_at, self._is_dry = 0, now, False
        for tp in self._ledger.owned() - self.behind.keys():
            self._stalls.forget(tp)
        for tp, behind in self.behind.items():
            if self._stalls.has_moved(tp, self._done) or not (counts and self._had_its_turn(tp, is_dry, was_held)):
                continue
            if self._stalls.stands_still(tp, seconds):
                self._answer_stall(tp, behind.done)

    def _had_its_turn(self, tp: TP, is_dry: bool, was_held: bool) -> bool:  # noqa: FBT001  # two facts, no ways to act
        """Say whether a partition would have moved since the last look, were all well with it.

        What is read first is scored and confirmed first. So a batch had its turn when a later one is finished, or when
        none is on its way to the broker: there, delivery times out by itself. Records that are not read yet had their
        turn when the client ran dry, or has brought more of another partition than it can have fetched before them.
        """
        if self._ledger.oldest(tp) is not None:
            return self._ledger.is_passed_over(tp) or not (was_held or self._ledger.any_started())
        return is_dry or self._stalls.is_passed(tp, self._done)

    def _tell(self, tp: TP, behind: Behind | None) -> None:
        """Report the lag of a partition. Its oldest record's age is its own, once it is read; before, it is a guess.

        That guess, since when the record is known to be there, is never too high.
        """
        self._shown.add(tp)
        if behind is None:
            events.LagMeasured(*tp, 0, 0.0).emit()
            return
        batch = self._ledger.oldest(tp)
        oldest = batch.oldest() if batch is not None else None
        age = time.monotonic() - behind.seen if oldest is None else time.time() - oldest
        events.LagMeasured(*tp, behind.records, max(0.0, age)).emit()

    def _tell_outstanding(self, progress: Mapping[TP, int | None]) -> None:
        """Report what is outstanding, and note since when nothing of it gets finished."""
        batches, records = self._ledger.outstanding()
        events.InFlightMeasured(batches, records).emit()
        if not batches:
            self.held_since = None
        elif self.held_since is None or progress != self._finished:
            self.held_since = time.monotonic()
        self._finished = progress

    def _still_behind(self, tp: TP, done: int, end: int, *, held: bool) -> Behind:
        """Return how a partition is behind, and since when it stands there."""
        now, before = time.monotonic(), self.behind.get(tp)
        if before is None or before.done != done:
            return Behind(done, end - done, now, now)
        counts = not held and self._answers(now) and now - self._measured_at <= _GAP_SECONDS
        return Behind(done, end - done, before.seen, before.still if counts else now)

    def _answers(self, now: float) -> bool:
        """Say whether a broker has answered lately, as often as it is asked."""
        return self.answered_at is not None and now - self.answered_at < _ASK_AGAIN_SECONDS + 2 * _ASK_SECONDS

    def _done_to(self, tp: TP, finished_to: int | None, low: int) -> int:
        """Return the offset up to which nothing is left to do; -1 while that is not known."""
        batch = self._ledger.oldest(tp)
        if finished_to is not None and batch is not None:
            return finished_to
        if batch is not None:
            return batch.first_offset()
        begun = self._begun.get(tp, -1)
        return max(finished_to or -1, begun if begun >= 0 else low)

    def _whose_turn(self, progress: Mapping[TP, int | None]) -> TP | None:
        """Choose, in rotation, the partition whose end the broker itself is asked for this time.

        The client learns a partition's end by fetching from it. One that it has stopped to fetch would look as if it
        had come to its end. One that moves needs no question, and proves that a broker answers: it confirmed results.
        A question holds the consumer's thread up for as long as the answer takes.
        """
        quiet = sorted(tp for tp, finished_to in progress.items() if finished_to == self._finished.get(tp))
        if any(tp in self._finished for tp in progress.keys() - set(quiet)):
            self._note_answer()
        self._turns += 1
        return quiet[self._turns % len(quiet)] if quiet else None

    def _bounds(self, tp: TP, reached: int | None, *, ask_broker: bool) -> tuple[int, int]:
        """Return where a partition begins, and where what can be read of it ends; -1 where that is not known.

        `reached` is the end that the client has read up to. What the client remembers as the end counts only before
        that, as it includes records whose transaction is still open: no consumer of committed records gets those.
        """
        if ask_broker and time.monotonic() >= self._ask_at:
            answer = self._ask_for_watermarks(tp)
            if answer is not None:
                self._ends[tp] = answer[1]
                return answer
        low, high = _known(self._consumer.get_watermark_offsets(TopicPartition(*tp), cached=True))
        return low, max(high if reached is None else reached, self._ends.get(tp, -1))

    def _ask_for_watermarks(self, tp: TP) -> tuple[int, int] | None:
        """Ask the broker where a partition begins and what can be read of it ends; None if it does not answer."""
        try:
            watermarks = self._consumer.get_watermark_offsets(TopicPartition(*tp), timeout=_ASK_SECONDS)
        except KafkaException:
            self._note_silence()
            return None
        self._note_answer()
        return _known(watermarks)

    def _ask_for_topic(self, topic: str) -> None:
        """Ask the broker for a topic, to see that it answers."""
        if time.monotonic() < self._ask_at:
            return
        try:
            self._consumer.list_topics(topic, timeout=_ASK_SECONDS)
        except KafkaException:
            self._note_silence()
        else:
            self._note_answer()

    def _note_answer(self) -> None:
        self.answered_at = time.monotonic()
        events.BrokerAnswered(time.time()).emit()

    def _note_silence(self) -> None:
        self._ask_at = time.monotonic() + _ASK_AGAIN_SECONDS

    def _answer_stall(self, tp: TP, done: int) -> None:
        """Cure a partition that stands still by fetching it anew, once; then give up.

        It is no stall if the partition's broker does not answer, or if a transaction of the producer's is still open.
        """
        watermarks = self._ask_for_watermarks(tp)
        if watermarks is None:
            # The broker is the trouble: ask again when the limit is over, not once for each partition.
            for owned in self._ledger.owned():
                self._stalls.excuse(owned)
            return
        if done >= watermarks[1]:
            self._stalls.excuse(tp)
            return
        if self._ledger.oldest(tp) is not None or not self._stalls.try_cure(tp, self._done):
            raise DependencyError(f"partition {tp.partition} of {tp.topic} stands still though the broker answers")
        events.PartitionStalled(*tp).emit()
        position = TopicPartition(*tp, done)
        self._consumer.resume([position])
        self._consumer.seek(position)


def _known(watermarks: tuple[int, int] | None) -> tuple[int, int]:
    """Return the begin and end of a partition, -1 where they are not known."""
    return (-1, -1) if watermarks is None else watermarks
