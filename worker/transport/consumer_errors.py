"""What the consumer's errors mean: which pass by themselves, and which end the process, with what can be done."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime import events
from schemas.errors import DependencyError

_ASK_SECONDS: Final = 5.0
# ruff: noqa: SLF001  # the client's public names for its own errors begin with an underscore
_HOPELESS: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
        # A fatal error that comes as a message does not say `fatal()`.
        KafkaError._FATAL,
    }
)
_CORRUPT: Final = frozenset(
    {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED, KafkaError.INVALID_MSG}
)
"""After the first of them the client reads on at a wrong place: nothing that it brings afterwards can be trusted."""
_NO_GROUP: Final = KafkaError(KafkaError.GROUP_ID_NOT_FOUND).str()
_CLASSIC_MEMBERS: Final = (
    ". Where members of the classic protocol are in the group, brokers do not let one of the consumer protocol in "
    "beside them: stop them all first (docs/deployment.md, Changing the group protocol)"
)
_RESET: Final = "then choose where to go on (kafka-consumer-groups.sh --reset-offsets) and start again"


class CorruptBatchError(DependencyError):
    """A batch of the topic is not what its producer wrote."""


def is_corrupt(error: KafkaError) -> bool:
    """Say whether an error in place of a record means that a batch is corrupt."""
    return error.code() in _CORRUPT


def check(consumer: Consumer, message: Message, error: KafkaError) -> None:
    """Raise DependencyError for an error in place of a record that will not pass by itself; tell of any other."""
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise DependencyError(_out_of_range(consumer, message))
    if is_corrupt(error):
        place = f"partition {message.partition()} of {message.topic()}"
        raise CorruptBatchError(
            f"{place} holds a corrupt batch at offset {message.offset()} ({error.name()}: {error.str()}); the runbook "
            'says how to go on behind it, under "A corrupt batch"'
        )
    if error.fatal() or error.code() in _HOPELESS:
        hint = _CLASSIC_MEMBERS if _NO_GROUP in error.str() else ""
        raise DependencyError(f"the Kafka consumer cannot go on: {error.name()}: {error.str()}{hint}")
    on_client_error(error)


def on_client_error(error: KafkaError) -> None:
    """Hear of client-wide troubles, which librdkafka overcomes by itself."""
    events.KafkaClientError("consumer", error.name()).emit()


def on_admin_error(error: KafkaError) -> None:
    """Hear of the same from a client that only asks questions."""
    events.KafkaClientError("admin", error.name()).emit()


def _out_of_range(consumer: Consumer, message: Message) -> str:
    """Say why the broker does not have the offset at which a partition was to be read."""
    wanted, place = int(message.offset() or 0), f"partition {message.partition()} of {message.topic()}"
    try:
        partition = TopicPartition(str(message.topic()), int(message.partition() or 0))
        low, high = consumer.get_watermark_offsets(partition, timeout=_ASK_SECONDS)
    except KafkaException:
        low = high = -1
    if 0 <= high < wanted:
        return (
            f"a committed offset is beyond the end: {place} ends at offset {high}, the group is at {wanted}. The topic "
            f"was made anew, its log was cut off, or the offset was set by hand. Find out which, {_RESET}"
        )
    begins = f": {place} begins at offset {low}, the group is at {wanted}" if low >= 0 else f" ({place})"
    return (
        f"a committed offset is no longer retained{begins}. Records have gone before they were scored, unless only "
        f"transaction markers or aborted records stood between. Find out which, {_RESET}"
    )
