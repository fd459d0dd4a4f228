"""Every example of the contract has its documented outcome, and everything written matches the JSON Schemas."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given

from schemas.codec import decode_dead_letter, encode_dead_letter
from schemas.errors import RejectionCode, ValidationIssue
from schemas.generate import documents as generated
from schemas.generate import json_schema
from schemas.records import DeadLetter, PatientRecord, Source
from schemas.tables.builtin import UCI_HEART
from scoring.features import Matrix
from scoring.scorer import Scorer
from tests.support.examples import FOLDER, Pair, accepted, rejected, rejected_unwritten
from tests.support.outcomes import Rejected, Scored, process
from tests.support.record_strategies import json_objects
from tests.support.uci import (
    CODINGS,
    FEATURE_NAMES,
    as_matrix,
    blank_missing,
    decode,
    decode_coded,
    legal_rows,
    validate,
)

ACCEPTED = accepted()
REJECTED = [*rejected(), *rejected_unwritten()]
SOURCE = Source("patients", 3, 4711)
ONLY_SLOW = {"escaped-quote-in-patient-id"}
"""Examples that the fast decoder leaves to the slow path."""
NOT_OF_THE_RECORD = {"model_failure", "undeliverable_score", "malformed_event", "malformed_frame", "foreign_source"}
CONTRACT_WORDS = {"patient_id", *FEATURE_NAMES, "coding", "uci", "kaggle", "null", "true", "false"}

each_accepted = pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in ACCEPTED])
each_rejected = pytest.mark.parametrize(
    ("value", "expected"), [pytest.param(value, issues, id=name) for name, value, issues in REJECTED]
)


def pairs(issues: Sequence[ValidationIssue]) -> list[Pair]:
    return [(issue.code.value, issue.pointer) for issue in issues]


def issues_of(value: bytes | None) -> tuple[ValidationIssue, ...]:
    verdict = validate(value)
    assert not isinstance(verdict, PatientRecord)
    return verdict


def blanked(record: PatientRecord) -> Matrix:
    matrix = as_matrix([record])
    blank_missing(matrix)
    return matrix


def numbers_as_sent(value: bytes) -> list[float]:
    """Read the 13 numbers without heartstream's code, in UCI's coding: NaN for null and missing codes."""
    sent = json.loads(value)
    zero_is_missing = {"trestbps", "chol", "thalach"}
    for name, codes in CODINGS[sent.get("coding", "uci")].codes.items():
        sent[name] = codes[sent[name]]
    return [
        float("nan")
        if sent[name] is None or sent[name] == -9 or (sent[name] == 0 and name in zero_is_missing)
        else sent[name]
        for name in FEATURE_NAMES
    ]


def validator(name: str) -> Any:
    document = json.loads((generated.FOLDER / name).read_text("utf-8"))
    return jsonschema.Draft202012Validator(document)


def test_every_fault_code_of_a_record_has_an_example() -> None:
    """Four codes do not depend on the record's own bytes.

    Only a broken model gives model_failure; malformed_event and malformed_frame are about envelopes,
    foreign_source about neighbouring records.
    """
    shown = {code for _, _, issues in REJECTED for code, _ in issues}
    assert {code.value for code in RejectionCode} - NOT_OF_THE_RECORD == shown


def test_every_rejected_file_belongs_to_a_pair() -> None:
    """A record without its issues, or issues without their record, would not be tested."""
    names = [path.name for path in (FOLDER / "rejected").iterdir()]
    records = {name.removesuffix(".record") for name in names if name.endswith(".record")}
    issues = {name.removesuffix(".issues.json") for name in names if name.endswith(".issues.json")}
    assert (records, len(names)) == (issues, len(records) + len(issues))


def test_rejected_files_stay_small() -> None:
    """At most 70 KB together."""
    assert sum(path.stat().st_size for path in (FOLDER / "rejected").iterdir()) <= 70_000


@each_accepted
def test_accepted_example_is_valid_on_the_slow_path(value: bytes) -> None:
    """`validate` returns the numbers that were sent."""
    verdict = validate(value)
    assert isinstance(verdict, PatientRecord)
    np.testing.assert_array_equal([numbers_as_sent(value)], as_matrix([verdict]))


@each_accepted
def test_accepted_example_is_valid_on_the_fast_path(value: bytes) -> None:
    """Decoder and vectorized validation accept it with the numbers that were sent."""
    record = decode(value) or validate(value)
    assert isinstance(record, PatientRecord)
    matrix = blanked(record)
    np.testing.assert_array_equal([numbers_as_sent(value)], matrix)
    assert legal_rows(matrix).tolist() == [True]


@each_accepted
def test_both_paths_read_the_same_patient_id(value: bytes) -> None:
    """It is the id that any JSON parser reads."""
    record = decode(value) or validate(value)
    slow = validate(value)
    assert isinstance(record, PatientRecord)
    assert isinstance(slow, PatientRecord)
    assert [json.loads(value)["patient_id"]] * 2 == [record.patient_id, slow.patient_id]


def test_accepted_examples_take_the_fast_path() -> None:
    """Only an escaped quote in the id needs the slow path."""
    assert {name for name, value in ACCEPTED if (decode(value) or decode_coded(value)) is None} == ONLY_SLOW


@each_accepted
def test_accepted_example_matches_the_json_schema(value: bytes) -> None:
    """A producer that validates against the schema can send it."""
    assert [error.message for error in validator("patient-record.schema.json").iter_errors(json.loads(value))] == []


@each_accepted
def test_accepted_example_is_scored(value: bytes, scorer: Scorer) -> None:
    """By the code that every interface uses."""
    (outcome,) = process([value], [SOURCE], scorer)
    assert isinstance(outcome, Scored)


@each_rejected
def test_rejected_example_has_its_faults(value: bytes | None, expected: list[Pair]) -> None:
    """Exactly these, in order."""
    assert expected == pairs(issues_of(value))


@each_rejected
def test_rejected_example_is_rejected_by_the_pipeline(
    value: bytes | None, expected: list[Pair], scorer: Scorer
) -> None:
    """The code that every interface uses has the same issues."""
    (outcome,) = process([value], [SOURCE], scorer)
    assert isinstance(outcome, Rejected)
    assert expected == pairs(outcome.issues)


@each_rejected
def test_messages_repeat_nothing_from_the_record(value: bytes | None, expected: list[Pair]) -> None:  # noqa: ARG001
    """Messages are logged and forwarded, so they contain no value, id or unknown field name."""
    text = (value or b"")[:100_000].decode("latin-1").replace("\0", "")
    sent = set(re.findall(r"[\w.?-]{3,}", text)) - CONTRACT_WORDS
    messages = " ".join(issue.message for issue in issues_of(value))
    assert [word for word in sorted(sent) if word in messages] == []


@each_rejected
def test_pointers_name_only_fields_of_the_contract(value: bytes | None, expected: list[Pair]) -> None:  # noqa: ARG001
    """A pointer is empty or refers to a known field."""
    allowed = {"", "/patient_id", "/coding", *(f"/{name}" for name in FEATURE_NAMES)}
    assert {issue.pointer for issue in issues_of(value)} <= allowed


@pytest.mark.parametrize("name", sorted(generated.documents()))
def test_committed_json_schema_is_current(name: str) -> None:
    """`python -m schemas.generate.documents` writes it."""
    assert generated.render(generated.documents()[name]) == (generated.FOLDER / name).read_text("utf-8")


def test_no_other_json_schema_is_committed() -> None:
    """A schema that is no longer generated is deleted."""
    assert sorted(generated.documents()) == sorted(path.name for path in generated.FOLDER.iterdir())


@pytest.mark.parametrize("name", sorted(json_schema.documents(UCI_HEART)))
def test_json_schema_is_valid(name: str) -> None:
    """Each document is declared and valid JSON Schema 2020-12."""
    document = json.loads((generated.FOLDER / name).read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@given(json_objects())
def test_json_schema_and_examine_agree(document: object) -> None:
    """A record matches the schema if and only if it is valid, so producers can validate before they send."""
    accepts = isinstance(validate(json.dumps(document).encode()), PatientRecord)
    assert accepts == validator("patient-record.schema.json").is_valid(document)


@pytest.mark.parametrize("source", [SOURCE, None], ids=["from-a-topic", "from-elsewhere"])
@pytest.mark.parametrize("model", ["scorer", "forest_scorer"])
def test_every_score_matches_its_json_schema(model: str, source: Source | None, request: pytest.FixtureRequest) -> None:
    """For each accepted example."""
    outcomes = process([value for _, value in ACCEPTED], [source] * len(ACCEPTED), request.getfixturevalue(model))
    check = validator("score.schema.json")
    errors = [list(check.iter_errors(json.loads(o.value))) if isinstance(o, Scored) else o for o in outcomes]
    assert [[]] * len(ACCEPTED) == errors


@each_rejected
def test_every_dead_letter_matches_its_json_schema(value: bytes | None, expected: list[Pair]) -> None:
    """The header's content can also be decoded again."""
    encoded = encode_dead_letter(DeadLetter(issues_of(value), SOURCE))
    assert list(validator("dead-letter.schema.json").iter_errors(json.loads(encoded))) == []
    assert expected == pairs(decode_dead_letter(encoded).errors)
