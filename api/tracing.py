"""Tracing of requests, as part of the trace in their headers (W3C Trace Context).

Attributes follow OpenTelemetry's conventions for HTTP, without path, query and address: they could contain an id.
"""

from __future__ import annotations

import functools
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from api.security.auth import METRICS, Route, describe_route, resource_of
from runtime.tracing.spans import Span, Tracing
from runtime.tracing.trace_context import read_parent
from schemas.topics import TRACEPARENT_HEADER, TRACESTATE_HEADER

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNTRACED: Final = nullcontext()
_SPAN: Final[ContextVar[Span | None]] = ContextVar("span", default=None)
"""The span of the current request: each has a task, and so a context, of its own."""


def tracing_middleware(tracing: Tracing) -> Middleware:
    """Return a middleware that creates a span per request, except for probes and scrapes."""
    route_of = functools.cache(describe_route)

    @web.middleware
    async def trace(request: web.Request, handler: Handler) -> web.StreamResponse:
        span = _start_span(tracing, request, route_of(resource_of(request)))
        if span is None:
            return await handler(request)
        _SPAN.set(span)
        with span:
            response = await handler(request)
            span.set_attributes({"http.response.status_code": response.status})
            if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.fail(str(response.status))
            return response

    return trace


def _start_span(tracing: Tracing, request: web.Request, route: Route) -> Span | None:
    if route.is_public or route.scope == METRICS:
        return None
    parent = read_parent((name, request.headers.get(name)) for name in (TRACEPARENT_HEADER, TRACESTATE_HEADER))
    wanted = bool(tracing.picked(1)) if parent is None else parent.is_sampled
    if not wanted or not tracing.allows():
        return None
    # The method is any text that the client sends.
    method = request.method if request.method in _METHODS else "_OTHER"
    attributes = {"http.request.method": method, "http.route": route.name, "url.scheme": request.scheme}
    return tracing.begin(f"{method} {route.name}", "server", parent, attributes)


def scoring(records: int) -> AbstractContextManager[object]:
    """Return a span for scoring records of the current request; a null context if it is not traced."""
    span = _SPAN.get()
    return _UNTRACED if span is None else span.child("score", {"heartstream.records": records})
