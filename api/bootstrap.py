"""Where the gateway's objects meet: settings in, an aiohttp application out; and how it is run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Final

from aiohttp import web

from api import documents, page, state
from api.admission import Admission
from api.auth import ApiKeys, Certificates, Credentials, Gatekeeper
from api.invocations import Invocations
from api.middleware import admitting, as_problems, asking, caller_of
from api.predictions import Predictions
from api.server import QuietRunner
from api.tensors import Tensors
from runtime import events, logs
from runtime.health import Health
from runtime.settings import Auth, Gateway, Settings
from schemas.errors import SettingsError
from scoring.artifact import load
from scoring.scorer import Scorer

_KEEPALIVE_SECONDS: Final = 75.0
_SOUND_SECONDS: Final = 30.0


def create_application(
    scorer: Scorer, settings: Gateway, cards: Mapping[str, bytes], gatekeeper: Gatekeeper
) -> web.Application:
    """Assemble the gateway around a loaded model."""
    health = Health(startup={}, live={}, ready={"model": _remembered(scorer.is_sound)})
    admission = Admission(
        settings.concurrent_requests,
        settings.records_per_second,
        settings.burst_records,
        caller_of,
        time.monotonic,
    )
    predictions = Predictions(scorer, admission, settings)
    pages = state.ModelPages(scorer, cards)
    invocations = Invocations(scorer, health, admission, settings)
    application = web.Application(middlewares=[as_problems, asking(gatekeeper), admitting(admission)])
    application.add_routes(
        [
            web.post("/predict", predictions.one),
            web.post("/predict/batch", predictions.many),
            web.get("/model", pages.model),
            web.get("/model/card", pages.card),
            web.get("/metrics", state.metrics),
            *state.health_routes(health),
            *documents.routes(),
            *page.routes(live=settings.live),
            *Tensors(scorer, health, admission, settings).routes(),
            web.get("/ping", invocations.ping),
            web.post("/invocations", invocations.invoke),
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


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then finish the requests under way; raises ArtifactError before it listens."""
    logs.configure(settings.telemetry)
    events.ProcessStarted("gateway", version("heartstream")).emit()
    artifact = load(Path(settings.model.path), settings.model.name or None, settings.model.key())
    scorer = Scorer(artifact, settings.score)
    events.ModelLoaded(
        scorer.model.name, scorer.model.version, scorer.model.digest, scorer.engine, scorer.fallback_reason
    ).emit()
    gatekeeper, tls = new_gatekeeper(settings.auth), new_tls(settings.auth)
    application = create_application(scorer, settings.gateway, artifact.cards, gatekeeper)
    if settings.gateway.live:
        from api import live  # noqa: PLC0415  # a gateway that does not follow the stream loads no Kafka client

        live.add_to(application, settings)
    asyncio.run(_serve(application, settings.gateway, tls, guarded=not gatekeeper.is_open))


def new_gatekeeper(settings: Auth) -> Gatekeeper:
    """Make what names callers, as the settings say. Raises SettingsError."""
    credentials: list[Credentials] = []
    if settings.tls_client_ca:
        credentials.append(Certificates())
    if settings.api_keys:
        credentials.append(ApiKeys(settings.api_keys))
    token = (settings.token_issuer, settings.token_audience, settings.token_keys_url)
    if any(token):
        credentials.append(_tokens(*token))
    return Gatekeeper(credentials)


def _tokens(issuer: str, audience: str, url: str) -> Credentials:
    if not (issuer and audience and url.startswith("https://")):
        raise SettingsError(("HEARTSTREAM_AUTH__TOKEN_ISSUER, TOKEN_AUDIENCE and TOKEN_KEYS_URL (https) go together",))
    try:
        from api.tokens import Tokens, key_set  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SettingsError(("HEARTSTREAM_AUTH__TOKEN_*: tokens need pip install 'heartstream[auth]'",)) from error
    return Tokens(issuer, audience, lambda: key_set(url))


def new_tls(settings: Auth) -> ssl.SSLContext | None:
    """Make what encrypts, as the settings say; None for plain HTTP. Raises SettingsError."""
    if not settings.tls_certificate:
        if settings.tls_key or settings.tls_client_ca:
            raise SettingsError(("HEARTSTREAM_AUTH__TLS_CERTIFICATE is not set, but another of TLS is",))
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
        if settings.tls_client_ca:
            context.load_verify_locations(settings.tls_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError((f"HEARTSTREAM_AUTH__TLS_*: cannot be used ({reason})",)) from error
    return context


async def _serve(application: web.Application, settings: Gateway, tls: ssl.SSLContext | None, *, guarded: bool) -> None:
    runner = QuietRunner(
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
    await web.TCPSite(runner, settings.host, settings.port, ssl_context=tls).start()
    host, port = runner.addresses[0][:2]
    events.ListenerOpened("gateway", host, port, guarded=guarded).emit()
    await stopping.wait()
    await runner.cleanup()
