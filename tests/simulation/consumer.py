"""The fake `confluent_kafka.Consumer`: a group member in the background, with callbacks only in `poll`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Final

from confluent_kafka import OFFSET_BEGINNING, KafkaError, TopicPartition

from tests.simulation.clients import CLUSTER_ID, error_of, failure, positions
from tests.simulation.logs import FakeMessage
from tests.simulation.membership import NO_MEMBER, STEADY, Member, Place
from tests.simulation.network import GROUP, INPUT, OFFSET_COMMIT, Request

_COMMIT_SECONDS: Final = 5.0
_FETCHED: Final = 6


class _Fetch:
    """The fetch position and the delivered position of a partition. Data fetched under an old `version` is outdated."""

    __slots__ = ("eof_at", "high", "is_paused", "position", "queued", "request", "taken", "version")

    def __init__(self, position: int) -> None:
        self.position = self.taken = position
        self.version = self.queued = 0
        self.eof_at = self.high = -1
        self.is_paused = False
        self.request: Request | None = None


class FakeConsumer(Member):
    """Obeys the laws of librdkafka's consumer."""

    def __init__(self, config: Mapping[str, Any], **options: object) -> None:
        super().__init__(config, **options)
        self._fetches: dict[Place, _Fetch] = {}
        self._paused: set[Place] = set()

    def assignment(self) -> list[TopicPartition]:
        return [TopicPartition(*tp) for tp in sorted(self._fetches)]

    def _drop(self, partitions: frozenset[Place]) -> None:
        for tp in partitions:
            if (fetch := self._fetches.pop(tp, None)) is not None and fetch.request is not None:
                fetch.request.give_up()

    def incremental_assign(self, partitions: Sequence[TopicPartition]) -> None:
        for each in partitions:
            tp = each.topic, each.partition
            if tp in self._owned:
                self._fetches[tp] = fetch = _Fetch(0 if each.offset == OFFSET_BEGINNING else each.offset)
                fetch.is_paused = tp in self._paused
                self._fetch(tp)

    def _fetch(self, tp: Place) -> None:
        fetch = self._fetches.get(tp)
        if fetch is None or fetch.is_paused or fetch.request is not None or fetch.queued >= _FETCHED:
            return
        log, position, eof_at, high = self.cluster.topics.logs[tp], fetch.position, fetch.eof_at, fetch.high
        limit = 1 + int(self.scheduler.rng.random() * _FETCHED)

        def handle(answer: Callable[[Any], None]) -> None:
            records, end = log.read(position, limit)
            is_end = end == log.stable_end()
            if records or end != position or high != len(log.entries) or (is_end and eof_at != end):
                answer((records, end, is_end, len(log.entries)))
            else:
                log.parked.append(lambda: handle(answer))

        version = fetch.version
        fetch.request = self.send(INPUT, "fetch", handle, lambda answer: self._fetched(tp, fetch, version, answer))

    def _fetched(self, tp: Place, fetch: _Fetch, version: int, answer: Any) -> None:
        if self._fetches.get(tp) is not fetch or fetch.version != version:
            return
        fetch.request = None
        records, fetch.position, is_end, fetch.high = answer
        for offset, entry in records:
            fetch.queued += 1
            self._queue.append((tp, version, FakeMessage(*tp, offset, entry)))
        if is_end and fetch.eof_at != fetch.position:
            fetch.eof_at = fetch.position
            end = FakeMessage(*tp, fetch.position, None, KafkaError(KafkaError._PARTITION_EOF))
            self._queue.append((tp, version, end))
        self.notify()
        self._fetch(tp)

    def poll(self, timeout: float) -> FakeMessage | None:
        deadline = self.scheduler.now + timeout
        while True:
            while self._queue:
                entry = self._queue.popleft()
                if callable(entry):
                    entry()
                elif (message := self._hand_out(*entry)) is not None:
                    return message
            if not self.wait(lambda: bool(self._queue), deadline - self.scheduler.now):
                return None

    def _hand_out(self, tp: Place, version: int, message: FakeMessage) -> FakeMessage | None:
        fetch = self._fetches.get(tp)
        if fetch is None or fetch.version != version:
            return None
        if message.error() is None:
            fetch.queued -= 1
            fetch.taken = message.offset() + 1
            self._fetch(tp)
        return message

    def consume(self, count: int, timeout: float) -> list[FakeMessage]:
        messages: list[FakeMessage] = []
        while len(messages) < count and (message := self.poll(timeout)) is not None:
            messages.append(message)
        return messages

    def _move(self, tp: Place, position: int) -> None:
        fetch = self._fetches[tp]
        if fetch.request is not None:
            fetch.request.give_up()
        fetch.version, fetch.queued, fetch.request, fetch.eof_at = fetch.version + 1, 0, None, -1
        fetch.position = fetch.taken = position
        self._fetch(tp)

    def pause(self, partitions: Sequence[TopicPartition]) -> None:
        for tp in ((each.topic, each.partition) for each in partitions):
            self._paused.add(tp)
            if (fetch := self._fetches.get(tp)) is not None and not fetch.is_paused:
                fetch.is_paused = True
                self._move(tp, fetch.taken)

    def resume(self, partitions: Sequence[TopicPartition]) -> None:
        for tp in ((each.topic, each.partition) for each in partitions):
            self._paused.discard(tp)
            if (fetch := self._fetches.get(tp)) is not None:
                fetch.is_paused = False
                self._fetch(tp)

    def seek(self, position: TopicPartition) -> None:
        self._move((position.topic, position.partition), position.offset)

    # Queries and commits.

    def commit(self, offsets: Sequence[TopicPartition], *, asynchronous: bool) -> list[TopicPartition] | None:
        group, member, generation = self.cluster.group, self._member, self._generation
        wanted = {(each.topic, each.partition): (each.offset, str(each.metadata or "")) for each in offsets}
        codes: list[int] = []

        def end(code: int) -> None:
            if codes:
                return
            codes.append(code)
            request.give_up()
            if code in NO_MEMBER and self._state == STEADY and (member, generation) == (self._member, self._generation):
                self._lose(code)
            if asynchronous:
                self._call(lambda: self.config["on_commit"](error_of(code) if code else None, list(offsets)))
            else:
                self.notify()

        request = self.send(GROUP, OFFSET_COMMIT, lambda answer: answer(group.commit(member, generation, wanted)), end)
        self.process.later(_COMMIT_SECONDS, lambda: end(int(KafkaError._TIMED_OUT)))
        if asynchronous:
            return None
        self.wait(lambda: bool(codes), 2 * _COMMIT_SECONDS)
        if codes != [0]:
            raise failure(codes[0])
        return list(offsets)

    def committed(self, partitions: Sequence[TopicPartition], timeout: float) -> list[TopicPartition]:
        tps, group = [(each.topic, each.partition) for each in partitions], self.cluster.group
        must_be_stable = self.config.get("isolation.level", "read_committed") == "read_committed"

        def read() -> Any:
            return None if must_be_stable and group.unstable(tps) else group.read(tps)

        return positions(tps, self.ask(GROUP, "offsets", read, timeout))

    def get_watermark_offsets(
        self, partition: TopicPartition, timeout: float = 1.0, *, cached: bool = False
    ) -> tuple[int, int]:
        tp = partition.topic, partition.partition
        if cached:
            fetch = self._fetches.get(tp)
            return (0, fetch.high) if fetch is not None and fetch.high >= 0 else (-1001, -1001)
        return (0, self.ask(INPUT, "watermarks", lambda: (self.cluster.topics.logs[tp].stable_end(),), timeout)[0])

    def list_topics(self, topic: str, timeout: float) -> Any:  # noqa: ARG002
        return self.ask(INPUT, "metadata", lambda: SimpleNamespace(cluster_id=CLUSTER_ID), timeout)
