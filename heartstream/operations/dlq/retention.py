"""How old a record may be when it is sent to a topic, before the topic's retention takes it away unread.

Kafka's retention counts from a record's own timestamp. A record that keeps an old one may be deleted minutes after it
was sent.
"""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # exported, says its guide

from runtime.kafka.config import admin_config
from runtime.settings import Settings
from schemas.errors import DependencyError

_CALL_SECONDS: Final = 10.0


def oldest_kept(settings: Settings, topic: str, now: int) -> int | None:
    """Return the timestamp from which on the topic keeps a record for long enough to be read, None if it has no such.

    Long enough is a tenth of the retention. Both are in milliseconds since 1970. Raises DependencyError where the
    broker does not tell.
    """
    client = AdminClient({**admin_config(settings.kafka), "log_level": 0})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    (answer,) = client.describe_configs([resource], request_timeout=_CALL_SECONDS).values()
    try:
        entries = {name: entry.value for name, entry in answer.result(2 * _CALL_SECONDS).items()}
    except TimeoutError as failure:
        raise DependencyError(f"the retention of {topic} cannot be asked for (no answer)") from failure
    except KafkaException as failure:
        error: KafkaError = failure.args[0]
        raise DependencyError(f"the retention of {topic} cannot be asked for ({error.name()})") from failure
    retention = int(entries.get("retention.ms") or -1)
    by_own_time = entries.get("message.timestamp.type") != "LogAppendTime"
    if retention < 0 or not by_own_time or "delete" not in str(entries.get("cleanup.policy")):
        return None
    return now - retention * 9 // 10
