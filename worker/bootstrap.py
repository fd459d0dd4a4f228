"""The worker's composition root: creates a Faust app from settings."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol, cast

import faust
import msgspec
from faust.tables.manager import TableManager
from mode import CrashingSupervisor

from runtime import events, logs
from runtime.health import Health, TelemetryServer
from runtime.kafka.config import EXACTLY_ONCE, admin_config
from runtime.kafka.option_check import check_options
from runtime.model_reload import ModelReloader, emit_model_loaded, emit_model_withdrawn, load_with_timeout
from runtime.periodic import PeriodicCall, periodic_drift_report
from runtime.ports import port_of
from runtime.settings import Settings, Telemetry
from runtime.tracing.setup import open_tracing
from runtime.tracing.spans import Tracing
from schemas.errors import ArtifactError, SettingsError
from scoring.model_manager import ModelManager, UpdateFinder, other_table
from scoring.model_source import ModelSource
from scoring.pipeline import Model
from scoring.scorer import Scorer
from worker.agent import ScoringAgent
from worker.canary import Canary
from worker.delivery.at_least_once import AtLeastOnce
from worker.delivery.exactly_once import ExactlyOnce
from worker.health import EventLoopHeartbeat, WorkerChecks
from worker.kafka.batch import Bundle
from worker.kafka.committed_offsets import CommittedOffsets
from worker.kafka.consumer import LibrdkafkaConsumer
from worker.kafka.faust_transport import SCHEME, BundleSchema, KeepingFlowControl, LibrdkafkaTransport
from worker.kafka.ledger import Ledger
from worker.kafka.producer import LibrdkafkaProducer
from worker.output_topics import OutputTopics
from worker.publisher import Guarantee, Publisher
from worker.rejection_limit import RejectionLimit
from worker.serdes import Serdes
from worker.shadow import GROUP_SUFFIX, Sample, ShadowAgent
from worker.substitutes import Substitutes
from worker.tracing import NoTracer, SamplingTracer, Tracer

_NO_CHALLENGER: Final = "HEARTSTREAM_CHALLENGER__PATH is not set"


class _NoTables(TableManager):
    """Starts at once: stock Faust waits a second for table declarations before it joins the group."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class ScoringApp(faust.App):
    """A Faust app without state on disk, whose telemetry port opens first."""

    telemetry: Telemetry
    health: Health
    heartbeat: EventLoopHeartbeat
    role: str
    background: Sequence[PeriodicCall | ModelReloader[Scorer]] = ()
    tracing: Tracing | None = None
    _telemetry_server: TelemetryServer | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.flow_control = KeepingFlowControl()
        self.heartbeat = EventLoopHeartbeat()

    def _create_directories(self) -> None:
        """Create none: a stateless worker runs on a read-only file system."""

    def open_telemetry(self) -> None:
        """Open the telemetry port unless it is open. Raises DependencyError if the port is in use."""
        if self._telemetry_server is None:
            host, port = self.telemetry.host, self.telemetry.port
            with port_of("HEARTSTREAM_TELEMETRY__PORT", host, port):
                self._telemetry_server = TelemetryServer(host, port, self.health)

    async def on_first_start(self) -> None:
        """Start what runs beside the stream before connecting to the broker."""
        self.open_telemetry()  # Faust's own command starts an app without anything before
        self.heartbeat.start()
        for each in self.background:
            each.start()
        await super().on_first_start()

    async def on_shutdown(self) -> None:
        """Send the last spans, and close the telemetry port last."""
        await super().on_shutdown()
        for each in self.background:
            each.stop()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
        if self._telemetry_server is not None:
            self._telemetry_server.close()


def create_app(settings: Settings) -> ScoringApp:
    """Load the model and assemble the worker.

    Raises SettingsError, ArtifactError, or DependencyError of a schema registry, before connecting to the broker.
    """
    serdes = Serdes.of(settings, settings.topics.scores)
    if settings.challenger.canary_share and not settings.challenger.path:
        raise SettingsError((f"{_NO_CHALLENGER}: a canary share needs a challenger model",))

    def new_agent(
        manager: ModelManager, ledger: Ledger, publisher: Publisher, tracer: Tracer, limit: RejectionLimit
    ) -> ScoringAgent:
        served = _with_canary(settings, manager)
        return ScoringAgent(served, ledger, publisher, settings.topics.dead_letters, limit, tracer, serdes)

    return _assemble(settings, "worker", new_agent)


def create_shadow_app(settings: Settings) -> ScoringApp:
    """Load champion and challenger and assemble the shadow, with its own consumer group and output topic.

    Raises as `create_app`, and ArtifactError if the two have different feature tables.
    """
    asked, model = settings.challenger, settings.model
    if not asked.path:
        raise SettingsError((f"{_NO_CHALLENGER}: the shadow needs a challenger model",))
    serdes = Serdes.of(settings, settings.topics.shadow)
    source = ModelSource(Path(model.path), model.name or None, model.key_path(), settings.score, native=model.native)
    champion = ModelManager(load_with_timeout(source.load))

    def new_agent(
        challenger: ModelManager, ledger: Ledger, publisher: Publisher, _tracer: Tracer, _limit: RejectionLimit
    ) -> ShadowAgent:
        if reason := other_table(champion.scorer, challenger.scorer):
            raise ArtifactError(f"challenger {challenger.scorer.model.digest}: {reason}")
        return ShadowAgent(champion, challenger, ledger, publisher, Sample(asked.sample_ratio), serdes)

    replace, group = msgspec.structs.replace, settings.worker.group_id + GROUP_SUFFIX
    own = replace(
        settings,
        model=replace(model, path=asked.path, name=asked.name),
        topics=replace(settings.topics, scores=settings.topics.shadow),
        worker=replace(settings.worker, group_id=group),
    )
    return _assemble(own, "shadow", new_agent)


def _with_canary(settings: Settings, champion: ModelManager) -> Model:
    asked = settings.challenger
    if not asked.canary_share:
        return champion
    return Canary.load(champion, _source_of(settings, asked.path, asked.name), asked.canary_share) or champion


def _source_of(settings: Settings, path: str, name: str) -> ModelSource:
    """Return the source of a model of the worker; all have the same details, key and drift settings."""
    model, window_records = settings.model, settings.drift.window_records
    return ModelSource(Path(path), name or None, model.key_path(), settings.score, window_records, model.native)


class Agent(Protocol):
    """Consumes bundles from the stream."""

    async def run(self, stream: AsyncIterable[Bundle]) -> None:
        """Consume the stream."""
        ...


NewAgent = Callable[[ModelManager, Ledger, Publisher, Tracer, RejectionLimit], Agent]


def _assemble(settings: Settings, role: str, new_agent: NewAgent) -> ScoringApp:
    check_options(settings)
    logs.configure(settings.telemetry)
    events.ProcessStarted(role, version("heartstream")).emit()
    tracing = open_tracing(settings.tracing, role)
    model = settings.model
    source = _source_of(settings, model.path, model.name)
    manager = ModelManager(load_with_timeout(source.load), model.max_score_shift, emit_model_withdrawn)
    emit_model_loaded(manager.facts())
    app = _new_app(settings)
    app.role = role
    ledger = Ledger()
    app.transport = LibrdkafkaTransport(app, settings, ledger)
    app.telemetry = settings.telemetry
    app.background = [periodic_drift_report(manager.drift)]
    if model.reload_interval_seconds:
        app.background.append(ModelReloader(UpdateFinder(source, manager), model.reload_interval_seconds))
    app.health = WorkerChecks(app, ledger, app.heartbeat, settings.worker.stall_seconds).health()
    app.tracing = tracing
    _add_agent(app, settings, manager, ledger, new_agent)
    return app


def _new_app(settings: Settings) -> ScoringApp:
    return ScoringApp(
        settings.worker.group_id,
        broker=f"{SCHEME}://",
        origin="worker",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        table_standby_replicas=0,
        TableManager=_NoTables,
        stream_buffer_maxsize=1,
        stream_wait_empty=True,
        stream_recovery_delay=0.0,
        # Logging is configured already; Faust must not configure it again.
        loghandlers=logging.getLogger().handlers,
        worker_redirect_stdouts=False,
    )


def _add_agent(app: ScoringApp, settings: Settings, manager: ModelManager, ledger: Ledger, new_agent: NewAgent) -> None:
    worker = settings.worker
    limit = RejectionLimit(worker.rejection_window_records, worker.rejection_limit_ratio)
    guarantee = _guarantee(app, settings, ledger, limit)
    publisher = Publisher(guarantee, ledger, worker.flush_max_records, worker.in_flight_max_records, time.monotonic)
    tracer = NoTracer() if app.tracing is None else SamplingTracer(app.tracing, worker.group_id)
    scoring = new_agent(manager, ledger, publisher, tracer, limit)
    patients: Any = app.topic(settings.topics.patients, schema=BundleSchema(), acks=False)

    async def score(stream: faust.StreamT[Bundle]) -> None:
        # Belongs to the producer, not the agent: started batches are published after the agent has ended.
        cast("LibrdkafkaProducer", app.producer).add_future(publisher.run())
        await scoring.run(stream)

    app.agent(patients, name="score", supervisor_strategy=CrashingSupervisor)(score)


def _guarantee(app: ScoringApp, settings: Settings, ledger: Ledger, limit: RejectionLimit) -> Guarantee:
    def producer() -> LibrdkafkaProducer:
        return cast("LibrdkafkaProducer", app.producer)

    def consumer() -> LibrdkafkaConsumer:
        return cast("LibrdkafkaConsumer", app.consumer)

    topics, writes_letters = settings.topics, app.role == "worker"
    output_topics = OutputTopics(
        admin_config(settings.kafka), topics.scores, (topics.dead_letters,) if writes_letters else ()
    )
    letters = topics.dead_letters if writes_letters else None
    substitutes = Substitutes(topics.scores, letters, lambda: limit.record(0, 1), output_topics.partition_for)
    if settings.worker.processing_guarantee == EXACTLY_ONCE:
        committed = CommittedOffsets(admin_config(settings.kafka), settings.worker.group_id)
        return ExactlyOnce(producer, topics.scores, ledger, consumer, committed.read, output_topics, substitutes)
    return AtLeastOnce(producer, topics.scores, output_topics, substitutes)
