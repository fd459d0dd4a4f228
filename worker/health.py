"""Startup, readiness and liveness checks. The telemetry port's own thread runs them, so they answer if the rest hangs.

Liveness fails only if a restart would help, which means a failure inside this process: its consumer thread or event
loop is stuck, or records wait although the broker answers and no results are in flight. An unreachable broker, slow
output, or a group with more workers than partitions do not call for a restart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from faust import App
from faust.types import TP

from runtime.health import Health
from runtime.periodic import PeriodicCall
from worker.kafka.consumer import LibrdkafkaConsumer
from worker.kafka.lag import SILENT_SECONDS, LagMeter, PartitionLag
from worker.kafka.ledger import Ledger
from worker.kafka.producer import LibrdkafkaProducer

_HEARTBEAT_SECONDS: Final = 1.0
_OUTPUT_SECONDS: Final = 30.0
_STALL_LIMITS: Final = 2
"""A partition may be stalled twice the limit: the consumer thread restarts its fetching first, and then fails."""


class EventLoopHeartbeat:
    """Records once a second that the event loop runs, so another thread can measure how long it has been blocked."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._timer = PeriodicCall(self._record, _HEARTBEAT_SECONDS)

    def start(self) -> None:
        """Start; called once, on the event loop."""
        self._record()
        self._timer.start()

    def _record(self) -> None:
        self._last = time.monotonic()

    def overdue(self) -> float:
        """Return by how many seconds the heartbeat is late; 0 while it is on time, and before it has started."""
        return 0.0 if self._last is None else max(0.0, time.monotonic() - self._last - _HEARTBEAT_SECONDS)


class WorkerChecks:
    """The checks; each returns what is wrong in a few words, or None."""

    def __init__(self, app: App, ledger: Ledger, heartbeat: EventLoopHeartbeat, stall_limit: float) -> None:
        """`stall_limit`: seconds for which the event loop may be blocked, or a partition stalled."""
        self._app = app
        self._ledger = ledger
        self._heartbeat = heartbeat
        self._stall_limit = stall_limit

    def health(self) -> Health:
        """Return the checks by name, for each probe."""
        return Health(
            startup={"model": _model, "consumer started": self.consumer_started},
            live={
                "process": self.process,
                "event loop": self.event_loop,
                "consumer": self.consumer,
                "progress": self.progress,
            },
            ready={
                "model": _model,
                "group": self.group,
                "broker": self.broker,
                "producer": self.producer,
                "commits": self.commits,
            },
        )

    def consumer_started(self) -> str | None:
        """The consumer has started; it may still be waiting for the broker."""
        return None if self._lag is not None else "the consumer has not started yet"

    def process(self) -> str | None:
        """The worker has not crashed."""
        return "the worker has failed and is stopping" if self._app.crashed else None

    def event_loop(self) -> str | None:
        """The event loop that scores is not blocked."""
        overdue = self._heartbeat.overdue()
        if overdue > self._stall_limit:
            return f"the event loop has been blocked for {overdue:.0f} s"
        return None

    def consumer(self) -> str | None:
        """The consumer thread polls."""
        consumer = self._consumer
        if consumer is not None and not consumer.is_polling():
            return "the consumer thread does not poll"
        return None

    def progress(self) -> str | None:
        """No partition with records to score is stalled, unless the broker does not answer.

        While results are in flight, only the consumer thread checks for stalled partitions: it restarts their fetching,
        or ends the process.
        """
        lag = self._lag
        if lag is None or not _answers(lag) or self._in_flight():
            return None
        return stalled_partition(lag.lagging, self._ledger, _STALL_LIMITS * self._stall_limit)

    def group(self) -> str | None:
        """The worker is a member of the group, even without partitions if there are too few."""
        consumer = self._consumer
        if consumer is None or consumer.thread is None or not (consumer.joined and consumer.thread.client.is_member):
            reason = consumer.thread.refusal.reason if consumer is not None and consumer.thread is not None else None
            return f"not a member of the consumer group{f': {reason}' if reason else ''}"
        return None

    def broker(self) -> str | None:
        """A broker has answered recently."""
        lag = self._lag
        if lag is None or lag.answered_at is None:
            return "the broker has not answered yet"
        if not _answers(lag):
            return f"the broker has not answered for {time.monotonic() - lag.answered_at:.0f} s"
        return None

    def producer(self) -> str | None:
        """The producer is running, and its records are being confirmed."""
        producer = self._app._producer  # noqa: SLF001  # `app.producer` would make one
        if not isinstance(producer, LibrdkafkaProducer) or not producer.started or producer.crashed:
            return "the producer is not running"
        lag = self._lag
        since = None if lag is None else lag.unfinished_since
        waited = 0.0 if since is None else time.monotonic() - since
        if waited > _OUTPUT_SECONDS:
            return f"no results have been confirmed for {waited:.0f} s"
        return None

    def commits(self) -> str | None:
        """Offset commits succeed; while they fail, reading is paused to limit repeated records."""
        consumer_thread = self._consumer.thread if self._consumer is not None else None
        if consumer_thread is not None and consumer_thread.paused == "commits":
            return "offset commits fail: reading is paused until one succeeds"
        return None

    @property
    def _consumer(self) -> LibrdkafkaConsumer | None:
        consumer = self._app._consumer  # noqa: SLF001  # `app.consumer` would make one
        return consumer if isinstance(consumer, LibrdkafkaConsumer) else None

    @property
    def _lag(self) -> LagMeter | None:
        consumer_thread = self._consumer.thread if self._consumer is not None else None
        return consumer_thread.client.lag if consumer_thread is not None else None

    def _in_flight(self) -> int:
        """Count the results that the broker has not confirmed."""
        producer = self._app._producer  # noqa: SLF001  # `app.producer` would make one
        return producer.in_flight if isinstance(producer, LibrdkafkaProducer) else 0


def stalled_partition(lagging: Mapping[TP, PartitionLag], ledger: Ledger, limit: float) -> str | None:
    """Describe a partition that has lag and has been stalled for more than `limit` seconds."""
    now, finished = time.monotonic(), ledger.progress()
    for tp, lag in lagging.items():
        stalled = now - lag.unchanged_since
        moved = finished.get(tp) not in {None, lag.done}
        if stalled > limit and not moved:
            return f"partition {tp.partition} of {tp.topic} has been stalled for {stalled:.0f} s, with records to score"
    return None


def _model() -> str | None:
    """The model is verified: the port opens only then."""
    return None


def _answers(lag: LagMeter) -> bool:
    return lag.answered_at is not None and time.monotonic() - lag.answered_at < SILENT_SECONDS
