"""How large the records of a feature table and their responses can be: what memory is reserved for a request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from schemas.errors import ValidationIssue
from schemas.record_format import RecordFormat
from schemas.tables.feature_table import PATIENT_ID, Feature

_ENVELOPE_BYTES: Final = 512
"""Of a response: all that does not depend on the number of fields, with a long id."""
_WARNING_BYTES: Final = 60
"""Of a field in a score, besides its name: missing, or with a warning."""
_REASON_BYTES: Final = 40
_STREAM_RECORDS: Final = 256
"""A stream buffers about as much as the responses to so many records: lines received, in progress, and answered."""


class RecordSize(msgspec.Struct, frozen=True):
    """The largest number of structural characters of a record, the bytes of a response to it, and of a stream."""

    delimiters: int
    response_bytes: int
    stream_bytes: int

    @classmethod
    def of(cls, records: RecordFormat, reasons: int) -> RecordSize:
        """Measure the records of a table, and scores with so many reasons; takes milliseconds for 200 fields."""
        table = records.table
        # Each field, the id and the coding have a colon and a comma; braces and a separator are around them.
        delimiters = 2 * (len(table.features) + 3)
        lengths = sorted(map(len, table.names), reverse=True)
        score = sum(_WARNING_BYTES + 2 * length for length in lengths)
        score += sum(_REASON_BYTES + length for length in lengths[:reasons])
        response = _ENVELOPE_BYTES + max(score, _longest_issues(records))
        return cls(delimiters, response, _STREAM_RECORDS * response)


def _longest_issues(records: RecordFormat) -> int:
    """Return the bytes of an issue for each field, each the longest that the field can have."""
    longest: dict[str, int] = dict.fromkeys(records.table.names, 0)
    for record in _invalid_records(records.table.features):
        issues = records.validate(msgspec.json.encode(record))
        for issue in issues if isinstance(issues, tuple) else ():
            name = issue.pointer.removeprefix("/")
            longest[name] = max(longest.get(name, 0), _size(issue))
    return sum(longest.values())


def _invalid_records(features: tuple[Feature, ...]) -> Iterator[dict[str, Any]]:
    """Yield records of which each field is invalid: absent, a text, and numbers that have a hint or none."""
    yield {}
    values = [_invalid_values(feature) for feature in features]
    for place in range(max(map(len, values), default=0)):
        chosen = (own[min(place, len(own) - 1)] for own in values)
        yield {PATIENT_ID: "", **dict(zip((feature.name for feature in features), chosen, strict=True))}


def _invalid_values(feature: Feature) -> list[float | str]:
    return ["", feature.interval[1] + 1, *(limit for hint in feature.hints for limit in (hint.lowest, hint.highest))]


def _size(issue: ValidationIssue) -> int:
    return len(msgspec.json.encode(issue)) + 1
