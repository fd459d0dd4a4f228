"""What happens around every request: it is let in, answered in one form whatever goes wrong, and counted."""

from __future__ import annotations

import functools
import time
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api import problem_details
from api.graceful_shutdown import Leaving
from api.limits.memory_limit import Memory
from api.limits.rate_limit import Admission
from api.problem_details import RefusalError, Teller
from api.protocols.fhir import operation_outcome
from api.security.auth import CALLER, Gatekeeper, describe_route, resource_of
from api.security.browser_policy import BrowserPolicy
from runtime import events
from schemas.errors import ArtifactError

_CALLER_GONE: Final = 499
"""The status under which a request whose caller hung up is counted; it is never sent."""


def guarding(
    gatekeeper: Gatekeeper, policy: BrowserPolicy, admission: Admission, memory: Memory, leaving: Leaving
) -> Middleware:
    """Return the middleware of all requests. It is one, as each costs a coroutine more in every request."""
    described, is_open = functools.cache(describe_route), gatekeeper.is_open

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        route = described(resource_of(request))
        is_post = request.method == "POST"
        if is_post:
            leaving.enter()
        try:
            if not route.is_public:
                policy.check(request)
                if not is_open:
                    request[CALLER] = await gatekeeper.authorized(request, route.scope)
            if not is_post:
                response = await handler(request)
            else:
                admission.enter()
                try:
                    response = await handler(request)
                finally:
                    admission.leave()
                    memory.release(request)
        except Exception as error:  # noqa: BLE001  # nothing of an unexpected error may reach the caller
            response = _of_error(error, _teller(request))
        finally:
            if is_post:
                leaving.leave()
        events.RequestAnswered(route.name, response.status, time.perf_counter() - started).emit()
        return response

    return guard


def _of_error(error: Exception, tell: Teller) -> web.Response:
    """Turn refusals, aiohttp's own errors and unexpected ones into documents of one form."""
    match error:
        case RefusalError():
            return error.response(tell)
        case web.HTTPException():
            return problem_details.of_aiohttp(error, tell)
        case ConnectionError():
            # The caller has gone: nobody reads the answer, and nothing is wrong here.
            return web.Response(status=_CALLER_GONE)
        case ArtifactError():
            events.RequestFailed(error).emit()
            return tell(HTTPStatus.SERVICE_UNAVAILABLE, "The model is not sound; nothing was scored.")
        case _:
            events.RequestFailed(error).emit()
            return tell(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway failed; nothing was scored.")


def _teller(request: web.Request) -> Teller:
    """Choose the form of errors: FHIR's under `/fhir`, also for who may not ask, or too often."""
    return operation_outcome.plain if request.path.startswith("/fhir/") else problem_details.plain
