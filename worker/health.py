"""Whether the worker has started, is ready and lives: asked by the telemetry port's thread, whatever else hangs.

Live means: a restart would not help. So only what is wrong inside this process counts: its consumer's thread or event
loop does not come round, or records wait though the broker answers and nothing is on its way to it. A broker out of
reach, slow output and a group that has more workers than partitions are no reason for a restart.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from faust import App
from faust.types import TP

from runtime.beat import Beat
from runtime.health import Health
from worker.transport.consumer import LibrdkafkaConsumer
from worker.transport.lag import SILENT_SECONDS, Behind, LagMeter
from worker.transport.ledger import Ledger
from worker.transport.producer import LibrdkafkaProducer

_BEAT_SECONDS: Final = 1.0
_OUTPUT_SECONDS: Final = 30.0
_CURE_AND_REST: Final = 2
"""Stall limits that a partition may stand still: the consumer's thread cures it after one, and gives up after two."""


class Pulse:
    """Beats on an event loop once a second, so that another thread can tell how long the loop has been busy."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._beat = Beat(self._note, _BEAT_SECONDS)

    def start(self) -> None:
        """Begin to beat; called once, on the loop."""
        self._note()
        self._beat.start()

    def _note(self) -> None:
        self._last = time.monotonic()

    def overdue(self) -> float:
        """Return for how many seconds the loop owes a beat; 0 while it comes round, and before it started."""
        return 0.0 if self._last is None else max(0.0, time.monotonic() - self._last - _BEAT_SECONDS)


class WorkerChecks:
    """The checks; each says in a few words what is wrong, or None."""

    def __init__(self, app: App, ledger: Ledger, pulse: Pulse, stall_limit: float) -> None:
        """`stall_limit` is how long, in seconds, the event loop may be busy, or a partition may stand still."""
        self._app = app
        self._ledger = ledger
        self._pulse = pulse
        self._stall_limit = stall_limit

    def health(self) -> Health:
        """Return them by name, for each question."""
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
        """The consumer has begun to look for the broker, and may wait for it."""
        return None if self._lag is not None else "the consumer has not started yet"

    def process(self) -> str | None:
        """Nothing has failed for good."""
        return "the worker has failed and is stopping" if self._app.crashed else None

    def event_loop(self) -> str | None:
        """The loop that scores comes round."""
        overdue = self._pulse.overdue()
        if overdue > self._stall_limit:
            return f"the event loop has been busy with one thing for {overdue:.0f} s"
        return None

    def consumer(self) -> str | None:
        """The thread that owns the consumer comes round."""
        consumer = self._consumer
        if consumer is not None and not consumer.is_polling():
            return "the consumer's thread does not come round"
        return None

    def progress(self) -> str | None:
        """No partition stands still with records to score, unless the broker is to blame.

        While results are on their way, partitions are judged one by one where they are read, and by nobody else: the
        consumer's thread cures one that stands still beside busy ones, or ends the process.
        """
        lag = self._lag
        if lag is None or not _answers(lag) or self._outstanding():
            return None
        return standstill(lag.behind, self._ledger, _CURE_AND_REST * self._stall_limit)

    def group(self) -> str | None:
        """The group counts this worker as a member, with partitions or, where there are too few, without."""
        consumer = self._consumer
        if consumer is None or consumer.poller is None or not (consumer.joined and consumer.poller.member):
            reason = consumer.poller.refusal.reason if consumer is not None and consumer.poller is not None else None
            return f"not a member of the consumer group{f': {reason}' if reason else ''}"
        return None

    def broker(self) -> str | None:
        """A broker has answered lately."""
        lag = self._lag
        if lag is None or lag.answered_at is None:
            return "the broker has not answered yet"
        if not _answers(lag):
            return f"the broker has not answered for {time.monotonic() - lag.answered_at:.0f} s"
        return None

    def producer(self) -> str | None:
        """The producer is up, and what was handed to it gets confirmed."""
        producer = self._app._producer  # noqa: SLF001  # `app.producer` would make one
        if not isinstance(producer, LibrdkafkaProducer) or not producer.started or producer.crashed:
            return "the producer is not up"
        lag = self._lag
        waited = time.monotonic() - lag.held_since if lag is not None and lag.held_since is not None else 0.0
        if waited > _OUTPUT_SECONDS:
            return f"of what was started, nothing has been confirmed for {waited:.0f} s"
        return None

    def commits(self) -> str | None:
        """The broker stores offsets; while it does not, reading is held, so that little is repeated."""
        poller = self._consumer.poller if self._consumer is not None else None
        if poller is not None and poller.paused == "commits":
            return "no offset commits succeed: reading is held until one does"
        return None

    @property
    def _consumer(self) -> LibrdkafkaConsumer | None:
        consumer = self._app._consumer  # noqa: SLF001  # `app.consumer` would make one
        return consumer if isinstance(consumer, LibrdkafkaConsumer) else None

    @property
    def _lag(self) -> LagMeter | None:
        poller = self._consumer.poller if self._consumer is not None else None
        return poller.lag if poller is not None else None

    def _outstanding(self) -> int:
        """Count the results that the broker has not confirmed."""
        producer = self._app._producer  # noqa: SLF001  # `app.producer` would make one
        return producer.outstanding if isinstance(producer, LibrdkafkaProducer) else 0


def standstill(all_behind: Mapping[TP, Behind], ledger: Ledger, limit: float) -> str | None:
    """Say which partition was behind and stood still for longer than `limit` seconds, and has not moved since."""
    now, finished = time.monotonic(), ledger.progress()
    for tp, behind in all_behind.items():
        stood = now - behind.still
        moved = finished.get(tp) not in {None, behind.done}
        if stood > limit and not moved:
            return f"partition {tp.partition} of {tp.topic} has stood still for {stood:.0f} s, with records to score"
    return None


def _model() -> str | None:
    """The model is verified and proven: the port opens only then."""
    return None


def _answers(lag: LagMeter) -> bool:
    return lag.answered_at is not None and time.monotonic() - lag.answered_at < SILENT_SECONDS
