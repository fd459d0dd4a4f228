"""The gateway's three resources: predictions, health, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from aiohttp import web

from api import problems
from runtime import events
from runtime.health import Health
from runtime.settings import Gateway
from scoring.pipeline import Rejected, Scored, process
from scoring.scorer import Scorer

DOOR = "http"
_CALLER_GONE = 499
"""The status under which a request whose caller hung up is counted; it is never sent."""


class Handlers:
    """Answers requests with one scorer."""

    def __init__(self, scorer: Scorer, health: Health, settings: Gateway) -> None:
        self._scorer = scorer
        self._health = health
        self._settings = settings

    async def predict(self, request: web.Request) -> web.Response:
        """Score one patient record: 200 with the score object that Kafka would carry, 422 with all that is wrong."""
        try:
            async with asyncio.timeout(self._settings.body_timeout_seconds):
                body = await request.read()
        except TimeoutError:
            return _cut_off(problems.plain(HTTPStatus.REQUEST_TIMEOUT, "The body did not arrive in time."))
        except web.RequestPayloadError:
            return _cut_off(problems.plain(HTTPStatus.BAD_REQUEST, "The body is not what its headers say it is."))
        started = time.perf_counter()
        (outcome,) = process([body], [None], self._scorer)
        seconds = time.perf_counter() - started
        match outcome:
            case Scored(value):
                events.BatchScored(DOOR, 1, 0, (), seconds).emit()
                return web.Response(body=value, content_type="application/json")
            case Rejected(faults):
                codes = tuple(str(fault.code) for fault in faults)
                events.BatchScored(DOOR, 0, 1, codes, seconds).emit()
                return problems.rejected_record(faults)

    async def health(self, _request: web.Request) -> web.Response:
        """Say if the gateway is alive and ready."""
        status, body = self._health.report("live", "ready")
        return web.Response(body=body, status=status, content_type="application/json")

    async def metrics(self, _request: web.Request) -> web.Response:
        """Return Prometheus metrics."""
        body, content_type = events.render_metrics()
        return web.Response(body=body, headers={"Content-Type": content_type})


def _cut_off(response: web.Response) -> web.Response:
    """Close the connection after the answer: the rest of its body is never read."""
    response.force_close()
    return response


@web.middleware
async def as_problems(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Count every answer, and turn aiohttp's own errors and unexpected ones into problem documents."""
    started = time.perf_counter()
    response: web.StreamResponse
    try:
        response = await handler(request)
    except web.HTTPException as error:
        status = HTTPStatus(error.status)
        response = problems.plain(status, status.description or status.phrase)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    except ConnectionError:
        # The caller has gone: nobody reads the answer, and nothing is wrong here.
        response = web.Response(status=_CALLER_GONE)
    except Exception as error:  # noqa: BLE001  # nothing of an unexpected error may reach the caller
        events.RequestFailed(error).emit()
        response = problems.plain(HTTPStatus.INTERNAL_SERVER_ERROR, "The gateway failed; nothing was scored.")
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "(unknown)"
    events.RequestAnswered(route, response.status, time.perf_counter() - started).emit()
    return response
