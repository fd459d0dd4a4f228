"""Running the gateway as a process: start, serve, and go away so that nobody notices."""

from __future__ import annotations

import asyncio
import signal
import ssl
from importlib.metadata import version
from typing import Final

from aiohttp import web

from api.bootstrap import create_application, new_gatekeeper, new_tls
from api.graceful_shutdown import Leaving
from api.server import QuietRunner
from runtime import events, logs
from runtime.gc_tuning import tune_gc
from runtime.health import TelemetryServer
from runtime.settings import Gateway, Settings

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_CUT_OFF_SECONDS: Final = 1.0
"""So long what is left after the drain time may take to be answered, and then to be cancelled."""
_LINGERING_SECONDS: Final = 1.0
"""So long it is waited for the rest of a body that was refused, so that the caller reads why. aiohttp waits for ten."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way.

    Raises ArtifactError, SettingsError or OSError before it listens.
    """
    # Tools send it when they have rotated a file; that of the audit trail is found by its name.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logs.configure(settings.telemetry)
    events.ProcessStarted("gateway", version("heartstream")).emit()
    gatekeeper, tls, leaving = new_gatekeeper(settings.auth), new_tls(settings.auth), Leaving()
    application, health = create_application(settings, gatekeeper, leaving)
    telemetry = None
    if settings.gateway.metrics_port:
        telemetry = TelemetryServer(settings.telemetry.host, settings.gateway.metrics_port, health)
    tune_gc()
    try:
        asyncio.run(_serve(application, settings.gateway, tls, leaving, guarded=not gatekeeper.is_open))
    finally:
        if telemetry is not None:
            telemetry.close()


def new_runner(application: web.Application, settings: Gateway) -> QuietRunner:
    """Return what serves an application."""
    return QuietRunner(
        application,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=settings.keep_alive_seconds,
        lingering_time=_LINGERING_SECONDS,
        shutdown_timeout=_CUT_OFF_SECONDS,
    )


async def _serve(
    application: web.Application, settings: Gateway, tls: ssl.SSLContext | None, leaving: Leaving, *, guarded: bool
) -> None:
    runner = new_runner(application, settings)
    await runner.setup()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in _STOP_SIGNALS:
        loop.add_signal_handler(signum, stopping.set)
    site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    events.ListenerOpened("gateway", host, port, guarded=guarded).emit()
    await stopping.wait()
    leaving.begin()
    await asyncio.sleep(settings.shutdown_delay_seconds)
    await site.stop()
    # aiohttp drops what arrives once it cleans up: all bodies must be there before.
    await leaving.drained(settings.drain_seconds)
    await runner.cleanup()
    for signum in _STOP_SIGNALS:
        # A second signal must not kill a process that is about to exit: its exit code would not be 0.
        loop.remove_signal_handler(signum)
        signal.signal(signum, signal.SIG_IGN)
