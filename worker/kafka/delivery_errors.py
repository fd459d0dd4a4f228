"""Delivery errors, and whether a retry could help."""

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
    """A record cannot be delivered, or was not within the client's delivery timeout."""


class FinalDeliveryError(DeliveryError):
    """Retrying cannot help: the topic does not exist, or the worker is not authorized to write to it."""


def delivery_failure(problem: str, error: KafkaError) -> DeliveryError:
    """Return the exception for an undelivered record; `problem` names its kind and topic."""
    kind = FinalDeliveryError if error.code() in _FINAL else DeliveryError
    return kind(f"{problem}: {error.name()}: {error.str()}")


class UnsentError(Exception):
    """The client refuses the record at index `index`."""

    def __init__(self, index: int, error: KafkaError) -> None:
        super().__init__(index)
        self.index, self.error = index, error
