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
from schemas.tables.feature_table import PATIENT_ID, Feature
from scoring.compiled_table import CompiledTable
from tests.support.examples import accepted
from tests.support.record_strategies import values
from tests.support.tables import TEXT_CODES, each_table
from tests.support.uci import UCI

COMPLETE: dict[str, Any] = json.loads(dict(accepted())["complete"])
each_field = pytest.mark.parametrize(
    ("compiled", "feature"),
    [(compiled, feature) for compiled in (UCI, TEXT_CODES) for feature in compiled.table.features],
    ids=lambda value: value.name if isinstance(value, Feature) else value.table.name,
)


def issues_of(value: bytes, compiled: CompiledTable = UCI) -> Sequence[ValidationIssue]:
    verdict = compiled.records.validate(value)
    return () if isinstance(verdict, PatientRecord) else verdict


def found(value: bytes, compiled: CompiledTable = UCI) -> list[tuple[RejectionCode, str]]:
    return [(issue.code, issue.pointer) for issue in issues_of(value, compiled)]


def complete(compiled: CompiledTable) -> dict[str, Any]:
    """Return a valid record of a table."""
    return {PATIENT_ID: "p", **compiled.table.typical_record()}


def record(**changes: Any) -> bytes:
    return json.dumps({**COMPLETE, **changes}).encode()


def changed(compiled: CompiledTable, field: str, value: object) -> bytes:
    """Return a valid record of a table with another value of one field."""
    return json.dumps({**complete(compiled), field: value}).encode()


def with_text(compiled: CompiledTable, field: str, text: str) -> bytes:
    """Return a record with JSON text in place of a field's value."""
    return changed(compiled, field, "PLACE").replace(b'"PLACE"', text.encode())


def at_depth(frames: int, call: Callable[[], Any]) -> Any:
    """Make a call that many frames further down the stack."""
    return call() if frames == 0 else at_depth(frames - 1, call)


@each_field
def test_an_absent_field_is_reported(compiled: CompiledTable, feature: Feature) -> None:
    """The id and each field of the table must be present."""
    for field in (PATIENT_ID, feature.name):
        document = {name: value for name, value in complete(compiled).items() if name != field}
        assert [(RejectionCode.MISSING_FIELD, f"/{field}")] == found(json.dumps(document).encode(), compiled)


@each_field
@pytest.mark.parametrize("text", ["true", "false", '"63"', '"?"', '""', "{}", "[]", "[63]", '"null"', "63"])
def test_only_a_number_is_a_number(compiled: CompiledTable, feature: Feature, text: str) -> None:
    """A string, boolean, list or object is not accepted as a number in any field, nor a number as a text."""
    is_text, issues = text.startswith('"'), found(with_text(compiled, feature.name, text), compiled)
    if feature.labels:
        code = RejectionCode.IMPOSSIBLE_CODE if is_text else RejectionCode.WRONG_TYPE
        assert [(code, f"/{feature.name}")] == issues
    elif text != "63":
        assert [(RejectionCode.WRONG_TYPE, f"/{feature.name}")] == issues


@each_field
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_number_must_be_finite(compiled: CompiledTable, feature: Feature, text: str) -> None:
    """NaN, Infinity and -Infinity, which some JSON writers use, are distinguished from malformed JSON."""
    code = RejectionCode.WRONG_TYPE if feature.labels else RejectionCode.NOT_FINITE
    assert [(code, f"/{feature.name}")] == found(with_text(compiled, feature.name, text), compiled)


@each_field
def test_a_value_that_is_not_measured_is_none(compiled: CompiledTable, feature: Feature) -> None:
    """Null and each code for "not measured" are returned as None; null in a required field is rejected."""
    sent = [None, *feature.missing, *(float(code) for code in feature.missing)]
    verdicts = [compiled.records.validate(changed(compiled, feature.name, value)) for value in sent]
    if feature.required:
        assert [(RejectionCode.MISSING_VALUE, f"/{feature.name}")] == [
            (each.code, each.pointer) for each in verdicts[0]
        ]
    else:
        assert [None] * len(sent) == [getattr(verdict, feature.name) for verdict in verdicts]


@pytest.mark.parametrize("value", [0.5, 1.5])
def test_a_fraction_is_not_a_code_of_another_coding(value: float) -> None:
    """0, 1 and 2 are codes of thal in other copies; a value between them is not a code of any."""
    assert found(record(thal=value)) == [(RejectionCode.IMPOSSIBLE_CODE, "/thal")]


@pytest.mark.parametrize("digits", [400, 4_301, 10_000])
def test_an_integer_of_any_length_is_json(digits: int) -> None:
    """An integer with any number of digits is valid JSON: it is out of range, not unreadable."""
    assert found(with_text(UCI, "age", "9" * digits)) == [(RejectionCode.OUT_OF_RANGE, "/age")]


@pytest.mark.parametrize("nesting", [10, 700, 950])
def test_the_issues_do_not_depend_on_the_caller(nesting: int) -> None:
    """A record has the same issues at every interface, however deep that interface's stack is."""
    value = with_text(UCI, "age", "[" * nesting + "]" * nesting)
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


@each_table
@given(data=st.data())
def test_pointers_lead_to_fields_of_the_contract(compiled: CompiledTable, data: st.DataObject) -> None:
    """A pointer is "" or leads to a known field, whatever is sent, and a field has one issue with each code at most."""
    issues = found(data.draw(values(compiled.table)), compiled)
    known = {"", "/coding", *(f"/{name}" for name in (PATIENT_ID, *compiled.table.names))}
    assert {pointer for _, pointer in issues} <= known
    assert len(set(issues)) == len(issues)


@each_table
@given(data=st.data())
def test_messages_reveal_nothing_of_the_record(compiled: CompiledTable, data: st.DataObject) -> None:
    """No text of a record appears in a message or in the text of a RecordError."""
    fields = st.sampled_from(["zqx-id", PATIENT_ID, *compiled.table.names, "coding", "zqx"])
    document = data.draw(st.dictionaries(fields, st.just("zqx-4711") | st.just(["zqx"])))
    issues = tuple(issues_of(json.dumps({**document, "zqx": 1}).encode(), compiled))
    messages = " ".join([*(issue.message for issue in issues), str(RecordError(issues))])
    assert "zqx" not in messages


def test_a_record_error_has_codes_and_pointers() -> None:
    """The exception keeps every issue, and its text has their codes and pointers."""
    issues = tuple(issues_of(record(age=None, ca=9)))
    error = RecordError(issues)
    assert ("missing_value at /age; impossible_code at /ca", issues) == (str(error), error.issues)
