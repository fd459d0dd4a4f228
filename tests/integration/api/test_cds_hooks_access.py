"""CDS Hooks at a real gateway: feedback, CORS, tokens of EHRs, and what is kept of a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heartstream.demo.processes import Child
from schemas.cds_hooks.responses import OVERRIDE_REASONS
from schemas.cds_hooks.service import SERVICES
from tests.fakes.cds_client import BASE, ISSUER, CdsClient
from tests.support.calls import PATIENTS, ask
from tests.support.cds_hooks import (
    CDS_ORIGIN,
    SERVICE,
    call,
    one_card,
    post,
    prefetch,
    searchset,
)
from tests.support.fhir_answers import coded, item, response
from tests.support.fhir_bundles import (
    CANARY,
    COMPLETE,
    RECORD,
    UCI_FHIR,
    Json,
    with_changes,
)
from tests.support.gateway_auth import LAB, LAB_LINE, bearer
from tests.support.workers import Starter

OTHER = "https://evil.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
CARD = "67b0a7e3-bbbf-47d5-b206-e8011b08ca39"
FEEDBACK = {"card": CARD, "outcome": "overridden", "outcomeTimestamp": "2026-11-30T10:05:31Z"}
GRANTED = "granted-by-the-ehr"


def test_the_form_has_the_url_that_the_prefetch_asks_for(start: Starter) -> None:
    """The public one, whatever name and scheme a proxy uses for the gateway: a search finds no other answers."""
    settings = {"CDS_HOOKS__ENABLED": "true", "GATEWAY__PUBLIC_URL": f"{BASE}/"}
    with start(**settings) as gateway:
        (service,) = ask(gateway, "GET", SERVICES).json["services"]
        form = ask(gateway, "GET", UCI_FHIR.questionnaire_path).json
    assert form["url"] == f"{BASE}{UCI_FHIR.questionnaire_path}"
    assert f"&questionnaire={form['url']}&" in service["prefetch"]["questionnaire-response"]


def test_answers_give_the_risk_that_observations_would(hooks: Child) -> None:
    """A patient without an Observation of the chest pain type, who has answered the form."""
    cp = int(RECORD["cp"])
    found = prefetch(*(part for part in COMPLETE if part["id"] != "o-cp"))
    found["questionnaire-response"] = searchset(response(item("cp", coded("cp", str(cp)))))
    expected = one_card(post(hooks, call()))["summary"]
    assert one_card(post(hooks, call(found)))["summary"] == expected


def test_neither_tokens_nor_patients_are_in_logs_and_metrics(hooks: Child) -> None:
    """Nor are they in a response without a card."""
    authorization = {"access_token": GRANTED, "token_type": "Bearer", "expires_in": 300, "scope": "x", "subject": "y"}
    for changes in ({}, {"prefetch": {}}, {"context": {"userId": CANARY, "patientId": CANARY}}):
        body = call(**{"fhirServer": f"https://{CANARY}.example", "fhirAuthorization": authorization, **changes})
        answer = post(hooks, body)
        assert CANARY.encode() not in answer.body
        assert GRANTED.encode() not in answer.body
    post(
        hooks,
        {"feedback": [{**FEEDBACK, "card": CANARY, "overrideReason": {"userComment": CANARY}}]},
        path=f"{SERVICE}/feedback",
    )
    written = ask(hooks, "GET", "/metrics").body.decode() + hooks.log.read_text(encoding="utf-8")
    assert (CANARY in written, GRANTED in written, FEEDBACK["card"] in written) == (False, False, False)


def test_the_audit_trail_has_the_record_without_the_token(start: Starter, tmp_path: Path) -> None:
    """With the input of a refused call, that is the resources alone."""
    path = tmp_path / "audit.jsonl"
    settings = {"AUDIT__PATH": str(path), "AUDIT__KEY": "k" * 16, "AUDIT__WITH_INPUT": "true"}
    body = call(fhirAuthorization={"access_token": GRANTED})
    refused = call(prefetch(*with_changes("p-1", active=False)), fhirAuthorization={"access_token": GRANTED})
    with start(CDS_HOOKS__ENABLED="true", **settings) as gateway:
        one_card(post(gateway, body))
        one_card(post(gateway, refused))
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [("risk" in line and line["risk"] is not None, bool(line.get("rejected"))) for line in lines] == [
        (True, False),
        (False, True),
    ]
    assert [json.loads(line["input"]).get("resourceType") for line in lines] == [None, "Bundle"]
    assert GRANTED not in path.read_text(encoding="utf-8")


def counted(gateway: Child) -> dict[str, float]:
    """Return the feedback that was counted, by labels."""
    lines = ask(gateway, "GET", "/metrics").body.decode().splitlines()
    found = (
        line.removeprefix("heartstream_cds_feedback_total").rpartition(" ")
        for line in lines
        if line.startswith("heartstream_cds_feedback_total{")
    )
    return {labels: float(number) for labels, _, number in found}


def test_feedback_is_counted_by_outcome_and_reason(start: Starter) -> None:
    """Codes that are not ours are one label; nothing else is kept."""
    reasons: list[Json] = [
        {"reason": {"system": OVERRIDE_REASONS, "code": "disagree"}, "userComment": "x"},
        {"reason": {"system": OVERRIDE_REASONS, "code": CANARY}},
        {"reason": {"system": "urn:x", "code": "disagree"}},
        {"userComment": CANARY},
    ]
    accepted = {**FEEDBACK, "outcome": "accepted", "acceptedSuggestions": [{"id": CARD}]}
    body = {"feedback": [FEEDBACK, accepted, *({**FEEDBACK, "overrideReason": each} for each in reasons)]}
    with start(CDS_HOOKS__ENABLED="true") as gateway:
        answer = post(gateway, body, path=f"{SERVICE}/feedback")
        assert (answer.status, answer.json) == (200, {})
        assert post(gateway, {"feedback": []}, path=f"{SERVICE}/feedback").status == 200
        assert counted(gateway) == {
            '{outcome="overridden",reason="none"}': 2.0,
            '{outcome="accepted",reason="none"}': 1.0,
            '{outcome="overridden",reason="disagree"}': 1.0,
            '{outcome="overridden",reason="other"}': 2.0,
        }


@pytest.mark.parametrize(
    "body",
    [
        *(b"", {}, {"feedback": None}, {"feedback": {}}, {"feedback": [7]}),
        *({"feedback": [{**FEEDBACK, "outcome": each}]} for each in (None, "ignored", CANARY, "accepted")),
        *({"feedback": [{**FEEDBACK, "outcomeTimestamp": each}]} for each in (None, "yesterday", "2026-11-30", 7)),
        *({"feedback": [{**FEEDBACK, "card": each}]} for each in (None, "", 7)),
        {"feedback": [{**FEEDBACK, "outcome": "accepted", "acceptedSuggestions": []}]},
    ],
    ids=str,
)
def test_malformed_feedback_is_refused_and_not_counted(hooks: Child, body: Any) -> None:
    """400 for all of it; the response quotes nothing."""
    before = counted(hooks)
    answer = post(hooks, body, path=f"{SERVICE}/feedback")
    assert (answer.status, counted(hooks), CANARY.encode() in answer.body) == (400, before, False)


@pytest.mark.parametrize("path", [SERVICES, SERVICE, f"{SERVICE}/feedback"])
def test_a_browser_may_call_from_a_named_origin_only(hooks: Child, path: str) -> None:
    """The preflight names that origin, never `*`, and shares no credentials."""
    allowed, refused = (
        ask(hooks, "OPTIONS", path, headers={"Origin": each, **PREFLIGHT}) for each in (CDS_ORIGIN, OTHER)
    )
    assert (allowed.status, allowed.headers["Access-Control-Allow-Origin"], allowed.headers["Vary"]) == (
        204,
        CDS_ORIGIN,
        "Origin",
    )
    assert (allowed.headers["Access-Control-Allow-Methods"], allowed.headers["Access-Control-Allow-Headers"]) == (
        "GET, POST",
        "Authorization, Content-Type",
    )
    assert [name for name in refused.headers if name.startswith("Access-Control")] == []
    assert (refused.headers["Vary"], "Access-Control-Allow-Credentials" in allowed.headers) == ("Origin", False)


@pytest.mark.parametrize(
    "origin", [OTHER, "null", "", f"{CDS_ORIGIN}.evil.example", f"{CDS_ORIGIN}:8443", "http://ehr.example.org"]
)
def test_a_page_of_another_origin_reads_nothing(hooks: Child, origin: str) -> None:
    """A call is refused before it is read; the discovery is answered, and the browser keeps it from the page."""
    sent = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    called, found = post(hooks, call(), sent), ask(hooks, "GET", SERVICES, headers=sent)
    assert [called.status, found.status] == [403, 200]
    assert ["Access-Control-Allow-Origin" in each.headers for each in (called, found)] == [False, False]


def test_responses_to_a_named_origin_can_be_read(hooks: Child) -> None:
    """Also errors; no other route is shared."""
    sent = {"Origin": CDS_ORIGIN, "Sec-Fetch-Site": "cross-site"}
    answers = [
        ask(hooks, "GET", SERVICES, headers=sent),
        post(hooks, call(), sent),
        post(hooks, b"{}", sent),
        post(hooks, call(), sent, f"{SERVICES}/another"),
    ]
    assert [(each.status, each.headers["Access-Control-Allow-Origin"]) for each in answers] == [
        (status, CDS_ORIGIN) for status in (200, 200, 400, 404)
    ]
    others = [
        ask(hooks, "POST", "/predict", PATIENTS[0], sent),
        ask(hooks, "GET", "/cds-services-of-others", headers=sent),
    ]
    assert [(each.status, "Access-Control-Allow-Origin" in each.headers) for each in others] == [
        (200, False),
        (404, False),
    ]
    assert ask(hooks, "OPTIONS", "/predict", headers={"Origin": CDS_ORIGIN, **PREFLIGHT}).status == 405


def test_an_ehr_calls_with_its_tokens_and_nobody_else_does(start: Starter, tmp_path: Path) -> None:
    """From the settings to the response; a preflight has no token; other routes need other credentials."""
    client = CdsClient(tmp_path / "keys.json")
    settings = {
        "CDS_HOOKS__ENABLED": "true",
        "CDS_HOOKS__ISSUERS": f"{ISSUER} {client.path}",
        "GATEWAY__PUBLIC_URL": BASE,
        "GATEWAY__ALLOWED_ORIGINS": CDS_ORIGIN,
    }
    with start(**settings, AUTH__API_KEYS=LAB_LINE) as gateway:
        token = client.token()
        statuses = [
            post(gateway, call()).status,
            post(gateway, call(), bearer(token)).status,
            post(gateway, call(), bearer(token)).status,
            post(gateway, call(), bearer(client.token(iss="https://other.example"))).status,
            post(gateway, call(), bearer(client.token(aud=f"{gateway.url}{SERVICE}"))).status,
            post(gateway, call(), bearer(LAB)).status,
        ]
        assert statuses == [401, 200, 401, 401, 401, 200]
        discovery = client.token(aud=f"{BASE}{SERVICES}")
        assert ask(gateway, "GET", SERVICES, headers=bearer(discovery)).status == 200
        assert ask(gateway, "GET", SERVICES).status == 401
        feedback = client.token(aud=f"{BASE}{SERVICE}/feedback")
        assert post(gateway, {"feedback": [FEEDBACK]}, bearer(feedback), f"{SERVICE}/feedback").status == 200
        assert ask(gateway, "POST", "/predict", PATIENTS[0], bearer(client.token(aud=f"{BASE}/predict"))).status == 401
        preflight = ask(gateway, "OPTIONS", SERVICE, headers={"Origin": CDS_ORIGIN, **PREFLIGHT})
        assert (preflight.status, preflight.headers["Access-Control-Allow-Origin"]) == (204, CDS_ORIGIN)
        assert ask(gateway, "OPTIONS", "/predict", headers={"Origin": CDS_ORIGIN, **PREFLIGHT}).status == 401
        refused = post(gateway, call(), {"Origin": CDS_ORIGIN})
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, CDS_ORIGIN)
