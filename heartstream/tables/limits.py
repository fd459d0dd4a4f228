"""Numbers that stand out from a column as codes for "not measured", and limits for the others."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Set as AbstractSet
from itertools import accumulate
from typing import Final

_NEGATIVE: Final = (-1, -7, -8, -9, -77, -88, -99, -777, -888, -999, -9999)
_POSITIVE: Final = (7, 8, 9, 77, 88, 99, 777, 888, 999, 7777, 8888, 9999, 99999)


def stands_out(counts: Counter[float]) -> AbstractSet[float]:
    """Return usual codes for "not measured" that are far from all other numbers of a column.

    `counts` are the rows by number. Negative ones stand out if no other number is negative, 0 and positive ones if they
    are farther from the others than the middle half of those is wide.
    """
    negative = {number for number in _NEGATIVE if number in counts}
    if any(number < 0 for number in counts.keys() - negative):
        negative = set()
    others = Counter({number: rows for number, rows in counts.items() if number not in negative})
    found: set[float] = set(negative)
    for number in sorted(others, reverse=True):
        rest = Counter({each: rows for each, rows in others.items() if each < number})
        if number not in _POSITIVE or not rest or number - max(rest) <= max(_middle(rest), 1):
            break
        found.add(number)
        others = rest
    positive = Counter({number: rows for number, rows in others.items() if number > 0})
    is_quantity = len(positive) > max(_POSITIVE[:3])
    if min(others, default=1) == 0 and is_quantity and min(positive) > max(_middle(positive), 1):
        found.add(0.0)
    return found


def _middle(counts: Counter[float]) -> float:
    """Return the difference between the upper and the lower quartile."""
    numbers = sorted(counts)
    sums = list(accumulate(counts[number] for number in numbers))
    lower, upper = (
        next(number for number, rows in zip(numbers, sums, strict=True) if rows >= share * sums[-1])
        for share in (0.25, 0.75)
    )
    return upper - lower


def limits_of(values: Counter[float], suspects: AbstractSet[float], *, whole: bool) -> tuple[float, float]:
    """Return limits that are wider than the numbers by half of their range on both sides, without the suspects.

    They are rounded, so that they do not show the extreme patients, and not negative if no number is.
    """
    lowest, highest = min(values), max(values)
    step = 10.0 ** math.floor(math.log10((highest - lowest) / 2))
    step = max(step, 1.0) if whole else step
    margin = (highest - lowest) / 2
    low = math.floor((lowest - margin) / step) * step
    high = math.ceil((highest + margin) / step) * step
    low = max(low, 0.0) if lowest >= 0 else low
    below = [number for number in suspects if number < lowest]
    above = [number for number in suspects if number > highest]
    if below and low <= max(below):
        low = _between(max(below), lowest, whole=whole)
    if above and high >= min(above):
        high = _between(highest, min(above), whole=whole)
    return float(f"{low:.12g}"), float(f"{high:.12g}")


def _between(one: float, other: float, *, whole: bool) -> float:
    middle = (one + other) / 2
    return math.floor(middle) if whole and math.floor(middle) > one else middle
