"""Statistics of the live view: scores and dead letters of the last minute, without patient ids."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Final

import msgspec

from runtime.record_to_score import SECONDS, RecordToScore, RecordToScoreWindow
from schemas.records import DeadLetter, Score, Source

BINS: Final = 20
_LAST_SCORES: Final = 20
_RATE_SECONDS: Final = 5
_MAX_DECODED_PER_SECOND: Final = 2_000
"""Scores per second that are decoded; the rest is only counted, so that a busy stream costs little CPU."""
_MAX_UNMATCHED: Final = 50_000
"""Records whose time is kept until their score arrives, and vice versa."""


class LastScore(msgspec.Struct, frozen=True):
    """A score without the patient's id."""

    risk: float
    label: int
    missing: int
    partition: int
    offset: int


class Snapshot(msgspec.Struct, frozen=True):
    """The statistics at one moment.

    `lag` is the number of records that the workers' group has not committed, None if unknown. `rate` has the scores of
    each complete second, oldest first. A dead letter counts once, and once per code. If `sampled`, rates and `scores`
    are of all scores, everything else of a sample.
    """

    connected: bool
    seconds: int
    records_per_second: float
    rate: tuple[int, ...]
    scores: int
    sampled: bool
    histogram: tuple[int, ...]
    labels: tuple[int, int]
    record_to_score_ms: RecordToScore | None
    dead_letters: int
    dead_letter_codes: dict[str, int]
    lag: int | None
    last: tuple[LastScore, ...]


class _Bucket:
    """One second of the window."""

    def __init__(self, second: int) -> None:
        self.second = second
        self.scores = 0
        self.decoded = 0
        self.bins = [0] * BINS
        self.labels = [0, 0]
        self.dead_letters = 0
        self.codes: Counter[str] = Counter()


class RecordToScoreMatcher:
    """Matches the times of record and score, whichever arrives first, in bounded memory."""

    def __init__(self, max_unmatched: int = _MAX_UNMATCHED) -> None:
        self._max_unmatched = max_unmatched
        self._read: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._scored: OrderedDict[tuple[int, int], int] = OrderedDict()

    def add_record(self, key: tuple[int, int], at: int) -> int | None:
        """Add the time of a record; return the milliseconds to its score, if that is known already."""
        scored = self._scored.pop(key, None)
        if scored is None:
            self._remember(self._read, key, at)
            return None
        return scored - at

    def add_score(self, key: tuple[int, int], at: int) -> int | None:
        """Add the time of a score; return the milliseconds since its record, if that is known already."""
        read = self._read.pop(key, None)
        if read is None:
            self._remember(self._scored, key, at)
            return None
        return at - read

    def _remember(self, times: OrderedDict[tuple[int, int], int], key: tuple[int, int], at: int) -> None:
        times[key] = at
        if len(times) > self._max_unmatched:
            times.popitem(last=False)


class LiveStats:
    """Sums up messages by the second in which they are read. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` is monotonic, in seconds."""
        self._clock = clock
        self._buckets: deque[_Bucket] = deque()
        self._last: deque[LastScore] = deque(maxlen=_LAST_SCORES)
        self._matcher = RecordToScoreMatcher()
        self._record_to_score = RecordToScoreWindow(clock)
        self._started = int(clock())
        self.connected = False
        self.lag: int | None = None

    def count_score(self) -> bool:
        """Count a score; return whether it should be decoded and added as well."""
        bucket = self._current_bucket()
        bucket.scores += 1
        if bucket.decoded >= _MAX_DECODED_PER_SECOND:
            return False
        bucket.decoded += 1
        return True

    def add_score(self, score: Score, position: Source, at: int | None) -> None:
        """Add a score that `count_score` has counted. `position` is its own, `at` its timestamp in milliseconds."""
        bucket = self._current_bucket()
        bucket.bins[min(BINS - 1, int(score.risk * BINS))] += 1
        bucket.labels[score.label] += 1
        source = score.source or position
        self._last.appendleft(
            LastScore(score.risk, score.label, len(score.missing), source.partition, source.offset),
        )
        if at is not None and score.source is not None:
            self._add_time(self._matcher.add_score((source.partition, source.offset), at))

    def add_record(self, partition: int, offset: int, at: int) -> None:
        """Add the time of a patient record, in milliseconds; nothing else of it is used."""
        self._add_time(self._matcher.add_record((partition, offset), at))

    def add_dead_letter(self, letter: DeadLetter) -> None:
        """Add a dead letter, once per code."""
        bucket = self._current_bucket()
        bucket.dead_letters += 1
        bucket.codes.update({str(issue.code) for issue in letter.errors})

    def snapshot(self) -> Snapshot:
        """Sum up the last minute."""
        now = self._drop_old()
        buckets = list(self._buckets)
        counts = {bucket.second: bucket.scores for bucket in buckets}
        rate = tuple(counts.get(second, 0) for second in range(now - SECONDS, now))
        elapsed = max(1, min(_RATE_SECONDS, now - self._started))
        codes: Counter[str] = sum((bucket.codes for bucket in buckets), Counter())
        return Snapshot(
            connected=self.connected,
            seconds=SECONDS,
            records_per_second=sum(rate[-elapsed:]) / elapsed,
            rate=rate,
            scores=sum(bucket.scores for bucket in buckets),
            sampled=any(bucket.scores > bucket.decoded for bucket in buckets),
            histogram=tuple(sum(bucket.bins[number] for bucket in buckets) for number in range(BINS)),
            labels=(sum(bucket.labels[0] for bucket in buckets), sum(bucket.labels[1] for bucket in buckets)),
            record_to_score_ms=self._record_to_score.figures(),
            dead_letters=sum(bucket.dead_letters for bucket in buckets),
            dead_letter_codes=dict(sorted(codes.items(), key=lambda item: (-item[1], item[0]))),
            lag=self.lag if self.connected else None,
            last=tuple(self._last),
        )

    def _add_time(self, milliseconds: int | None) -> None:
        if milliseconds is not None:
            self._record_to_score.add(milliseconds)

    def _current_bucket(self) -> _Bucket:
        now = self._drop_old()
        if not self._buckets or self._buckets[-1].second != now:
            self._buckets.append(_Bucket(now))
        return self._buckets[-1]

    def _drop_old(self) -> int:
        """Drop what is older than the window; return the current second."""
        now = int(self._clock())
        while self._buckets and self._buckets[0].second < now - SECONDS:
            self._buckets.popleft()
        return now
