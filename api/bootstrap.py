"""Where the gateway's objects meet: settings in, an aiohttp application out; and how it is run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Final

from aiohttp import web

from api.handlers import Handlers, as_problems
from runtime import events, logs
from runtime.health import Health
from runtime.settings import Gateway, Settings
from scoring.scorer import Scorer

_KEEPALIVE_SECONDS: Final = 75.0


def create_application(scorer: Scorer, settings: Gateway) -> web.Application:
    """Assemble the gateway around a loaded model."""
    health = Health(live={}, ready={"model": lambda: None if scorer.is_sound() else "fails its golden records"})
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


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way; raises ArtifactError before it listens."""
    logs.configure(settings.telemetry)
    events.ProcessStarted("gateway", version("heartstream")).emit()
    scorer = Scorer.from_directory(Path(settings.model.path), settings.model.name or None)
    events.ModelLoaded(
        scorer.model.name, scorer.model.version, scorer.model.digest, scorer.engine, scorer.fallback_reason
    ).emit()
    asyncio.run(_serve(create_application(scorer, settings.gateway), settings.gateway))


async def _serve(application: web.Application, settings: Gateway) -> None:
    runner = web.AppRunner(
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
