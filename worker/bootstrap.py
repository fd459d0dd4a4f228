"""Where the worker's objects meet: settings in, a Faust app out."""

from __future__ import annotations

import asyncio
import logging
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import faust
from faust.tables.manager import TableManager
from mode import CrashingSupervisor

from runtime import events, logs
from runtime.beat import Beat, drift_beat
from runtime.health import Health, TelemetryServer
from runtime.settings import Settings, Telemetry
from runtime.tracing import Tracing, open_tracing
from schemas.errors import SettingsError
from scoring.scorer import Scorer
from worker.agent import ScoringAgent
from worker.breaker import RejectionBreaker
from worker.guarantees import AtLeastOnce, ExactlyOnce
from worker.health import Pulse, WorkerChecks
from worker.publisher import Guarantee, Publisher
from worker.traces import NoTraces, RecordTraces
from worker.transport.batch import Bundle
from worker.transport.consumer import LibrdkafkaConsumer
from worker.transport.driver import (
    EXACTLY_ONCE,
    SCHEME,
    BundleSchema,
    KeepingFlowControl,
    LibrdkafkaTransport,
    admin_config,
    option_problems,
)
from worker.transport.ledger import Ledger
from worker.transport.offsets import CommittedOffsets
from worker.transport.producer import LibrdkafkaProducer


class _NoTables(TableManager):
    """Starts at once: stock Faust lets a second go by for tables to be declared, before it joins the group."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class ScoringApp(faust.App):
    """A Faust app that keeps no state on disk and tells its health from the first moment on."""

    telemetry: Telemetry
    health: Health
    pulse: Pulse
    drift: Beat | None = None
    tracing: Tracing | None = None
    _telemetry_server: TelemetryServer | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.flow_control = KeepingFlowControl()
        self.pulse = Pulse()

    def _create_directories(self) -> None:
        """Make none: a stateless worker runs on a read-only file system."""

    async def on_first_start(self) -> None:
        """Open the telemetry port before the broker is reached."""
        self._telemetry_server = TelemetryServer(self.telemetry.host, self.telemetry.port, self.health)
        self.pulse.start()
        if self.drift is not None:
            self.drift.start()
        await super().on_first_start()

    async def on_shutdown(self) -> None:
        """Send the last spans, and close the telemetry port last."""
        await super().on_shutdown()
        if self.drift is not None:
            self.drift.stop()
        if self.tracing is not None:
            await asyncio.to_thread(self.tracing.close)
        if self._telemetry_server is not None:
            self._telemetry_server.close()


def create_app(settings: Settings) -> ScoringApp:
    """Load the model and assemble the worker.

    Raises SettingsError or ArtifactError, before anything of the broker is touched.
    """
    problems = option_problems(settings)
    if problems:
        raise SettingsError(problems)
    logs.configure(settings.telemetry)
    events.ProcessStarted("worker", version("heartstream")).emit()
    tracing = open_tracing(settings.tracing, "worker")
    folder, name, key = Path(settings.model.path), settings.model.name or None, settings.model.key()
    scorer = Scorer.from_directory(folder, name, settings.score, key, settings.drift.window_records)
    model, window = scorer.model, scorer.window
    events.ModelLoaded(
        model.name, model.version, model.digest, scorer.engine, scorer.fallback_reason, window is not None
    ).emit()
    app = _new_app(settings)
    ledger = Ledger()
    app.transport = LibrdkafkaTransport(app, settings, ledger)
    app.telemetry = settings.telemetry
    if window is not None:
        app.drift = drift_beat(window.measure)
    app.health = WorkerChecks(app, ledger, app.pulse, settings.worker.stall_seconds).health()
    app.tracing = tracing
    _add_agent(app, settings, scorer, ledger)
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


def _add_agent(app: ScoringApp, settings: Settings, scorer: Scorer, ledger: Ledger) -> None:
    worker = settings.worker
    publisher = Publisher(
        _guarantee(app, settings, ledger), ledger, worker.round_records, worker.outstanding_records, time.monotonic
    )
    breaker = RejectionBreaker(worker.rejection_window_records, worker.rejection_limit_share)
    traces = NoTraces() if app.tracing is None else RecordTraces(app.tracing, worker.group_id)
    scoring = ScoringAgent(scorer, ledger, publisher, settings.topics.dead_letters, breaker, traces)
    patients: Any = app.topic(settings.topics.patients, schema=BundleSchema(), acks=False)

    async def score(stream: faust.StreamT[Bundle]) -> None:
        # With the producer, not with the agent: what was started is published after the agent has ended.
        cast("LibrdkafkaProducer", app.producer).add_future(publisher.run())
        await scoring.run(stream)

    app.agent(patients, name="score", supervisor_strategy=CrashingSupervisor)(score)


def _guarantee(app: ScoringApp, settings: Settings, ledger: Ledger) -> Guarantee:
    def producer() -> LibrdkafkaProducer:
        return cast("LibrdkafkaProducer", app.producer)

    def group() -> Any:
        return cast("LibrdkafkaConsumer", app.consumer).group_metadata()

    if settings.worker.processing_guarantee == EXACTLY_ONCE:
        committed = CommittedOffsets(admin_config(settings), settings.worker.group_id)
        return ExactlyOnce(producer, settings.topics.scores, ledger, group, committed.read)
    return AtLeastOnce(producer, settings.topics.scores)
