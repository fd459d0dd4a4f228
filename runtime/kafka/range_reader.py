"""Read ranges of offsets without joining a group; progress is stored as a group's offsets."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn, Self, TypeVar, cast

import msgspec
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime.kafka.config import standalone_consumer_config
from runtime.kafka.option_check import check_options
from runtime.kafka.unreachable import no_broker
from runtime.settings import Settings
from runtime.waiting import waiting_for
from schemas.errors import DependencyError
from schemas.records import Source

_CALL_SECONDS: Final = 10.0
_STEPS_SECONDS: Final = (1.5, 2.0, 3.0)
"""Timeouts of the first request, in order; the last is used twice."""
_SILENCE_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.2
_BATCH_RECORDS: Final = 500
_UNREACHABLE: Final = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._TIMED_OUT})  # noqa: SLF001
_TRANSIENT: Final = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError._WAIT_COORD,  # noqa: SLF001  # so named
    }
)

T = TypeVar("T")


class AbsentTopicError(DependencyError):
    """The topic does not exist."""


class OffsetRange(msgspec.Struct, frozen=True):
    """The offsets of one partition from `first` to before `end`."""

    first: int
    end: int


class Reader:
    """A consumer that reads given ranges.

    Every method raises DependencyError where the broker does not do its part.
    """

    def __init__(self, servers: str, config: Mapping[str, object]) -> None:
        self._servers = servers
        self._problem = ""
        self._client = Consumer({**config, "error_cb": self._record_problem})

    @classmethod
    @contextmanager
    def open(cls, settings: Settings, group: str = "heartstream-reader") -> Iterator[Self]:
        """Yield a reader on the broker of the settings; raises SettingsError where its options are wrong.

        `group` has the offsets of `committed` and `commit`; reading does not use it.
        """
        if settings.kafka.options:
            check_options(settings)
        own = {
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            # A fetch that waits at the end of one partition delays the next one.
            "fetch.wait.max.ms": 10,
            "log_level": 0,  # problems are reported as errors
        }
        reader = cls(settings.kafka.bootstrap_servers, {**standalone_consumer_config(settings, group), **own})
        try:
            yield reader
        finally:
            reader._client.close()

    def ranges(self, topic: str) -> dict[int, OffsetRange]:
        """Return the current range of each partition of a topic."""
        return {number: self._range(topic, number) for number in self._partitions(topic)}

    def _partitions(self, topic: str) -> list[int]:
        found = self._ask(topic, lambda: self._described(topic))
        if found.error is not None:
            self._raise(found.error, topic)
        return sorted(found.partitions)

    def _described(self, topic: str) -> Any:
        """Request in steps: Ctrl-C works between them."""
        with waiting_for(f"a broker at {self._servers}"):
            for seconds in _STEPS_SECONDS:
                try:
                    return self._client.list_topics(topic, timeout=seconds).topics[topic]
                except KafkaException as failure:
                    if failure.args[0].code() not in _UNREACHABLE:
                        raise
            return self._client.list_topics(topic, timeout=_STEPS_SECONDS[-1]).topics[topic]

    def _range(self, topic: str, number: int) -> OffsetRange:
        partition = TopicPartition(topic, number)
        watermarks = self._ask(topic, lambda: self._client.get_watermark_offsets(partition, timeout=_CALL_SECONDS))
        return OffsetRange(*watermarks)

    def between(self, topic: str, since: int | None, until: int | None) -> dict[int, OffsetRange]:
        """Return each partition's range from one time to before another, in milliseconds since 1970.

        A record's own timestamp decides; the first that is at or after a time begins what is of that time.
        """
        ranges = self.ranges(topic)
        first = {number: offsets.first for number, offsets in ranges.items()} | self._offsets_at(topic, ranges, since)
        end = {number: offsets.end for number, offsets in ranges.items()} | self._offsets_at(topic, ranges, until)
        return {number: OffsetRange(first[number], max(first[number], end[number])) for number in ranges}

    def _offsets_at(self, topic: str, ranges: Mapping[int, OffsetRange], time_ms: int | None) -> dict[int, int]:
        """Return the first offset at or after a time, or a partition's end; empty without a time."""
        if time_ms is None or not ranges:
            return {}
        asked = [TopicPartition(topic, number, time_ms) for number in ranges]
        found = self._ask(topic, lambda: self._without_errors(self._client.offsets_for_times(asked, _CALL_SECONDS)))
        return {each.partition: each.offset if each.offset >= 0 else ranges[each.partition].end for each in found}

    def read(self, topic: str, ranges: Mapping[int, OffsetRange]) -> Iterator[Message]:
        """Yield the committed records of these ranges, one partition after the other, in a fixed order.

        A range ends early where a transaction is still open.
        """
        for number, offsets in sorted(ranges.items()):
            if offsets.first < offsets.end:
                yield from self._read_partition(topic, number, offsets)

    def _read_partition(self, topic: str, number: int, offsets: OffsetRange) -> Iterator[Message]:
        self._assign(TopicPartition(topic, number, offsets.first))
        for message in self._messages(topic):
            if message is None:
                return
            offset = cast("int", message.offset())
            if offset < offsets.end:
                yield message
            if offset >= offsets.end - 1:
                return

    def fetch(self, source: Source) -> Message | None:
        """Return the record at `source`, None if it no longer exists."""
        try:
            if source.partition not in self._partitions(source.topic):
                return None
        except AbsentTopicError:
            return None
        offsets = self._range(source.topic, source.partition)
        if not offsets.first <= source.offset < offsets.end:
            return None
        here = {source.partition: OffsetRange(source.offset, source.offset + 1)}
        return next(self.read(source.topic, here), None)

    def committed(self, topic: str, partitions: Iterable[int]) -> dict[int, tuple[int, str]]:
        """Return the group's committed offset and metadata of each partition that has them."""
        asked = [TopicPartition(topic, number) for number in partitions]
        positions = self._ask(topic, lambda: self._without_errors(self._client.committed(asked, _CALL_SECONDS)))
        return {each.partition: (each.offset, each.metadata or "") for each in positions if each.offset >= 0}

    def commit(self, topic: str, offsets: Mapping[int, tuple[int, str]]) -> None:
        """Commit offsets and metadata of partitions for the group; returns when the broker has stored them."""
        positions = [TopicPartition(topic, number, offset, text) for number, (offset, text) in offsets.items()]
        if positions:
            self._ask(
                topic, lambda: self._without_errors(self._client.commit(offsets=positions, asynchronous=False) or [])
            )

    @staticmethod
    def _without_errors(positions: list[TopicPartition]) -> list[TopicPartition]:
        for position in positions:
            if position.error is not None:
                raise KafkaException(position.error)
        return positions

    def _ask(self, topic: str, call: Callable[[], T]) -> T:
        """Call the broker; retry for a while if it reports that it is not ready yet."""
        deadline = time.monotonic() + _SILENCE_SECONDS
        while True:
            try:
                return call()
            except KafkaException as failure:
                error: KafkaError = failure.args[0]
                if error.code() not in _TRANSIENT or time.monotonic() > deadline:
                    self._raise(error, topic)
            time.sleep(_POLL_SECONDS)

    def _messages(self, topic: str) -> Iterator[Message | None]:
        """Yield the messages of the assigned ranges, and None at the end of each."""
        deadline = time.monotonic() + _SILENCE_SECONDS
        while True:
            first = self._client.poll(_POLL_SECONDS)
            if first is None:
                if time.monotonic() > deadline:
                    raise DependencyError(
                        self._with_problem(f"{topic} was not read to its end: the broker does not respond")
                    )
                continue
            for message in [first, *self._client.consume(_BATCH_RECORDS - 1, 0)]:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  # so named
                    yield None
                elif error.code() != KafkaError.GROUP_AUTHORIZATION_FAILED:
                    # The client looks up the group coordinator on its own, which reading without a group does not need.
                    self._raise(error, topic)
            deadline = time.monotonic() + _SILENCE_SECONDS

    def _assign(self, position: TopicPartition) -> None:
        try:
            self._client.assign([position])
        except KafkaException as failure:
            self._raise(failure.args[0], position.topic)

    def _record_problem(self, error: KafkaError) -> None:
        if error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # so named
            self._problem = error.str()

    def _with_problem(self, text: str) -> str:
        return f"{text} ({self._problem})" if self._problem else text

    def _raise(self, error: KafkaError, topic: str) -> NoReturn:
        """Raise the broker's error."""
        match error.code():
            case KafkaError.UNKNOWN_TOPIC_OR_PART | KafkaError._UNKNOWN_TOPIC:  # noqa: SLF001  # so named
                raise AbsentTopicError(f"there is no topic {topic} at {self._servers}")
            case code if code in _UNREACHABLE:
                self._client.poll(0)  # calls _record_problem
                raise no_broker(self._servers, self._problem)
            case _:
                raise DependencyError(f"{topic}: {error.name()}: {error.str()}")
