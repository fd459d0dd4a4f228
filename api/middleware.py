"""What happens around every request: it is let in, answered in one form whatever goes wrong, and counted."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api import problems
from api.admission import Admission
from api.auth import ANYBODY, CALLER, Gatekeeper, is_public, route_of, scope_of
from api.browsers import BrowserPolicy
from api.fhir import outcomes
from api.memory import Memory
from api.problems import RefusalError, Teller
from runtime import events
from schemas.errors import ArtifactError

_CALLER_GONE: Final = 499
"""The status under which a request whose caller hung up is counted; it is never sent."""


def admitting(admission: Admission, memory: Memory) -> Middleware:
    """Return a middleware that bounds how many requests are under way, and forgets the memory of each at its end."""

    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method != "POST":
            return await handler(request)
        admission.enter()
        try:
            return await handler(request)
        finally:
            admission.leave()
            memory.release(request)

    return admit


def asking(gatekeeper: Gatekeeper, policy: BrowserPolicy) -> Middleware:
    """Return a middleware that lets only those in who may use a resource, and whom no other page sends."""

    @web.middleware
    async def ask(request: web.Request, handler: Handler) -> web.StreamResponse:
        route = route_of(request)
        if not (health := is_public(route)):
            policy.check(request)
        if gatekeeper.is_open or health:
            request[CALLER] = ANYBODY
            return await handler(request)
        caller = await gatekeeper.caller(request)
        if caller is None:
            raise RefusalError(HTTPStatus.UNAUTHORIZED, "Tell who you are: by key, token or certificate.")
        if not caller.may(scope_of(route)):
            raise RefusalError(HTTPStatus.FORBIDDEN, "This caller may not use this resource.")
        request[CALLER] = caller
        return await handler(request)

    return ask


@web.middleware
async def as_problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count every answer, and turn refusals, aiohttp's own errors and unexpected ones into documents of one form."""
    started = time.perf_counter()
    response: web.StreamResponse
    tell = _teller(request)
    try:
        response = await handler(request)
    except RefusalError as error:
        response = error.response(tell)
    except web.HTTPException as error:
        response = problems.of_aiohttp(error, tell)
    except ConnectionError:
        # The caller has gone: nobody reads the answer, and nothing is wrong here.
        response = web.Response(status=_CALLER_GONE)
    except ArtifactError as error:
        events.RequestFailed(error).emit()
        response = tell(HTTPStatus.SERVICE_UNAVAILABLE, "The model is not sound; nothing was scored.")
    except Exception as error:  # noqa: BLE001  # nothing of an unexpected error may reach the caller
        events.RequestFailed(error).emit()
        response = tell(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway failed; nothing was scored.")
    events.RequestAnswered(route_of(request), response.status, time.perf_counter() - started).emit()
    return response


def _teller(request: web.Request) -> Teller:
    """Choose the form of errors: FHIR's under `/fhir`, also for who may not ask, or too often."""
    return outcomes.plain if request.path.startswith("/fhir/") else problems.plain
