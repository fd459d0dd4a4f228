"""Validation of one record, the slow path of decoding: the record, or all of its problems.

`RecordValidator` defines which records are valid. The fast path (`schemas.record_format` and `scoring.features`) may
only accept what it accepts, with the same numbers; a property test verifies that.
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

from schemas.envelopes import ENCODED_TWICE, UTF_16, envelope_issue, is_utf_16
from schemas.errors import RejectionCode, ValidationIssue
from schemas.records import PATIENT_ID_MAX_CHARS, RECORD_MAX_BYTES, PatientRecord
from schemas.tables.feature_table import CODING, PATIENT_ID, Coding, Feature, FeatureTable, Kind

_NO_JSON: Final = "is not a JSON document"


class _NotFinite:
    """Replaces NaN, Infinity and -Infinity, which Python's JSON parser accepts although they are not JSON."""


class RecordValidator:
    """Validates records of one feature table, whose type is `kind`. `names` are the members that a record may have."""

    def __init__(self, table: FeatureTable, kind: type[PatientRecord]) -> None:
        self._table = table
        self._type = kind
        self.names = (PATIENT_ID, *table.names, CODING)
        self._foreign_text = (
            f"this value is used by other codings of this data ({', '.join(table.foreign_codings)}): if your source "
            "uses one, set it for all records, in coding or with --coding"
        )

    def validate(self, value: bytes | None, coding: str | None = None) -> PatientRecord | tuple[ValidationIssue, ...]:
        """Return the record in `value`, or all of its issues (never empty).

        `coding` is the coding of a record that does not name its own. The returned record is in the table's own coding,
        and says so if a coding was given. Fields in which a number means "not measured" are None. Takes about 20 µs, at
        most a few milliseconds, so it is only called for records that the fast path does not accept.
        """
        members = _members(value)
        if isinstance(members, ValidationIssue):
            return (members,)
        issues, found = self._name_issues(members)
        named = found.get(CODING, coding)
        known = self._table.coding_by_name.get(named) if isinstance(named, str) else None
        values: dict[str, float | str | None] = {}
        for name, raw in found.items():
            outcome = self._read_field(name, raw, known)
            if isinstance(outcome, ValidationIssue):
                issues.append(outcome)
            elif name in self._table.by_name:
                values[name] = outcome
        if issues:
            return tuple(issues)
        declared = msgspec.UNSET if named is None else self._table.own_coding
        return self._type(**{PATIENT_ID: found[PATIENT_ID], **values, CODING: declared})

    def _name_issues(self, members: list[tuple[str, Any]]) -> tuple[list[ValidationIssue], dict[str, Any]]:
        """Check which fields are present; return the issues, and the known fields that occur exactly once."""
        issues: list[ValidationIssue] = []
        found: dict[str, Any] = {}
        repeated: set[str] = set()
        unknown: list[str] = []
        for name, raw in members:
            if name not in self.names:
                unknown.append(name)
            elif name in found:
                repeated.add(name)
            else:
                found[name] = raw
        issues.extend(
            ValidationIssue(RejectionCode.DUPLICATE_FIELD, f"/{name}", "the field occurs more than once")
            for name in self.names
            if name in repeated
        )
        if unknown:
            issues.append(ValidationIssue(RejectionCode.UNKNOWN_FIELD, "", self._unknown_text(unknown)))
        issues.extend(
            ValidationIssue(RejectionCode.MISSING_FIELD, f"/{name}", self._absent_text(name))
            for name in self.names[:-1]
            if name not in found
        )
        return issues, found

    def _unknown_text(self, unknown: list[str]) -> str:
        """Describe unknown members without their names, which may contain anything."""
        suspects = [name[:_LONGEST_GUESS] for name in unknown[:_GUESSES]]
        close = {match for name in suspects for match in get_close_matches(name.lower(), self.names, n=1)}
        hint = f"; did you mean {' or '.join(sorted(close))}?" if close else ""
        return f"{len(unknown)} member(s) are not fields of a patient record{hint}"

    def _absent_text(self, name: str) -> str:
        feature = self._table.by_name.get(name)
        if feature is None or feature.required:
            return "the field is required"
        return "the field is required; send null if it was not measured"

    def _read_field(self, name: str, raw: Any, coding: Coding | None) -> ValidationIssue | float | str | None:
        """Check one field; return its value, None if it is not measured or not a feature, or its issue.

        `coding` is the record's, None if it has none or an unknown one.
        """
        if name == PATIENT_ID:
            return _patient_id_issue(raw)
        if name == CODING:
            return self._coding_issue(raw)
        feature = self._table.by_name[name]
        return _read_label(feature, raw) if feature.labels else self._read_number(feature, raw, coding)

    def _coding_issue(self, raw: Any) -> ValidationIssue | None:
        if isinstance(raw, str) and raw in self._table.coding_by_name:
            return None
        return ValidationIssue(RejectionCode.UNSUPPORTED_CODING, "/coding", self._table.codings_text)

    def _read_number(self, feature: Feature, raw: Any, coding: Coding | None) -> ValidationIssue | float | None:
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
        return self._limits_issue(feature, raw, is_declared=coding is not None) or float(raw)

    def _limits_issue(self, feature: Feature, value: float, *, is_declared: bool) -> ValidationIssue | None:
        pointer = f"/{feature.name}"
        low, high = feature.interval
        in_range = low <= value <= high
        hint = next((hint for hint in feature.hints if hint.matches(value)), None)
        advice = f"; {hint.text}" if hint and hint.text else ""
        if not is_declared and not in_range and hint is not None and hint.is_foreign(value, feature.kind):
            return ValidationIssue(
                RejectionCode.FOREIGN_CODE, pointer, f"{_legal(feature)}; {hint.text or self._foreign_text}"
            )
        if feature.kind is Kind.CODE and not (in_range and value not in feature.gaps and value == math.floor(value)):
            return ValidationIssue(RejectionCode.IMPOSSIBLE_CODE, pointer, f"{_legal(feature)}{advice}")
        if not in_range:
            return ValidationIssue(RejectionCode.OUT_OF_RANGE, pointer, f"{_legal(feature)}{advice}")
        if feature.whole and value != math.floor(value):
            return ValidationIssue(RejectionCode.NOT_AN_INTEGER, pointer, "must be a whole number")
        return None


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
DEEPEST: Final = 256
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}


def refuse_deep_nesting(text: str) -> None:
    """Raise ValueError if the parser could overflow the stack; the limit is the same for every caller."""
    if text.count("[") + text.count("{") > DEEPEST:
        depths = accumulate(_STEPS.get(character, 0) for character in _STRING.sub("", text))
        if max(depths, default=0) > DEEPEST:
            raise ValueError("nested too deep")


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


def _read_label(feature: Feature, raw: Any) -> ValidationIssue | str | None:
    """Check a field whose codes are texts."""
    if raw is None:
        return _missing(feature)
    if not isinstance(raw, str):
        return ValidationIssue(RejectionCode.WRONG_TYPE, f"/{feature.name}", f"must be a string{_or_null(feature)}")
    if raw not in feature.labels:
        return ValidationIssue(RejectionCode.IMPOSSIBLE_CODE, f"/{feature.name}", _legal(feature))
    return raw


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


def _legal(feature: Feature) -> str:
    """Describe the valid values."""
    if feature.codes:
        return f"must be one of {', '.join(feature.code_texts)}{_or_null(feature)}"
    low, high = feature.interval
    unit = f" {feature.unit}" if feature.unit else ""
    return f"must be {low:g} to {high:g}{unit}{_or_null(feature)}"


def _or_null(feature: Feature) -> str:
    return "" if feature.required else ", or null if it was not measured"
