"""Errors in FHIR's own form: an OperationOutcome with all that is wrong, which repeats nothing of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web
from msgspec import UNSET

from schemas.errors import RejectionCode, ValidationIssue
from schemas.fhir.mapping import FHIR_TYPE
from schemas.fhir.responses import CodeableConcept, Coding, Issue, OperationOutcome

FAULT_SYSTEM: Final = "urn:heartstream:fault"
_OF_FAULTS: Final[Mapping[RejectionCode, str]] = {
    RejectionCode.EMPTY_VALUE: "required",
    RejectionCode.TOO_LARGE: "too-long",
    RejectionCode.NOT_UTF8: "structure",
    RejectionCode.NOT_JSON: "structure",
    RejectionCode.NOT_AN_OBJECT: "structure",
    RejectionCode.DUPLICATE_FIELD: "conflict",
    RejectionCode.UNKNOWN_FIELD: "not-supported",
    RejectionCode.MISSING_FIELD: "required",
    RejectionCode.MISSING_VALUE: "required",
    RejectionCode.WRONG_TYPE: "structure",
    RejectionCode.WRONG_LENGTH: "too-long",
    RejectionCode.IMPOSSIBLE_CODE: "code-invalid",
    RejectionCode.FOREIGN_CODE: "code-invalid",
    RejectionCode.FOREIGN_SOURCE: "code-invalid",
    RejectionCode.UNSUPPORTED_CODING: "not-supported",
    RejectionCode.MODEL_FAILURE: "exception",
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
_UNREADABLE: Final = frozenset({RejectionCode.NOT_JSON, RejectionCode.NOT_AN_OBJECT})


def rejected(faults: Sequence[ValidationIssue]) -> web.Response:
    """Say all that is wrong with a Bundle: 400 where it is none, 422 where no record can be made of it."""
    issues = tuple(_issue(fault) for fault in faults)
    is_bundle = _UNREADABLE.isdisjoint(fault.code for fault in faults)
    return _respond(HTTPStatus.UNPROCESSABLE_ENTITY if is_bundle else HTTPStatus.BAD_REQUEST, issues)


def plain(status: HTTPStatus, detail: str) -> web.Response:
    """Tell of an error that is not about what a Bundle says."""
    return _respond(status, (Issue("error", _OF_STATUSES.get(status, "exception"), CodeableConcept(detail)),))


def _issue(fault: ValidationIssue) -> Issue:
    details = CodeableConcept(fault.message, (Coding(FAULT_SYSTEM, str(fault.code)),))
    place = (fault.pointer,) if fault.pointer else UNSET
    return Issue("error", _OF_FAULTS.get(fault.code, "value"), details, place)


def _respond(status: HTTPStatus, issues: tuple[Issue, ...]) -> web.Response:
    body = msgspec.json.encode(OperationOutcome(issues))
    return web.Response(body=body, status=status, content_type=FHIR_TYPE)
