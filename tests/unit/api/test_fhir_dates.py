"""FHIR's dates, which may be only a year or a month."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.protocols.fhir.dates import ages, day_after, days_of, instants_of
from tests.support.fhir_bundles import DAY


@given(st.dates(max_value=dt.date(2200, 1, 1)), st.dates(max_value=dt.date(2200, 1, 1)))
@example(dt.date(2000, 2, 29), dt.date(2001, 2, 28))
def test_partial_dates_contain_the_true_age(birth: dt.date, day: dt.date) -> None:
    """The range of ages that a year, a month or a day allows contains the true age; full dates give it exactly."""
    true = next(years for years in range(day.year - birth.year, -2300, -1) if _birthday(birth, years) <= day)
    for length in (4, 7, 10):
        for other in (4, 7, 10):
            known, when = days_of(birth.isoformat()[:length]), days_of(day.isoformat()[:other])
            assert known is not None
            assert when is not None
            low, high = ages(known, when)
            assert low <= true <= high
            assert length < 10 or other < 10 or low == high == true


def _birthday(birth: dt.date, years: int) -> dt.date:
    """Someone born on 29 February has their birthday on 1 March in other years."""
    try:
        return birth.replace(year=birth.year + years)
    except ValueError:
        return dt.date(max(1, birth.year + years), 3, 1)


@pytest.mark.parametrize("text", ["", "24", "2024-13", "2024-02-30", "2024-3-1", "2024-03-15T10:00", DAY + "x", "0000"])
def test_other_texts_are_not_dates(text: str) -> None:
    """Only FHIR's date formats are accepted."""
    assert days_of(text) is None


@pytest.mark.parametrize(
    ("day", "horizon", "expected"),
    [
        ("2024-03-15", "", "2024-03-15"),
        ("2024-03-15", "P1Y", "2025-03-15"),
        ("2024-02-29", "P1Y", "2025-02-28"),
        ("2024-08-31", "P6M", "2025-02-28"),
        ("2024-12-01", "P1M", "2025-01-01"),
        ("2024-02-28", "P2W", "2024-03-13"),
        ("2024-02-28", "P30D", "2024-03-29"),
        ("2024-02-28", "P9999Y", "9999-12-31"),
        ("2024-02-28", "P52W", "2025-02-26"),
    ],
)
def test_a_horizon_ends_on_a_day(day: str, horizon: str, expected: str) -> None:
    """As calendars count; never beyond the last year."""
    assert day_after(dt.date.fromisoformat(day), horizon).isoformat() == expected


@pytest.mark.parametrize(
    ("text", "first", "last", "has_zone"),
    [
        ("2024", "2023-12-31T10:00:00+00:00", "2025-01-01T11:59:59.999999+00:00", False),
        ("2024-02", "2024-01-31T10:00:00+00:00", "2024-03-01T11:59:59.999999+00:00", False),
        ("2024-03-15T10:30:00+01:00", "2024-03-15T09:30:00+00:00", "2024-03-15T09:30:00+00:00", True),
        ("2024-03-15T10:30:00", "2024-03-14T20:30:00+00:00", "2024-03-15T22:30:00+00:00", False),
    ],
)
def test_a_date_means_instants(text: str, first: str, last: str, *, has_zone: bool) -> None:
    """From its first to its last; in any zone if it has none."""
    found = instants_of(text)
    assert found is not None
    assert (found.first, found.last) == (dt.datetime.fromisoformat(first), dt.datetime.fromisoformat(last))
    assert (found.local is None) == has_zone


@pytest.mark.parametrize("text", ["0001-01-01", "9999", "0001-01-01T00:00:00", "9999-12-31T23:59:59-12:00"])
def test_the_first_and_the_last_dates_are_compared(text: str) -> None:
    """Though their instants in another zone are outside the calendar."""
    found, other = instants_of(text), instants_of("2024-03-15T10:30:00+01:00")
    assert found is not None
    assert other is not None
    assert (found.first < other.first) == text.startswith("0001")
    assert (found.last < other.last) == text.startswith("0001")
