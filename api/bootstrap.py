"""Where the gateway's objects meet: settings in, an aiohttp application out."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from aiohttp import web

from api import ui
from api.audit.file import AuditFile, AuditOutput
from api.audit.group_commit import Committer, Writer
from api.audit.trail import Trail
from api.batch_scoring import Batches
from api.graceful_shutdown import Leaving
from api.limits.memory_limit import Memory
from api.limits.rate_limit import Admission
from api.limits.time_slices import Turns
from api.middleware import guarding
from api.protocols.fhir.routes import Fhir
from api.protocols.inference import Rows
from api.protocols.mlflow import Invocations
from api.protocols.open_inference import Tensors
from api.routes import api_docs, status
from api.routes.predict import Predictions
from api.security.auth import ApiKeys, Certificates, Credentials, Gatekeeper, caller_of
from api.security.browser_policy import ANY_HOST, BrowserPolicy, hosts, origins
from api.tracing import tracing_requests
from runtime import settings as configured
from runtime.health import Health
from runtime.model_reload import ModelReloader, emit_model_loaded, emit_model_withdrawn, load_with_timeout
from runtime.periodic import PeriodicCall, periodic_drift_report
from runtime.settings import Settings
from runtime.tracing.setup import open_tracing
from schemas.errors import SettingsError
from scoring.model_manager import Follower, ModelManager, ModelSource
from scoring.scorer import Scorer

_SOUND_SECONDS: Final = 30.0
_SHORTEST_KEY: Final = 16


def create_application(settings: Settings, gatekeeper: Gatekeeper, leaving: Leaving) -> tuple[web.Application, Health]:
    """Load the model and assemble the gateway around it. Raises ArtifactError or SettingsError."""
    _check_kafka_options(settings)
    tracing = open_tracing(settings.tracing, "gateway")
    manager, following = _served(settings)
    limits, audit = settings.gateway, new_audit(settings.audit, settings.kafka)
    ready = {"model": _self_check(manager), "leaving": leaving.problem}
    ready |= {} if audit is None else {"audit": audit.problem}
    health = Health(startup={}, live={}, ready=ready)
    admission = Admission(
        limits.concurrent_requests,
        limits.streams_per_caller,
        limits.records_per_second,
        limits.burst_records,
        caller_of,
        time.monotonic,
    )
    turns, memory = Turns(), Memory(limits.in_flight_limit_bytes)
    batches = Batches(manager, admission, audit, limits, turns, memory)
    predictions = Predictions(manager, admission, audit, limits, batches, turns)
    rows = Rows(manager, batches, turns)
    pages = status.ModelPages(manager)
    policy = new_browser_policy(limits, is_open=gatekeeper.is_open)
    application = web.Application(middlewares=[guarding(gatekeeper, policy, admission, memory, leaving)])
    application.add_routes(
        [
            web.post("/predict", predictions.one),
            web.post("/predict/batch", predictions.many),
            web.get("/model", pages.model),
            web.get("/model/card", pages.card),
            web.get("/model/report", pages.report),
            *([] if limits.metrics_port else [web.get("/metrics", status.metrics)]),
            *status.health_routes(health),
            *api_docs.routes(),
            *ui.routes(live=limits.live),
            *Tensors(rows, health).routes(),
            *Invocations(rows, health).routes(),
            *Fhir(predictions, manager, admission, limits, turns, memory, lambda: dt.datetime.now(dt.UTC)).routes(),
        ]
    )
    application.on_response_prepare.append(leaving.finish)
    if audit is not None:
        application.on_cleanup.append(_closing(audit.close))
    if tracing is not None:
        application.middlewares.insert(0, tracing_requests(tracing))
        application.on_cleanup.append(_closing(tracing.close))
    application.cleanup_ctx.append(_running(periodic_drift_report(manager.drift)))
    if following is not None:
        application.cleanup_ctx.append(_running(following))
    if limits.live:
        from api.live import broadcast  # noqa: PLC0415  # a gateway that does not follow the stream loads no Kafka client

        broadcast.add_to(application, settings)
    return application, health


def _check_kafka_options(settings: Settings) -> None:
    """Raise SettingsError for bad client options, where a Kafka client will be made."""
    if settings.kafka.options and (settings.gateway.live or settings.audit.topic):
        from runtime.kafka.option_check import check_options  # noqa: PLC0415  # loads the Kafka client

        check_options(settings)


def new_browser_policy(settings: configured.Gateway, *, is_open: bool) -> BrowserPolicy:
    """Return which requests of browsers are refused. Raises SettingsError.

    A stranger's page has no credentials, so where callers authenticate any host name will do.
    """
    allowed = hosts(settings.allowed_hosts)
    return BrowserPolicy(origins(settings.allowed_origins), allowed if allowed or is_open else ANY_HOST)


def _served(settings: Settings) -> tuple[ModelManager, ModelReloader[Scorer] | None]:
    """Load the model; and follow what its path holds, if that is wanted."""
    model, window_records = settings.model, settings.drift.window_records
    source = ModelSource(Path(model.path), model.name or None, model.key_path(), settings.score, window_records)
    manager = ModelManager(load_with_timeout(source.load), model.max_score_shift, emit_model_withdrawn)
    emit_model_loaded(manager.facts())
    following = (
        ModelReloader(Follower(source, manager), model.reload_interval_seconds)
        if model.reload_interval_seconds
        else None
    )
    return manager, following


def _closing(finish: Callable[[], None]) -> Callable[[web.Application], Awaitable[None]]:
    async def close(_application: web.Application) -> None:
        await asyncio.to_thread(finish)

    return close


def _running(lasting: PeriodicCall | ModelReloader[Scorer]) -> Callable[[web.Application], AsyncIterator[None]]:
    """Run something while the gateway runs."""

    async def run(_application: web.Application) -> AsyncIterator[None]:
        lasting.start()
        yield
        lasting.stop()

    return run


def _self_check(manager: ModelManager) -> Callable[[], str | None]:
    """Return a check that asks at most twice a minute: the reference cases take milliseconds of the event loop."""
    answer, asked = True, -_SOUND_SECONDS

    def problem() -> str | None:
        nonlocal answer, asked
        now = time.monotonic()
        if now - asked >= _SOUND_SECONDS:
            answer, asked = manager.scorer.self_check(), now
        return None if answer else "fails its reference cases"

    return problem


def new_gatekeeper(settings: configured.Auth) -> Gatekeeper:
    """Make what names callers, as the settings say. Raises SettingsError."""
    credentials: list[Credentials] = []
    if settings.api_keys:
        credentials.append(ApiKeys(settings.api_keys))
    token = (settings.token_issuer, settings.token_audience, settings.token_keys_url)
    if any(token):
        credentials.append(_tokens(*token))
    if settings.tls_client_ca:
        credentials.append(Certificates(is_alone=not credentials))
    return Gatekeeper(credentials)


def _tokens(issuer: str, audience: str, url: str) -> Credentials:
    if not (issuer and audience and url.startswith("https://")):
        raise SettingsError(("HEARTSTREAM_AUTH__TOKEN_ISSUER, TOKEN_AUDIENCE and TOKEN_KEYS_URL (https) go together",))
    try:
        from api.security.jwt import Tokens, key_set  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SettingsError(("HEARTSTREAM_AUTH__TOKEN_*: tokens need pip install 'heartstream[auth]'",)) from error
    return Tokens(issuer, audience, lambda: key_set(url))


def new_audit(settings: configured.Audit, kafka: configured.Kafka) -> Trail | None:
    """Make what keeps the audit trail, as the settings say; None for none. Raises SettingsError."""
    writers: list[Writer] = []
    if (settings.path or settings.topic) and len(settings.key) < _SHORTEST_KEY:
        raise SettingsError((f"HEARTSTREAM_AUDIT__KEY has less than {_SHORTEST_KEY} characters",))
    if settings.path:
        writers.append(_opened(settings.path))
    if settings.topic:
        from api.audit.topic import AuditTopic  # noqa: PLC0415  # the Kafka client, where it is asked for alone

        writers.append(AuditTopic(kafka, settings.topic))
    committers = [Committer(writer) for writer in writers]
    return Trail(settings.key.encode(), committers, with_input=settings.with_input) if writers else None


def _opened(path: str) -> Writer:
    """Open a file to append to."""
    if path == "-":
        return AuditOutput()
    try:
        return AuditFile(Path(path))
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
            # Not required: a probe has none, and health is open. Whoever has one must have a good one.
            context.verify_mode = ssl.CERT_OPTIONAL
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError((f"HEARTSTREAM_AUTH__TLS_*: cannot be used ({reason})",)) from error
    return context
