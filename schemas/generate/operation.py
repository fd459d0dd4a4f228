"""An operation of the HTTP interface, as OpenAPI describes it."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

import msgspec

from schemas.http import PROBLEM_TYPE

JSON: Final = "application/json"
REF: Final = "#/components/schemas/"
ABUSE: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""The statuses of limits."""
BODY: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
"""The statuses of bodies that are not read."""


class Operation(msgspec.Struct, frozen=True):
    """An operation: request and response by content type, and the statuses of its errors."""

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
    """Content type and schema of error responses."""
    also: Mapping[int, str] = {}
    """Other statuses with the same body, and their meaning."""
    choices: Mapping[str, tuple[str, ...]] = {}
    """Query parameters, and the values that each may have."""


def ref(name: str) -> dict[str, str]:
    """Return a reference to a schema."""
    return {"$ref": REF + name}
