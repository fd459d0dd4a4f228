"""Topic creation."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # exported, says its guide

from runtime.kafka.config import admin_config
from runtime.settings import Kafka
from schemas.errors import DependencyError

LARGEST_RECORD_BYTES: Final = 20_000_000
_TIMES_ASKED: Final = 3
_NOT_YET: Final = frozenset(
    {
        KafkaError._TIMED_OUT,  # noqa: SLF001  # these are their public names
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.NOT_CONTROLLER,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.NETWORK_EXCEPTION,
        KafkaError.THROTTLING_QUOTA_EXCEEDED,
    }
)
"""Errors while a broker starts or is busy. The client does not mark them as retriable."""
_ANSWER_SECONDS: Final = 1.0
"""How much longer the client's own timeout may take to be reported."""


def create_topics(
    address: str,
    names: Iterable[str],
    partitions: int,
    options: Mapping[str, str],
    timeout: float = 60.0,
    config: Mapping[str, str] | None = None,
) -> None:
    """Create missing topics, with the broker's default replication factor.

    `config` is the topics' configuration, in addition to their largest record.

    If the broker does not respond or is not ready, it is retried, three times within `timeout` seconds.

    Raises DependencyError if the broker refuses, or does not create them in time.
    """
    admin = AdminClient({**admin_config(Kafka(address, dict(options))), "log_level": 0})
    started, config = time.monotonic(), {"max.message.bytes": str(LARGEST_RECORD_BYTES), **(config or {})}
    wanted, each = list(names), timeout / _TIMES_ASKED
    for attempt in range(_TIMES_ASKED):
        # The broker may have responded immediately that it is not ready.
        time.sleep(max(0.0, started + attempt * each - time.monotonic()))
        topics = [NewTopic(name, num_partitions=partitions, config=dict(config)) for name in wanted]
        asked = admin.create_topics(topics, operation_timeout=each, request_timeout=each)
        wanted = [name for name, answer in asked.items() if not _is_created(name, answer, each)]
        if not wanted:
            return
    raise DependencyError(
        f"cannot create topic {wanted[0]}: the broker at {address} did not create it within {timeout:g} s"
    )


def _is_created(name: str, answer: Future[None], seconds: float) -> bool:
    """Return whether the topic exists now; otherwise creation must be retried."""
    try:
        answer.result(seconds + _ANSWER_SECONDS)
    except TimeoutError:
        return False
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        if error.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return True
        if error.code() in _NOT_YET:
            return False
        raise DependencyError(f"cannot create topic {name}: {error.name()}") from failure
    return True
