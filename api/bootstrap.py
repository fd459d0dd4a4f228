"""Where the gateway's objects meet: settings in, an aiohttp application out."""

from __future__ import annotations

import asyncio
import ssl
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import BinaryIO, Final

from aiohttp import web

from api import documents, page, state
from api.admission import Admission
from api.audit import Audit, AuditFile, NoAudit, Trail, Writer
from api.auth import ApiKeys, Certificates, Credentials, Gatekeeper, caller_of
from api.invocations import Invocations
from api.leaving import Leaving
from api.middleware import admitting, as_problems, asking
from api.predictions import Predictions
from api.rows import Rows
from api.server import tell_name
from api.tensors import Tensors
from api.traces import tracing_requests
from runtime import events
from runtime import settings as configured
from runtime.beat import drift_beat
from runtime.health import Health
from runtime.settings import Settings
from runtime.tracing import open_tracing
from schemas.errors import SettingsError
from scoring.artifact import Artifact, load
from scoring.drift import Window
from scoring.scorer import Scorer

_SOUND_SECONDS: Final = 30.0
_SHORTEST_KEY: Final = 16


def create_application(settings: Settings, gatekeeper: Gatekeeper, leaving: Leaving) -> tuple[web.Application, Health]:
    """Load the model and assemble the gateway around it. Raises ArtifactError or SettingsError."""
    tracing = open_tracing(settings.tracing, "gateway")
    artifact = load(Path(settings.model.path), settings.model.name or None, settings.model.key())
    scorer = _loaded(artifact, settings)
    limits, audit = settings.gateway, new_audit(settings.audit, settings.kafka)
    health = Health(startup={}, live={}, ready={"model": _remembered(scorer.is_sound), "leaving": leaving.problem})
    admission = Admission(
        limits.concurrent_requests, limits.records_per_second, limits.burst_records, caller_of, time.monotonic
    )
    predictions = Predictions(scorer, admission, audit, limits)
    rows = Rows(scorer, admission, audit, limits)
    pages = state.ModelPages(scorer, artifact.cards, artifact.report)
    application = web.Application(middlewares=[leaving.tell, as_problems, asking(gatekeeper), admitting(admission)])
    application.add_routes(
        [
            web.post("/predict", predictions.one),
            web.post("/predict/batch", predictions.many),
            web.get("/model", pages.model),
            web.get("/model/card", pages.card),
            web.get("/model/report", pages.report),
            *([] if limits.metrics_port else [web.get("/metrics", state.metrics)]),
            *state.health_routes(health),
            *documents.routes(),
            *page.routes(live=limits.live),
            *Tensors(rows, health).routes(),
            *Invocations(rows, health).routes(),
        ]
    )
    application.on_response_prepare.append(tell_name)
    application.on_cleanup.append(_closing(audit.close))
    if tracing is not None:
        application.middlewares.insert(0, tracing_requests(tracing))
        application.on_cleanup.append(_closing(tracing.close))
    if scorer.window is not None:
        application.cleanup_ctx.append(_telling(scorer.window))
    if limits.live:
        from api import live  # noqa: PLC0415  # a gateway that does not follow the stream loads no Kafka client

        live.add_to(application, settings)
    return application, health


def _loaded(artifact: Artifact, settings: Settings) -> Scorer:
    scorer = Scorer(artifact, settings.score, settings.drift.window_records)
    model, watches_drift = scorer.model, scorer.window is not None
    events.ModelLoaded(
        model.name, model.version, model.digest, scorer.engine, scorer.fallback_reason, watches_drift
    ).emit()
    return scorer


def _closing(finish: Callable[[], None]) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_application: web.Application) -> None:
        await asyncio.to_thread(finish)

    return close


def _telling(window: Window) -> Callable[[web.Application], AsyncIterator[None]]:
    """Tell of drift while the gateway runs."""

    async def told(_application: web.Application) -> AsyncIterator[None]:
        beat = drift_beat(window.measure)
        beat.start()
        yield
        beat.stop()

    return told


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


def new_gatekeeper(settings: configured.Auth) -> Gatekeeper:
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


def new_audit(settings: configured.Audit, kafka: configured.Kafka) -> Audit:
    """Make what keeps the audit trail, as the settings say. Raises SettingsError."""
    writers: list[Writer] = []
    if (settings.path or settings.topic) and len(settings.key) < _SHORTEST_KEY:
        raise SettingsError((f"HEARTSTREAM_AUDIT__KEY has less than {_SHORTEST_KEY} characters",))
    if settings.path:
        writers.append(AuditFile(_opened(settings.path)))
    if settings.topic:
        from api.audit_topic import AuditTopic  # noqa: PLC0415  # the Kafka client, where it is asked for alone

        writers.append(AuditTopic(kafka, settings.topic))
    return Trail(settings.key.encode(), writers, with_input=settings.with_input) if writers else NoAudit()


def _opened(path: str) -> BinaryIO:
    """Open a file to append to. Unbuffered: what is noted is in the file before it is answered."""
    if path == "-":
        return sys.stdout.buffer
    try:
        return Path(path).open("ab", buffering=0)
    except OSError as error:
        raise SettingsError((f"HEARTSTREAM_AUDIT__PATH cannot be written ({error.strerror})",)) from error


def new_tls(settings: configured.Auth) -> ssl.SSLContext | None:
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
