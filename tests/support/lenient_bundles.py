"""Bundles with other Observations than the complete one, and what the lenient reading makes of them."""

from __future__ import annotations

import json
from typing import Any

from api.protocols.fhir.lenient import LenientParser, Reading
from api.protocols.fhir.parse import ParsedBundle, RefusedBundle
from tests.support.fhir_bundles import CANARY, TODAY, UCI_FHIR, Json, loinc_quantity, unchecked, with_replacement
from tests.support.uci import UCI

LENIENT = LenientParser(UCI_FHIR, UCI.records)


def read(*parts: Any, **others: Any) -> Reading:
    return LENIENT.parse(unchecked(*parts, **others), TODAY)


def fields(reading: Reading) -> Json:
    assert isinstance(reading.result, ParsedBundle), reading
    record: Json = json.loads(reading.result.record)
    return record


def notes(reading: Reading) -> tuple[str, ...]:
    """Return the notes, in which nothing else that was sent is repeated."""
    assert CANARY not in repr(reading.result.notes)
    return reading.result.notes


def value(field: str, *parts: Json) -> Any:
    """Return a field of the complete Bundle with other Observations in place of its own."""
    return fields(read(*with_replacement(field, *parts)))[field]


def issues(reading: Reading) -> list[tuple[str, str]]:
    """Return code and FHIRPath of every issue, which repeat no value."""
    assert isinstance(reading.result, RefusedBundle), reading
    assert CANARY not in repr(reading.result)
    return [(str(issue.code), issue.pointer) for issue in reading.result.issues]


def pressure(when: str | None, number: float, **others: Any) -> Json:
    """Return a systolic pressure of a date; None removes an element."""
    found = {**loinc_quantity("8480-6", number, "mm[Hg]"), "effectiveDateTime": when, **others}
    return {name: each for name, each in found.items() if each is not None}
