"""The FHIR interface returns the risk of `/predict`, in resources that `fhir.resources` accepts; so are errors."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationdefinition import OperationDefinition
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.riskassessment import RiskAssessment

from api.protocols.fhir.parse import ParsedBundle
from api.security.auth import new_key
from heartstream.demo.patients import real_patients
from heartstream.demo.processes import Child
from schemas.fhir.mapping import EXTENSION, FHIR_TYPE
from tests.support.calls import JSON, Answer, ask
from tests.support.fhir_bundles import (
    OPERATION,
    bundle,
    observation,
    parse,
    patient,
    quantity,
    resources,
    unchecked,
)
from tests.support.workers import Starter

FHIR = {"Content-Type": FHIR_TYPE}
RECORDS = real_patients()
CANARY = "Zebedee-4711"


def assess(gateway: Child, body: bytes) -> Answer:
    return ask(gateway, "POST", OPERATION, body, FHIR)


def assess_strictly(gateway: Child, body: bytes) -> Answer:
    return ask(gateway, "POST", f"{OPERATION}?strictness=strict", body, FHIR)


def valid(answer: Answer) -> dict[str, Any]:
    """A RiskAssessment that the specification's model accepts and returns unchanged."""
    assert (answer.status, answer.kind) == (200, FHIR_TYPE), answer.body
    assert json.loads(RiskAssessment.model_validate_json(answer.body).model_dump_json()) == answer.json
    return answer.json


def refused(answer: Answer, status: int) -> list[tuple[str, str]]:
    """FHIR's code and ours of each issue of a valid OperationOutcome."""
    assert (answer.status, answer.kind) == (status, FHIR_TYPE), answer.body
    OperationOutcome.model_validate_json(answer.body)
    assert CANARY.encode() not in answer.body
    return [
        (issue["code"], issue["details"].get("coding", [{"code": ""}])[0]["code"]) for issue in answer.json["issue"]
    ]


def extension_values(resource: dict[str, Any], name: str) -> list[Any]:
    """The values of all extensions of a name; those with parts as a dict."""
    return [_value(each) for each in resource["extension"] if each["url"] == EXTENSION + name]


def _value(extension: dict[str, Any]) -> Any:
    if "extension" in extension:
        return {part["url"]: _value(part) for part in extension["extension"]}
    (value,) = (value for name, value in extension.items() if name != "url")
    return value


def test_every_real_patient_has_the_risk_of_predict(gateway: Child) -> None:
    """Every third of all 920 patients: each part of the score is the same through FHIR."""
    records = RECORDS[::3]
    sent = [{**record, "patient_id": "p-1"} for record in records]
    scores = ask(gateway, "POST", "/predict/batch", json.dumps(sent).encode(), JSON).json
    for record, score in zip(records, scores, strict=True):
        answer = valid(assess(gateway, bundle(*resources(record))))
        (prediction,) = answer["prediction"]
        assert prediction["probabilityDecimal"] == score["risk"]
        assert prediction["qualitativeRisk"]["coding"][0]["code"] == str(score["label"])
        limits = [{"value": limit, "system": "http://unitsofmeasure.org", "code": "1"} for limit in score["interval"]]
        assert extension_values(prediction, "interval") == [dict(zip(("low", "high"), limits, strict=True))]
        assert extension_values(prediction, "threshold") == [score["threshold"]]
        assert extension_values(prediction, "plausible-label") == [str(label) for label in score["label_set"]]
        reasons = [{"field": each["field"], "log-odds": each["log_odds"]} for each in score["reasons"]]
        assert extension_values(prediction, "reason") == reasons
        assert (extension_values(answer, "missing"), extension_values(answer, "warning")) == (
            score["missing"],
            score["warnings"],
        )
        assert (extension_values(answer, "model"), extension_values(answer, "pattern")) == (
            [score["model"]],
            [score["pattern"]],
        )


def test_a_response_has_its_uncertainty_and_sources(gateway: Child) -> None:
    """Subject, time, model, the Observations used, missing fields and the intended use."""
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    parts = [patient(RECORDS[0]), observation("cp", 1), observation("chol", 5.2, valueQuantity=quantity(5.2, "mmol/L"))]
    answer = valid(assess(gateway, bundle(*parts)))
    assert before <= dt.datetime.fromisoformat(answer["occurrenceDateTime"]) <= dt.datetime.now(dt.UTC)
    assert (answer["status"], answer["subject"]) == ("final", {"reference": "Patient/p-1"})
    assert answer["basis"] == [
        {"reference": "Observation/o-cp", "display": "cp, 2024-03-15"},
        {"reference": "Observation/o-chol", "display": "chol, 2024-03-15"},
    ]
    digest = ask(gateway, "GET", "/model").json["model"]["digest"]
    assert answer["method"]["coding"][0]["code"] == digest
    notes = [note["text"] for note in answer["note"]]
    assert "Not a medical device" in notes[0]
    assert "is a share of 1" in notes[1]
    assert "Not sent or not measured: trestbps, fbs, restecg, thalach, exang, oldpeak, slope, ca, thal." in notes
    assert "chol was converted from mmol/L (x 38.67) and rounded." in notes
    assert "age is in completed years on the date of the last Observation." in notes


def test_all_issues_are_in_one_operation_outcome(gateway: Child) -> None:
    """Problems of the mapping and of validation, with FHIR's codes, ours and locations, but no value."""
    parts = [
        patient(RECORDS[0], gender=CANARY),
        observation("chol", 233, valueQuantity=quantity(233, CANARY)),
        observation("thal", 2),
        observation("oldpeak", 23.0),
        observation(CANARY, 1),
    ]
    answer = assess_strictly(gateway, unchecked(*parts))
    assert refused(answer, 422) == [
        ("not-supported", "unsupported_coding"),
        ("not-supported", "unknown_field"),
        ("code-invalid", "impossible_code"),
        ("required", "missing_value"),
        ("code-invalid", "foreign_code"),
        ("code-invalid", "foreign_code"),
    ]
    assert [issue["expression"] for issue in answer.json["issue"]] == [
        ["Bundle.entry[1].resource.value.code"],
        ["Bundle.entry[4].resource.code"],
        ["Bundle.entry[0].resource.gender"],
        ["Bundle"],
        ["Bundle.entry[3].resource"],
        ["Bundle.entry[2].resource"],
    ]


def test_issues_found_by_the_core_have_their_path(gateway: Child) -> None:
    """A well-formed but impossible value has its location."""
    answer = assess_strictly(gateway, bundle(*resources({**RECORDS[0], "chol": 5})))
    assert refused(answer, 422) == [("value", "out_of_range")]
    (issue,) = answer.json["issue"]
    assert issue["expression"] == ["Bundle.entry[3].resource"]
    assert issue["details"]["text"].startswith("chol: must be 40 to 1000 mg/dL")


def test_a_request_without_a_bundle_is_refused(gateway: Child) -> None:
    """400 for other resources, and 415, 404, 405, 413 and 408, are all OperationOutcomes."""
    assert refused(assess(gateway, b"{" + CANARY.encode()), 400) == [("structure", "not_json")]
    assert refused(assess(gateway, json.dumps(patient(RECORDS[0])).encode()), 400) == [("structure", "not_an_object")]
    xml = ask(gateway, "POST", OPERATION, b"<Bundle/>", {"Content-Type": "application/fhir+xml"})
    assert refused(xml, 415) == [("not-supported", "")]
    assert xml.json["issue"][0]["details"]["text"].startswith("XML is not read: send the Bundle as JSON")
    assert refused(ask(gateway, "GET", f"/fhir/Patient/{CANARY}"), 404) == [("not-found", "")]
    assert refused(ask(gateway, "GET", OPERATION), 405) == [("not-supported", "")]
    assert refused(assess_strictly(gateway, b" " * 1_100_000), 413) == [("too-long", "")]
    assert refused(assess(gateway, b" " * 10_500_000), 413) == [("too-long", "")]


def test_answers_are_what_openapi_says(gateway: Child) -> None:
    """A RiskAssessment and an OperationOutcome match their schemas."""
    document = ask(gateway, "GET", "/openapi.json").json
    responses = document["paths"][OPERATION]["post"]["responses"]
    for body in (bundle(*resources(RECORDS[0])), unchecked(observation("cp", 1))):
        answer = assess(gateway, body)
        schema = responses[str(answer.status)]["content"][FHIR_TYPE]["schema"]
        check = jsonschema.Draft202012Validator({**schema, "components": document["components"]})
        assert list(check.iter_errors(answer.json)) == []


def test_operation_has_its_name_encoded_or_not(gateway: Child) -> None:
    """Some clients send the dollar sign as %24."""
    body = bundle(*resources(RECORDS[0]))
    assert valid(ask(gateway, "POST", OPERATION.replace("$", "%24"), body, JSON))["prediction"]


def test_metadata_is_a_valid_capability_statement(gateway: Child) -> None:
    """It has the FHIR version and the operation, and its URLs resolve."""
    answer = ask(gateway, "GET", "/fhir/metadata")
    assert (answer.status, answer.kind) == (200, FHIR_TYPE)
    CapabilityStatement.model_validate_json(answer.body)
    (operation,) = answer.json["rest"][0]["operation"]
    assert (answer.json["fhirVersion"], operation["name"]) == ("4.0.1", OPERATION.rpartition("$")[2])
    assert answer.json["url"] == f"{gateway.url}/fhir/metadata"
    definition = ask(gateway, "GET", operation["definition"].removeprefix(gateway.url))
    assert (definition.status, definition.kind) == (200, FHIR_TYPE)
    OperationDefinition.model_validate_json(definition.body)
    assert definition.json["url"] == operation["definition"]


@pytest.mark.parametrize(
    ("host", "status"),
    [("[::1]:80", 200), ("local_host", 200), ("", 400), ("[::1", 400), ("x:123456", 400), ("\xff", 400)],
)
def test_urls_have_the_name_that_the_caller_uses(gateway: Child, host: str, status: int) -> None:
    """If it can be one."""
    answer = ask(gateway, "GET", "/fhir/metadata", headers={"Host": host})
    assert answer.status == status
    if status == 200:
        assert answer.json["url"] == f"http://{host}/fhir/metadata"


@pytest.fixture(scope="module")
def trail(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fhir") / "audit.jsonl"


def test_fhir_needs_the_same_credentials_as_other_routes(start: Starter, trail: Path) -> None:
    """403 and 429 are OperationOutcomes, and scored and refused Bundles are in the audit trail."""
    (lab, lab_line), (scraper, scraper_line) = new_key("lab", ["predict"]), new_key("prometheus", ["metrics"])
    keys = trail.with_name("keys.txt")
    keys.write_text(f"{lab_line}\n{scraper_line}\n", encoding="utf-8")
    good, bad = bundle(*resources(RECORDS[0])), unchecked(observation("cp", 1))
    audit = {"AUDIT__PATH": str(trail), "AUDIT__KEY": "a-test-key-of-some-length"}
    limits = {"GATEWAY__RECORDS_PER_SECOND": "0.001", "GATEWAY__BURST_RECORDS": "2"}
    with start(AUTH__API_KEYS_FILE=str(keys), **audit, **limits) as gateway:
        nobody = assess(gateway, good)
        assert refused(nobody, 401) == [("login", "")]
        assert "WWW-Authenticate" in nobody.headers
        other = ask(gateway, "POST", OPERATION, good, {**FHIR, "Authorization": f"Bearer {scraper}"})
        assert refused(other, 403) == [("forbidden", "")]
        found = [ask(gateway, "POST", OPERATION, body, {**FHIR, "X-API-Key": lab}) for body in (good, bad, good)]
        assert [each.status for each in found] == [200, 422, 429]
        assert refused(found[2], 429) == [("throttled", "")]
        assert int(found[2].headers["Retry-After"]) > 0
    scored, rejected = (json.loads(line) for line in trail.read_bytes().splitlines())
    reading = parse(good, dt.datetime.now(dt.UTC).date())
    assert isinstance(reading, ParsedBundle)
    assert (scored["caller"], scored["record"]) == ("key:lab", hashlib.sha256(reading.record).hexdigest())
    assert scored["risk"] == found[0].json["prediction"][0]["probabilityDecimal"]
    assert (rejected["record"], rejected["rejected"]) == (
        hashlib.sha256(bad).hexdigest(),
        ["missing_field"],
    )
