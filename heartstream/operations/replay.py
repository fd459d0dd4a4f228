"""`heartstream replay`: scores past records again, and sends the scores to a separate topic."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec
from confluent_kafka import KafkaError, Message, Producer

from heartstream.operations.dlq.filters import RecordRange
from heartstream.terminal.progress import ProgressCounter
from heartstream.terminal.signals import deferred_interrupts
from runtime.kafka.config import plain_producer_config
from runtime.kafka.range_reader import OffsetRange, Reader
from runtime.settings import Settings
from schemas.codec import encode_scores
from schemas.errors import DependencyError, RejectionCode, SettingsError
from schemas.records import Source
from schemas.topics import name_problem
from scoring.scorer import Scorer
from worker.serdes import Serdes

_CHUNK: Final = 4_000
_POLL_SECONDS: Final = 0.2
_SEND_MILLISECONDS: Final = 60_000


class Tally:
    """Counts of records: `scored` are those with a confirmed score; `rejected` is by code."""

    def __init__(self) -> None:
        self.read = self.scored = 0
        self.rejected: Counter[RejectionCode] = Counter()

    def lines(self) -> list[str]:
        """Return the counts as lines."""
        found = [f"{self.read:>12,}  records read", f"{self.scored:>12,}  scores sent and confirmed"]
        return found + [f"{count:>12,}  rejected: {code}" for code, count in self.rejected.most_common()]


def replay(topic: str, chosen: RecordRange, model: Path | None, name: str | None, *, dry_run: bool) -> None:
    """Score the records again. Prints the counts, also when interrupted.

    Raises SettingsError, ArtifactError and DependencyError.
    """
    settings = Settings.from_mapping(os.environ)
    topics = settings.topics
    if problem := name_problem(topic):
        raise SettingsError((f"--to-topic {problem}",))
    if topic in {*msgspec.structs.astuple(topics), settings.audit.topic}:
        raise SettingsError((f"the stream uses {topic}: a replay needs a separate topic",))
    folder, named = model or Path(settings.model.path), name or settings.model.name or None
    scorer = Scorer.from_directory(folder, named, settings.score, settings.model.key(), native=settings.model.native)
    with Reader.open(settings) as reader:
        ranges = reader.between(topics.patients, chosen.since, chosen.until)
        if dry_run:
            size = sum(offsets.end - offsets.first for offsets in ranges.values())
            sys.stdout.write(f"{size:>12,}  records at most would be scored with {scorer.model.digest}\n")
            return
        reader.ranges(topic)  # a producer would create a missing topic
        replay_run = Replay(settings, topic, scorer)
        try:
            with (
                deferred_interrupts() as check,
                ProgressCounter(sum(offsets.end - offsets.first for offsets in ranges.values()), "records") as progress,
            ):
                replay_run.run(reader, topics.patients, ranges, chosen.limit, progress.advance, check)
        finally:
            sys.stdout.write("\n".join(replay_run.tally.lines()) + "\n")
            sys.stdout.flush()


class Replay:
    """Scores records in chunks; the scores of a chunk are confirmed before the next one is read."""

    def __init__(self, settings: Settings, topic: str, scorer: Scorer) -> None:
        self.tally = Tally()
        self._topic, self._scorer = topic, scorer
        config = {**plain_producer_config(settings.kafka), "message.timeout.ms": _SEND_MILLISECONDS, "log_level": 0}
        self._client = Producer(config)
        self._serdes = Serdes.of(settings, topic)
        self._failure: KafkaError | None = None

    def run(  # what to read, and two callbacks
        self,
        reader: Reader,
        topic: str,
        ranges: dict[int, OffsetRange],
        limit: int | None,
        on_record: Callable[[], None],
        check: Callable[[], None],
    ) -> None:
        """Score the records in these ranges, at most `limit`; `check` may raise, as nothing is in flight then."""
        messages = islice(reader.read(topic, ranges), limit)
        while chunk := list(islice(messages, _CHUNK)):
            self._score(chunk)
            for _ in chunk:
                on_record()
            check()

    def _score(self, chunk: Sequence[Message]) -> None:
        sources = [Source(str(each.topic()), each.partition() or 0, each.offset() or 0) for each in chunk]
        results = self._scorer.score(self._serdes.batch(chunk, sources).decode(self._scorer.compiled))
        self.tally.read += len(chunk)
        self.tally.rejected.update(issues[0].code for issues in results.rejected.values())
        for index, score in zip(results.positions, encode_scores(results.scores), strict=True):
            self._send(chunk[index].key(), score, sources[index])
        while self._client.flush(_POLL_SECONDS):
            pass
        if self._failure is not None:
            raise DependencyError(f"{self._topic} refused a score: {self._failure.name()}")

    def _send(self, key: bytes | None, value: bytes, source: Source) -> None:
        headers: list[Any] = list(self._serdes.headers([source], {}).get(0, ()))
        (sent,) = self._serdes.framed([value])
        while True:
            try:
                self._client.produce(self._topic, sent, key, headers=headers, on_delivery=self._on_delivery)
            except BufferError:
                self._client.poll(_POLL_SECONDS)
            else:
                return

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is None:
            self.tally.scored += 1
        else:
            self._failure = error
