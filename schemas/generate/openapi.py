"""OpenAPI 3.1 document of the HTTP interface.

`OPERATIONS` lists every operation; bodies are described by the JSON Schemas of the contract.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from schemas.fhir import responses
from schemas.fhir.mapping import FHIR_TYPE, OPERATION
from schemas.generate.json_schema import patient_record, struct_schemas
from schemas.http import LINES_TYPE, PROBLEM_TYPE, Problem, RejectedRecord, ServedModel
from schemas.records import Score

JSON: Final = "application/json"
MARKDOWN: Final = "text/markdown"
_REF: Final = "#/components/schemas/"

EXAMPLE: Final[Mapping[str, Any]] = {
    "patient_id": "example-1",
    "age": 63,
    "sex": 1,
    "cp": 1,
    "trestbps": 145,
    "chol": 233,
    "fbs": 1,
    "restecg": 2,
    "thalach": 150,
    "exang": 0,
    "oldpeak": 2.3,
    "slope": 3,
    "ca": 0,
    "thal": 6,
}
"""A legal record: row 1 of the Cleveland file."""


class Operation(msgspec.Struct, frozen=True):
    """One operation: what it takes and gives, by content type, and the statuses of its problem documents."""

    method: str
    path: str
    name: str
    tag: str
    summary: str
    description: str
    gives: Mapping[str, Any]
    takes: Mapping[str, Any] = {}
    problems: tuple[int, ...] = ()
    problem: tuple[str, str] = (PROBLEM_TYPE, "Problem")
    """Content type and schema of what tells of problems."""
    also: Mapping[int, str] = {}
    """Other statuses with a body like the usual one, and what they mean."""


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REF + name}


def _either() -> dict[str, Any]:
    return {"oneOf": [_ref("Score"), _ref("RejectedRecord")]}


_ABUSE: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_BODY: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

OPERATIONS: Final = (
    Operation(
        "post",
        "/predict",
        "predict",
        "scores",
        "Score one patient record",
        "Answers with the same bytes that the worker writes to the scores topic (where `source` says the place). A "
        "record that cannot be scored is answered with 422 and everything that is wrong with it; no answer repeats "
        "a value of the record.",
        {JSON: _ref("Score")},
        {JSON: _ref("PatientRecord")},
        (*_BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY, *_ABUSE),
    ),
    Operation(
        "post",
        "/predict/batch",
        "predictBatch",
        "scores",
        "Score many patient records",
        "A JSON array gives an array. Lines (one record each) give lines while they are still being sent, in bounded "
        "memory: read while you send. A record that cannot be scored has what is wrong with it in its place, and the "
        "others are scored; the status is 200. An answer of lines that breaks off is not whole.",
        {JSON: {"type": "array", "items": _either()}, LINES_TYPE: _either()},
        {JSON: {"type": "array", "items": _ref("PatientRecord")}, LINES_TYPE: _ref("PatientRecord")},
        (*_BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, *_ABUSE),
    ),
    Operation(
        "post",
        OPERATION,
        "heartDiseaseRisk",
        "fhir",
        "Score the patient of a FHIR Bundle",
        "FHIR R4: one Patient and Observations of the 13 fields in, a RiskAssessment with the risk of `/predict` out. "
        "Errors are OperationOutcomes, with everything that is wrong. docs/fhir.md has the codes and units.",
        {FHIR_TYPE: _ref("RiskAssessment")},
        {FHIR_TYPE: _ref("Bundle")},
        (*_BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY, *_ABUSE),
        (FHIR_TYPE, "OperationOutcome"),
    ),
    Operation(
        "get",
        "/fhir/metadata",
        "fhirMetadata",
        "fhir",
        "Show the CapabilityStatement",
        "What a FHIR client can do here.",
        {FHIR_TYPE: {"type": "object"}},
    ),
    Operation(
        "get",
        "/model",
        "model",
        "model",
        "Tell which model is served",
        "Name, version and digest stand in every score as well.",
        {JSON: _ref("ServedModel")},
    ),
    Operation(
        "get",
        "/model/card",
        "modelCard",
        "model",
        "Show the model card",
        "What the model is for, how it was made, and how far it can be trusted. Markdown, or JSON by `Accept`.",
        {MARKDOWN: {"type": "string"}, JSON: {"type": "object"}},
        problems=(HTTPStatus.NOT_FOUND,),
    ),
    Operation(
        "get",
        "/model/report",
        "modelReport",
        "model",
        "Show the results of the model's evaluation",
        "All figures behind the model card, with their intervals.",
        {JSON: {"type": "object"}},
        problems=(HTTPStatus.NOT_FOUND,),
    ),
    *(
        Operation(
            "get",
            path,
            f"health{path.removeprefix('/health').title().replace('/', '')}",
            "operation",
            summary,
            "Each check is `ok`, or says in a few words what is not.",
            {JSON: _ref("Health")},
            also={HTTPStatus.SERVICE_UNAVAILABLE: "Not so."},
        )
        for path, summary in (
            ("/health", "Say whether the gateway is live and ready"),
            ("/health/startup", "Say whether the gateway has started"),
            ("/health/live", "Say whether the gateway is live: restarting would not help"),
            ("/health/ready", "Say whether the gateway is ready: send requests here"),
        )
    ),
    Operation(
        "get",
        "/metrics",
        "metrics",
        "operation",
        "Show metrics",
        "In Prometheus' text format.",
        {"text/plain": {"type": "string"}},
    ),
)


def document(version: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "heartstream",
            "version": version,
            "summary": "Risk of coronary heart disease from 13 clinical fields",
            "description": "Research and education only: not a medical device, not for diagnosis or treatment "
            "decisions. The model card says what the scores are worth.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "Relative to this document, under whatever path it is served."}],
        "tags": [{"name": "scores"}, {"name": "fhir"}, {"name": "model"}, {"name": "operation"}],
        "paths": paths,
        "components": {"schemas": _schemas()},
    }


def _described(operation: Operation) -> dict[str, Any]:
    usual = {"description": "Done.", "content": {kind: {"schema": schema} for kind, schema in operation.gives.items()}}
    responses: dict[str, Any] = {str(HTTPStatus.OK.value): usual}
    for status, meaning in operation.also.items():
        responses[str(int(status))] = {**usual, "description": meaning}
    for status in sorted(operation.problems):
        responses[str(int(status))] = _problem(HTTPStatus(status), *operation.problem)
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "responses": responses,
    }
    if operation.takes:
        content = {kind: {"schema": schema} for kind, schema in operation.takes.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _problem(status: HTTPStatus, kind: str, schema: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": status.phrase, "content": {kind: {"schema": _ref(schema)}}}
    if status in _ABUSE:
        answer["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
    return answer


def _bundle() -> dict[str, Any]:
    """Describe the envelope of a Bundle; docs/fhir.md describes its resources."""
    resource = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"type": "string"}}}
    entry = {
        "type": "object",
        "required": ["resource"],
        "properties": {"fullUrl": {"type": "string"}, "resource": resource},
    }
    return {
        "title": "Bundle",
        "description": "A FHIR R4 Bundle: one Patient and Observations of the 13 fields.",
        "externalDocs": {"url": "https://hl7.org/fhir/R4/bundle.html"},
        "type": "object",
        "required": ["resourceType", "type", "entry"],
        "properties": {
            "resourceType": {"const": "Bundle"},
            "type": {"const": "collection"},
            "entry": {"type": "array", "minItems": 1, "items": entry},
        },
    }


def _schemas() -> dict[str, Any]:
    """Return the schemas of all that is sent and answered."""
    health = {
        "type": "object",
        "required": ["status", "checks"],
        "properties": {
            "status": {"enum": ["ok", "unavailable"]},
            "checks": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    structs = struct_schemas([Score, Problem, RejectedRecord, ServedModel], _REF + "{name}")
    resources = {"Bundle": _bundle(), **struct_schemas(responses.RESPONSE_TYPES, _REF + "{name}")}
    return {"Health": health, "PatientRecord": {**patient_record(), "examples": [EXAMPLE]}, **structs, **resources}
