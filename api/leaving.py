"""Going away so that nobody notices: first it is told, then requests end, then the process."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware


class Leaving:
    """Whether the gateway is about to stop. Callers learn it from `/health/ready`, and from each answer's end."""

    def __init__(self) -> None:
        self._has_begun = False

    def begin(self) -> None:
        """Say from now on that it is leaving."""
        self._has_begun = True

    def problem(self) -> str | None:
        """Say what is not well, for `/health/ready`."""
        return "stopping" if self._has_begun else None

    @property
    def tell(self) -> Middleware:
        """A middleware that ends connections with their next answer, once it is leaving."""

        @web.middleware
        async def close(request: web.Request, handler: Handler) -> web.StreamResponse:
            response = await handler(request)
            if self._has_begun and not response.prepared:
                response.force_close()
            return response

        return close
