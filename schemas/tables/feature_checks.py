"""What must hold in each feature of a table by itself."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from schemas.tables.feature_table import Feature, Kind
from schemas.tables.names import normalized_word

HIGHEST_CODE: Final = 99


def problems_of(feature: Feature) -> Iterator[tuple[str, str]]:
    """Yield the key and text of each problem of one feature."""
    yield from _quantity(feature) if feature.kind is Kind.QUANTITY else _code(feature)
    if feature.limits is not None and not feature.limits[0] < feature.limits[1]:
        yield "limits", "the first limit must be below the second"
        return
    if not (feature.codes or feature.limits):
        return
    for number in () if feature.labels else feature.missing:
        if _is_valid(feature, number):
            yield "missing", f"{number} is a valid value; it cannot mean missing as well"
    for hint in () if feature.labels else feature.hints:
        if hint.lowest > hint.highest:
            yield "hints", "the start of a hint must not be above its end"
        elif not (hint.text or hint.foreign):
            yield "hints", "a hint needs a text, or foreign = true"
        elif _is_valid(feature, hint.lowest) and _is_valid(feature, hint.highest):
            yield "hints", f"{hint.lowest:g} to {hint.highest:g} are valid values; a hint is for invalid ones"
    words = Counter(word for _, texts in feature.texts for word in set(map(normalized_word, texts)))
    if repeated := [word for word, count in words.items() if count > 1]:
        yield "texts", f"{', '.join(repeated)} stand for more than one code"


def _quantity(feature: Feature) -> Iterator[tuple[str, str]]:
    if feature.limits is None:
        yield "kind", "a quantity needs limits = [lowest, highest]"
    for key in ("codes", "texts", "ordered", "notes"):
        if getattr(feature, key):
            yield key, f"a quantity has no {key}"


def _code(feature: Feature) -> Iterator[tuple[str, str]]:
    if feature.limits is not None:
        yield "limits", "a code has no limits"
    if feature.whole:
        yield "whole", "a code is always whole"
    if len(feature.codes) < 2:  # noqa: PLR2004  # two values
        yield "codes", "a code needs at least two codes"
    if any(not 0 <= code <= HIGHEST_CODE for code, _ in feature.codes):
        yield "codes", f"codes must be whole numbers from 0 to {HIGHEST_CODE}, or texts"
    if others := [key for key in feature.notes or () if key not in map(str, feature.sent)]:
        yield "notes", f"notes has {others[0]}, which is not a code"
    for key in ("missing", "hints") if feature.labels else ():
        if getattr(feature, key):
            yield key, f"codes that are texts have no {key}: only null means missing, and other texts are invalid"


def _is_valid(feature: Feature, value: float) -> bool:
    low, high = feature.interval
    return low <= value <= high and value not in feature.gaps


def is_valid_value(feature: Feature, value: float | str | None) -> bool:
    """Return whether a record may have this value, other than a number that means "not measured"."""
    if value is None or feature.labels:
        return value in feature.labels or (value is None and not feature.required)
    if isinstance(value, str) or not _is_valid(feature, value):
        return False
    return value == math.floor(value) or not (feature.whole or feature.codes)
