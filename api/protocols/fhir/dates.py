"""FHIR's dates, which may be only a year or a month: the age between two of them, and which is later."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import Final

import msgspec

from schemas.tables.feature_table import HORIZON

Days = tuple[dt.date, dt.date]
"""The first and the last day that a date can mean."""
_EASTERNMOST: Final = dt.timezone(dt.timedelta(hours=14))
_WESTERNMOST: Final = dt.timezone(dt.timedelta(hours=-12))
"""The zones in which a day begins first, and ends last."""
_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}.*)?)?)?")
_DECEMBER: Final = 12
_MONTHS: Final = 12
_DAYS_OF_WEEK: Final = 7


def days_of(text: str) -> Days | None:
    """Return the days that a `date`, `dateTime` or `instant` can mean, in its own time zone; None if it is invalid."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = (int(part) if part else None for part in found.groups()[:3])
    try:
        if found[4]:
            dt.datetime.fromisoformat(text)
        first = dt.date(year or 0, month or 1, day or 1)
    except ValueError:
        return None
    last_month = month or _DECEMBER
    last = dt.date(first.year, last_month, day or calendar.monthrange(first.year, last_month)[1])
    return first, last


class Instants(msgspec.Struct, frozen=True):
    """The first and the last instant that a date can mean.

    `local` has them as the clock of the sender shows them, without a zone; None if the date has a zone.
    """

    first: dt.datetime
    last: dt.datetime
    local: tuple[dt.datetime, dt.datetime] | None


def instants_of(text: str) -> Instants | None:
    """Return the instants that a `date`, `dateTime` or `instant` can mean; None if it is invalid.

    Days, and times without a zone, which some systems send, can be those of any zone.
    """
    days = days_of(text)
    if days is None:
        return None
    if "T" not in text:
        first, last = dt.datetime.combine(days[0], dt.time.min), dt.datetime.combine(days[1], dt.time.max)
    elif (first := dt.datetime.fromisoformat(text)).tzinfo:
        return Instants(first, first, None)
    else:
        last = first
    return Instants(first.replace(tzinfo=_EASTERNMOST), last.replace(tzinfo=_WESTERNMOST), (first, last))


def day_after(day: dt.date, horizon: str) -> dt.date:
    """Return the day that is a table's horizon, such as P1Y, after another; the same day if it is empty.

    The 31st of a month becomes its last day.
    """
    found = HORIZON.fullmatch(horizon)
    if found is None:
        return day
    count, unit = int(found[1]), found[2]
    try:
        if unit in "WD":
            return day + dt.timedelta(days=count * (_DAYS_OF_WEEK if unit == "W" else 1))
        months = day.year * _MONTHS + day.month - 1 + count * (_MONTHS if unit == "Y" else 1)
        year, month = divmod(months, _MONTHS)
        return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    except (ValueError, OverflowError):
        return dt.date.max


def ages(birth: Days, day: Days) -> tuple[int, int]:
    """Return the smallest and the largest age, in completed years, on a day; negative before birth."""
    return _age(birth[1], day[0]), _age(birth[0], day[1])


def _age(birth: dt.date, day: dt.date) -> int:
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
