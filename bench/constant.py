"""An aiohttp handler that reads the body and returns a constant: what the framework alone takes."""

from __future__ import annotations

import os
from typing import Final

from aiohttp import web

BODY: Final = b'{"risk":0.5}'


async def answer(request: web.Request) -> web.Response:
    """Read the request, and return the same as always."""
    await request.read()
    return web.Response(body=BODY, content_type="application/json")


async def healthy(_request: web.Request) -> web.Response:
    """Say that the server is there."""
    return web.Response()


def main() -> None:
    """Serve until SIGTERM."""
    application = web.Application()
    application.add_routes([web.post("/predict", answer), web.get("/health", healthy)])
    web.run_app(application, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=None, print=None)


if __name__ == "__main__":
    main()
