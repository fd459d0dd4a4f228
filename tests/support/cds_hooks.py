"""Calls of CDS services as an EHR makes them, and the responses that CDS Hooks 2.0 allows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import jsonschema
from fhir.resources.R4B.observation import Observation
from fhir.resources.R4B.patient import Patient
from markdown_it import MarkdownIt

from heartstream.demo.processes import Child
from schemas.cds_hooks.service import prefetch_keys, service_path
from schemas.fhir.mapping import FhirMapping
from tests.support.calls import JSON, Answer, ask
from tests.support.fhir_bundles import COMPLETE, UCI_FHIR, Json

SERVICE = service_path(UCI_FHIR)
KEYS = prefetch_keys(UCI_FHIR)
CDS_ORIGIN = "https://ehr.example.org"
"""The origin of an EHR in a browser."""


def _closed(required: Mapping[str, Any], **optional: Any) -> Json:
    properties = {**required, **optional}
    return {"type": "object", "required": [*required], "properties": properties, "additionalProperties": False}


TEXT = {"type": "string", "minLength": 1}
URL = {"type": "string", "pattern": "^https?://[^ ]+$"}
CODING = _closed({"code": TEXT, "system": TEXT}, display=TEXT)
CARD = _closed(
    {
        "summary": {**TEXT, "maxLength": 139},
        "indicator": {"enum": ["info", "warning", "critical"]},
        "source": _closed({"label": TEXT}, url=URL, icon=URL, topic=CODING),
    },
    uuid=TEXT,
    detail=TEXT,
    overrideReasons={"type": "array", "minItems": 1, "items": {**CODING, "required": ["code", "system", "display"]}},
    links={
        "type": "array",
        "minItems": 1,
        "items": _closed({"label": TEXT, "url": URL, "type": {"enum": ["absolute", "smart"]}}),
    },
)
"""A card without suggestions, by the tables of the specification: its members, and no empty ones."""
CARDS = _closed({"cards": {"type": "array", "items": CARD}})
SERVICE_SCHEMA = _closed(
    {"hook": TEXT, "description": TEXT, "id": TEXT},
    title=TEXT,
    prefetch={"type": "object", "minProperties": 1, "additionalProperties": TEXT},
    usageRequirements=TEXT,
)
SERVICES_SCHEMA = _closed({"services": {"type": "array", "items": SERVICE_SCHEMA}})


def searchset(*resources: Json, **others: Any) -> Json:
    """Return the result of a search."""
    entries = [
        {"fullUrl": f"https://ehr.example.org/fhir/Observation/{each['id']}", "resource": each} for each in resources
    ]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries, **others}


def prefetch(*resources: Json, mapping: FhirMapping = UCI_FHIR) -> dict[str, Json | None]:
    """Return the prefetch of one Patient and Observations, as an EHR answers the templates: null without data."""
    found: dict[str, Json | None] = dict.fromkeys(prefetch_keys(mapping))
    (found["patient"],) = (each for each in resources if each["resourceType"] == "Patient")
    Patient.model_validate(found["patient"])
    by_key: dict[str, list[Json]] = {}
    for each in resources:
        if each["resourceType"] == "Observation":
            Observation.model_validate(each)
            codes = {(coding["system"], coding["code"]) for coding in each["code"]["coding"]}
            fields = {mapping.by_code[code].field for code in codes & {*mapping.by_code}}
            fields |= {field for code in codes for field in mapping.panels.get(code, ())}
            for field in fields:
                by_key.setdefault(f"observations-{field}", []).append(each)
    found |= {key: searchset(*each) for key, each in by_key.items()}
    return found


def call(found: Mapping[str, Any] | None = None, **changes: Any) -> Json:
    """Return the call of a service for the patient of the complete Bundle."""
    body = {
        "hook": "patient-view",
        "hookInstance": "7b1b3a3e-2f5c-4c53-9d3e-4f5c6b7a8d90",
        "fhirServer": "https://ehr.example.org/fhir",
        "context": {"userId": "Practitioner/d-1", "patientId": "p-1"},
        "prefetch": prefetch(*COMPLETE) if found is None else found,
        **changes,
    }
    return {name: value for name, value in body.items() if value is not None}


def post(gateway: Child, body: Any, headers: Mapping[str, str] | None = None, path: str = SERVICE) -> Answer:
    """Post JSON, or bytes as they are."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(gateway, "POST", path, content, {**JSON, **(headers or {})})


def one_card(answer: Answer) -> Json:
    """Return the only card of a response that is valid."""
    assert (answer.status, answer.kind) == (200, "application/json"), answer.body
    jsonschema.validate(answer.json, CARDS)
    (card,) = answer.json["cards"]
    return card


def shown(card: Json) -> str:
    """Return the text of a card's detail, as a client shows it."""
    tokens = MarkdownIt("commonmark").parse(card["detail"])
    assert {token.type for token in tokens} == {
        *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
        *("paragraph_open", "paragraph_close", "inline"),
    }
    lines = [token for token in tokens if token.type == "inline"]
    kinds = {child.type for line in lines for child in line.children or ()}
    assert kinds <= {"text", "text_special", "em_open", "em_close", "strong_open", "strong_close"}
    return "\n".join("".join(child.content for child in line.children or ()) for line in lines)
