"""Where the gateway's objects meet: settings in, an aiohttp application out; and how it is run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Final

from aiohttp import web

from api import problems
from api.handlers import Handlers, as_problems
from runtime import events, logs
from runtime.health import Health
from runtime.settings import Gateway, Settings
from scoring.scorer import Scorer

_KEEPALIVE_SECONDS: Final = 75.0
_SOUND_SECONDS: Final = 30.0


def create_application(scorer: Scorer, settings: Gateway) -> web.Application:
    """Assemble the gateway around a loaded model."""
    health = Health(live={}, ready={"model": _remembered(scorer.is_sound)})
    handlers = Handlers(scorer, health, settings)
    application = web.Application(middlewares=[as_problems], client_max_size=settings.body_limit_bytes)
    application.add_routes(
        [
            web.post("/predict", handlers.predict),
            web.get("/health", handlers.health),
            web.get("/metrics", handlers.metrics),
        ]
    )
    return application


def _remembered(is_sound: Callable[[], bool]) -> Callable[[], str | None]:
    """Return a check that asks at most twice a minute: the golden records take milliseconds of the event loop."""
    answer, asked = True, -_SOUND_SECONDS

    def problem() -> str | None:
        nonlocal answer, asked
        now = time.monotonic()
        if now - asked >= _SOUND_SECONDS:
            answer, asked = is_sound(), now
        return None if answer else "fails its golden records"

    return problem


class _QuietHandler(web.RequestHandler):
    """Answers what is not even HTTP without quoting it: a patient's record can stand where a header should."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002  # aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """Return a problem document and end the connection."""
        response = problems.plain(HTTPStatus(status), HTTPStatus(status).description or HTTPStatus(status).phrase)
        response.force_close()
        return response


class _QuietServer(web.Server):
    """A server whose connections are handled by `_QuietHandler`."""

    def __call__(self) -> web.RequestHandler:
        """Return the handler of a new connection."""
        return _QuietHandler(self, loop=self._loop, **self._kwargs)


class _QuietRunner(web.AppRunner):
    """A runner of `_QuietServer`, made from the server that aiohttp would run."""

    __slots__ = ()

    async def _make_server(self) -> web.Server:
        usual = await super()._make_server()
        return _QuietServer(
            usual.request_handler,
            request_factory=usual.request_factory,
            loop=usual._loop,  # noqa: SLF001
            **usual._kwargs,  # noqa: SLF001
        )


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way; raises ArtifactError before it listens."""
    logs.configure(settings.telemetry)
    events.ProcessStarted("gateway", version("heartstream")).emit()
    scorer = Scorer.from_directory(
        Path(settings.model.path), settings.model.name or None, settings.score, settings.model.key()
    )
    events.ModelLoaded(
        scorer.model.name, scorer.model.version, scorer.model.digest, scorer.engine, scorer.fallback_reason
    ).emit()
    asyncio.run(_serve(create_application(scorer, settings.gateway), settings.gateway))


async def _serve(application: web.Application, settings: Gateway) -> None:
    runner = _QuietRunner(
        application,
        access_log=None,
        keepalive_timeout=_KEEPALIVE_SECONDS,
        shutdown_timeout=settings.drain_seconds,
    )
    await runner.setup()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(signum, stopping.set)
    await web.TCPSite(runner, settings.host, settings.port).start()
    host, port = runner.addresses[0][:2]
    events.ListenerOpened("gateway", host, port).emit()
    await stopping.wait()
    await runner.cleanup()
