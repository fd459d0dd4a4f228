"""Problem details (RFC 9457): error responses that list every validation error and quote nothing of the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType

import msgspec
from aiohttp import web

from schemas.errors import ValidationIssue
from schemas.http import PROBLEM_TYPE, Problem, RejectedRecord

ErrorFormat = Callable[[HTTPStatus, str], web.Response]
"""Makes an error response in the format of a protocol, from status and detail."""


class ProblemError(Exception):
    """A refused request: the client gets an error response, and nothing is logged.

    `retry_seconds` becomes Retry-After; `ends_connection` closes the connection, as the rest of the body is not read.
    """

    def __init__(
        self,
        status: HTTPStatus,
        detail: str,
        *,
        retry_seconds: float | None = None,
        ends_connection: bool = False,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """`detail` must not quote the request."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_seconds = retry_seconds
        self.ends_connection = ends_connection
        self.headers = headers

    def response(self, format_error: ErrorFormat) -> web.Response:
        """Return the response, in the format that `format_error` gives it."""
        response = format_error(self.status, self.detail)
        response.headers.update(self.headers)
        if self.retry_seconds is not None:
            response.headers["Retry-After"] = str(max(1, round(self.retry_seconds + 0.5)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="heartstream", Bearer'
        if self.ends_connection:
            response.force_close()
        return response


def rejected_record(issues: Sequence[ValidationIssue]) -> web.Response:
    """Return a response with every validation error of a record (422)."""
    problem = Problem(
        "urn:heartstream:problem:rejected-record",
        "Invalid patient record",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"The record has {len(issues)} validation error(s); nothing was scored.",
        tuple(issues),
    )
    return _response(problem)


def rejected_record_json(index: int, issues: Sequence[ValidationIssue]) -> bytes:
    """Return every validation error of one of many records, as JSON."""
    return msgspec.json.encode(RejectedRecord(index, tuple(issues)))


def error_response(status: HTTPStatus, detail: str) -> web.Response:
    """Return a problem document for an error that is not about a record's content."""
    slug = status.phrase.lower().replace(" ", "-")
    return _response(Problem(f"urn:heartstream:problem:{slug}", status.phrase, status, detail))


def from_status(status: HTTPStatus, format_error: ErrorFormat) -> web.Response:
    """Return an error response of which only the status is known."""
    return format_error(status, status.description or status.phrase)


def from_http_exception(error: web.HTTPException, format_error: ErrorFormat) -> web.Response:
    """Convert an error of aiohttp's own, without its text, which may quote the request."""
    response = from_status(HTTPStatus(error.status), format_error)
    for name in ("Allow", "Location"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


def _response(problem: Problem) -> web.Response:
    """Return a problem document."""
    return web.Response(body=msgspec.json.encode(problem), status=problem.status, content_type=PROBLEM_TYPE)
