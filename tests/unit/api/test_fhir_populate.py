"""The form of a feature table, filled in with what a Bundle has."""

from __future__ import annotations

import datetime as dt
import json
from functools import cache
from typing import Any

import pytest
from fhir.resources.R4B.questionnaire import Questionnaire
from fhir.resources.R4B.questionnaireresponse import QuestionnaireResponse

from api.protocols.fhir.lenient import LenientParser
from api.protocols.fhir.lenient_bundle import OpenBundle
from api.protocols.fhir.parse import ParsedBundle, RefusedBundle
from api.protocols.fhir.populate import populated
from schemas.fhir.mapping import FhirMapping
from schemas.fhir.questionnaire import questionnaire
from schemas.tables.builtin import UCI_HEART
from scoring.compiled_table import CompiledTable
from tests.support.fhir_answers import LATER, answers_of, coded, item, response
from tests.support.fhir_bundles import (
    COMPLETE,
    RECORD,
    TODAY,
    UCI_FHIR,
    Json,
    observation,
    patient,
    unchecked,
    with_changes,
    with_replacement,
)
from tests.support.lenient_bundles import pressure
from tests.support.other_tables import NAMES, records, table

NOW = dt.datetime(2026, 11, 26, 12, tzinfo=dt.UTC)
BASE = "https://a.example"
TABLES = [UCI_HEART, *(each for each in map(table, NAMES) if each.fhir is not None)]
CODES = {"boolean": "valueBoolean", "choice": "valueCoding", "integer": "valueInteger", "decimal": "valueDecimal"}


@cache
def parser(name: str) -> tuple[FhirMapping, LenientParser, CompiledTable]:
    compiled = CompiledTable(next(each for each in TABLES if each.name == name))
    mapping = FhirMapping.of(compiled.table)
    assert mapping is not None
    return mapping, LenientParser(mapping, compiled.records), compiled


def filled(body: bytes, name: str = UCI_HEART.name) -> ParsedBundle | RefusedBundle:
    own = parser(name)[1]
    opened = own.open(body, to_populate=True)
    if isinstance(opened, OpenBundle):
        for places in opened.slices():
            own.read(opened, places)
    result = own.finish(opened, TODAY, to_populate=True).result
    assert isinstance(result, ParsedBundle | RefusedBundle)
    return result


def form(body: bytes, name: str = UCI_HEART.name) -> tuple[Json, list[str]]:
    """Return the response to the form, which is valid FHIR, and the notes."""
    found = filled(body, name)
    assert isinstance(found, ParsedBundle), found
    sent = json.loads(json.dumps(populated(found, parser(name)[0], NOW, BASE), default=_issues))
    resource, issues = (each["resource"] for each in sent["parameter"])
    assert [each["name"] for each in sent["parameter"]] == ["response", "issues"]
    QuestionnaireResponse.model_validate(resource)
    return resource, [each["text"] for each in issues]


def _issues(outcome: Any) -> Any:
    assert {(each.severity, each.code) for each in outcome.issue} == {("information", "informational")}
    return [{"text": each.details.text} for each in outcome.issue]


def answers(resource: Json) -> dict[str, Json]:
    """Return the answer of each question, and where it is from."""
    asked = [each for group in resource.get("item", []) for each in group["item"]]
    return {each["linkId"]: each["answer"][0] | {"source": each["extension"][0]["extension"]} for each in asked}


def refused(body: bytes) -> list[tuple[str, str]]:
    found = filled(body)
    assert isinstance(found, RefusedBundle), found
    return [(str(issue.code), issue.pointer) for issue in found.issues]


@pytest.mark.parametrize("own", TABLES, ids=lambda each: each.name)
def test_every_table_has_a_form(own: Any) -> None:
    """Valid FHIR: a question of the right type for each field, in the sections of the web page."""
    mapping = parser(own.name)[0]
    resource = questionnaire(mapping, BASE)
    assert json.loads(Questionnaire.model_validate(resource).model_dump_json()) == resource
    assert (resource["url"], resource["version"]) == (BASE + mapping.questionnaire_path, own.version)
    assert "not a medical device" in resource["item"][0]["text"]
    asked = {each["linkId"]: each for group in resource["item"][1:] for each in group["item"]}
    assert sorted(asked) == sorted(own.names)
    titled = {group["text"]: tuple(each["linkId"] for each in group["item"]) for group in resource["item"][1:]}
    assert own.form.sections.items() <= titled.items()
    for feature in own.features:
        question = asked[feature.name]
        assert question["required"] is feature.required
        assert {"system": mapping.system, "code": feature.name, "display": feature.meaning} in question["code"]
        extensions = {each["url"].rpartition("/")[2]: list(each.values())[1] for each in question.get("extension", [])}
        if feature.codes:
            codes = [each["valueCoding"]["code"] for each in question.get("answerOption", [])]
            expected = ("boolean", []) if feature.is_flag else ("choice", [str(code) for code in feature.sent])
            assert (question["type"], codes) == expected
        else:
            low, high = feature.interval
            assert question["type"] == ("integer" if feature.whole else "decimal")
            assert extensions.pop("questionnaire-unit")["code"] in feature.ucum
            assert extensions == {"minValue": low, "maxValue": high}


@pytest.mark.parametrize("own", TABLES, ids=lambda each: each.name)
def test_a_completed_form_is_read_as_the_record(own: Any) -> None:
    """Of any table: what a form was filled in with, and what a Bundle with the completed form means, are the same."""
    mapping, lenient, compiled = parser(own.name)
    someone = {"resourceType": "Patient", "id": "p-1"}
    for sent in records(compiled, 10):
        body = unchecked(someone, response(*answers_of(mapping, sent), questionnaire=mapping.questionnaire_path))
        resource, _ = form(body, own.name)
        again = unchecked(someone, {**resource, "status": "completed"})
        result = lenient.parse(again, TODAY).result
        assert isinstance(result, ParsedBundle), result
        expected = {name: None if value in feature_missing(own, name) else value for name, value in sent.items()}
        assert json.loads(result.record) == {**expected, "patient_id": "p-1"}


def feature_missing(own: Any, name: str) -> tuple[int, ...]:
    return own.by_name[name].missing if name in own.by_name else ()


def test_it_has_what_the_bundle_has() -> None:
    """In units of the record, with the kind and date of each source; patient and time are those of the form."""
    resource, _ = form(unchecked(*COMPLETE, response(item("cp", coded("cp", "3")))))
    found = answers(resource)
    assert (resource["status"], resource["authored"]) == ("in-progress", "2026-11-26T12:00:00Z")
    assert resource["questionnaire"] == f"{BASE}{UCI_FHIR.questionnaire_path}|1988/1"
    assert resource["subject"] == {"reference": "Patient/p-1"}
    day = {"start": LATER, "end": LATER}
    reference = {"url": "reference", "valueReference": {"reference": "QuestionnaireResponse/q-1"}}
    kind = {"url": "kind", "valueCode": "QuestionnaireResponse"}
    assert found["cp"] == coded("cp", "3") | {
        "valueCoding": {**coded("cp", "3")["valueCoding"], "display": "non-anginal pain"},
        "source": [kind, reference, {"url": "period", "valuePeriod": day}],
    }
    assert [part["valueCode"] for part in found["chol"]["source"][:1]] == ["Observation"]
    assert found["sex"]["source"][0] == {"url": "kind", "valueCode": "Patient"}
    assert found["chol"]["valueInteger"] == RECORD["chol"]
    assert found["oldpeak"]["valueDecimal"] == RECORD["oldpeak"]


def test_the_age_is_that_of_the_day_of_the_form() -> None:
    """The form is answered today, not on the day of an old Observation; it agrees with the birth date."""
    resource, notes = form(unchecked(*COMPLETE))
    age = TODAY.year - (2024 - RECORD["age"])
    assert answers(resource)["age"]["valueInteger"] == age
    assert "age is in completed years on the day of this form." in notes
    completed = {**resource, "status": "completed"}
    result = parser(UCI_HEART.name)[1].parse(unchecked(*COMPLETE, completed), TODAY).result
    assert isinstance(result, ParsedBundle), result
    assert json.loads(result.record)["age"] == age


def test_missing_fields_are_notes() -> None:
    """Also the required ones; everything passed over is said, and an empty form is valid."""
    old = pressure("2020-01-01", 120)
    resource, notes = form(unchecked(*with_replacement("cp", old)))
    assert "cp" not in answers(resource)
    assert notes[0] == "Required, and not in the Bundle: cp."
    assert "trestbps: passed over, as it is not the latest: 2020-01-01." in notes
    assert form(unchecked(*COMPLETE))[1][0] == "Every required field is known."
    empty, notes = form(unchecked({"resourceType": "Patient", "id": "p-1"}))
    assert "item" not in empty
    assert notes[:2] == [
        "Required, and not in the Bundle: age, sex, cp.",
        "Not in the Bundle: trestbps, chol, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal.",
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"no JSON", [("not_json", "")]),
        (b'{"resourceType": "Observation"}', [("not_an_object", "")]),
        (unchecked(observation("cp", 2)), [("missing_field", "Bundle.entry")]),
        (
            unchecked(*with_replacement("trestbps", pressure(LATER, 120), pressure(LATER, 121))),
            [("duplicate_field", "Bundle.entry[12].resource")],
        ),
        (unchecked(patient(RECORD), pressure(LATER, 999)), [("out_of_range", "Bundle.entry[1].resource")]),
        (unchecked(*with_changes("p-1", active=False)[:1]), [("impossible_code", "Bundle.entry[0].resource.active")]),
    ],
)
def test_errors_are_those_of_the_risk_operation(body: bytes, expected: list[tuple[str, str]]) -> None:
    """Without the required fields that are missing."""
    assert refused(body) == expected


def parameters(*given: Json) -> bytes:
    return json.dumps({"resourceType": "Parameters", "parameter": given}).encode()


def test_the_bundle_may_be_in_parameters() -> None:
    """As `resource`, or as the content of SDC's `context`, among others, whose subject must be the Patient."""
    content = json.loads(unchecked(*COMPLETE))
    context = {
        "name": "context",
        "part": [{"name": "name", "valueString": "x"}, {"name": "content", "resource": content}],
    }
    subject = {"name": "subject", "valueReference": {"reference": "Patient/p-1"}}
    others = [{"name": "local", "valueBoolean": False}, {"name": "canonical", "valueUri": "urn:x"}]
    expected = form(unchecked(*COMPLETE))
    assert form(parameters({"name": "resource", "resource": content})) == expected
    assert form(parameters(subject, context, *others)) == expected
    other = {"name": "subject", "valueReference": {"reference": "Patient/p-2"}}
    assert refused(parameters(other, context)) == [("impossible_code", "Parameters.parameter")]
    for given in ([], [subject], [context, context], [context, {"name": "resource", "resource": content}]):
        assert refused(parameters(*given)) == [("not_an_object", "Parameters")]
    nested = {"name": "resource", "resource": {"resourceType": "Parameters", "parameter": [context]}}
    assert refused(parameters(nested)) == [("not_an_object", "")]
    assert parser(UCI_HEART.name)[1].parse(parameters(context), TODAY).result.notes == ()
