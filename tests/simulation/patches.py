"""Replaces the product's modules by fakes, once per process, which then only simulates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from runtime import events
from tests.simulation.clients import FakeAdminClient
from tests.simulation.consumer import FakeConsumer
from tests.simulation.threads import Threading, Time
from tests.simulation.worker import SimulatedConsumerThread
from worker import agent, publisher
from worker.delivery import exactly_once
from worker.kafka import (
    batch_queue,
    client_destruction,
    commits,
    committed_offsets,
    consumer,
    consumer_client,
    consumer_thread,
    group_refusal,
    lag,
    ledger,
    producer,
    starting_positions,
    topic_check,
    topic_identity,
    transactions,
)

_TIMED: Final = (
    *(agent, commits, consumer, consumer_thread, exactly_once, group_refusal, lag, publisher),
    *(starting_positions, transactions),
)
_THREADED: Final = (batch_queue, client_destruction, ledger, consumer_client, consumer_thread, transactions)
_WAITS: Final = (
    # Longer polling intervals, as a poll costs the simulation as much as a second does.
    (consumer_thread, "_POLL_SECONDS", 1.0),
    (consumer_thread, "_CHECK_INTERVAL_SECONDS", 3.0),
    (consumer_thread, "_FULL_WAIT_SECONDS", 0.5),
    (consumer_thread, "_PAUSE_AFTER_SECONDS", 1.5),
    (starting_positions, "_COMMITTED_SECONDS", 15.0),
    (starting_positions, "_RETRY_SECONDS", 1.0),
    (commits, "_REFRESH_SECONDS", 0.5),
    (producer, "_POLL_INTERVAL_SECONDS", 0.02),
    (producer, "_IDLE_SECONDS", 3.0),
    (producer, "_CHECK_SECONDS", 1.0),
    (topic_check, "_POLL_SECONDS", 0.005),
    (publisher, "_CHECK_SECONDS", 0.01),
)


@contextmanager
def patched(*changes: tuple[object, str, Any]) -> Iterator[None]:
    """Change attributes in the context."""
    before = [(target, name, getattr(target, name)) for target, name, _ in changes]
    for target, name, value in changes:
        setattr(target, name, value)
    try:
        yield
    finally:
        for target, name, value in reversed(before):
            setattr(target, name, value)


def _emitter(hear: Callable[[object], None]) -> Callable[[object], None]:
    """Return a method: a Python function becomes one when it is found in a class."""

    def emit(event: object) -> None:
        hear(event)

    return emit


@contextmanager
def simulated(hear: Callable[[object], None]) -> Iterator[None]:
    """Run the product in simulations in the context; `hear` is called with its events."""
    emitted = [each for each in vars(events).values() if isinstance(each, type) and hasattr(each, "emit")]
    with patched(
        *((module, "time", Time) for module in _TIMED),
        *((module, "threading", Threading) for module in _THREADED),
        *_WAITS,
        *((each, "emit", _emitter(hear)) for each in emitted),
        (consumer_client, "Consumer", FakeConsumer),
        (consumer, "ConsumerThread", SimulatedConsumerThread),
        (committed_offsets, "AdminClient", FakeAdminClient),
        (topic_identity, "AdminClient", FakeAdminClient),
        (topic_check, "AdminClient", FakeAdminClient),
        (group_refusal, "AdminClient", FakeAdminClient),
    ):
        yield
