"""The live view's window: statistics of the last minute in bounded memory, without patient ids."""

from __future__ import annotations

import msgspec

from api.live.stats import BINS, SECONDS, LiveStats, RecordToScoreMatcher
from runtime.record_to_score import RecordToScore
from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import DeadLetter, ModelRef, Score, Source

MODEL = ModelRef("m", "1", "0" * 16)


class Clock:
    """A clock that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def score(risk: float, offset: int = 0, missing: tuple[str, ...] = ()) -> Score:
    label = 1 if risk >= 0.5 else 0
    return Score("Zebra-4711", risk, label, 0.5, MODEL, None, missing, (), source=Source("patients", 2, offset))


def add(window: LiveStats, each: Score, at: int | None = None) -> None:
    if window.count_score():
        window.add_score(each, Source("scores", 0, 0), at)


def letter(*codes: RejectionCode) -> DeadLetter:
    return DeadLetter(tuple(ValidationIssue(code, "", "") for code in codes), Source("patients", 0, 0))


def test_messages_are_summed_up() -> None:
    """Risks are counted in 20 bins, 1.0 in the last one; labels are counted; the latest score comes first."""
    clock = Clock()
    window = LiveStats(clock)
    for offset, risk in enumerate((0.0, 0.049, 0.5, 1.0)):
        add(window, score(risk, offset, ("ca", "thal")))
    snapshot = window.snapshot()
    assert {index: count for index, count in enumerate(snapshot.histogram) if count} == {0: 2, 10: 1, BINS - 1: 1}
    assert (snapshot.scores, snapshot.labels) == (4, (2, 2))
    assert [(last.risk, last.label, last.missing, last.partition, last.offset) for last in snapshot.last] == [
        (1.0, 1, 2, 2, 3),
        (0.5, 1, 2, 2, 2),
        (0.049, 0, 2, 2, 1),
        (0.0, 0, 2, 2, 0),
    ]


def test_the_window_slides() -> None:
    """After a minute the sums are empty; the latest scores stay."""
    clock = Clock()
    window = LiveStats(clock)
    add(window, score(0.7))
    window.add_dead_letter(letter(RejectionCode.NOT_JSON))
    clock.now += SECONDS
    assert (window.snapshot().scores, window.snapshot().dead_letter_codes) == (1, {"not_json": 1})
    clock.now += 1
    snapshot = window.snapshot()
    assert (snapshot.scores, sum(snapshot.rate), snapshot.dead_letters, snapshot.record_to_score_ms) == (0, 0, 0, None)
    assert (sum(snapshot.histogram), len(snapshot.last)) == (0, 1)


def test_the_rate_is_that_of_whole_seconds() -> None:
    """Neither the current second nor the time before the window began lowers the rate."""
    clock = Clock()
    window = LiveStats(clock)
    for _ in range(2):
        for _ in range(10):
            add(window, score(0.2))
        clock.now += 1
    add(window, score(0.2))
    snapshot = window.snapshot()
    assert (snapshot.rate[-3:], len(snapshot.rate), snapshot.records_per_second) == ((0, 10, 10), SECONDS, 10.0)


def test_record_and_score_are_matched_in_any_order() -> None:
    """The time is from a record's timestamp to that of its score, whichever is read first; never negative."""
    window = LiveStats(Clock())
    window.add_record(2, 0, 1_000)
    add(window, score(0.2, 0), 1_010)
    add(window, score(0.2, 1), 1_030)
    window.add_record(2, 1, 1_000)
    window.add_record(2, 2, 1_005)
    add(window, score(0.2, 2), 1_000)
    assert window.snapshot().record_to_score_ms == RecordToScore(10, 30)


def test_unmatched_times_take_bounded_memory() -> None:
    """The oldest unmatched time is dropped."""
    matcher = RecordToScoreMatcher(max_unmatched=2)
    for offset in range(3):
        matcher.add_record((0, offset), 100)
    assert [matcher.add_score((0, offset), 150) for offset in range(3)] == [None, 50, 50]


def test_a_busy_second_is_sampled() -> None:
    """Beyond 2,000 scores a second the rest is counted, not decoded, and the snapshot says so."""
    window = LiveStats(Clock())
    for _ in range(2_500):
        add(window, score(0.2))
    snapshot = window.snapshot()
    assert (snapshot.scores, sum(snapshot.histogram), snapshot.sampled) == (2_500, 2_000, True)


def test_a_dead_letter_counts_once_for_each_of_its_codes() -> None:
    """Two issues of one code are one dead letter; the commonest code comes first."""
    window = LiveStats(Clock())
    window.add_dead_letter(letter(RejectionCode.OUT_OF_RANGE, RejectionCode.OUT_OF_RANGE, RejectionCode.FOREIGN_CODE))
    window.add_dead_letter(letter(RejectionCode.OUT_OF_RANGE))
    snapshot = window.snapshot()
    assert snapshot.dead_letters == 2
    assert list(snapshot.dead_letter_codes.items()) == [("out_of_range", 2), ("foreign_code", 1)]


def test_no_patient_is_in_a_snapshot() -> None:
    """An id of a patient is nowhere in what is published."""
    window = LiveStats(Clock())
    add(window, score(0.2))
    assert b"Zebra" not in msgspec.json.encode(window.snapshot())


def test_lag_is_reported_while_the_broker_responds() -> None:
    """What was measured last stands, until nobody can know."""
    window = LiveStats(Clock())
    assert window.snapshot().lag is None
    window.connected, window.lag = True, 7
    assert window.snapshot().lag == 7
    window.connected = False
    assert window.snapshot().lag is None
