"""Errors as FHIR OperationOutcomes, which list every error and quote nothing of the request."""

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

ISSUE_SYSTEM: Final = "urn:heartstream:issue"
_TYPE_BY_CODE: Final[Mapping[RejectionCode, str]] = {
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
"""FHIR's IssueType of each code; `value` for others."""
_TYPE_BY_STATUS: Final[Mapping[HTTPStatus, str]] = {
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
"""FHIR's IssueType of each status; `exception` for others."""
_UNREADABLE: Final = frozenset({RejectionCode.NOT_JSON, RejectionCode.NOT_AN_OBJECT})


def rejected(found: Sequence[ValidationIssue], notes: Sequence[str] = ()) -> web.Response:
    """Return every error of a Bundle, and its notes: 400 if it is not a Bundle, 422 if it has no valid record."""
    issues = (*map(_fhir_issue, found), *information(notes).issue)
    is_bundle = _UNREADABLE.isdisjoint(issue.code for issue in found)
    return _respond(HTTPStatus.UNPROCESSABLE_ENTITY if is_bundle else HTTPStatus.BAD_REQUEST, issues)


def information(notes: Sequence[str]) -> OperationOutcome:
    """Return notes as an OperationOutcome."""
    return OperationOutcome(tuple(Issue("information", "informational", CodeableConcept(note)) for note in notes))


def error_response(status: HTTPStatus, detail: str) -> web.Response:
    """Return an error that is not about a Bundle's content."""
    return _respond(status, (Issue("error", _TYPE_BY_STATUS.get(status, "exception"), CodeableConcept(detail)),))


def _fhir_issue(issue: ValidationIssue) -> Issue:
    details = CodeableConcept(issue.message, (Coding(ISSUE_SYSTEM, str(issue.code)),))
    expression = (issue.pointer,) if issue.pointer else UNSET
    return Issue("error", _TYPE_BY_CODE.get(issue.code, "value"), details, expression)


def _respond(status: HTTPStatus, issues: tuple[Issue, ...]) -> web.Response:
    body = msgspec.json.encode(OperationOutcome(issues))
    return web.Response(body=body, status=status, content_type=FHIR_TYPE)
