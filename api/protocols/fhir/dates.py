"""FHIR's dates, which may be only a year or a month, and the age between two of them."""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import Final

Days = tuple[dt.date, dt.date]
"""The first and the last day that a date can mean."""

_DATE: Final = re.compile(r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(T[0-9]{2}:[0-9]{2}:[0-9]{2}.*)?)?)?")
_DECEMBER: Final = 12


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


def ages(birth: Days, day: Days) -> tuple[int, int]:
    """Return the smallest and the largest age, in completed years, on a day; negative before birth."""
    return _age(birth[1], day[0]), _age(birth[0], day[1])


def _age(birth: dt.date, day: dt.date) -> int:
    return day.year - birth.year - ((day.month, day.day) < (birth.month, birth.day))
