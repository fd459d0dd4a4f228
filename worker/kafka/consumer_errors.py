"""Classifies the consumer's errors: transient ones, and those that end the process, with a remedy."""

from __future__ import annotations

from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from runtime import events
from schemas.errors import DependencyError

_ASK_SECONDS: Final = 5.0
# ruff: noqa: SLF001  # the client's public names for its own errors begin with an underscore
_FATAL: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError._AUTHENTICATION,
        # A fatal error that comes as a message is not `fatal()`.
        KafkaError._FATAL,
    }
)
_CORRUPT: Final = frozenset(
    {KafkaError._BAD_MSG, KafkaError._BAD_COMPRESSION, KafkaError._NOT_IMPLEMENTED, KafkaError.INVALID_MSG}
)
"""After the first of them, the client reads on at a wrong position: later records cannot be trusted."""
_NO_GROUP: Final = KafkaError(KafkaError.GROUP_ID_NOT_FOUND).str()
_CLASSIC_MEMBERS: Final = (
    ". A group with members of the classic protocol admits no members of the consumer protocol: stop the former first "
    "(docs/deployment.md, Changing the group protocol)"
)
_RESET: Final = "then choose an offset (kafka-consumer-groups.sh --reset-offsets) and restart"


class CorruptBatchError(DependencyError):
    """A batch of the topic is corrupt."""


def is_corrupt(error: KafkaError) -> bool:
    """Whether an error in place of a record means that a batch is corrupt."""
    return error.code() in _CORRUPT


def check(consumer: Consumer, message: Message, error: KafkaError) -> None:
    """Raise DependencyError for a permanent error in place of a record; log any other."""
    if error.code() == KafkaError._AUTO_OFFSET_RESET:
        raise DependencyError(_out_of_range(consumer, message))
    if is_corrupt(error):
        partition = f"partition {message.partition()} of {message.topic()}"
        raise CorruptBatchError(
            f"{partition} has a corrupt batch at offset {message.offset()} ({error.name()}: {error.str()}); "
            'see "A corrupt batch" in the runbook'
        )
    if error.fatal() or error.code() in _FATAL:
        hint = _CLASSIC_MEMBERS if _NO_GROUP in error.str() else ""
        raise DependencyError(f"the Kafka consumer cannot go on: {error.name()}: {error.str()}{hint}")
    on_client_error(error)


def on_client_error(error: KafkaError) -> None:
    """Log a client-wide error, from which librdkafka recovers by itself."""
    events.KafkaClientError("consumer", error.name()).emit()


def on_admin_error(error: KafkaError) -> None:
    """Log a client-wide error of an admin client."""
    events.KafkaClientError("admin", error.name()).emit()


def _out_of_range(consumer: Consumer, message: Message) -> str:
    """Explain why the broker does not have the offset of a partition."""
    position = TopicPartition(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
    wanted, name = position.offset, f"partition {position.partition} of {position.topic}"
    try:
        low, high = consumer.get_watermark_offsets(position, timeout=_ASK_SECONDS)
    except KafkaException:
        low = high = -1
    if 0 <= high < wanted:
        return (
            f"a committed offset is beyond the end: {name} ends at offset {high}, the group is at {wanted}. The topic "
            f"was recreated, its log was truncated, or the offset was set by hand. Find out which, {_RESET}"
        )
    begins = f": {name} begins at offset {low}, the group is at {wanted}" if low >= 0 else f" ({name})"
    return (
        f"a committed offset is no longer retained{begins}. Records were deleted before they were scored, unless the "
        f"gap had only transaction markers or aborted records. Find out which, {_RESET}"
    )
