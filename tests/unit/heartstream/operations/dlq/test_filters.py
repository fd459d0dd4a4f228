"""Filters, positions and times on the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from heartstream.operations.dlq.dead_letters import DeadLetterRecord, Selection
from heartstream.operations.dlq.filters import parse_position, parse_time, selection
from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import DeadLetter, Source

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def letter(timestamp: int | None, key: bytes | None, *codes: RejectionCode) -> DeadLetterRecord:
    issues = tuple(ValidationIssue(code, "", "") for code in codes)
    reason = DeadLetter(issues, Source("patients", 0, 0)) if codes else None
    return DeadLetterRecord(0, 0, timestamp, key, b"value", (), reason, 0, None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-01T11:30", datetime(2026, 3, 1, 11, 30, tzinfo=UTC)),
        ("2026-03-01T12:30:00+01:00", datetime(2026, 3, 1, 11, 30, tzinfo=UTC)),
        ("2026-03-01T11:30:00Z", datetime(2026, 3, 1, 11, 30, tzinfo=UTC)),
        ("2026-02-28", datetime(2026, 2, 28, tzinfo=UTC)),
        ("90s", datetime(2026, 3, 1, 11, 58, 30, tzinfo=UTC)),
        ("30m", datetime(2026, 3, 1, 11, 30, tzinfo=UTC)),
        ("12h", datetime(2026, 3, 1, tzinfo=UTC)),
        ("2d", datetime(2026, 2, 27, 12, 0, tzinfo=UTC)),
    ],
)
def test_times_and_ages(text: str, expected: datetime) -> None:
    """A time is in UTC unless it has an offset; an age counts back from now."""
    assert parse_time(text, NOW) == int(expected.timestamp() * 1000)


@pytest.mark.parametrize("text", ["", "yesterday", "2h30m", "-2h", "2w", "99999999999d", "2026-13-01"])
def test_other_times_are_refused(text: str) -> None:
    """The error lists the accepted forms."""
    with pytest.raises(ValueError, match="30m, 12h or 2d"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2:17", ("dlq", 2, 17)), ("other.dlq:2:17", ("other.dlq", 2, 17))],
)
def test_positions(text: str, expected: tuple[str, int, int]) -> None:
    """As `list` prints them, or with a topic."""
    assert parse_position(text, "dlq") == expected


@pytest.mark.parametrize("text", ["", "17", "a:b", "2:", ":17", ":2:17", "2:-1", "dlq:2:17:3x"])
def test_other_positions_are_refused(text: str) -> None:
    """The error has the accepted form."""
    with pytest.raises(ValueError, match="partition:offset"):
        parse_position(text, "dlq")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Selection(), "abcd"),
        (Selection(codes=frozenset({RejectionCode.NOT_JSON})), "a"),
        (Selection(codes=frozenset({RejectionCode.NOT_JSON, RejectionCode.WRONG_TYPE})), "ab"),
        (Selection(since=20), "bc"),
        (Selection(until=20), "a"),
        (Selection(since=20, until=30), "b"),
        (Selection(key=b"k"), "bd"),
        (selection([RejectionCode.WRONG_TYPE], None, None, "k", NOW), "b"),
    ],
)
def test_a_selection_applies_every_filter(wanted: Selection, expected: str) -> None:
    """All filters must match, any of several codes; a record without a timestamp is in no time span."""
    letters = {
        "a": letter(10, b"other", RejectionCode.NOT_JSON, RejectionCode.OUT_OF_RANGE),
        "b": letter(20, b"k", RejectionCode.WRONG_TYPE),
        "c": letter(30, None, RejectionCode.EMPTY_VALUE),
        "d": letter(None, b"k"),
    }
    assert "".join(name for name, one in letters.items() if wanted.matches(one)) == expected
