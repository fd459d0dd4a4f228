"""The gateway's process: start, serve, and shut down gracefully."""

from __future__ import annotations

import asyncio
import signal
import ssl
from importlib.metadata import version
from typing import Final

from aiohttp import web

from api.bootstrap import create_application, new_authenticator, new_tls
from api.graceful_shutdown import GracefulShutdown
from api.server import GatewayRunner, close_listener
from runtime import events, logs
from runtime.gc_tuning import tune_gc
from runtime.health import TelemetryServer
from runtime.ports import port_of
from runtime.settings import Gateway, Settings

_STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
_SHUTDOWN_TIMEOUT_SECONDS: Final = 1.0
"""How long requests may still take after the drain time, before they are cancelled."""
_LINGERING_SECONDS: Final = 1.0
"""How long to read the rest of a refused body, so that the client gets the response. aiohttp's default is 10."""


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests in flight.

    Raises ArtifactError, SettingsError or DependencyError before it listens.
    """
    # Sent after log rotation, which the audit file detects by itself.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    logs.configure(settings.telemetry)
    events.ProcessStarted("gateway", version("heartstream")).emit()
    authenticator = new_authenticator(settings.auth, settings.cds_hooks, settings.gateway.public_url)
    tls, shutdown = new_tls(settings.auth), GracefulShutdown()
    application, health = create_application(settings, authenticator, shutdown)
    telemetry = None
    if settings.gateway.metrics_port:
        with port_of("HEARTSTREAM_GATEWAY__METRICS_PORT", settings.telemetry.host, settings.gateway.metrics_port):
            telemetry = TelemetryServer(settings.telemetry.host, settings.gateway.metrics_port, health)
    tune_gc()
    try:
        asyncio.run(_serve(application, settings.gateway, tls, shutdown, guarded=not authenticator.is_open))
    finally:
        if telemetry is not None:
            telemetry.close()


def new_runner(application: web.Application, settings: Gateway) -> GatewayRunner:
    """Return the runner of an application."""
    return GatewayRunner(
        application,
        access_log=None,
        auto_decompress=False,
        keepalive_timeout=settings.keep_alive_seconds,
        lingering_time=_LINGERING_SECONDS,
        shutdown_timeout=_SHUTDOWN_TIMEOUT_SECONDS,
    )


async def _serve(
    application: web.Application,
    settings: Gateway,
    tls: ssl.SSLContext | None,
    shutdown: GracefulShutdown,
    *,
    guarded: bool,
) -> None:
    runner = new_runner(application, settings)
    await runner.setup()
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in _STOP_SIGNALS:
        # Removing a handler of the loop restores the default action for a moment, in which a second signal kills.
        signal.signal(signum, lambda *_: loop.call_soon_threadsafe(stopping.set))
    site = web.TCPSite(runner, settings.host, settings.port, ssl_context=tls)
    with port_of("HEARTSTREAM_GATEWAY__PORT", settings.host, settings.port):
        await site.start()
    host, port = runner.addresses[0][:2]
    events.ListenerOpened("gateway", host, port, guarded=guarded).emit()
    await stopping.wait()
    shutdown.begin()
    await asyncio.sleep(settings.shutdown_delay_seconds)
    await close_listener(site)
    # Once it cleans up, aiohttp drops what arrives: all bodies must be complete before.
    await shutdown.drained(settings.drain_seconds)
    await runner.cleanup()
    for signum in _STOP_SIGNALS:
        # A second signal must not kill a process that is about to exit with 0.
        signal.signal(signum, signal.SIG_IGN)
