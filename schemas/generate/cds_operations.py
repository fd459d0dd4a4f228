"""The operations of CDS Hooks, and the schemas of their bodies."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from schemas.cds_hooks.responses import RESPONSE_TYPES
from schemas.cds_hooks.service import HOOK, SERVICES, service_path
from schemas.fhir.mapping import FhirMapping
from schemas.generate.json_schema import struct_schemas
from schemas.generate.operation import ABUSE, BODY, JSON, REF, Operation, ref

_TEXT: Final[Mapping[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 1024}
_POST: Final = (*BODY, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, *ABUSE)


def cds_operations(mapping: FhirMapping) -> tuple[Operation, ...]:
    """Return the operations of a table's service."""
    path = service_path(mapping)
    return (
        Operation(
            "get",
            SERVICES,
            "cdsServices",
            "cds-hooks",
            "Get the CDS services",
            "CDS Hooks 2.0: one service, and the FHIR data that it asks the EHR to prefetch. Only with "
            "`HEARTSTREAM_CDS_HOOKS__ENABLED`, as all operations of CDS Hooks.",
            {JSON: ref("Services")},
            problems=(HTTPStatus.BAD_REQUEST,),
        ),
        Operation(
            "post",
            path,
            "cdsService",
            "cds-hooks",
            "Call the service when a patient's record is opened",
            "Prefetched FHIR resources in, one card out: the risk, the open questions, or why there is no risk.",
            {JSON: ref("Cards")},
            {JSON: ref("HookRequest")},
            (*_POST, HTTPStatus.PRECONDITION_FAILED),
        ),
        Operation(
            "post",
            f"{path}/feedback",
            "cdsFeedback",
            "cds-hooks",
            "Say what users did with cards",
            "Counted by outcome and override reason; nothing else of it is kept.",
            {JSON: {"type": "object"}},
            {JSON: ref("FeedbackRequest")},
            _POST,
        ),
    )


def cds_schemas() -> dict[str, Any]:
    """Return the schemas of requests and responses; `Coding` is FHIR's."""
    responses = struct_schemas(RESPONSE_TYPES, REF + "{name}")
    responses.pop("Coding")
    return {"HookRequest": _hook_request(), "FeedbackRequest": _feedback_request(), **responses}


def _hook_request() -> dict[str, Any]:
    context = _object({"userId": _TEXT, "patientId": _TEXT}, encounterId={"description": "Not read."})
    prefetch = {"type": "object", "description": "A FHIR resource, a searchset Bundle or null for each prefetch key."}
    required = {"hook": {"const": HOOK}, "hookInstance": _TEXT, "context": context}
    return {"title": "HookRequest", **_object(required, prefetch=prefetch)}


def _feedback_request() -> dict[str, Any]:
    suggestions = {"type": "array", "minItems": 1, "items": _object({"id": _TEXT})}
    reason = _object({}, reason=_object({"code": _TEXT}, system={"type": "string"}))
    card = _object(
        {
            "card": _TEXT,
            "outcome": {"enum": ["accepted", "overridden"]},
            "outcomeTimestamp": {"type": "string", "format": "date-time"},
        },
        acceptedSuggestions=suggestions,
        overrideReason=reason,
    )
    feedback = {"type": "array", "items": card}
    return {"title": "FeedbackRequest", **_object({"feedback": feedback})}


def _object(required: Mapping[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "required": [*required], "properties": {**required, **optional}}
