"""Traces of requests: each goes on with the trace that its headers bring along (W3C Trace Context).

A span's attributes are those of OpenTelemetry's conventions for HTTP, but never a path, a query or an address: an id
can stand there.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api.auth import METRICS, is_public, route_of, scope_of
from runtime.tracing.spans import Span, Tracing
from runtime.tracing.trace_context import read_parent
from schemas.topics import TRACEPARENT_HEADER, TRACESTATE_HEADER

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNTRACED: Final = nullcontext()
_SPAN: Final = web.RequestKey("span", Span)


def tracing_requests(tracing: Tracing) -> Middleware:
    """Return a middleware that gives a request its span; probes and scrapes have none."""

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        span = _begin(tracing, request)
        if span is None:
            return await handler(request)
        request[_SPAN] = span
        with span:
            response = await handler(request)
            span.note({"http.response.status_code": response.status})
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.fail(str(response.status))
            return response

    return trace


def _begin(tracing: Tracing, request: web.Request) -> Span | None:
    route = route_of(request)
    if is_public(route) or scope_of(route) == METRICS:
        return None
    parent = read_parent((name, request.headers.get(name)) for name in (TRACEPARENT_HEADER, TRACESTATE_HEADER))
    wanted = bool(tracing.picked(1)) if parent is None else parent.is_sampled
    if not wanted or not tracing.allows():
        return None
    # Any word can stand where the method should.
    method = request.method if request.method in _METHODS else "_OTHER"
    attributes = {"http.request.method": method, "http.route": route, "url.scheme": request.scheme}
    return tracing.begin(f"{method} {route}", "server", parent, attributes)


def scoring(request: web.Request, records: int) -> AbstractContextManager[object]:
    """Return the span of scoring what a request brought; nothing, where the request is not traced."""
    span = request.get(_SPAN)
    return _UNTRACED if span is None else span.child("score", {"heartstream.records": records})
