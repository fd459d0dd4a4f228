"""The slow path reports every issue, reveals nothing of the record, and depends on nothing but the record."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import RecordError, RejectionCode, ValidationIssue
from schemas.records import PatientRecord
from tests.support.examples import accepted
from tests.support.record_strategies import FIELDS, values
from tests.support.uci import FEATURE_NAMES, FEATURES, validate

COMPLETE: dict[str, Any] = json.loads(dict(accepted())["complete"])
OPTIONAL = [feature for feature in FEATURES if not feature.required]


def issues_of(value: bytes) -> Sequence[ValidationIssue]:
    verdict = validate(value)
    return () if isinstance(verdict, PatientRecord) else verdict


def found(value: bytes) -> list[tuple[RejectionCode, str]]:
    return [(issue.code, issue.pointer) for issue in issues_of(value)]


def record(**changes: Any) -> bytes:
    return json.dumps({**COMPLETE, **changes}).encode()


def with_text(field: str, text: str) -> bytes:
    """Return a record with JSON text in place of a field's value."""
    return record(**{field: "PLACE"}).replace(b'"PLACE"', text.encode())


def at_depth(frames: int, call: Callable[[], Any]) -> Any:
    """Make a call that many frames further down the stack."""
    return call() if frames == 0 else at_depth(frames - 1, call)


@pytest.mark.parametrize("field", FIELDS)
def test_an_absent_field_is_reported(field: str) -> None:
    """Each of the 14 fields must be present."""
    document = {name: value for name, value in COMPLETE.items() if name != field}
    assert [(RejectionCode.MISSING_FIELD, f"/{field}")] == found(json.dumps(document).encode())


@pytest.mark.parametrize("field", FEATURE_NAMES)
@pytest.mark.parametrize("text", ["true", "false", '"63"', '"?"', '""', "{}", "[]", "[63]", '"null"'])
def test_only_a_number_is_a_number(field: str, text: str) -> None:
    """A string, boolean, list or object is not accepted as a number in any field."""
    assert [(RejectionCode.WRONG_TYPE, f"/{field}")] == found(with_text(field, text))


@pytest.mark.parametrize("field", FEATURE_NAMES)
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_number_must_be_finite(field: str, text: str) -> None:
    """NaN, Infinity and -Infinity, which some JSON writers use, are distinguished from malformed JSON."""
    assert [(RejectionCode.NOT_FINITE, f"/{field}")] == found(with_text(field, text))


@pytest.mark.parametrize("feature", OPTIONAL, ids=lambda feature: feature.name)
def test_a_missing_value_is_none(feature: Any) -> None:
    """Null and each code for "not measured" are returned as None."""
    sent = [None, *feature.missing, *(float(code) for code in feature.missing)]
    verdicts = [validate(record(**{feature.name: value})) for value in sent]
    assert [None] * len(sent) == [getattr(verdict, feature.name) for verdict in verdicts]


@pytest.mark.parametrize("field", ["age", "sex", "cp"])
def test_a_required_value_must_not_be_null(field: str) -> None:
    """Age, sex and chest pain are required, so null is rejected."""
    assert [(RejectionCode.MISSING_VALUE, f"/{field}")] == found(record(**{field: None}))


@pytest.mark.parametrize("value", [0.5, 1.5])
def test_a_fraction_is_not_a_code_of_another_coding(value: float) -> None:
    """0, 1 and 2 are codes of thal in other copies; a value between them is not a code of any."""
    assert found(record(thal=value)) == [(RejectionCode.IMPOSSIBLE_CODE, "/thal")]


@pytest.mark.parametrize("digits", [400, 4_301, 10_000])
def test_an_integer_of_any_length_is_json(digits: int) -> None:
    """An integer with any number of digits is valid JSON: it is out of range, not unreadable."""
    assert found(with_text("age", "9" * digits)) == [(RejectionCode.OUT_OF_RANGE, "/age")]


@pytest.mark.parametrize("nesting", [10, 700, 950])
def test_the_issues_do_not_depend_on_the_caller(nesting: int) -> None:
    """A record has the same issues at every interface, however deep that interface's stack is."""
    value = with_text("age", "[" * nesting + "]" * nesting)
    assert found(value) == at_depth(500, lambda: found(value))


@pytest.mark.parametrize("nesting", [2_000, 30_000])
def test_deep_nesting_is_rejected(nesting: int) -> None:
    """A value that is nested too deeply to be parsed is rejected like any other."""
    assert found(b"[" * nesting) == [(RejectionCode.NOT_JSON, "")]


@pytest.mark.parametrize(
    ("sent", "meant"), [("thalch", "thalach"), ("Age", "age"), ("patientid", "patient_id"), ("old_peak", "oldpeak")]
)
def test_a_likely_misspelling_gets_a_suggestion(sent: str, meant: str) -> None:
    """The message names the field that was probably meant, not the name that was sent."""
    (issue,) = issues_of(record(**{sent: 1}))
    assert issue.message.endswith(f"did you mean {meant}?")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("chol", 6.03, "mmol/L: multiply by 38.67"),
        ("fbs", 126, "raw glucose"),
        ("oldpeak", 23, "drops the decimal point of oldpeak, which cannot be undone: use another copy"),
        ("cp", 0, "(kaggle-303, kaggle-297, statlog): if your source uses one, set it for all records"),
        ("slope", 0, "set it for all records, in coding or with --coding"),
        ("ca", 4, "set it for all records, in coding or with --coding"),
        ("ca", 9, "raw files' code for missing: send null"),
        ("thal", 2, "set it for all records, in coding or with --coding"),
    ],
)
def test_a_known_mistake_gets_a_hint(field: str, value: float, words: str) -> None:
    """A value that is wrong in a known way is answered with how to fix it."""
    (issue,) = issues_of(record(**{field: value}))
    assert words in issue.message


@given(values())
def test_pointers_lead_to_fields_of_the_contract(value: bytes) -> None:
    """A pointer is "" or leads to a known field, whatever is sent."""
    assert {issue.pointer for issue in issues_of(value)} <= {"", "/coding", *(f"/{name}" for name in FIELDS)}


@given(values())
def test_no_issue_is_reported_twice(value: bytes) -> None:
    """A field has at most one issue with each code."""
    assert len(set(found(value))) == len(found(value))


@given(st.dictionaries(st.sampled_from(["zqx-id", *FIELDS, "coding", "zqx"]), st.just("zqx-4711") | st.just(["zqx"])))
def test_messages_reveal_nothing_of_the_record(document: dict[str, Any]) -> None:
    """No text of a record appears in a message or in the text of a RecordError."""
    issues = tuple(issues_of(json.dumps({**document, "zqx": 1}).encode()))
    messages = " ".join([*(issue.message for issue in issues), str(RecordError(issues))])
    assert "zqx" not in messages


def test_a_record_error_has_codes_and_pointers() -> None:
    """The exception keeps every issue, and its text has their codes and pointers."""
    issues = tuple(issues_of(record(age=None, ca=9)))
    error = RecordError(issues)
    assert ("missing_value at /age; impossible_code at /ca", issues) == (str(error), error.issues)
