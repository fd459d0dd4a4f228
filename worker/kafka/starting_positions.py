"""Decides where to start reading assigned partitions. Runs on the consumer thread, inside `poll`."""

from __future__ import annotations

import threading
import time
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, TopicPartition

from runtime import events
from schemas.errors import DependencyError
from worker.kafka.ledger import Ledger
from worker.kafka.topic_identity import TopicIdentity

_FIRST_CALL_SECONDS: Final = 1.0
_CALL_SECONDS: Final = 10.0
"""A call cannot be interrupted: the timeout grows from the first value to this, so that a stop waits as long at most as
the search has taken."""
_RETRY_SECONDS: Final = 0.1
_COMMITTED_SECONDS: Final = 60.0


def starting_positions(
    consumer: Consumer,
    partitions: list[TopicPartition],
    identity: TopicIdentity,
    ledger: Ledger,
    stopping: threading.Event,
) -> list[TopicPartition]:
    """Return the committed offsets; a partition without one starts at its first record.

    So does one whose offset was committed for an earlier topic of this name. The client does not reset offsets by
    itself: a committed offset whose record is gone means loss, and must be reported. Returns none once the worker is
    stopping. Raises DependencyError if the offsets cannot be read.
    """
    positions = _committed(consumer, partitions, identity, ledger, stopping) if partitions else []
    if not positions:
        return []
    ledger.commit_metadata = identity.commit_metadata
    foreign = [position for position in positions if identity.is_foreign(position.metadata)]
    if foreign:
        events.TopicRecreated(partitions[0].topic, len(foreign)).emit()
    for position in positions:
        if position.offset < 0 or position in foreign:
            position.offset = OFFSET_BEGINNING
    return positions


def _committed(
    consumer: Consumer,
    partitions: list[TopicPartition],
    identity: TopicIdentity,
    ledger: Ledger,
    stopping: threading.Event,
) -> list[TopicPartition]:
    """Query the committed offsets, and the topic's identity, until the broker answers; none once `stopping` is set."""
    deadline, timeout = time.monotonic() + _COMMITTED_SECONDS, _FIRST_CALL_SECONDS
    while not stopping.is_set():
        positions, error = _ask(consumer, partitions, identity, timeout, reading=bool(ledger.owned()))
        if error is None:
            return positions
        if time.monotonic() > deadline:
            raise DependencyError(f"cannot read the committed offsets: {error}")
        stopping.wait(_RETRY_SECONDS)
        timeout = min(2 * timeout, _CALL_SECONDS)
    return []


def _ask(
    consumer: Consumer, partitions: list[TopicPartition], identity: TopicIdentity, timeout: float, *, reading: bool
) -> tuple[list[TopicPartition], str | None]:
    """Query the committed offsets, and the first error; an offset with an error looks as if it was never committed.

    Called inside `poll`, where the consumer's own `list_topics`, `poll` or `consume` would make the client abort the
    process at its next callback.
    """
    try:
        positions = consumer.committed(partitions, timeout=timeout)
        identity.query(reading=reading)
    except KafkaException as failure:
        return [], failure.args[0].name()
    except TimeoutError:
        return [], "_TIMED_OUT"
    return positions, next((position.error.name() for position in positions if position.error), None)
