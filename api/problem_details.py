"""Errors over HTTP: RFC 9457 problem documents that list all that is wrong and repeat nothing of the request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType

import msgspec
from aiohttp import web

from schemas.errors import ValidationIssue
from schemas.http import PROBLEM_TYPE, Problem, RejectedRecord

Teller = Callable[[HTTPStatus, str], web.Response]
"""Tells of an error, in the form of a protocol: status, and what is wrong."""


class RefusalError(Exception):
    """A request that is not carried out. The caller gets a problem document; nothing of it is an error of ours.

    `retry_seconds` tells when to come again; `ends_connection` where the rest of a body is not read.
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
        """`detail` repeats nothing of the request."""
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_seconds = retry_seconds
        self.ends_connection = ends_connection
        self.headers = headers

    def response(self, tell: Teller) -> web.Response:
        """Write the answer, in the form that `tell` gives it."""
        response = tell(self.status, self.detail)
        response.headers.update(self.headers)
        if self.retry_seconds is not None:
            response.headers["Retry-After"] = str(max(1, round(self.retry_seconds + 0.5)))
        if self.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = 'Basic realm="heartstream", Bearer'
        if self.ends_connection:
            response.force_close()
        return response


def rejected_record(faults: Sequence[ValidationIssue]) -> web.Response:
    """Say all that is wrong with a record (422)."""
    problem = Problem(
        "urn:heartstream:problem:rejected-record",
        "The record cannot be scored",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        f"{len(faults)} thing(s) are wrong with the record; nothing was scored.",
        tuple(faults),
    )
    return respond(problem)


def rejected_line(index: int, faults: Sequence[ValidationIssue]) -> bytes:
    """Say all that is wrong with one of many records, as JSON."""
    return msgspec.json.encode(RejectedRecord(index, tuple(faults)))


def plain(status: HTTPStatus, detail: str) -> web.Response:
    """Tell of an error that is not about the record's content."""
    slug = status.phrase.lower().replace(" ", "-")
    return respond(Problem(f"urn:heartstream:problem:{slug}", status.phrase, status, detail))


def of_status(status: HTTPStatus, tell: Teller) -> web.Response:
    """Tell of an error of which nothing is known but its status."""
    return tell(status, status.description or status.phrase)


def of_aiohttp(error: web.HTTPException, tell: Teller) -> web.Response:
    """Tell of an error of aiohttp's own, without its text, which may quote the request."""
    response = of_status(HTTPStatus(error.status), tell)
    for name in ("Allow", "Location"):
        if name in error.headers:
            response.headers[name] = error.headers[name]
    return response


def respond(problem: Problem) -> web.Response:
    """Write a problem document."""
    return web.Response(body=msgspec.json.encode(problem), status=problem.status, content_type=PROBLEM_TYPE)
