"""Reconciles produced records with their results."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator

import msgspec

from heartstream.operations.dlq.completed_offsets import CompletedOffsets
from runtime.record_to_score import RecordToScore, RecordToScoreWindow
from schemas.records import DeadLetter, Score, Source

_SHOWN = 8
_EARLY_SECONDS = 30.0


class Summary(msgspec.Struct, frozen=True):
    """Counts of records. They balance if produced = scored + dead, and nothing is repeated or has the wrong outcome."""

    produced: int
    scored: int
    dead: int
    repeated: int
    wrong: int

    @property
    def open(self) -> int:
        """Records without an outcome: in the end, lost records."""
        return self.produced - self.scored - self.dead

    @property
    def balanced(self) -> bool:
        """Whether every record has exactly one outcome, of the right kind."""
        return self.open == 0 and self.repeated == 0 and self.wrong == 0


class Reconciliation:
    """Matches results with their records by source topic, partition and offset.

    The time of a record or result is its Kafka timestamp, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._open: dict[Source, tuple[bool, float]] = {}
        # Offset ranges, as a demo of several days matches millions of records.
        self._closed: defaultdict[tuple[str, int], CompletedOffsets] = defaultdict(lambda: CompletedOffsets(0))
        self._early: list[tuple[Source, bool, float]] = []
        self._counts: Counter[str] = Counter()
        self._record_to_score = RecordToScoreWindow(clock)
        self.issues: Counter[str] = Counter()
        self.last_scores: deque[Score] = deque(maxlen=_SHOWN)

    def produced(self, source: Source, *, good: bool, at: float) -> None:
        """Add a confirmed record of a time; `good` records should be scored."""
        self._counts["produced"] += 1
        self._open[source] = (good, at)

    def scored(self, score: Score, at: float) -> None:
        """Add a score."""
        if score.source is not None and self._close(score.source, good=True, at=at):
            self.last_scores.append(score)

    def dead(self, letter: DeadLetter, at: float) -> None:
        """Add a dead letter."""
        if self._close(letter.source, good=False, at=at):
            self.issues.update(str(issue.code) for issue in letter.errors)

    def _close(self, source: Source, *, good: bool, at: float) -> bool:
        """Match a result with an open record of this run; returns whether there is one."""
        closed = self._closed[source.topic, source.partition]
        if source.offset in closed:
            self._counts["repeated"] += 1
            return False
        if source not in self._open:
            self._early.append((source, good, at))
            return False
        expected, since = self._open.pop(source)
        closed.add(source.offset, source.offset + 1)
        self._counts["scored" if good else "dead"] += 1
        self._counts["wrong"] += expected != good
        if good:
            self._record_to_score.add((at - since) * 1000)
        return True

    def settle_early(self, now: float) -> None:
        """Match results that arrived before the confirmation of their record; drop those of other runs."""
        early, self._early = self._early, []
        for source, good, at in early:
            if now - at < _EARLY_SECONDS:
                self._close(source, good=good, at=at)

    def summary(self) -> Summary:
        """Return the counts."""
        counts = (self._counts[name] for name in ("produced", "scored", "dead", "repeated", "wrong"))
        return Summary(*counts)

    def record_to_score(self) -> RecordToScore | None:
        """Return the times from record to score of the last minute, None without scores."""
        return self._record_to_score.figures()


def summary_lines(summary: Summary) -> Iterator[str]:
    """Yield the summary as lines."""
    yield f"produced {summary.produced} = scored {summary.scored} + dead letters {summary.dead}"
    yield f"lost {summary.open}, repeated {summary.repeated}, wrong outcome {summary.wrong}"
