"""The demo's book-keeping: what was produced, and what became of each record."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterator

import msgspec

from heartstream.operations.dlq.completed_offsets import CompletedOffsets
from schemas.records import DeadLetter, Score, Source

_SHOWN = 8
_EARLY_SECONDS = 30.0
_REMEMBERED_DELAYS = 500


class Summary(msgspec.Struct, frozen=True):
    """How the books stand. They balance when produced = scored + dead, nothing is repeated and no outcome is wrong."""

    produced: int
    scored: int
    dead: int
    repeated: int
    wrong: int

    @property
    def open(self) -> int:
        """Records that have no outcome yet; in the end, lost records."""
        return self.produced - self.scored - self.dead

    @property
    def balanced(self) -> bool:
        """Say whether every record has exactly one outcome, and the right kind."""
        return self.open == 0 and self.repeated == 0 and self.wrong == 0


class Account:
    """Matches results with the records they come from, by source topic, partition and offset."""

    def __init__(self) -> None:
        self._open: dict[Source, tuple[bool, float]] = {}
        # As runs of offsets: a demo that goes on for days closes millions of records.
        self._closed: defaultdict[tuple[str, int], CompletedOffsets] = defaultdict(lambda: CompletedOffsets(0))
        self._early: list[tuple[Source, bool, float]] = []
        self._counts: Counter[str] = Counter()
        self._delays: deque[float] = deque(maxlen=_REMEMBERED_DELAYS)
        self.faults: Counter[str] = Counter()
        self.last_scores: deque[Score] = deque(maxlen=_SHOWN)

    def produced(self, source: Source, *, good: bool, at: float) -> None:
        """Note a record that the broker has confirmed, sent `at`; `good` says if it should be scored."""
        self._counts["produced"] += 1
        self._open[source] = (good, at)

    def scored(self, score: Score, at: float) -> None:
        """Note a score."""
        if score.source is not None and self._close(score.source, good=True, at=at):
            self.last_scores.append(score)

    def dead(self, letter: DeadLetter, at: float) -> None:
        """Note a dead letter."""
        if self._close(letter.source, good=False, at=at):
            self.faults.update(str(fault.code) for fault in letter.errors)

    def _close(self, source: Source, *, good: bool, at: float) -> bool:
        """Close a record's entry; False for a result that is not about an open record of this run."""
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
        self._delays.append(at - since)
        return True

    def settle_early(self, now: float) -> None:
        """Match results that came before the confirmation of their record; forget those that are not of this run."""
        early, self._early = self._early, []
        for source, good, at in early:
            if now - at < _EARLY_SECONDS:
                self._close(source, good=good, at=at)

    def summary(self) -> Summary:
        """Return how the books stand."""
        counts = (self._counts[name] for name in ("produced", "scored", "dead", "repeated", "wrong"))
        return Summary(*counts)

    def median_delay(self) -> float | None:
        """Return the median time in seconds from producing a record to reading its result, if there are any."""
        ordered = sorted(self._delays)
        return ordered[len(ordered) // 2] if ordered else None


def tell(summary: Summary) -> Iterator[str]:
    """Yield the summary as lines."""
    yield f"produced {summary.produced} = scored {summary.scored} + dead letters {summary.dead}"
    yield f"lost {summary.open}, repeated {summary.repeated}, wrong outcome {summary.wrong}"
