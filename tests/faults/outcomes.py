"""The consumer of all scores and dead letters (read_committed), and queries of offsets."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, cast

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime.settings import Topics
from schemas.codec import decode_dead_letter, decode_score
from schemas.records import Source
from schemas.topics import DEAD_LETTER_HEADER
from tests.faults.account import Result, Sent

_CALL_SECONDS: Final = 10.0
_BATCH: Final = 5_000
_END_SECONDS: Final = 120.0

Place = tuple[str, int]


class Outcomes:
    """One run's outputs. `results` are in the order in which each output partition holds them.

    `inputs` is how many partitions the input has now.
    """

    def __init__(self, address: str, topics: Topics, partitions: int, group: str) -> None:
        self.results: list[Result] = []
        self.answered: set[Source] = set()
        self._topics = topics
        self._partitions = self.inputs = partitions
        self._reached: dict[Place, int] = {}
        client = {"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False, "log_level": 0}
        self._reader = Consumer({**client, "isolation.level": "read_committed", "enable.partition.eof": True})
        self._reading = False
        self._probe = Consumer({**client, "isolation.level": "read_uncommitted"})

    def close(self) -> None:
        """Close all clients."""
        self._reader.close()
        self._probe.close()

    def written(self) -> int:
        """Return the number of offsets in the output topics, including transaction markers; 0 while unreachable."""
        return sum(self._end(*place) for place in self._places())

    def uncommitted(self, committed: dict[int, int] | None = None) -> int:
        """Return the number of input records that the group has not committed, or had not then."""
        committed = self.committed() if committed is None else committed
        return sum(max(0, end - committed.get(partition, 0)) for partition, end in self.ends().items())

    def readable_ends(self) -> dict[int, int]:
        """Return the readable end of the input by partition: the start of the first open transaction."""
        places = {number: TopicPartition(self._topics.patients, number) for number in range(self.inputs)}
        return {
            number: self._reader.get_watermark_offsets(place, timeout=_CALL_SECONDS)[1]
            for number, place in places.items()
        }

    def ends(self) -> dict[int, int]:
        """Return the end of the input by partition, including records of open transactions."""
        return {partition: self._end(self._topics.patients, partition) for partition in range(self.inputs)}

    def committed(self) -> dict[int, int]:
        """Return the group's committed offsets by partition, without partitions that have none."""
        wanted = [TopicPartition(self._topics.patients, partition) for partition in range(self.inputs)]
        deadline = time.monotonic() + _END_SECONDS
        while True:
            try:
                stored = self._probe.committed(wanted, timeout=_CALL_SECONDS)
            except KafkaException:
                # A restarted broker may still be loading its groups.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
                continue
            return {position.partition: position.offset for position in stored if position.offset >= 0}

    def behind(self, sent: list[Sent]) -> int:
        """Return the number of partitions whose last record the group has not committed."""
        committed, ends = self.committed(), dict[int, int]()
        for record in sent:
            ends[record.source.partition] = max(ends.get(record.source.partition, 0), record.source.offset + 1)
        return sum(committed.get(partition, 0) < end for partition, end in ends.items())

    def read(self, seconds: float) -> None:
        """Read results for about this time."""
        if not self._reading:
            self._reader.assign([TopicPartition(*place, 0) for place in self._places()])
            self._reading = True
        for message in self._reader.consume(_BATCH, seconds):
            self._note(message)

    def read_to_end(self, keep_alive: Callable[[], None] = lambda: None) -> None:
        """Read every output partition to its end, once transactions have ended; raises on a timeout."""
        deadline = time.monotonic() + _END_SECONDS
        ends = {place: self._end(*place) for place in self._places()}
        while any(end > self._reached.get(place, 0) for place, end in ends.items()):
            if time.monotonic() > deadline:
                raise RuntimeError("the results cannot be read to their end: is a transaction still open?")
            self.read(0.2)
            keep_alive()

    def _places(self) -> list[Place]:
        names = (self._topics.scores, self._topics.dead_letters)
        return [(name, partition) for name in names for partition in range(self._partitions)]

    def _end(self, topic: str, partition: int) -> int:
        try:
            marks = self._probe.get_watermark_offsets(TopicPartition(topic, partition), timeout=_CALL_SECONDS)
        except KafkaException:
            return 0
        return marks[1]

    def _note(self, message: Message) -> None:
        topic, partition, offset = str(message.topic()), int(message.partition() or 0), int(message.offset() or 0)
        error = message.error()
        if error is not None:
            if error.code() == KafkaError._PARTITION_EOF:
                self._reached[topic, partition] = offset
            return
        value, faults = message.value(), None
        if topic == self._topics.scores:
            source = decode_score(value or b"").source
        else:
            headers = cast("dict[str, bytes]", dict(message.headers() or []))
            letter = decode_dead_letter(headers[DEAD_LETTER_HEADER])
            source, faults = letter.source, letter.errors
        if source is None:
            raise RuntimeError("a score without a source")
        self._reached[topic, partition] = offset + 1
        written = message.timestamp()[1] / 1000
        self.results.append(Result(topic, partition, source, message.key(), value, faults, written))
        self.answered.add(source)
