"""Cross-origin resource sharing (CORS) of the CDS services, for the origins that the browser policy allows."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.security.browser_policy import BrowserPolicy

_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "600",
}


class CorsHeaders:
    """Answers preflight requests, and lets pages of allowed origins read responses below a path.

    Credentials of the browser (cookies, client certificates, Basic authentication) are not shared.
    """

    def __init__(self, policy: BrowserPolicy, path: str) -> None:
        self._policy = policy
        self._path = path

    async def preflight(self, request: web.Request) -> web.Response:
        """Answer what a browser asks before a request of a page: 204, with the permission if there is one."""
        is_allowed = self._policy.allows(request.headers.get("Origin", ""))
        return web.Response(status=204, headers=_PREFLIGHT if is_allowed else {})

    async def prepare_response(self, request: web.Request, response: web.StreamResponse) -> None:
        """Set the headers of a response, also of an error; aiohttp calls it for each response."""
        if request.path != self._path and not request.path.startswith(f"{self._path}/"):
            return
        response.headers.add("Vary", "Origin")
        origin = request.headers.get("Origin", "")
        if self._policy.allows(origin):
            response.headers["Access-Control-Allow-Origin"] = origin
