"""OpenAPI 3.1 document of the HTTP interface.

`operations` lists every operation; bodies are described by the JSON Schemas of the contract.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from schemas.fhir import responses
from schemas.fhir.mapping import BUNDLE_TYPES, FhirMapping
from schemas.generate.cds_operations import cds_operations, cds_schemas
from schemas.generate.fhir_operations import fhir_operations
from schemas.generate.json_schema import patient_record, struct_schemas
from schemas.generate.operation import ABUSE, BODY, JSON, REF, Operation, ref
from schemas.http import LINES_TYPE, Problem, RejectedRecord, ServedModel
from schemas.records import Score
from schemas.tables.feature_table import FeatureTable

MARKDOWN: Final = "text/markdown"


def _either() -> dict[str, Any]:
    return {"oneOf": [ref("Score"), ref("RejectedRecord")]}


OPERATIONS: Final = (
    Operation(
        "post",
        "/predict",
        "predict",
        "scores",
        "Score one patient record",
        "Returns the same bytes that the worker writes to the scores topic, where `source` has the record's offset. An "
        "invalid record gets 422 with every validation error; no response quotes a value of the record.",
        {JSON: ref("Score")},
        {JSON: ref("PatientRecord")},
        (*BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, HTTPStatus.UNPROCESSABLE_ENTITY, *ABUSE),
    ),
    Operation(
        "post",
        "/predict/batch",
        "predictBatch",
        "scores",
        "Score many patient records",
        "Send a JSON array for an array, or NDJSON (one record per line) for NDJSON. NDJSON is answered while it is "
        "being sent, in bounded memory: read while you send. An invalid record has its errors in its place, and the "
        "others are scored; the status is 200. An NDJSON response without its last chunk is incomplete.",
        {JSON: {"type": "array", "items": _either()}, LINES_TYPE: _either()},
        {JSON: {"type": "array", "items": ref("PatientRecord")}, LINES_TYPE: ref("PatientRecord")},
        (*BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, *ABUSE),
    ),
    Operation(
        "get",
        "/model",
        "model",
        "model",
        "Get the model in use",
        "Every score contains its name, version and digest as well.",
        {JSON: ref("ServedModel")},
    ),
    Operation(
        "get",
        "/model/card",
        "modelCard",
        "model",
        "Get the model card",
        "Intended use, training, performance and limitations of the model. Markdown, or JSON by `Accept`.",
        {MARKDOWN: {"type": "string"}, JSON: {"type": "object"}},
        problems=(HTTPStatus.NOT_FOUND,),
    ),
    Operation(
        "get",
        "/model/report",
        "modelReport",
        "model",
        "Get the results of the model's evaluation",
        "All metrics behind the model card, with their intervals.",
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
            "Each check is `ok`, or a short description of the problem.",
            {JSON: ref("Health")},
            also={HTTPStatus.SERVICE_UNAVAILABLE: "Unavailable."},
        )
        for path, summary in (
            ("/health", "Liveness and readiness"),
            ("/health/startup", "Startup probe"),
            ("/health/live", "Liveness probe: whether the gateway needs a restart"),
            ("/health/ready", "Readiness probe: whether to send requests to this gateway"),
        )
    ),
    Operation(
        "get",
        "/metrics",
        "metrics",
        "operation",
        "Get metrics",
        "In Prometheus' text format.",
        {"text/plain": {"type": "string"}},
    ),
)


def operations(table: FeatureTable, *, cds_hooks: bool = True) -> tuple[Operation, ...]:
    """Return every operation, in the order of the document; those of CDS Hooks are optional."""
    first = next(place for place, each in enumerate(OPERATIONS) if each.tag == "model")
    mapping = FhirMapping.of(table)
    optional = cds_operations(mapping) if mapping is not None and cds_hooks else ()
    return (*OPERATIONS[:first], *fhir_operations(table), *optional, *OPERATIONS[first:])


def document(version: str, table: FeatureTable, *, cds_hooks: bool = True) -> dict[str, Any]:
    """Return the OpenAPI document for records of a feature table; CDS Hooks is off by default in a gateway."""
    paths: dict[str, dict[str, Any]] = {}
    described = operations(table, cds_hooks=cds_hooks)
    for operation in described:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "heartstream",
            "version": version,
            "summary": f"Risk of {table.outcome.text}, from {len(table.features)} clinical fields",
            "description": "Research and education only: not a medical device, not for diagnosis or treatment "
            "decisions. See the model card for intended use and performance.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "Relative to the URL of this document."}],
        "tags": [{"name": name} for name in dict.fromkeys(each.tag for each in described)],
        "paths": paths,
        "components": {"schemas": _schemas(table, cds_hooks=cds_hooks)},
    }


def _described(operation: Operation) -> dict[str, Any]:
    usual = {"description": "OK", "content": {kind: {"schema": schema} for kind, schema in operation.gives.items()}}
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
    if operation.choices:
        choices = operation.choices.items()
        described["parameters"] = [
            {"name": each, "in": "query", "schema": {"enum": [*known]}} for each, known in choices
        ]
    if operation.takes:
        content = {kind: {"schema": schema} for kind, schema in operation.takes.items()}
        described["requestBody"] = {"required": True, "content": content}
    return described


def _problem(status: HTTPStatus, kind: str, schema: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": status.phrase, "content": {kind: {"schema": ref(schema)}}}
    if status in ABUSE:
        answer["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer", "minimum": 1}}}
    return answer


def _bundle(fields: int) -> dict[str, Any]:
    """Describe the envelope of a Bundle; docs/fhir.md describes its resources."""
    resource = {"type": "object", "required": ["resourceType"], "properties": {"resourceType": {"type": "string"}}}
    entry = {"type": "object", "properties": {"fullUrl": {"type": "string"}, "resource": resource}}
    return {
        "title": "Bundle",
        "description": f"A FHIR R4 Bundle: one Patient and Observations of the {fields} fields.",
        "externalDocs": {"url": "https://hl7.org/fhir/R4/bundle.html"},
        "type": "object",
        "required": ["resourceType", "type", "entry"],
        "properties": {
            "resourceType": {"const": "Bundle"},
            "type": {"enum": list(BUNDLE_TYPES)},
            "entry": {"type": "array", "minItems": 1, "items": entry},
        },
    }


def _schemas(table: FeatureTable, *, cds_hooks: bool) -> dict[str, Any]:
    """Return the schemas of requests and responses."""
    health = {
        "type": "object",
        "required": ["status", "checks"],
        "properties": {
            "status": {"enum": ["ok", "unavailable"]},
            "checks": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    }
    structs = struct_schemas([Score, Problem, RejectedRecord, ServedModel], REF + "{name}")
    resources = {
        "Bundle": _bundle(len(table.features)),
        **struct_schemas(responses.RESPONSE_TYPES, REF + "{name}"),
    }
    optional = cds_schemas() if cds_hooks else {}
    record = {**patient_record(table), "examples": [dict(table.example)]}
    return {"Health": health, "PatientRecord": record, **structs, **(resources | optional if table.fhir else {})}
