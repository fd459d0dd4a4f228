"""Composition root: settings in, an aiohttp application out."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from api import ui
from api.audit.file import AuditFile, AuditStdout
from api.audit.group_commit import GroupCommitter, Writer
from api.audit.trail import AuditTrail
from api.batch_scoring import BatchScorer
from api.graceful_shutdown import GracefulShutdown
from api.limits.memory_limit import MemoryLimit
from api.limits.rate_limit import RateLimit
from api.limits.record_size import RecordSize
from api.limits.time_slices import TimeSlicer
from api.middleware import request_middleware
from api.protocols.cds_hooks.routes import CdsHooksRoutes
from api.protocols.fhir.routes import FhirRoutes
from api.protocols.inference import RowScorer
from api.protocols.mlflow import MlflowRoutes
from api.protocols.open_inference import OpenInferenceRoutes
from api.protocols.smart import SmartLaunch
from api.routes import api_docs, status
from api.routes.predict import PredictionRoutes
from api.security.auth import ApiKeys, Authenticator, Certificates, Credentials, caller_name
from api.security.browser_policy import ANY_HOST, BrowserPolicy, parse_hosts, parse_origins
from api.security.cors import CorsHeaders
from api.tracing import tracing_middleware
from runtime import settings as configured
from runtime.health import Health
from runtime.model_reload import ModelReloader, emit_model_loaded, emit_model_withdrawn, load_with_timeout
from runtime.periodic import PeriodicCall, periodic_drift_report
from runtime.settings import Settings
from runtime.tracing.setup import open_tracing
from schemas.cds_hooks.service import SERVICES
from schemas.errors import SettingsError
from schemas.extras import install_command
from scoring.model_manager import ModelManager, UpdateFinder
from scoring.model_source import ModelSource
from scoring.scorer import Scorer

_SELF_CHECK_SECONDS: Final = 30.0
_KEY_MIN_CHARS: Final = 16


def create_application(
    settings: Settings, authenticator: Authenticator, shutdown: GracefulShutdown
) -> tuple[web.Application, Health]:
    """Load the model and assemble the gateway around it. Raises ArtifactError or SettingsError."""
    _check_kafka_options(settings)
    tracing = open_tracing(settings.tracing, "gateway")
    manager, reloader = _load_model(settings)
    limits, audit = settings.gateway, new_audit(settings.audit, settings.kafka)
    ready = {"model": _self_check(manager), "shutdown": shutdown.problem}
    ready |= {} if audit is None else {"audit": audit.problem}
    health = Health(startup={}, live={}, ready=ready)
    rate_limit, memory_limit = _new_rate_limit(limits), MemoryLimit(limits.in_flight_limit_bytes)
    policy = new_browser_policy(limits, is_open=authenticator.is_open)
    application = web.Application(
        middlewares=[
            *([] if tracing is None else [tracing_middleware(tracing)]),
            request_middleware(authenticator, policy, rate_limit, memory_limit, shutdown),
        ]
    )
    cors = CorsHeaders(policy, SERVICES) if settings.cds_hooks.enabled else None
    application.add_routes(_routes(settings, manager, health, audit, rate_limit, memory_limit, cors))
    application.on_response_prepare.append(shutdown.prepare_response)
    if cors is not None:
        application.on_response_prepare.append(cors.prepare_response)
    application.on_cleanup.extend(_on_cleanup(each.close) for each in (audit, tracing) if each is not None)
    application.cleanup_ctx.append(_in_background(periodic_drift_report(manager.drift)))
    if reloader is not None:
        application.cleanup_ctx.append(_in_background(reloader))
    if limits.live:
        from api.live import broadcast  # noqa: PLC0415  # a gateway without the live view loads no Kafka client

        broadcast.add_live_routes(application, settings)
    return application, health


def _new_rate_limit(settings: configured.Gateway) -> RateLimit:
    return RateLimit(
        settings.concurrent_requests,
        settings.streams_per_caller,
        settings.records_per_second,
        settings.burst_records,
        caller_name,
        time.monotonic,
    )


def _routes(
    all_settings: Settings,
    manager: ModelManager,
    health: Health,
    audit: AuditTrail | None,
    rate_limit: RateLimit,
    memory_limit: MemoryLimit,
    cors: CorsHeaders | None,
) -> Iterator[web.AbstractRouteDef]:
    """Yield all routes but that of the live view; with `cors`, those of CDS Hooks as well."""
    settings, slicer = all_settings.gateway, TimeSlicer()
    size = RecordSize.of(manager.compiled.records, manager.scorer.details.reasons)
    scorer = BatchScorer(manager, rate_limit, audit, settings, slicer, memory_limit, size)
    predictions = PredictionRoutes(manager, rate_limit, audit, settings, scorer, slicer)
    yield web.post("/predict", predictions.predict)
    yield web.post("/predict/batch", predictions.predict_batch)
    if not settings.metrics_port:
        yield web.get("/metrics", status.metrics)
    yield from status.ModelRoutes(manager).routes()
    yield from status.health_routes(health)
    table = manager.compiled.table
    yield from api_docs.routes(table, cds_hooks=cors is not None)
    yield from ui.routes(table, SmartLaunch.of(all_settings.smart, table), live=settings.live)
    rows = RowScorer(manager, scorer, slicer)
    yield from OpenInferenceRoutes(rows, health).routes()
    yield from MlflowRoutes(rows, health).routes()
    if table.fhir is not None:
        now = partial(dt.datetime.now, dt.UTC)
        shared = predictions, manager, rate_limit, all_settings, slicer, memory_limit, now
        yield from FhirRoutes(*shared).routes()
        if cors is not None:
            yield from CdsHooksRoutes(*shared).routes(cors)


def _check_kafka_options(settings: Settings) -> None:
    """Raise SettingsError for invalid client options, if a Kafka client will be created."""
    if settings.kafka.options and (settings.gateway.live or settings.audit.topic):
        from runtime.kafka.option_check import check_options  # noqa: PLC0415  # loads the Kafka client

        check_options(settings)


def new_browser_policy(settings: configured.Gateway, *, is_open: bool) -> BrowserPolicy:
    """Return the policy for browsers' requests. Raises SettingsError.

    An attacker's page has no credentials, so with authentication any host name is accepted by default.
    """
    allowed = parse_hosts(settings.allowed_hosts)
    return BrowserPolicy(parse_origins(settings.allowed_origins), allowed if allowed or is_open else ANY_HOST)


def _load_model(settings: Settings) -> tuple[ModelManager, ModelReloader[Scorer] | None]:
    """Load the model; reload it when its path changes, if that is configured."""
    model, window_records = settings.model, settings.drift.window_records
    source = ModelSource(
        Path(model.path), model.name or None, model.key_path(), settings.score, window_records, model.native
    )
    manager = ModelManager(load_with_timeout(source.load), model.max_score_shift, emit_model_withdrawn)
    emit_model_loaded(manager.facts())
    reloader = (
        ModelReloader(UpdateFinder(source, manager), model.reload_interval_seconds)
        if model.reload_interval_seconds
        else None
    )
    return manager, reloader


def _on_cleanup(close_blocking: Callable[[], None]) -> Callable[[web.Application], Awaitable[None]]:
    """Return a clean-up handler that runs a blocking call in a thread."""

    async def close(_application: web.Application) -> None:
        await asyncio.to_thread(close_blocking)

    return close


def _in_background(task: PeriodicCall | ModelReloader[Scorer]) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return a context that runs a background thread while the gateway runs."""

    async def run(_application: web.Application) -> AsyncIterator[None]:
        task.start()
        yield
        task.stop()

    return run


def _self_check(manager: ModelManager) -> Callable[[], str | None]:
    """Return a check that runs at most twice a minute: the reference cases take milliseconds of the event loop."""
    is_valid, checked_at = True, -_SELF_CHECK_SECONDS

    def problem() -> str | None:
        nonlocal is_valid, checked_at
        now = time.monotonic()
        if now - checked_at >= _SELF_CHECK_SECONDS:
            is_valid, checked_at = manager.scorer.self_check(), now
        return None if is_valid else "fails its reference cases"

    return problem


def new_authenticator(settings: configured.Auth, cds_hooks: configured.CdsHooks, public_url: str) -> Authenticator:
    """Create the authenticator. Raises SettingsError."""
    credentials: list[Credentials] = []
    if settings.api_keys:
        credentials.append(ApiKeys(settings.api_keys))
    if cds_hooks.issuers:
        # Before those of the identity provider, whose keys would be fetched for each token that is not its own.
        credentials.append(_new_cds_client_tokens(cds_hooks, public_url))
    token = (settings.token_issuer, settings.token_audience, settings.token_keys_url)
    if any(token):
        credentials.append(_new_jwt_tokens(*token))
    if settings.tls_client_ca:
        credentials.append(Certificates(is_only_method=not credentials))
    return Authenticator(credentials)


def _new_jwt_tokens(issuer: str, audience: str, url: str) -> Credentials:
    if not (issuer and audience and url.startswith("https://")):
        raise SettingsError(
            ("HEARTSTREAM_AUTH__TOKEN_ISSUER, TOKEN_AUDIENCE and TOKEN_KEYS_URL (https) must be set together",)
        )
    try:
        from api.security.jwt import JwtTokens, fetch_key_set  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise _extra_missing("HEARTSTREAM_AUTH__TOKEN_*") from error
    return JwtTokens(issuer, audience, lambda: fetch_key_set(url))


def _extra_missing(setting: str) -> SettingsError:
    return SettingsError((f"{setting}: tokens need the extra auth: {install_command('auth')}",))


def _new_cds_client_tokens(settings: configured.CdsHooks, public_url: str) -> Credentials:
    try:
        from api.security.cds_clients import cds_client_tokens  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise _extra_missing("HEARTSTREAM_CDS_HOOKS__ISSUERS") from error
    return cds_client_tokens(settings, public_url)


def new_audit(settings: configured.Audit, kafka: configured.Kafka) -> AuditTrail | None:
    """Create the audit trail, None if it is not configured. Raises SettingsError."""
    writers: list[Writer] = []
    if (settings.path or settings.topic) and len(settings.key) < _KEY_MIN_CHARS:
        raise SettingsError((f"HEARTSTREAM_AUDIT__KEY must have at least {_KEY_MIN_CHARS} characters",))
    if settings.path:
        writers.append(_open_audit_file(settings.path))
    if settings.topic:
        from api.audit.topic import AuditTopic  # noqa: PLC0415  # loads the Kafka client

        writers.append(AuditTopic(kafka, settings.topic))
    committers = [GroupCommitter(writer) for writer in writers]
    return AuditTrail(settings.key.encode(), committers, with_input=settings.with_input) if writers else None


def _open_audit_file(path: str) -> Writer:
    """Open a file for appending."""
    if path == "-":
        return AuditStdout()
    try:
        return AuditFile(Path(path))
    except OSError as error:
        raise SettingsError((f"HEARTSTREAM_AUDIT__PATH cannot be written ({error.strerror})",)) from error


def new_tls(settings: configured.Auth) -> ssl.SSLContext | None:
    """Create the TLS context, None for plain HTTP. Raises SettingsError."""
    if not settings.tls_certificate:
        if settings.tls_key or settings.tls_client_ca:
            raise SettingsError(("HEARTSTREAM_AUTH__TLS_KEY and TLS_CLIENT_CA need HEARTSTREAM_AUTH__TLS_CERTIFICATE",))
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key or None)
        if settings.tls_client_ca:
            context.load_verify_locations(settings.tls_client_ca)
            # Optional, as probes have no certificate; one that is sent must be valid.
            context.verify_mode = ssl.CERT_OPTIONAL
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SettingsError((f"HEARTSTREAM_AUTH__TLS_*: cannot be used ({reason})",)) from error
    return context
