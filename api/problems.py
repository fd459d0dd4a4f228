"""Errors over HTTP: RFC 9457 problem documents that list all that is wrong and repeat nothing of the request."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from schemas.errors import Fault

CONTENT_TYPE: Final = "application/problem+json"


class Problem(msgspec.Struct, frozen=True):
    """A problem document. `errors` has one entry for each thing that is wrong with the record."""

    type: str
    title: str
    status: int
    detail: str
    errors: tuple[Fault, ...] = ()


def rejected_record(faults: Sequence[Fault]) -> web.Response:
    """Say all that is wrong with a record (422)."""
    detail = f"{len(faults)} thing(s) are wrong with the record; nothing was scored."
    problem = Problem(
        "urn:heartstream:problem:rejected-record",
        "The record cannot be scored",
        HTTPStatus.UNPROCESSABLE_ENTITY,
        detail,
        tuple(faults),
    )
    return respond(problem)


def plain(status: HTTPStatus, detail: str) -> web.Response:
    """Tell of an error that is not about the record's content."""
    slug = status.phrase.lower().replace(" ", "-")
    return respond(Problem(f"urn:heartstream:problem:{slug}", status.phrase, status, detail))


def respond(problem: Problem) -> web.Response:
    """Write a problem document."""
    return web.Response(body=msgspec.json.encode(problem), status=problem.status, content_type=CONTENT_TYPE)
