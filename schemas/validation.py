"""Validation of one record, the slow path of decoding: the record, or all of its problems.

`validate` defines which records are valid. The fast path (`schemas.codec.decode` and `scoring.features`) may only
accept what `validate` accepts, with the same numbers; a property test verifies that.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from itertools import accumulate
from typing import Any, Final

import msgspec

from schemas.codings import CODINGS, FOREIGN_NAMES, UCI, Coding, known_codings_text
from schemas.envelopes import ENCODED_TWICE, UTF_16, envelope_issue, is_utf_16
from schemas.errors import RejectionCode, ValidationIssue
from schemas.features import FEATURE_NAMES, FEATURES, Feature, Kind
from schemas.records import PATIENT_ID_MAX_CHARS, RECORD_MAX_BYTES, PatientRecord

_NO_JSON: Final = "is not a JSON document"
FIELD_NAMES: Final = ("patient_id", *FEATURE_NAMES, "coding")
_BY_NAME: Final = {feature.name: feature for feature in FEATURES}


class _NotFinite:
    """Replaces NaN, Infinity and -Infinity, which Python's JSON parser accepts although they are not JSON."""


def validate(value: bytes | None, coding: str | None = None) -> PatientRecord | tuple[ValidationIssue, ...]:
    """Return the record in `value`, or all of its issues (never empty).

    `coding` is the coding of a record that does not name its own. The returned record is in UCI's coding, and says so
    if a coding was given. Fields in which a number means "not measured" are None. Takes about 20 µs, at most a few
    milliseconds, so it is only called for records that the fast path does not accept.
    """
    members = _members(value)
    if isinstance(members, ValidationIssue):
        return (members,)
    issues, found = _name_issues(members)
    named = found.get("coding", coding)
    known = CODINGS.get(named) if isinstance(named, str) else None
    numbers: dict[str, float | None] = {}
    for name, raw in found.items():
        outcome = _read_field(name, raw, known)
        if isinstance(outcome, ValidationIssue):
            issues.append(outcome)
        elif name in _BY_NAME:
            numbers[name] = outcome
    if issues:
        return tuple(issues)
    declared = msgspec.UNSET if named is None else UCI
    return PatientRecord(patient_id=found["patient_id"], **numbers, coding=declared)


def _members(value: bytes | None) -> list[tuple[str, Any]] | ValidationIssue:
    """Parse `value` into the members of one JSON object, in order and with duplicates."""
    if not value:
        return ValidationIssue(RejectionCode.EMPTY_VALUE, "", "the record has no value; a tombstone cannot be scored")
    if len(value) > RECORD_MAX_BYTES:
        return ValidationIssue(RejectionCode.TOO_LARGE, "", f"the record is larger than {RECORD_MAX_BYTES} bytes")
    text = _text(value)
    return text if isinstance(text, ValidationIssue) else _parsed(text)


def _text(value: bytes) -> str | ValidationIssue:
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return ValidationIssue(
            RejectionCode.NOT_UTF8, "", UTF_16 if is_utf_16(value) else "the record is not UTF-8 text"
        )
    # Without a byte order mark, English text in UTF-16 is UTF-8 as well: every other character is NUL.
    return ValidationIssue(RejectionCode.NOT_JSON, "", UTF_16) if is_utf_16(value) else text


def _parsed(text: str) -> list[tuple[str, Any]] | ValidationIssue:
    try:
        refuse_deep_nesting(text)
        parsed = json.loads(text, object_pairs_hook=_Members, parse_int=float, parse_constant=lambda _: _NotFinite())
    except ValueError:
        wrong = "begins with a byte order mark; send UTF-8 without one" if text.startswith("\ufeff") else _NO_JSON
        return ValidationIssue(RejectionCode.NOT_JSON, "", f"the record {wrong}")
    if isinstance(parsed, str) and parsed.lstrip().startswith("{"):
        return ENCODED_TWICE
    if not isinstance(parsed, _Members):
        return ValidationIssue(
            RejectionCode.NOT_AN_OBJECT, "", "the record is not a JSON object; send one object a record"
        )
    return envelope_issue(parsed) or list(parsed)


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, including duplicates."""


_GUESSES: Final = 16
_LONGEST_GUESS: Final = 32
"""A hostile record may have thousands of names; looking up each would be too slow."""
NAME_YOUR_CODING: Final = (
    "this value is used by other codings of this data "
    f"({', '.join(FOREIGN_NAMES)}): if your source uses one, set it for all records, in coding or with --coding"
)
DEEPEST: Final = 256
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


def refuse_deep_nesting(text: str) -> None:
    """Raise ValueError if the parser could overflow the stack; the limit is the same for every caller."""
    if text.count("[") + text.count("{") > DEEPEST:
        depths = accumulate(_STEPS.get(character, 0) for character in _STRING.sub("", text))
        if max(depths, default=0) > DEEPEST:
            raise ValueError("nested too deep")


def _name_issues(members: list[tuple[str, Any]]) -> tuple[list[ValidationIssue], dict[str, Any]]:
    """Check which fields are present; return the issues, and the known fields that occur exactly once."""
    issues: list[ValidationIssue] = []
    found: dict[str, Any] = {}
    repeated: set[str] = set()
    unknown: list[str] = []
    for name, raw in members:
        if name not in FIELD_NAMES:
            unknown.append(name)
        elif name in found:
            repeated.add(name)
        else:
            found[name] = raw
    issues.extend(
        ValidationIssue(RejectionCode.DUPLICATE_FIELD, f"/{name}", "the field occurs more than once")
        for name in FIELD_NAMES
        if name in repeated
    )
    if unknown:
        issues.append(ValidationIssue(RejectionCode.UNKNOWN_FIELD, "", _unknown_text(unknown)))
    issues.extend(
        ValidationIssue(RejectionCode.MISSING_FIELD, f"/{name}", _absent_text(name))
        for name in FIELD_NAMES[:-1]
        if name not in found
    )
    return issues, found


def _unknown_text(unknown: list[str]) -> str:
    """Describe unknown members without their names, which may contain anything."""
    suspects = [name[:_LONGEST_GUESS] for name in unknown[:_GUESSES]]
    close = {match for name in suspects for match in get_close_matches(name.lower(), FIELD_NAMES, n=1)}
    hint = f"; did you mean {' or '.join(sorted(close))}?" if close else ""
    return f"{len(unknown)} member(s) are not fields of a patient record{hint}"


def _absent_text(name: str) -> str:
    feature = _BY_NAME.get(name)
    if feature is None or feature.required:
        return "the field is required"
    return "the field is required; send null if it was not measured"


def _read_field(name: str, raw: Any, coding: Coding | None) -> ValidationIssue | float | None:
    """Check one field; return its number, None if it is not measured or not numeric, or its issue.

    `coding` is the record's, None if it has none or an unknown one.
    """
    if name == "patient_id":
        return _patient_id_issue(raw)
    if name == "coding":
        return _coding_issue(raw)
    return _read_number(_BY_NAME[name], raw, coding)


def _patient_id_issue(raw: Any) -> ValidationIssue | None:
    pointer = "/patient_id"
    if not isinstance(raw, str):
        return ValidationIssue(RejectionCode.WRONG_TYPE, pointer, "must be a string")
    if not 1 <= len(raw) <= PATIENT_ID_MAX_CHARS:
        return ValidationIssue(RejectionCode.WRONG_LENGTH, pointer, f"must have 1 to {PATIENT_ID_MAX_CHARS} characters")
    try:
        raw.encode("utf-8")
    except UnicodeEncodeError:
        return ValidationIssue(RejectionCode.NOT_UTF8, pointer, "contains a lone surrogate, which is not a character")
    return None


def _coding_issue(raw: Any) -> ValidationIssue | None:
    if isinstance(raw, str) and raw in CODINGS:
        return None
    return ValidationIssue(RejectionCode.UNSUPPORTED_CODING, "/coding", known_codings_text())


def _read_number(feature: Feature, raw: Any, coding: Coding | None) -> ValidationIssue | float | None:
    pointer = f"/{feature.name}"
    if raw is None:
        return _missing(feature)
    if isinstance(raw, _NotFinite):
        return ValidationIssue(
            RejectionCode.NOT_FINITE, pointer, "must be a finite number; send null if it was not measured"
        )
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return ValidationIssue(RejectionCode.WRONG_TYPE, pointer, f"must be a number{_or_null(feature)}")
    if raw in feature.missing:
        return _missing(feature)
    codes = None if coding is None else coding.codes.get(feature.name)
    if codes is not None:
        return _converted(feature, raw, codes)
    return _limits_issue(feature, raw, is_declared=coding is not None) or float(raw)


def _converted(feature: Feature, raw: float, codes: Mapping[int, int | None]) -> ValidationIssue | float | None:
    """Convert a code of another coding."""
    if raw not in codes:
        meanings: dict[int | None, str] = {**dict(feature.codes)}
        known = (f"{code} ({meanings.get(ours, 'not measured')})" for code, ours in codes.items())
        text = f"must be one of {', '.join(known)} in the coding of this record{_or_null(feature)}"
        return ValidationIssue(RejectionCode.IMPOSSIBLE_CODE, f"/{feature.name}", text)
    ours = codes[int(raw)]
    return _missing(feature) if ours is None else float(ours)


def _missing(feature: Feature) -> ValidationIssue | None:
    if not feature.required:
        return None
    return ValidationIssue(RejectionCode.MISSING_VALUE, f"/{feature.name}", "is required")


def _limits_issue(feature: Feature, value: float, *, is_declared: bool) -> ValidationIssue | None:
    pointer = f"/{feature.name}"
    low, high = feature.interval
    in_range = low <= value <= high
    hint = next((hint for hint in feature.hints if hint.matches(value)), None)
    advice = f"; {hint.text}" if hint and hint.text else ""
    if not is_declared and not in_range and hint is not None and hint.is_foreign(value, feature.kind):
        return ValidationIssue(
            RejectionCode.FOREIGN_CODE, pointer, f"{_legal(feature)}; {hint.text or NAME_YOUR_CODING}"
        )
    if feature.kind is Kind.CODE and not (in_range and value not in feature.gaps and value == math.floor(value)):
        return ValidationIssue(RejectionCode.IMPOSSIBLE_CODE, pointer, f"{_legal(feature)}{advice}")
    if not in_range:
        return ValidationIssue(RejectionCode.OUT_OF_RANGE, pointer, f"{_legal(feature)}{advice}")
    if feature.whole and value != math.floor(value):
        return ValidationIssue(RejectionCode.NOT_AN_INTEGER, pointer, "must be a whole number")
    return None


def _legal(feature: Feature) -> str:
    """Describe the valid values."""
    if feature.codes:
        codes = ", ".join(f"{code} ({label})" for code, label in feature.codes)
        return f"must be one of {codes}{_or_null(feature)}"
    low, high = feature.interval
    return f"must be {low:g} to {high:g} {feature.unit}{_or_null(feature)}"


def _or_null(feature: Feature) -> str:
    return "" if feature.required else ", or null if it was not measured"
