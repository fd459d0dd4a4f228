"""How old a record may be when it is sent to a topic without being deleted before it is read.

Kafka's retention counts from the timestamp of a record. A record that keeps an old one may be deleted within minutes.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # exported, says its guide

from runtime.kafka.config import admin_config
from runtime.settings import Settings
from schemas.errors import DependencyError

_CALL_SECONDS: Final = 10.0


def oldest_retained(settings: Settings, topic: str, now: int) -> int | None:
    """Return the oldest timestamp that leaves a tenth of the topic's retention, None if the topic deletes nothing.

    Both times are in milliseconds since 1970. Raises DependencyError if the broker does not answer.
    """
    client = AdminClient({**admin_config(settings.kafka), "log_level": 0})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (answer,) = client.describe_configs([resource], request_timeout=_CALL_SECONDS).values()
    try:
        entries = {name: entry.value for name, entry in answer.result(2 * _CALL_SECONDS).items()}
    except TimeoutError as failure:
        raise DependencyError(f"cannot read the retention of {topic} (no answer)") from failure
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        raise DependencyError(f"cannot read the retention of {topic} ({error.name()})") from failure
    retention = int(entries.get("retention.ms") or -1)
    by_own_time = entries.get("message.timestamp.type") != "LogAppendTime"
    if retention < 0 or not by_own_time or "delete" not in str(entries.get("cleanup.policy")):
        return None
    return now - retention * 9 // 10
