"""CDS Hooks at a real gateway: cards with the risk of `/predict`, refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from heartstream.demo.processes import Child
from schemas.cds_hooks.service import SERVICES, service_path
from schemas.fhir.mapping import FhirMapping
from tests.fakes.cds_client import BASE
from tests.support.calls import JSON, ask
from tests.support.cds_hooks import (
    CDS_ORIGIN,
    KEYS,
    SERVICE,
    SERVICES_SCHEMA,
    call,
    one_card,
    post,
    prefetch,
    searchset,
    shown,
)
from tests.support.fhir_bundles import (
    CANARY,
    COMPLETE,
    OPERATION,
    RECORD,
    Json,
    loinc_quantity,
    observation,
    patient,
    unchecked,
    with_changes,
    with_replacement,
)
from tests.support.other_tables import table, write_model_of
from tests.support.workers import Starter


@pytest.fixture(scope="module")
def linked(start: Starter) -> Iterator[Child]:
    """A gateway with links, whose risks at or above the threshold are warnings."""
    settings = {
        "CDS_HOOKS__ENABLED": "true",
        "CDS_HOOKS__LAUNCH_URL": "https://app.example.org/launch",
        "CDS_HOOKS__WARN_ABOVE_THRESHOLD": "true",
        "GATEWAY__PUBLIC_URL": f"{BASE}/",
    }
    with start(**settings) as gateway:
        yield gateway


def risk_of(gateway: Child, *parts: Json) -> float:
    """Return the risk of the FHIR interface for these resources."""
    found = ask(gateway, "POST", OPERATION, unchecked(*parts), JSON)
    assert found.status == 200, found.body
    return float(found.json["prediction"][0]["probabilityDecimal"])


def without_event(record: Json) -> Json:
    """Return the record of a patient with a low risk, a woman of 35 without pain on exertion."""
    low = {"age": 35, "sex": 0, "cp": 2, "thalach": 185, "exang": 0, "oldpeak": 0, "slope": 1, "ca": 0, "thal": 3}
    return {**record, **low}


def test_it_is_off_by_default(gateway: Child) -> None:
    """The routes do not exist, and OpenAPI describes none."""
    for path in (SERVICES, SERVICE):
        assert ask(gateway, "GET", path).status == 404
        assert (
            ask(
                gateway, "OPTIONS", path, headers={"Origin": CDS_ORIGIN, "Access-Control-Request-Method": "POST"}
            ).status
            == 404
        )
    assert [path for path in ask(gateway, "GET", "/openapi.json").json["paths"] if "cds" in path] == []


def test_the_discovery_is_valid(hooks: Child) -> None:
    """By the specification, and by our OpenAPI document; its Questionnaire is at the host that was called."""
    found = ask(hooks, "GET", SERVICES)
    assert (found.status, found.kind) == (200, "application/json")
    jsonschema.validate(found.json, SERVICES_SCHEMA)
    (service,) = found.json["services"]
    assert (service["hook"], f"{SERVICES}/{service['id']}", tuple(service["prefetch"])) == (
        "patient-view",
        SERVICE,
        KEYS,
    )
    assert (
        f"questionnaire={hooks.url}/fhir/Questionnaire/{service['id']}" in service["prefetch"]["questionnaire-response"]
    )


def test_a_card_has_the_risk_of_the_same_resources(hooks: Child) -> None:
    """The interval, and the patients of the training, as `info`; each card has its own id."""
    first, second = (one_card(post(hooks, call())) for _ in range(2))
    assert first.pop("uuid") != second.pop("uuid")
    assert first == second
    risk = risk_of(hooks, *COMPLETE)
    assert first["summary"].startswith(f"Risk of coronary heart disease: {risk:.1%} (90% interval ")
    text = shown(first)
    assert text.startswith(f"{risk:.1%}: At least 50% diameter narrowing of a coronary vessel at angiography, ")
    assert "not validated for other patients." in text.splitlines()[-1]
    assert (first["indicator"], "links" in first, first["source"]["label"][:12]) == ("info", False, "heartstream:")
    assert first["source"]["topic"]["code"] == SERVICE.rpartition("/")[2]


def test_a_card_says_what_is_missing_and_how_old_values_are(hooks: Child) -> None:
    """In the words of the feature table; the latest value of a search is used."""
    old, new = (loinc_quantity("2093-3", value, "mg/dL") | {"id": f"chol-{value}"} for value in (400, 210))
    old["effectiveDateTime"] = "2019-01-01"
    parts = [part for part in with_replacement("chol", new) if part["id"] not in {"o-ca", "o-thal"}]
    found = prefetch(*parts) | {"observations-chol": searchset(old, new)}
    card = one_card(post(hooks, call(found)))
    risk = risk_of(hooks, *parts)
    text = shown(card)
    assert f": {risk:.1%} (" in card["summary"]
    assert card["summary"].endswith(", 2 of 13 fields missing")
    assert "Missing: major vessels coloured by fluoroscopy; exercise thallium scintigraphy result" in text
    assert "Serum cholesterol: passed over, as it is not the latest: 2019-01-01." in text
    assert "serum cholesterol of 2024-03-15 (" in text


def test_a_search_with_an_error_is_said(hooks: Child) -> None:
    """The value is used, but a newer one may exist."""
    outcome = {"resourceType": "OperationOutcome", "id": "oo", "issue": [{"severity": "error", "code": "timeout"}]}
    found = prefetch(*COMPLETE)
    found["observations-chol"]["entry"].append({"resource": outcome, "search": {"mode": "outcome"}})
    assert "The search observations-chol failed" in shown(one_card(post(hooks, call(found))))


def test_the_examples_of_the_documentation_work(hooks: Child) -> None:
    """A call, and feedback on its card."""
    folder = Path("schemas/examples/cds-hooks/v1")
    card = one_card(post(hooks, (folder / "patient-view.json").read_bytes()))
    assert card["summary"].endswith(", 7 of 13 fields missing")
    assert post(hooks, (folder / "feedback.json").read_bytes(), path=f"{SERVICE}/feedback").status == 200


def test_open_questions_are_a_card(hooks: Child, linked: Child) -> None:
    """It says which, and where they can be answered: nowhere, on the page, or in the app."""
    parts = [part | {"gender": "unknown"} if part["id"] == "p-1" else part for part in COMPLETE if part["id"] != "o-cp"]
    body = call(prefetch(*parts))
    card, with_link = one_card(post(hooks, body)), one_card(post(linked, body))
    assert card["summary"] == "Risk of coronary heart disease: answer 2 questions to get a risk"
    assert shown(card).splitlines()[:2] == [
        "Sex as recorded: female, male",
        "Chest pain type: typical angina, atypical angina, non-anginal pain, asymptomatic",
    ]
    assert "links" not in card
    assert with_link["links"] == [
        {"label": "Answer 2 questions", "url": "https://app.example.org/launch", "type": "smart"}
    ]
    assert with_link["source"]["url"] == f"{BASE}/#model"


def test_without_an_app_the_link_is_to_the_page(start: Starter) -> None:
    """An absolute one, from the public URL."""
    with start(CDS_HOOKS__ENABLED="true", GATEWAY__PUBLIC_URL=BASE) as gateway:
        card = one_card(post(gateway, call(prefetch(patient(RECORD)))))
    assert card["links"] == [{"label": "Answer 1 question", "url": f"{BASE}/", "type": "absolute"}]


def test_a_warning_is_only_above_the_threshold_and_if_it_is_allowed(hooks: Child, linked: Child) -> None:
    """All other cards are `info`."""
    high = {**RECORD, "age": 67, "sex": 1, "cp": 4, "exang": 1, "oldpeak": 3, "slope": 2, "ca": 3, "thal": 7}
    found = {}
    for name, record in (("high", high), ("low", without_event(RECORD))):
        parts = [
            patient(record),
            *(observation(field, record[field]) for field in RECORD if field not in {"patient_id", "age", "sex"}),
        ]
        body = call(prefetch(*[part for part in parts if "dataAbsentReason" not in part]))
        found[name] = [one_card(post(gateway, body))["indicator"] for gateway in (hooks, linked)]
    assert found == {"high": ["info", "warning"], "low": ["info", "info"]}
    questions = call(prefetch(patient(RECORD)))
    assert one_card(post(linked, questions))["indicator"] == "info"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (
            with_changes("p-1", deceasedBoolean=True),
            "The Patient is deceased: no risk is given (prefetch.patient.deceased)",
        ),
        (with_changes("o-chol", valueQuantity={"value": 2, "unit": CANARY}), "Serum cholesterol: "),
        (
            with_replacement(
                "chol", *(loinc_quantity("2093-3", value, "mg/dL") | {"id": f"c{value}"} for value in (1, 2))
            ),
            "Serum cholesterol",
        ),
    ],
    ids=["deceased", "unknown unit", "contradiction"],
)
def test_data_that_cannot_be_used_are_a_card_that_says_why(hooks: Child, parts: list[Json], text: str) -> None:
    """With the place in the prefetch, without a value."""
    card = one_card(post(hooks, call(prefetch(*parts))))
    assert (card["summary"], card["indicator"]) == (
        "Risk of coronary heart disease: no risk, as the data cannot be used as they are",
        "info",
    )
    assert text in shown(card)
    assert CANARY not in json.dumps(card)


@pytest.mark.parametrize(
    ("absent", "missing"),
    [
        ({"patient"}, "patient"),
        (set(KEYS), "patient"),
        ({"observations-cp", "questionnaire-response"}, "observations-cp, questionnaire-response"),
    ],
)
def test_a_missing_prefetch_is_412(hooks: Child, absent: set[str], missing: str) -> None:
    """The gateway fetches nothing; whether a required value exists cannot be known."""
    parts = [part for part in COMPLETE if part["id"] != "o-cp"]
    found = {key: value for key, value in prefetch(*parts).items() if key not in absent}
    answer = post(hooks, call(found))
    assert (answer.status, answer.kind) == (412, "application/problem+json")
    assert answer.json["detail"].startswith(f"Missing prefetch: {missing}.")


def test_optional_data_need_not_be_sent(hooks: Child) -> None:
    """A client may honour some of the templates; what it did not send is missing."""
    found = {key: value for key, value in prefetch(*COMPLETE).items() if key in {"patient", "observations-cp"}}
    assert one_card(post(hooks, call(found)))["summary"].endswith(", 10 of 13 fields missing")


BAD_CALLS: list[Any] = [
    b"",
    b"[]",
    b"{}",
    b"\xff",
    b"{" * 100_000,
    *(call(**{name: value}) for name in ("hook", "hookInstance", "context") for value in (None, "", 7, [], {})),
    call(hook="order-sign"),
    call(context={"userId": "Practitioner/d-1"}),
    call(context={"patientId": "p-1"}),
    call(context={"userId": "Practitioner/d-1", "patientId": CANARY}),
    call(prefetch={"patient": CANARY}),
    call(prefetch=[CANARY]),
]


@pytest.mark.parametrize("body", BAD_CALLS, ids=range(len(BAD_CALLS)))
def test_what_is_no_call_is_400(hooks: Child, body: Any) -> None:
    """The response quotes nothing of it."""
    answer = post(hooks, body)
    assert (answer.status, answer.kind, CANARY.encode() in answer.body) == (400, "application/problem+json", False)


def test_other_requests_are_refused(hooks: Child) -> None:
    """Unknown services 404, other methods 405, other types 415, a body over the limit 413."""
    assert post(hooks, call(), path=f"{SERVICES}/another").status == 404
    assert post(hooks, {"feedback": []}, path=f"{SERVICES}/another/feedback").status == 404
    assert ask(hooks, "GET", SERVICE).status == 405
    assert post(hooks, call(), {"Content-Type": "text/plain"}).status == 415
    assert post(hooks, b" " * 10_485_761).status == 413
    assert post(hooks, b" " * 65_537, path=f"{SERVICE}/feedback").status == 413


@pytest.mark.parametrize("name", ["whas500", "wdbc"])
def test_another_table_has_its_own_service_or_none(start: Starter, tmp_path: Path, name: str) -> None:
    """By its FHIR operation; a panel of two fields that two searches found is read once."""
    own = table(name)
    model = str(write_model_of(own, tmp_path / "model"))
    with start(CDS_HOOKS__ENABLED="true", MODEL__PATH=model) as gateway:
        mapping = FhirMapping.of(own)
        if mapping is None:
            assert [ask(gateway, "GET", SERVICES).status, post(gateway, call()).status] == [404, 404]
            return
        path = service_path(mapping)
        panel = {
            **loinc_quantity("85354-9", 1, "mm[Hg]"),
            "component": [
                {key: each[key] for key in ("code", "valueQuantity")}
                for each in (loinc_quantity("8480-6", 131, "mm[Hg]"), loinc_quantity("8462-4", 82, "mm[Hg]"))
            ],
        }
        del panel["valueQuantity"]
        flags = [observation(each, None) | {"valueBoolean": False} for each in ("sho", "chf")]
        for each in flags:
            del each["dataAbsentReason"]
            each["code"] = {"coding": [{"system": mapping.system, "code": each["id"].removeprefix("o-")}]}
        parts = [patient({"age": 70, "sex": 1}), panel, *flags]
        card = one_card(post(gateway, call(prefetch(*parts, mapping=mapping)), path=path))
        assert card["summary"].startswith("Risk of death within 1 year: ")
        assert card["summary"].endswith(", 7 of 13 fields missing")
