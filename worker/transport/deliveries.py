"""Why a record could not be delivered, and whether to send it again could help."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError

from schemas.errors import DependencyError

_FINAL: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001  # the client's public name for it
        KafkaError.TOPIC_EXCEPTION,
    }
)


class DeliveryError(DependencyError):
    """A record can never be delivered, or was not in the time that the client allows."""


class FinalDeliveryError(DeliveryError):
    """A record that its topic will not take however often it is sent: the topic or a right to it is missing."""


def delivery_failure(told: str, error: KafkaError) -> DeliveryError:
    """Return what to raise for a record that was not delivered; `told` says which, and where to."""
    kind = FinalDeliveryError if error.code() in _FINAL else DeliveryError
    return kind(f"{told}: {error.name()}: {error.str()}")
