"""Errors in FHIR's own form: an OperationOutcome with all that is wrong, which repeats nothing of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from schemas.errors import Fault, FaultCode
from schemas.fhir import FHIR_TYPE, CodeableConcept, Coding, Issue, OperationOutcome

FAULT_SYSTEM: Final = "urn:heartstream:fault"
_OF_FAULTS: Final[Mapping[FaultCode, str]] = {
    FaultCode.EMPTY_VALUE: "required",
    FaultCode.TOO_LARGE: "too-long",
    FaultCode.NOT_UTF8: "structure",
    FaultCode.NOT_JSON: "structure",
    FaultCode.NOT_AN_OBJECT: "structure",
    FaultCode.DUPLICATE_FIELD: "conflict",
    FaultCode.UNKNOWN_FIELD: "not-supported",
    FaultCode.MISSING_FIELD: "required",
    FaultCode.MISSING_VALUE: "required",
    FaultCode.WRONG_TYPE: "structure",
    FaultCode.WRONG_LENGTH: "too-long",
    FaultCode.IMPOSSIBLE_CODE: "code-invalid",
    FaultCode.FOREIGN_CODE: "code-invalid",
    FaultCode.FOREIGN_SOURCE: "code-invalid",
    FaultCode.UNSUPPORTED_CODING: "not-supported",
    FaultCode.MODEL_FAILURE: "exception",
}
"""FHIR's IssueType of each fault; of others it is `value`."""
_OF_STATUSES: Final[Mapping[HTTPStatus, str]] = {
    HTTPStatus.BAD_REQUEST: "structure",
    HTTPStatus.UNAUTHORIZED: "login",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not-found",
    HTTPStatus.METHOD_NOT_ALLOWED: "not-supported",
    HTTPStatus.REQUEST_TIMEOUT: "timeout",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too-long",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "not-supported",
    HTTPStatus.TOO_MANY_REQUESTS: "throttled",
    HTTPStatus.SERVICE_UNAVAILABLE: "transient",
}
"""FHIR's IssueType of each status; of others it is `exception`."""
_UNREADABLE: Final = frozenset({FaultCode.NOT_JSON, FaultCode.NOT_AN_OBJECT})


def rejected(faults: Sequence[Fault]) -> web.Response:
    """Say all that is wrong with a Bundle: 400 where it is none, 422 where no record can be made of it."""
    issues = tuple(_issue(fault) for fault in faults)
    is_bundle = _UNREADABLE.isdisjoint(fault.code for fault in faults)
    return _respond(HTTPStatus.UNPROCESSABLE_ENTITY if is_bundle else HTTPStatus.BAD_REQUEST, issues)


def plain(status: HTTPStatus, detail: str) -> web.Response:
    """Tell of an error that is not about what a Bundle says."""
    return _respond(status, (Issue("error", _OF_STATUSES.get(status, "exception"), CodeableConcept(detail)),))


def _issue(fault: Fault) -> Issue:
    details = CodeableConcept(fault.message, (Coding(FAULT_SYSTEM, str(fault.code)),))
    place = (fault.pointer,) if fault.pointer else UNSET
    return Issue("error", _OF_FAULTS.get(fault.code, "value"), details, place)


def _respond(status: HTTPStatus, issues: tuple[Issue, ...]) -> web.Response:
    body = msgspec.json.encode(OperationOutcome(issues))
    return web.Response(body=body, status=status, content_type=FHIR_TYPE)
