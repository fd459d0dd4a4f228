"""The gateway gives the form of its feature table, fills it in, and scores a Bundle with the completed form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome
from fhir.resources.R4B.parameters import Parameters
from fhir.resources.R4B.questionnaire import Questionnaire
from fhir.resources.R4B.riskassessment import RiskAssessment

from api.security.auth import new_key
from heartstream.demo.processes import Child
from schemas.fhir.mapping import FHIR_TYPE
from tests.support.calls import Answer, ask
from tests.support.fhir_answers import coded, item, response
from tests.support.fhir_bundles import CANARY, COMPLETE, OPERATION, UCI_FHIR, unchecked
from tests.support.workers import Starter

FHIR = {"Content-Type": FHIR_TYPE}
FORM, POPULATE = UCI_FHIR.questionnaire_path, UCI_FHIR.populate_path
SYNTHEA = Path("schemas/examples/fhir/v1/hospitals/synthea-as-it-is.json")


def populate(gateway: Child, body: bytes, query: str = "", **headers: str) -> Answer:
    return ask(gateway, "POST", POPULATE + query, body, {**FHIR, **headers})


def outcome(answer: Answer, status: int) -> list[dict[str, Any]]:
    assert (answer.status, answer.kind) == (status, FHIR_TYPE), answer.body
    OperationOutcome.model_validate_json(answer.body)
    assert CANARY.encode() not in answer.body
    return answer.json["issue"]


def test_the_form_is_where_the_capability_statement_says(gateway: Child) -> None:
    """Valid, with a URL that resolves and that a response may name."""
    metadata = ask(gateway, "GET", "/fhir/metadata")
    CapabilityStatement.model_validate_json(metadata.body)
    (resource,) = metadata.json["rest"][0]["resource"]
    assert resource["type"] == "Questionnaire"
    assert [each["name"] for each in resource["operation"]] == ["populate"]
    form = ask(gateway, "GET", FORM)
    Questionnaire.model_validate_json(form.body)
    assert (form.status, form.kind, form.json["url"]) == (200, FHIR_TYPE, gateway.url + FORM)


def test_a_record_is_completed_by_its_form(gateway: Child) -> None:
    """A Bundle that lacks a required field fills the form in; with the completed form, it is scored."""
    bundle = json.loads(SYNTHEA.read_bytes())
    answer = populate(gateway, SYNTHEA.read_bytes())
    Parameters.model_validate_json(answer.body)
    form, notes = (each["resource"] for each in answer.json["parameter"])
    assert (answer.status, form["status"]) == (200, "in-progress")
    texts = [each["details"]["text"] for each in notes["issue"]]
    assert texts[0] == "Required, and not in the Bundle: cp."
    assert {each["severity"] for each in notes["issue"]} == {"information"}
    bundle["entry"].append({"resource": form})
    in_progress = outcome(ask(gateway, "POST", OPERATION, json.dumps(bundle).encode(), FHIR), 422)
    assert [each["details"]["coding"][0]["code"] for each in in_progress if each["severity"] == "error"] == [
        "missing_value"
    ]
    form["item"][0]["item"].append(item("cp", coded("cp", "3")))
    form["status"] = "completed"
    scored = ask(gateway, "POST", OPERATION, json.dumps(bundle).encode(), FHIR)
    RiskAssessment.model_validate_json(scored.body)
    assert f"cp, {form['authored'][:10]}" in [each["display"] for each in scored.json["basis"]]


def test_an_answer_is_read_strictly_as_well(gateway: Child) -> None:
    """And a form is filled in by the strict reading, if a request asks for that."""
    parts = [each for each in COMPLETE if each["id"] != "o-cp"]
    answered = unchecked(*parts, response(item("cp", coded("cp", "2"))))
    assert ask(gateway, "POST", f"{OPERATION}?strictness=strict", answered, FHIR).status == 200
    assert populate(gateway, answered, "?strictness=strict").status == 200
    other = unchecked(*parts, response(item(CANARY, {"valueString": CANARY})))
    (issue,) = outcome(populate(gateway, other, "?strictness=strict"), 422)
    assert issue["expression"] == [f"Bundle.entry[{len(parts)}].resource.item[0].linkId"]
    assert populate(gateway, other).status == 200


def test_errors_are_operation_outcomes(gateway: Child) -> None:
    """As those of the risk operation."""
    assert outcome(populate(gateway, b"{"), 400)[0]["code"] == "structure"
    assert outcome(populate(gateway, unchecked()), 422)[0]["expression"] == ["Bundle.entry"]
    xml = ask(gateway, "POST", POPULATE, b"<Bundle/>", {"Content-Type": "application/fhir+xml"})
    assert (
        outcome(xml, 415)[0]["details"]["text"] == "XML is not read: send the Bundle as JSON, as application/fhir+json."
    )
    stated = populate(gateway, unchecked(*COMPLETE), **{"Content-Type": f"{FHIR_TYPE}; fhirVersion=5.0"})
    last = stated.json["parameter"][1]["resource"]["issue"][-1]["details"]["text"]
    assert last.startswith("The Bundle is of FHIR R5")


def test_it_needs_the_scope_of_scoring_and_is_not_audited(start: Starter, tmp_path: Path) -> None:
    """It is charged as a score is; the trail has scores, and there was none. The form itself needs no scope."""
    (lab, lab_line), (scraper, scraper_line) = new_key("lab", ["predict"]), new_key("prometheus", ["metrics"])
    keys, trail = tmp_path / "keys.txt", tmp_path / "trail"
    keys.write_text(f"{lab_line}\n{scraper_line}\n", encoding="utf-8")
    audit = {"AUDIT__PATH": str(trail), "AUDIT__KEY": "a-test-key-of-some-length"}
    limits = {"GATEWAY__RECORDS_PER_SECOND": "0.001", "GATEWAY__BURST_RECORDS": "3"}
    body = unchecked({"resourceType": "Patient", "id": "p-1"})
    with start(AUTH__API_KEYS_FILE=str(keys), **audit, **limits) as gateway:
        assert outcome(populate(gateway, body), 401)[0]["code"] == "login"
        assert outcome(populate(gateway, body, **{"X-API-Key": scraper}), 403)[0]["code"] == "forbidden"
        assert ask(gateway, "GET", FORM).status == 401
        assert ask(gateway, "GET", FORM, headers={"X-API-Key": scraper}).status == 200
        own = {"X-API-Key": lab}
        statuses = [populate(gateway, each, **own).status for each in (body, b"{}", body, body)]
        assert statuses == [200, 400, 200, 429]
    assert trail.read_bytes() == b""
