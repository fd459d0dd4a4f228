"""The middleware around every request: authorization, limits, errors as problem documents, metrics."""

from __future__ import annotations

import functools
import time
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api import problem_details
from api.graceful_shutdown import GracefulShutdown
from api.limits.memory_limit import MemoryLimit
from api.limits.rate_limit import RateLimit
from api.problem_details import ErrorFormat, ProblemError
from api.protocols.fhir import operation_outcome
from api.security.auth import CALLER, Authenticator, describe_route, resource_of
from api.security.browser_policy import BrowserPolicy
from runtime import events
from schemas.errors import ArtifactError

_CLIENT_CLOSED_REQUEST: Final = 499
"""Only for metrics, as in nginx: the client hung up before the response."""


def request_middleware(
    authenticator: Authenticator,
    policy: BrowserPolicy,
    rate_limit: RateLimit,
    memory_limit: MemoryLimit,
    shutdown: GracefulShutdown,
) -> Middleware:
    """Return the middleware of all requests: a single one, as each costs every request a coroutine."""
    route_of, is_open = functools.cache(describe_route), authenticator.is_open

    @web.middleware
    async def handle(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        route = route_of(resource_of(request))
        is_post = request.method == "POST"
        if is_post:
            shutdown.request_started()
        try:
            if not route.is_public:
                policy.check(request)
                if not is_open and not (request.method == "OPTIONS" and route.has_preflight):
                    request[CALLER] = await authenticator.authorize(request, route.scope)
            if not is_post:
                response = await handler(request)
            else:
                rate_limit.acquire()
                try:
                    response = await handler(request)
                finally:
                    rate_limit.release()
                    memory_limit.release(request)
        except Exception as error:  # noqa: BLE001  # no details of an unexpected error may reach the caller
            response = _error_response(error, _error_format(request))
        finally:
            if is_post:
                shutdown.request_finished()
        events.RequestAnswered(route.name, response.status, time.perf_counter() - started).emit()
        return response

    return handle


def _error_response(error: Exception, format_error: ErrorFormat) -> web.Response:
    """Convert expected, aiohttp's and unexpected errors to responses of one format."""
    match error:
        case ProblemError():
            return error.response(format_error)
        case web.HTTPException():
            return problem_details.from_http_exception(error, format_error)
        case ConnectionError():
            # The client has disconnected, which is not an error here; nobody reads the response.
            return web.Response(status=_CLIENT_CLOSED_REQUEST)
        case ArtifactError():
            events.RequestFailed(error).emit()
            return format_error(HTTPStatus.SERVICE_UNAVAILABLE, "The model failed its self-check; nothing was scored.")
        case _:
            events.RequestFailed(error).emit()
            return format_error(HTTPStatus.INTERNAL_SERVER_ERROR, "Internal error; nothing was scored.")


def _error_format(request: web.Request) -> ErrorFormat:
    """Return the error format: FHIR's under `/fhir/`, also for authentication and rate limit errors."""
    return operation_outcome.error_response if request.path.startswith("/fhir/") else problem_details.error_response
